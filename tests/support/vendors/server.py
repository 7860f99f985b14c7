"""A strict token endpoint as RFC 8693 has it, in steps that a vendor's class changes where that server departs."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import time
from typing import Any, ClassVar
from urllib.parse import unquote
from uuid import uuid4

from joserfc.jwk import Key

from sidecar.oauth.jwt import generate_key, peek, sign
from tests.support.canary import Canary
from tests.support.scripted import Asked, ScriptedServer, replied, scripted_server

ISSUER = "https://login.example"
KEY: Key = generate_key("ES256", "vendor")
CLIENT_KEY: Key = generate_key("ES256", "gateway")
CLIENT_ID = "gateway"
#: Holds what a server that decodes and one that does not read differently.
SECRET = f"a%2Fb+c:d é/{Canary.fresh('vendor-secret').text}"

TYPE = "urn:ietf:params:oauth:token-type:"
ACCESS_TOKEN, JWT, ID_TOKEN = f"{TYPE}access_token", f"{TYPE}jwt", f"{TYPE}id_token"
_REPEATED = {"audience", "resource"}


class VendorError(Exception):
    """An error reply."""

    def __init__(self, status: int, code: str, description: str = "", **members: Any) -> None:
        super().__init__(code)
        self.status = status
        self.members = {"error": code, **({"error_description": description} if description else {}), **members}


@dataclass(slots=True)
class State:
    """What a test changes about a server.

    dead: why it refuses every subject token: a reason that the vendor's class knows, mostly ``expired``.
    surplus: claims and members that it issues beyond what is right. without: members that it leaves out.
    """

    secret: str = SECRET
    dead: str = ""
    surplus: dict[str, Any] = field(default_factory=dict)
    without: frozenset[str] = frozenset()
    unusual: str = ""


class Vendor:
    """One server. A class of ``known`` changes what differs; what it keeps is the RFC's."""

    name: ClassVar[str] = "rfc8693"
    grant_type: ClassVar[str] = "urn:ietf:params:oauth:grant-type:token-exchange"
    subject_types: ClassVar[tuple[str, ...]] = ()
    assertion_for_issuer: ClassVar[bool] = True
    audiences: ClassVar[tuple[str, ...]] = ("orders-api", "stock-api")
    resources: ClassVar[tuple[str, ...]] = ("https://orders.example/v1",)
    scopes: ClassVar[tuple[str, ...]] = ("orders.read", "orders.write")
    #: Keys of the route's ``exchange`` by which this server is asked, in its usual way.
    usual: ClassVar[dict[str, Any]] = {"audience": ["orders-api"], "scope": ["orders.read"]}
    #: The same for something that it does not know.
    unknown: ClassVar[dict[str, Any]] = {"audience": ["nobody-api"], "scope": ["orders.read"]}
    too_much: ClassVar[dict[str, Any]] = {"audience": ["orders-api"], "scope": ["orders.delete"]}

    def __init__(self) -> None:
        self.state = State()
        self.forms: list[list[tuple[str, str]]] = []

    async def reply(self, asked: Asked) -> bytes:
        """Answer one request."""
        self.forms.append(list(asked.pairs))
        try:
            members = self._issue(asked)
        except VendorError as error:
            return replied(error.members, b"Cache-Control: no-store", status=b"%d Refused" % error.status)
        return replied(members, b"Cache-Control: no-store", b"Pragma: no-cache")

    def _issue(self, asked: Asked) -> dict[str, Any]:
        form: dict[str, list[str]] = {}
        for name, value in asked.pairs:
            if not value or (name in form and name not in _REPEATED):
                raise VendorError(400, "invalid_request", f"{name} is empty or repeated")
            form.setdefault(name, []).append(value)
        self.authenticate(asked, form)
        if self.state.unusual == "conditional access":
            raise VendorError(400, "interaction_required", "AADSTS50079", claims='{"access_token":{}}')
        if form.get("grant_type") != [self.grant_type]:
            raise VendorError(400, "unsupported_grant_type")
        subject = self.subject(form)
        actor = self.actor(form)
        issued_type = self.issued_type(form)
        claims = {
            "iss": ISSUER,
            "sub": subject["sub"],
            "aud": self.audience(form),
            "client_id": CLIENT_ID,
            "jti": uuid4().hex,
            "iat": int(time()),
            "exp": int(time()) + 300,
            **self.scope_claims(self.scope(form)),
            **({"act": {"sub": actor["sub"]}} if actor else {}),
            **self.claims(subject),
            **self.state.surplus,
        }
        members = {
            "access_token": self.token({name: value for name, value in claims.items() if value is not None}, form),
            "issued_token_type": issued_type,
            "token_type": "Bearer",
            "expires_in": 300,
            **self.members(form),
        }
        return {name: value for name, value in members.items() if name not in self.state.without}

    # --- what is judged

    def authenticate(self, asked: Asked, form: dict[str, list[str]]) -> None:
        """Basic credentials, decoded (RFC 6749 §2.3.1), or an assertion (RFC 7523 §3)."""
        if "client_assertion" in form:
            if form.get("client_assertion_type") != ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"]:
                raise self.bad_credentials()
            claims = peek(form["client_assertion"][0]).claims
            wanted = ISSUER if self.assertion_for_issuer else self.endpoint(asked)
            if claims["aud"] != wanted or claims["sub"] != CLIENT_ID or claims["exp"] - claims["iat"] > 120:
                raise self.bad_credentials()
            return
        lines = [line for line in asked.head.split(b"\r\n") if line.lower().startswith(b"authorization: basic ")]
        if "client_secret" in form:
            given = f"{form['client_id'][0]}:{form['client_secret'][0]}"
        elif len(lines) == 1:
            name, _, secret = base64.b64decode(lines[0].split(b" ")[2]).decode().partition(":")
            given = f"{unquote(name)}:{unquote(secret)}"
        else:
            raise self.bad_credentials()
        if given != f"{CLIENT_ID}:{self.state.secret}":
            raise self.bad_credentials()

    def endpoint(self, asked: Asked) -> str:
        """The URL that was asked."""
        [host] = [line[6:].decode() for line in asked.head.split(b"\r\n") if line.lower().startswith(b"host: ")]
        return f"http://{host}{asked.head.split(b' ')[1].decode()}"

    def subject(self, form: dict[str, list[str]]) -> Any:
        """The claims of a subject token that is good."""
        [token] = form.get("subject_token") or [""]
        [token_type] = form.get("subject_token_type") or [""]
        if not token or not token_type:
            raise VendorError(400, "invalid_request", "subject_token and subject_token_type are required")
        if self.subject_types and token_type not in self.subject_types:
            raise self.unknown_type(token_type)
        if self.state.dead:
            raise self.dead_token()
        return peek(token).claims

    def actor(self, form: dict[str, list[str]]) -> Any:
        """The claims of an actor token, None where none came."""
        if ("actor_token" in form) != ("actor_token_type" in form):
            raise VendorError(400, "invalid_request", "actor_token_type goes with actor_token")
        return peek(form["actor_token"][0]).claims if "actor_token" in form else None

    def issued_type(self, form: dict[str, list[str]]) -> str:
        """What is issued."""
        [requested] = form.get("requested_token_type", [ACCESS_TOKEN])
        if requested not in (ACCESS_TOKEN, JWT):
            raise VendorError(400, "invalid_request", "unsupported requested_token_type")
        return requested

    def audience(self, form: dict[str, list[str]]) -> list[str]:
        """What an issued token is for."""
        for name, known in (("audience", self.audiences), ("resource", self.resources)):
            if not set(form.get(name, ())) <= set(known):
                raise self.unknown_target()
        return [*form.get("audience", ()), *form.get("resource", ())]

    def scope(self, form: dict[str, list[str]]) -> list[str]:
        """What is granted."""
        asked = " ".join(form.get("scope", ())).split()
        if not set(asked) <= set(self.scopes):
            raise VendorError(400, "invalid_scope", "One or more scopes are not allowed")
        return asked

    # --- what is issued

    def scope_claims(self, scope: list[str]) -> dict[str, Any]:
        """How a token tells its scope."""
        return {"scope": " ".join(scope)} if scope else {}

    def claims(self, _subject: Any) -> dict[str, Any]:
        """What this server adds to its tokens."""
        return {}

    def token(self, claims: dict[str, Any], _form: dict[str, list[str]]) -> str:
        """A signed one."""
        return sign(claims, KEY, "ES256")

    def members(self, _form: dict[str, list[str]]) -> dict[str, Any]:
        """What this server adds to its replies."""
        return {}

    # --- what is said of faults

    def bad_credentials(self) -> VendorError:
        return VendorError(401, "invalid_client", "Client authentication failed")

    def unknown_type(self, token_type: str) -> VendorError:
        return VendorError(400, "invalid_request", f"unsupported token type {token_type}")

    def dead_token(self) -> VendorError:
        """RFC 8693 §2.2.2 has no code for it but this."""
        return VendorError(400, "invalid_request", "The subject token is not valid")

    def unknown_target(self) -> VendorError:
        return VendorError(400, "invalid_target", "The audience or resource is not known")


@asynccontextmanager
async def vendor_server(vendor: Vendor) -> AsyncIterator[ScriptedServer]:
    """Run a vendor's token endpoint for the length of the block."""
    async with scripted_server() as server:
        server.reply = vendor.reply
        yield server
