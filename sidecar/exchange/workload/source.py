"""What every workload token can do: tell its text as it is now, and whose it is when it stands for nobody else.

Where a token comes from is the business of the modules beside this one. Nothing here verifies it: it is ours, and
whoever is shown it checks it.
"""

import math
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Protocol

from sidecar.model.claims import ClaimError, instant, texts
from sidecar.model.request import RequestHead
from sidecar.model.tokens import Actor, Subject, WorkloadToken, act_chain, token_id
from sidecar.oauth.jwt import JWTError, peek


class WorkloadSource(Protocol):
    """Where a workload token comes from."""

    async def current(self, request: RequestHead, /) -> WorkloadToken:
        """Return the token for a request, as it is now. Refused: there is none; the kind says whose fault that is."""
        ...

    def doubt(self) -> None:
        """Take note that a server refused what it was asked under this token."""


def workload_token(name: str, token_type: str, text: str) -> WorkloadToken:
    """Return a token of ours. token_type: the URI an exchange calls it by.

    A cache key counts it by ``iss`` and ``sub`` where it is a JWT: it rotates while it stays the same actor, and a new
    one must not cost every user a new exchange.
    """
    claims: Mapping[str, Any] = {}
    identity = b"sha256:" + sha256(text.encode()).digest()
    try:
        claims = peek(text).claims
    except JWTError:
        pass
    else:
        iss, sub = claims.get("iss"), claims.get("sub")
        if isinstance(iss, str) and isinstance(sub, str):
            identity = b"jwt:" + len(iss.encode()).to_bytes(4) + iss.encode() + sub.encode()
    return WorkloadToken(name, token_type, token_id(text, claims), identity, text, claims)


def own_subject(token: WorkloadToken) -> Subject:
    """Return a token of ours as the subject of an exchange: as it says of itself, which nobody here verified.

    One that can't be read is called by its name in the file, has no issuer, and ends when the server says so.
    """
    claims = token.claims
    client, acr = claims.get("client_id", claims.get("azp")), claims.get("acr")
    return Subject(
        issuer="",
        iss=_text(claims, "iss") or "",
        sub=_text(claims, "sub") or token.name,
        token_type=token.token_type,
        token_id=token.token_id,
        expires_at=_expires_at(claims),
        scope=frozenset(_scope(claims)),
        client_id=client if isinstance(client, str) else None,
        acr=acr if isinstance(acr, str) else None,
        actors=_actors(claims),
        digest=sha256(token.token.encode()).digest(),
        token=token.token,
        claims=claims,
        workload=token,
    )


def _text(claims: Mapping[str, Any], name: str) -> str | None:
    value = claims.get(name)
    return value if isinstance(value, str) else None


def _expires_at(claims: Mapping[str, Any]) -> float:
    try:
        expires_at = instant(claims, "exp")
    except ClaimError:
        expires_at = None
    return math.inf if expires_at is None else expires_at


def _scope(claims: Mapping[str, Any]) -> list[str]:
    try:
        return texts(claims, "scope", split=True)
    except ClaimError:
        return []


def _actors(claims: Mapping[str, Any]) -> tuple[Actor, ...]:
    try:
        return act_chain(claims)
    except ValueError:
        return ()
