"""Values for tests: requests, subjects, issued tokens, with what a test does not care about filled in."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from sidecar.model.flush import About
from sidecar.model.request import RequestHead
from sidecar.model.route import Exchange, Match, Route, SubjectPolicy, Upstream
from sidecar.model.tokens import ACCESS_TOKEN, Actor, IssuedToken, Subject

NOW = 1_700_000_000.0
#: What a cached token is about where a test does not care.
ABOUT = About("https://issuer.example", "alice", "corp", b"orders")


def request(
    *fields: tuple[bytes, bytes],
    path: bytes = b"/orders/1",
    query: bytes | None = None,
    method: str = "GET",
    host: str = "api.example.com",
    peer: str | None = "127.0.0.1",
    listener: str = "default",
    content_length: int | None = None,
) -> RequestHead:
    """Return an accepted request head."""
    return RequestHead(
        listener=listener,
        method=method,
        path=path,
        query=query,
        host=host,
        authority=host.encode(),
        fields=fields,
        version=(1, 1),
        scheme="http",
        peer=peer,
        content_length=content_length,
        chunked=False,
        expects_continue=False,
        request_id="request-1",
    )


def subject(
    token: str = "subject-token",
    *,
    iss: str = "https://issuer.example",
    sub: str = "alice",
    expires_at: float = NOW + 300,
    scope: frozenset[str] = frozenset(),
    client_id: str | None = None,
    acr: str | None = None,
    auth_time: float | None = None,
    leeway: float = 0.0,
    actors: tuple[Actor, ...] = (),
    claims: Mapping[str, Any] | None = None,
) -> Subject:
    """Return a verified subject token."""
    return Subject(
        issuer="corp",
        iss=iss,
        sub=sub,
        token_type=ACCESS_TOKEN,
        token_id="jti:1",
        expires_at=expires_at,
        scope=scope,
        client_id=client_id,
        acr=acr,
        actors=actors,
        digest=sha256(token.encode()).digest(),
        token=token,
        claims=claims or {},
        auth_time=auth_time,
        leeway=leeway,
    )


def issued(
    token: str = "issued-token",
    *,
    iss: str | None = "https://issuer.example",
    sub: str | None = "alice",
    audience: frozenset[str] | None = frozenset({"orders-api"}),
    scope: frozenset[str] | None = frozenset({"orders.read"}),
    actors: tuple[Actor, ...] | None = (),
    authorization_details: tuple[str, ...] = (),
) -> IssuedToken:
    """Return an issued token."""
    return IssuedToken(
        authorization_server="corp",
        token_type=ACCESS_TOKEN,
        token_id="jti:2",
        iss=iss,
        sub=sub,
        audience=audience,
        scope=scope,
        actors=actors,
        verified="signature",
        token=token,
        authorization_details=authorization_details,
    )


def exchange(**changes: Any) -> Exchange:
    """Return what a route asks for."""
    return Exchange(
        **{"authorization_server": "corp", "audience": ("orders-api",), "scope": ("orders.read",), **changes}
    )


def route(name: str = "orders", *, asks: Exchange | None = None, **changes: Any) -> Route:
    """Return a compiled route."""
    upstream = Upstream(
        host="127.0.0.1",
        port=9000,
        unix_path=None,
        base_path=b"",
        host_header=b"127.0.0.1:9000",
        tls=None,
        strip_prefix=b"",
    )
    return Route(
        **{
            "name": name,
            "listener": "default",
            "match": Match(path_prefix="/orders"),
            "upstream": upstream,
            "subject": SubjectPolicy(issuers=frozenset({"corp"})),
            "exchange": asks if asks is not None else exchange(),
            **changes,
        }
    )
