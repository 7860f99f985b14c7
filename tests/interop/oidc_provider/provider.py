"""The process of oidc-provider: its issuer, its clients, how to log in there and how to give it other keys.

What it allows is written here as data; how it exchanges is in the modules beside this one, which Node runs.
"""

import hashlib
import json
import shutil
import ssl
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from joserfc.jwk import ECKey, Key

from sidecar.oauth import jwt
from tests.interop.keycloak import Reply, basic, expect, free_port, send
from tests.support.canary import Canary
from tests.support.certificates import Authority, Issued, self_signed
from tests.support.process import start, stop

if TYPE_CHECKING:
    import subprocess

#: Of every client with one; RFC 6749 App. A.2 allows printable ASCII, and the server nothing else.
SECRET: Final = "op:s%cret +&=of-the-gateway"
HERE: Final = Path(__file__).parent
START_TIMEOUT: Final = 60.0
EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
LOGIN: Final = "urn:example:login"
#: The clients that exchange, each by the method that it authenticates with, and whose tokens they take: their own name.
CLIENTS: Final[Mapping[str, str]] = {
    "gateway": "client_secret_basic",
    "gateway-post": "client_secret_post",
    "gateway-secret-jwt": "client_secret_jwt",
    "gateway-key-jwt": "private_key_jwt",
    "gateway-tls": "tls_client_auth",
    "gateway-self-signed": "self_signed_tls_client_auth",
    "gateway-public": "none",
}
TLS_NAME: Final = "gateway.clients.example"


@dataclass(frozen=True, slots=True)
class Proofs:
    """By what our clients authenticate, written to a folder; and the authority that both ends trust."""

    authority: Authority
    issued: Issued
    self_signed: Issued
    key: Key
    #: For client_secret_jwt, which wants as much as its hash is long.
    long_secret: str

    @classmethod
    def made(cls, folder: Path) -> "Proofs":
        """Make them all."""
        authority = Authority(folder)
        return cls(
            authority,
            authority.issue(TLS_NAME),
            self_signed(folder, "gateway-self-signed"),
            jwt.generate_key("ES256", "gateway-key-jwt-1"),
            Canary.fresh("gateway-secret-jwt").text.ljust(64, "x"),
        )


class OIDCProvider:
    """One server, its files in ``folder``. Its addresses and its clients outlive a ``stop`` and the next ``start``.

    url: its issuer, on plain http. tls_url: the same server behind TLS, where it asks for a certificate.
    """

    def __init__(self, node: Path, modules: Path, folder: Path) -> None:
        self._node, self._folder = node, folder
        for module in HERE.glob("*.mjs"):
            shutil.copy(module, folder)
        (folder / "node_modules").symlink_to(modules)
        self.proofs: Final = Proofs.made(folder)
        self._certificate = self.proofs.authority.issue("127.0.0.1", "localhost")
        self.port, self.tls_port = free_port(), free_port()
        self.url: Final = f"http://127.0.0.1:{self.port}"
        self.tls_url: Final = f"https://127.0.0.1:{self.tls_port}"
        self._keys = [jwt.generate_key("RS256", "signing-1")]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def token_endpoint(self) -> str:
        """Where tokens are exchanged."""
        return f"{self.url}/token"

    def start(self) -> None:
        """Start the server and return when it answers. StartError: it did not; the message ends with its log."""
        (self._folder / "settings.json").write_text(json.dumps(self._settings()))
        self._process = start(
            [str(self._node), str(self._folder / "server.mjs")],
            env={"PATH": "/usr/bin:/bin", "NODE_ENV": "test"},
            ready=self._answers,
            log=self._folder / "oidc-provider.log",
            deadline=START_TIMEOUT,
        )

    def stop(self) -> None:
        """Stop the server; its ports then refuse connections. Does nothing where it is stopped already."""
        if self._process is not None:
            stop(self._process)
            self._process = None

    def rotate(self, *, keep: bool) -> None:
        """Sign with a new key from now on, and publish the older ones only where they are kept. It starts anew."""
        self.stop()
        newer = jwt.generate_key("RS256", f"signing-{len(self._keys) + 1}")
        self._keys = [newer, *(self._keys if keep else [])]
        self.start()

    def token(self, login: str = "alice", audience: str = "gateway", scope: str = "") -> str:
        """Log somebody in and return the access token: what a caller presents to the gateway."""
        form = {"grant_type": LOGIN, "client_id": "cli", "login": login, "audience": audience, "scope": scope}
        return str(expect(200, self.post("/token", form)).body["access_token"])

    def revoke(self, token: str) -> None:
        """Take an opaque token back, as the client that it was issued to (RFC 7009)."""
        expect(200, self.post("/token/revocation", {"client_id": "cli", "token": token}))

    def exchange(self, subject_token: str, audience: str = "orders-api", authorization: str | None = None) -> Reply:
        """Ask for an exchange as the client ``gateway`` and return the reply, whatever it says."""
        form = {
            "grant_type": EXCHANGE,
            "subject_token": subject_token,
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "audience": audience,
        }
        return self.post("/token", form, authorization or basic("gateway", SECRET))

    def post(self, path: str, form: Mapping[str, str], authorization: str | None = None) -> Reply:
        """Send a form."""
        headers = {} if authorization is None else {"Authorization": authorization}
        return send("POST", self.url + path, headers, urlencode(form).encode())

    def _answers(self) -> bool:
        try:
            return send("GET", f"{self.url}/.well-known/openid-configuration").status == 200
        except (OSError, ValueError):
            return False

    def _settings(self) -> dict[str, Any]:
        exchanging = [*CLIENTS, "gateway-opaque"]
        own = {name: {"scope": ["orders"], "clients": [], "opaque": name == "gateway-opaque"} for name in exchanging}
        return {
            "issuer": self.url,
            "port": self.port,
            "tls": {
                "port": self.tls_port,
                "cert_file": self._certificate.cert_file,
                "key_file": self._certificate.key_file,
                "client_ca_file": self.proofs.authority.ca_file,
            },
            "jwks": {"keys": [key.as_dict(private=True) | {"use": "sig", "alg": "RS256"} for key in self._keys]},
            "signing_key": self._keys[0].kid,
            "algorithm": "RS256",
            "clients": self._clients(),
            "scopes": ["orders", "orders.read", "orders.write", "billing.read"],
            "denied": ["mallory"],
            "audiences": {
                **own,
                "orders-api": {"scope": ["orders.read", "orders.write"], "clients": exchanging},
                "https://billing.example/": {"scope": ["billing.read"], "clients": ["gateway"]},
                "opaque-api": {"scope": ["orders.read"], "clients": ["gateway"], "opaque": True},
                "brief-api": {"scope": ["orders.read"], "clients": ["gateway"], "lifetime": 2},
                "closed-api": {"scope": ["orders.read"], "clients": []},
            },
        }

    def _clients(self) -> list[dict[str, Any]]:
        proofs = self.proofs
        registered: dict[str, dict[str, Any]] = {
            "gateway": {"client_secret": SECRET},
            "gateway-post": {"client_secret": SECRET},
            "gateway-secret-jwt": {"client_secret": proofs.long_secret},
            "gateway-key-jwt": {"jwks": jwt.jwk_set([proofs.key])},
            "gateway-tls": {"tls_client_auth_san_dns": TLS_NAME},
            "gateway-self-signed": {"jwks": {"keys": [_certified(proofs.self_signed)]}},
            "gateway-public": {},
        }
        without: dict[str, Any] = {"redirect_uris": [], "response_types": []}
        clients = [
            {"client_id": name, "token_endpoint_auth_method": method, "grant_types": [EXCHANGE]} | registered[name]
            for name, method in CLIENTS.items()
        ]
        opaque = {"client_id": "gateway-opaque", "client_secret": SECRET, "grant_types": [EXCHANGE]}
        idle = {"client_id": "idle", "client_secret": SECRET, "grant_types": [LOGIN]}
        cli = {"client_id": "cli", "token_endpoint_auth_method": "none", "grant_types": [LOGIN]}
        return [client | without for client in [*clients, opaque, idle, cli]]


def _certified(issued: Issued) -> dict[str, Any]:
    """A certificate as a member of a key set (RFC 8705 §2.2.2)."""
    der = ssl.PEM_cert_to_DER_cert(Path(issued.cert_file).read_text())
    thumbprint = urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
    public = ECKey.import_key(Path(issued.key_file).read_text()).as_dict(private=False)
    return {**public, "x5c": [b64encode(der).decode()], "x5t#S256": thumbprint}
