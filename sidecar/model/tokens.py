"""Tokens as the gateway knows them: whose they are, for whom, how long; their text is never in a ``repr``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final, TypeGuard

#: RFC 8693 §3 and RFC 7519: short names usable in configuration, and what they stand for.
TOKEN_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        name: f"urn:ietf:params:oauth:token-type:{name}"
        for name in ("access_token", "refresh_token", "id_token", "saml1", "saml2", "jwt")
    }
)
ACCESS_TOKEN: Final = TOKEN_TYPES["access_token"]
JWT: Final = TOKEN_TYPES["jwt"]


@dataclass(frozen=True, slots=True)
class Actor:
    """One link of an actor chain (RFC 8693 §4.1). ``iss`` is the token's own issuer where the claim names none."""

    iss: str | None
    sub: str


class Semantics(StrEnum):
    """What the issued token shows (RFC 8693 §1.1): an actor beside the subject, or the subject alone."""

    DELEGATION = "delegation"
    IMPERSONATION = "impersonation"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Subject:
    """A verified subject token: what the caller presented, after its signature, times and audience were checked.

    issuer: the trusted issuer's name in the configuration; empty for a token of ours.
    expires_at: wall-clock seconds since the epoch, from ``exp``.
    actors: the ``act`` chain, outermost first; only the outermost may serve a decision.
    digest: SHA-256 of the token's text.
    auth_time: when the person logged in, wall-clock seconds; None where the token does not say so properly.
    leeway: seconds by which the issuer's clock may be ahead of ours.
    workload: the token of ours that it is, which nobody here verified; None where a caller presented it.
    """

    issuer: str
    iss: str
    sub: str
    token_type: str  # the URI an exchange calls it by
    token_id: str
    expires_at: float
    scope: frozenset[str]
    client_id: str | None
    acr: str | None
    actors: tuple[Actor, ...]
    digest: bytes = field(repr=False)
    token: str = field(repr=False)
    claims: Mapping[str, Any] = field(repr=False)
    auth_time: float | None = None
    leeway: float = 0.0
    workload: "WorkloadToken | None" = None


@dataclass(frozen=True, slots=True)
class WorkloadToken:
    """A token that is ours, presented as actor token, or as subject token of a call without a user.

    identity: what a cache key counts it by: ``iss`` and ``sub`` where it is a JWT (it rotates), its digest otherwise.
    claims: what it says of us, empty where nobody here can read it.
    """

    name: str
    token_type: str
    token_id: str
    identity: bytes = field(repr=False)
    token: str = field(repr=False)
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """What the authorization server gave us for the upstream, with everything later checks need to know.

    sub: the claim that is the same for one person in all tokens, which a dialect may say is another one.
    audience, scope, actors: None where the token can't be read and the reply did not say.
    authorization_details: what was granted of those that were asked for, a JSON text each (RFC 9396).
    verified: ``signature`` (a JWT of an issuer whose keys we have), ``claims`` (a JWT read without a key),
        ``introspection`` (its server told) or ``taken``.
    """

    authorization_server: str
    token_type: str
    token_id: str
    iss: str | None
    sub: str | None
    audience: frozenset[str] | None
    scope: frozenset[str] | None
    actors: tuple[Actor, ...] | None
    verified: str
    token: str = field(repr=False)
    authorization_details: tuple[str, ...] = ()

    @property
    def semantics(self) -> Semantics:
        """What the token shows; UNKNOWN where nobody here can read it."""
        if self.actors is None:
            return Semantics.UNKNOWN
        return Semantics.DELEGATION if self.actors else Semantics.IMPERSONATION


def token_id(token: str, claims: Mapping[str, Any] | None = None) -> str:
    """Name a token without showing it: ``jti:…`` where it has one, else ``sha256:`` and 16 hex digits."""
    jti = claims.get("jti") if claims else None
    if isinstance(jti, str) and jti and len(jti) <= 128 and jti.isprintable():
        return f"jti:{jti}"
    return f"sha256:{sha256(token.encode()).hexdigest()[:16]}"


def act_chain(claims: Mapping[str, Any]) -> tuple[Actor, ...]:
    """Return the actors that ``act`` tells of, outermost first (RFC 8693 §4.1).

    ValueError: an ``act`` that is no object, has no ``sub`` of text, an ``iss`` that is none, or is nested more than 32
    deep.
    """
    chain: list[Actor] = []
    act, own = claims.get("act"), claims.get("iss")
    while act is not None:
        if not isinstance(act, Mapping) or len(chain) == 32:
            raise ValueError("act is not a chain of actors")
        sub, iss = act.get("sub"), act.get("iss", own)
        nobodys = iss is None and "iss" not in act
        if not _is_name(sub) or not (_is_name(iss) or nobodys):
            raise ValueError("an actor has no subject, or an issuer that is none")
        chain.append(Actor(iss, sub))
        act = act.get("act")
    return tuple(chain)


def _is_name(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value)
