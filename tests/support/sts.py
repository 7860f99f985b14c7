"""The embedded authorization server in the test's own process, on a free loopback port, with a cast to play with.

Alice and bob are people, ``gateway`` is the client that exchanges, ``orders-gateway`` is what tokens for it name.
``mint`` signs whatever a test asks for, so that hostile subject tokens are as easy as good ones.
"""

import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

from joserfc.jwk import Key

from sidecar.model.clock import SYSTEM_CLOCK, Clock
from sidecar.model.tokens import Semantics
from sidecar.oauth.jwt import VerificationKeys, generate_key, sign
from sidecar.sts.audit import AuditLine
from sidecar.sts.config import ANYONE, AuthMethod, Client, Config, OwnToken, Pattern, Policy
from sidecar.sts.keys import SigningKeys
from sidecar.sts.server import serve
from tests.support.canary import Canary

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"

#: In every secret below; must never be found in a log, a reply or a receipt.
SECRET_CANARY = Canary.fresh("client-secret")
#: Holds every character that client_secret_basic must encode.
GATEWAY_SECRET = f"gw:s%cret +ü&=/{SECRET_CANARY.text}"
CLIENT_SECRET = f"plain-{SECRET_CANARY.text}"
#: Signs the assertions of the client ``gateway-jwt``.
CLIENT_KEY: Key = generate_key("ES256", "gateway-key")

_SECRETS = (AuthMethod.BASIC, AuthMethod.POST)


def default_config(issuer: str) -> Config:
    """The cast. ``dataclasses.replace`` makes it another one.

    Clients: ``gateway`` (secret), ``gateway-jwt`` (private_key_jwt), ``public`` (none), ``alice-cli``, ``bob-cli`` and
    ``agent-7`` (client_credentials), ``stranger`` (no policy). Bob may read orders only. ``agent-*`` may act. For
    orders, tokens that came of an exchange may be exchanged again.
    """
    orders = Policy(
        client="gateway",
        subjects=(Pattern(issuer, "alice"), Pattern(issuer, "user-*"), Pattern(issuer, "agent-7")),
        actors=(Pattern(issuer, "agent-*"),),
        audience=("orders-api", "https://orders.example.com/v1"),
        scope=("orders.read", "orders.write"),
        further_exchange=True,
    )
    gateway_names = ("orders-gateway",)
    return Config(
        issuer=issuer,
        clients=(
            Client("gateway", _SECRETS, GATEWAY_SECRET, audience=gateway_names),
            Client(
                "gateway-jwt",
                (AuthMethod.PRIVATE_KEY_JWT,),
                keys=VerificationKeys([CLIENT_KEY]),
                audience=gateway_names,
            ),
            Client("public", (AuthMethod.NONE,), audience=gateway_names),
            Client("stranger", _SECRETS, CLIENT_SECRET, audience=gateway_names),
            _person("alice", "alice-cli", ("orders.read", "orders.write", "billing.read")),
            _person("bob", "bob-cli", ("orders.read",)),
            Client(
                "agent-7",
                _SECRETS,
                CLIENT_SECRET,
                own_token=OwnToken("agent-7", (issuer,), ("act",), {"acr": "machine"}),
            ),
        ),
        policies=(
            orders,
            Policy("gateway", (Pattern(issuer, "alice"),), ("billing-api",), ("billing.read",), max_lifetime=60),
            Policy("gateway", (Pattern(issuer, "bob"),), ("orders-api",), ("orders.read",), semantics=None),
            Policy("gateway", (ANYONE,), ("echo-api",), ("echo",), semantics=Semantics.IMPERSONATION),
            Policy("gateway-jwt", (Pattern(issuer, "alice"),), ("orders-api",), ("orders.read",)),
            Policy("public", (Pattern(issuer, "alice"),), ("echo-api",), ("echo",)),
        ),
    )


def opaque_config(issuer: str) -> Config:
    """The cast, whose tokens are opaque: alice's own, and those issued for orders."""
    config = default_config(issuer)
    clients = [
        replace(client, own_token=replace(client.own_token, opaque=True))
        if client.client_id == "alice-cli" and client.own_token is not None
        else client
        for client in config.clients
    ]
    policies = [replace(policy, opaque="orders-api" in policy.audience) for policy in config.policies]
    return replace(config, clients=tuple(clients), policies=tuple(policies))


def _person(sub: str, client_id: str, scope: tuple[str, ...]) -> Client:
    return Client(client_id, _SECRETS, CLIENT_SECRET, own_token=OwnToken(sub, ("orders-gateway",), scope))


class RunningSts:
    """A server that runs, as tests see it. ``audit`` holds its decisions, in order; ``bound`` is where it listens."""

    def __init__(self, bound: str, config: Config, keys: SigningKeys, clock: Clock, audit: list[AuditLine]) -> None:
        self.bound = bound
        self.config = config
        self.issuer = config.issuer
        self.token_endpoint = config.token_endpoint
        self.jwks_uri = config.jwks_uri
        self.audit = audit
        self._keys = keys
        self.clock = clock

    @property
    def exchanges(self) -> int:
        """How many token exchanges were asked for, granted or not, since the start."""
        return sum(line.grant == TOKEN_EXCHANGE for line in self.audit)

    def rotate(self) -> None:
        """Sign with a new key from now on; the old one stays in the key set while its tokens live."""
        self._keys.rotate()

    def mint(
        self,
        sub: str | None = "alice",
        aud: str | Sequence[str] | None = "orders-gateway",
        scope: str | None = "orders.read orders.write",
        lifetime: float = 300,
        *,
        header: dict[str, Any] | None = None,
        key: Key | None = None,
        algorithm: str = "ES256",
        **claims: Any,
    ) -> str:
        """A token signed by this server, or by ``key`` (for an algorithm), good unless the arguments make it bad.

        A claim or header parameter that is None is left out; a negative lifetime gives an expired token.
        """
        now = self.clock.wall()
        payload: dict[str, Any] = {
            "iss": self.issuer,
            "sub": sub,
            "aud": list(aud) if aud is not None and not isinstance(aud, str) else aud,
            "scope": scope,
            "client_id": "alice-cli",
            "iat": int(now),
            "exp": int(now + lifetime),
            "jti": str(uuid4()),
            **claims,
        }
        payload = {name: value for name, value in payload.items() if value is not None}
        key = key or self._keys.current
        head = {"typ": "at+jwt", "kid": key.get("kid"), **(header or {})}
        return sign(payload, key, algorithm, {name: value for name, value in head.items() if value is not None})


@asynccontextmanager
async def running_sts(
    configure: Callable[[str], Config] = default_config, *, path: str = "", port: int = 0, clock: Clock = SYSTEM_CLOCK
) -> AsyncIterator[RunningSts]:
    """Run a server for the length of the block. ``configure`` gets the issuer: a loopback URL with this path.

    Where what it returns has ``mtls``, its port there is a free one, too.
    """
    with socket.create_server(("127.0.0.1", port)) as sock, socket.create_server(("127.0.0.1", 0)) as mtls_sock:
        bound = f"127.0.0.1:{sock.getsockname()[1]}"
        config = configure(f"http://{bound}{path}")
        if config.mtls is not None:
            config = replace(config, mtls=replace(config.mtls, listen=mtls_sock.getsockname()))
        keys = SigningKeys(config.algorithm, config.lifetime, clock)
        audit: list[AuditLine] = []
        runner = await serve(config, sock=sock, mtls_sock=mtls_sock, keys=keys, clock=clock, audit=audit.append)
        try:
            yield RunningSts(bound, config, keys, clock, audit)
        finally:
            await runner.cleanup()


def client_assertion(
    sts: RunningSts, *, key: Key = CLIENT_KEY, header: dict[str, Any] | None = None, **claims: Any
) -> str:
    """An assertion of the client ``gateway-jwt`` (RFC 7523 §2.2); a claim that is None is left out."""
    now = int(sts.clock.wall())
    payload = {
        "iss": "gateway-jwt",
        "sub": "gateway-jwt",
        "aud": sts.issuer,
        "iat": now,
        "exp": now + 60,
        "jti": str(uuid4()),
        **claims,
    }
    payload = {name: value for name, value in payload.items() if value is not None}
    return sign(payload, key, "ES256", {"typ": "client-authentication+jwt", "kid": "gateway-key", **(header or {})})
