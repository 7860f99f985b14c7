"""A real Keycloak on loopback, as tests see it: the process, its two realms, and the requests a client would make.

Realm ``corp`` is lean (a file declares all its scopes), ``stock`` is what an installation has by default, with our
scopes added. Nothing of the gateway lives here; its own requests are what the tests compare with these.
"""

import base64
import json
import secrets
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from sidecar.oauth import jwt
from tests.interop import realms
from tests.interop.installation import Installation
from tests.support.certificates import Authority
from tests.support.process import start, stop

if TYPE_CHECKING:
    import subprocess

START_TIMEOUT: Final = 120.0
REQUEST_TIMEOUT: Final = 20.0
GATEWAY_SECRET: Final = "gw:s%cret +ü"
TOKEN_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"
JWT_BEARER: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

# Whatever proxy the environment names is not for loopback.
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response: header names in lower case, the body read as JSON (None where it is empty)."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: Any = field(repr=False)


def basic(client_id: str, secret: str) -> str:
    """Return the ``Authorization`` value of client_secret_basic (RFC 6749 §2.3.1), each part percent-encoded first."""
    return raw_basic(quote(client_id, safe=""), quote(secret, safe=""))


def raw_basic(user: str, password: str) -> str:
    """Return the ``Authorization`` value of HTTP Basic with these very parts."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


GATEWAY: Final = basic("gateway", GATEWAY_SECRET)


class Keycloak:
    """One server, its data in ``directory``. Its address and its keys outlive a ``stop`` and the next ``start``."""

    def __init__(self, installation: Installation, directory: Path) -> None:
        self._installation = installation
        self._directory = directory
        self._admin_password = secrets.token_urlsafe()
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._https_port = free_port()
        self.url: Final = f"http://127.0.0.1:{self._port}"
        #: Where it speaks https and asks for certificates; its own, and those it believes, are this authority's.
        self.https_url: Final = f"https://127.0.0.1:{self._https_port}"
        self.authority: Final = Authority(directory)
        self._certificate = self.authority.issue("127.0.0.1")
        self.log: Final = directory / "keycloak.log"
        #: The private key of client ``gateway-jwt`` in realm ``stock`` (ES256, its ``kid`` is registered with it).
        self.gateway_key: Final = jwt.generate_key("ES256", "gateway-jwt-1")

    def start(self) -> None:
        """Start the server and return when it answers. StartError: it did not; the message ends with its log."""
        script = self._installation.home / "bin" / "kc.sh"
        self._process = start(
            [str(script), "start", "--optimized"],
            env=self._environment(),
            ready=self._answers,
            log=self.log,
            deadline=START_TIMEOUT,
        )

    def stop(self) -> None:
        """Stop the server; its port then refuses connections. Does nothing where it is stopped already."""
        if self._process is not None:
            stop(self._process)
            self._process = None

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """An outage for a block: the server is stopped, and answers again at the block's end."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def administrators_terminal(self) -> dict[str, str]:
        """Return the variables with which an administrator's terminal has ``kcadm.sh`` in reach, and may use it."""
        return {
            "JAVA_HOME": str(self._installation.java_home),
            "KEYCLOAK_BIN": str(self._installation.home / "bin"),
            "ADMIN_PASSWORD": self._admin_password,
        }

    def create_client(self, realm: str, client_id: str, **members: Any) -> None:
        """Create a client that may exchange tokens in which an optional scope of its own name puts it into ``aud``."""
        realms.add_client(self._administer(), realm, client_id, members)

    def create_realms(self) -> None:
        """Create ``corp`` and ``stock``; once for a fresh server."""
        realms.create(self._administer(), self.gateway_key)

    @contextmanager
    def new_signing_key(self, realm: str) -> Iterator[None]:
        """For a block, a realm signs with a new key and still publishes the old one; then the new one is gone."""
        key = realms.add_signing_key(self._administer(), realm)
        try:
            yield
        finally:
            realms.remove_signing_key(self._administer(), realm, key)

    def issuer(self, realm: str) -> str:
        """Return the issuer identifier of a realm."""
        return f"{self.url}/realms/{realm}"

    def discovery(self, realm: str) -> dict[str, Any]:
        """Return a realm's metadata document."""
        reply = send("GET", f"{self.issuer(realm)}/.well-known/openid-configuration")
        return dict(expect(200, reply).body)

    def token_endpoint(self, realm: str) -> str:
        """Return the address of a realm's token endpoint."""
        return f"{self.issuer(realm)}/protocol/openid-connect/token"

    def user_token(
        self, realm: str, username: str = "alice", password: str = "alice", client: str = "cli", scope: str = ""
    ) -> str:
        """Log a user in by a public client and return the access token: what a caller presents to the gateway."""
        return str(self.login(realm, username, password, client, scope)["access_token"])

    def login(
        self, realm: str, username: str = "alice", password: str = "alice", client: str = "cli", scope: str = ""
    ) -> dict[str, Any]:
        """Log a user in and return the whole token response; ``scope="openid"`` adds an ID token."""
        form = {"grant_type": "password", "client_id": client, "username": username, "password": password}
        return dict(expect(200, self.token_request(realm, form | ({"scope": scope} if scope else {}))).body)

    def log_out(self, realm: str, login: Mapping[str, Any], client: str = "cli") -> None:
        """End the session that a ``login`` began; nothing in its access token shows that."""
        form = urlencode({"client_id": client, "refresh_token": login["refresh_token"]}).encode("ascii")
        expect(204, send("POST", self.discovery(realm)["end_session_endpoint"], body=form))

    def exchange(
        self,
        realm: str,
        subject_token: str | None,
        *,
        scope: Sequence[str] = (),
        audience: Sequence[str] = (),
        authorization: str | None = GATEWAY,
        **members: str | None,
    ) -> Reply:
        """Ask for an exchange and return the reply, whatever it says; without a subject token where that is None.

        ``members`` are form members to add, to replace, or with None to leave out. ``authorization=None`` sends no
        such field.
        """
        form: dict[str, str | Sequence[str] | None] = {
            "grant_type": TOKEN_EXCHANGE,
            "subject_token": subject_token,
            "subject_token_type": ACCESS_TOKEN,
            "audience": audience,
            "scope": " ".join(scope) or None,
            **members,
        }
        return self.token_request(realm, {k: v for k, v in form.items() if v is not None}, authorization)

    def token_request(
        self, realm: str, form: Mapping[str, str | Sequence[str]], authorization: str | None = None
    ) -> Reply:
        """Send a form to the token endpoint; a member with several values is repeated."""
        headers = {} if authorization is None else {"Authorization": authorization}
        return send("POST", self.token_endpoint(realm), headers, urlencode(form, doseq=True).encode("ascii"))

    def assertion(self, realm: str) -> dict[str, str]:
        """Return the form members by which ``gateway-jwt`` authenticates (private_key_jwt, RFC 7523 §2.2)."""
        now = int(time.time())
        claims = {
            "iss": "gateway-jwt",
            "sub": "gateway-jwt",
            "aud": self.issuer(realm),
            "jti": secrets.token_urlsafe(),
            "iat": now,
            "exp": now + 60,
        }
        signed = jwt.sign(claims, self.gateway_key, "ES256", {"kid": self.gateway_key.kid})
        return {"client_id": "gateway-jwt", "client_assertion_type": JWT_BEARER, "client_assertion": signed}

    def _administer(self) -> realms.Administer:
        """Log the administrator in and return how to ask the admin API; the login is good for a minute."""
        form = {
            "grant_type": "password",
            "client_id": "admin-cli",
            "username": "admin",
            "password": self._admin_password,
        }
        token = expect(200, self.token_request("master", form)).body["access_token"]
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

        def ask(method: str, path: str, document: object = None) -> Any:
            body = None if document is None else json.dumps(document).encode("ascii")
            reply = send(method, f"{self.url}/admin/realms{path}", headers, body)
            if reply.status not in (200, 201, 204):
                raise RuntimeError(f"the admin API answers {reply.status} to {method} {path}: {reply.body}")
            return reply.body

        return ask

    def _answers(self) -> bool:
        try:
            return send("GET", f"{self.issuer('master')}/.well-known/openid-configuration").status == 200
        except (OSError, ValueError):  # not yet, or an error page that is no JSON
            return False

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": str(self._installation.java_home / "bin") + ":/usr/bin:/bin",
            "JAVA_HOME": str(self._installation.java_home),
            "JAVA_OPTS_KC_HEAP": "-Xms64m -Xmx512m",
            "JAVA_OPTS_APPEND": "-XX:TieredStopAtLevel=1",  # it lives briefly: a fast start counts most
            "KC_BOOTSTRAP_ADMIN_USERNAME": "admin",
            "KC_BOOTSTRAP_ADMIN_PASSWORD": self._admin_password,
            "KC_CACHE": "local",  # no cluster: nothing listens beyond loopback
            "KC_DB_URL": f"jdbc:h2:file:{self._directory}/keycloak;NON_KEYWORDS=VALUE",
            "KC_HTTP_ENABLED": "true",
            "KC_HTTP_HOST": "127.0.0.1",
            "KC_HTTP_PORT": str(self._port),
            "KC_HTTPS_PORT": str(self._https_port),
            "KC_HTTPS_CERTIFICATE_FILE": self._certificate.cert_file,
            "KC_HTTPS_CERTIFICATE_KEY_FILE": self._certificate.key_file,
            "KC_TRUSTSTORE_PATHS": self.authority.ca_file,
            "KC_HOSTNAME": self.url,
        }


def send(method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes | None = None) -> Reply:
    """Send one request and return its response, also when it is an error.

    OSError: there is none within 20 seconds. ValueError: its body is no JSON.
    """
    request = urllib.request.Request(url, body, dict(headers or {}), method=method)
    try:
        response = _OPENER.open(request, timeout=REQUEST_TIMEOUT)
    except urllib.error.HTTPError as error:
        response = error
    with response:
        text = response.read()
        fields = {name.lower(): value for name, value in response.headers.items()}
    return Reply(response.status, fields, json.loads(text) if text else None)


def expect(status: int, reply: Reply) -> Reply:
    """Return the reply where it has this status. RuntimeError: it has another."""
    if reply.status != status:
        raise RuntimeError(f"Keycloak answers {reply.status}: {reply.body}")
    return reply


def free_port() -> int:
    """Find a free port that the system will not hand to somebody's connection while the server is down."""
    for _ in range(100):
        port = 20_000 + secrets.randbelow(10_000)  # not ``random``: two runs with one seed would meet here
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port between 20000 and 29999")
