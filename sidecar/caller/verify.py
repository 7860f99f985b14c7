"""Is the token real, alive, and meant for this gateway (RFC 9068 §4, RFC 8725, RFC 7519)?

A verified token is remembered by its digest until it expires or its issuer's keys change. Every failure of a token is
the same ``invalid-token`` to the caller; only the finding, for operators, says which check it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import Final

from cachetools import LRUCache

from sidecar.caller.take import Credential
from sidecar.model.claims import ClaimError, instant, texts
from sidecar.model.clock import SYSTEM_CLOCK, Clock
from sidecar.model.refusal import Kind, Refused, refuse
from sidecar.model.tokens import Subject, act_chain, token_id
from sidecar.oauth.jwks import IssuerUnavailable, KeySource
from sidecar.oauth.jwt import JWTError, SignedToken, peek

REMEMBERED: Final = 10_000


class Profile(StrEnum):
    """How an issuer's access tokens look (design: ``token_profile``)."""

    AT_JWT = "at+jwt"  # RFC 9068, strict
    JWT = "jwt"  # as most servers issue them: told from other JWTs by what they must not hold


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """An issuer whose tokens callers may present. leeway: seconds; audience: at least one must be in the token's."""

    name: str
    iss: str
    audience: frozenset[str]
    profile: Profile
    token_type: str
    algorithms: tuple[str, ...]
    scope_claims: tuple[str, ...]
    audience_claim: str
    leeway: float
    keys: KeySource


@dataclass(slots=True)
class _Remembered:
    subject: Subject
    issuer: TrustedIssuer
    generation: int


@dataclass(slots=True)
class Verifier:
    """Verifies what callers present against the trusted issuers of one snapshot."""

    issuers: Sequence[TrustedIssuer]
    clock: Clock = SYSTEM_CLOCK
    _remembered: LRUCache[tuple[bytes, frozenset[str]], _Remembered] = field(
        default_factory=lambda: LRUCache(REMEMBERED), repr=False
    )

    async def verify(self, credential: Credential, allowed: frozenset[str]) -> Subject:
        """Return the subject token of one of the allowed issuers.

        Refused: INVALID_TOKEN for anything about the token; ISSUER_UNAVAILABLE where its keys are not to be had.
        """
        digest = sha256(credential.token.encode()).digest()
        now = self.clock.wall()
        known = self._remembered.get((digest, allowed))
        if known is not None and known.generation == known.issuer.keys.use():
            if now > known.subject.expires_at + known.issuer.leeway:
                raise _invalid("the token has expired")
            return known.subject
        try:
            unverified = peek(credential.token)
        except JWTError as error:
            raise _invalid(str(error)) from None
        refused = _invalid("iss is no trusted issuer of the route")
        for issuer in self.issuers:
            if issuer.name not in allowed or issuer.iss != unverified.claims.get("iss"):
                continue
            try:
                subject = _subject(credential.token, digest, unverified, issuer, now)
                await _check_signature(credential.token, issuer)
            except Refused as error:
                # An issuer that can't be asked outweighs one that says no: the token may be good.
                if refused.refusal.kind is not Kind.ISSUER_UNAVAILABLE:
                    refused = error
                continue
            self._remembered[digest, allowed] = _Remembered(subject, issuer, issuer.keys.generation)
            return subject
        raise refused


async def _check_signature(token: str, issuer: TrustedIssuer) -> None:
    try:
        await issuer.keys.verify(token, issuer.algorithms)
    except JWTError as error:
        raise _invalid(str(error)) from None
    except IssuerUnavailable as error:
        raise refuse(
            Kind.ISSUER_UNAVAILABLE, "The token can't be checked at the moment.", retry_after=error.retry_after
        ) from None


def _subject(token: str, digest: bytes, signed: SignedToken, issuer: TrustedIssuer, now: float) -> Subject:
    """Judge everything about a token but its signature: cheaper than that, and needs no key."""
    try:
        return _judged(token, digest, signed, issuer, now)
    except ClaimError as error:
        raise _invalid(str(error)) from None


def _judged(token: str, digest: bytes, signed: SignedToken, issuer: TrustedIssuer, now: float) -> Subject:
    claims = signed.claims
    _check_kind(signed, issuer.profile)
    expires_at = instant(claims, "exp")
    if expires_at is None or now > expires_at + issuer.leeway:
        raise _invalid("the token has expired, or has no exp")
    if (not_before := instant(claims, "nbf")) is not None and not_before > now + issuer.leeway:
        raise _invalid("the token is not valid yet")
    if not issuer.audience & set(texts(claims, issuer.audience_claim)):
        raise _invalid("the token is not meant for this gateway")
    if "cnf" in claims:
        # RFC 9449 §7.2, RFC 8705 §3: exchanging it would make a bearer token of a bound one.
        raise _invalid("the token is bound to a key whose proof is not checked")
    sub = claims.get("sub")
    if not isinstance(sub, str) or not sub:
        raise _invalid("the token has no sub")
    try:
        actors = act_chain(claims)
    except ValueError:
        raise _invalid("act is malformed") from None
    client = claims.get("client_id", claims.get("azp"))
    acr = claims.get("acr")
    scope = next((texts(claims, name, split=True) for name in issuer.scope_claims if name in claims), [])
    return Subject(
        issuer=issuer.name,
        iss=issuer.iss,
        sub=sub,
        token_type=issuer.token_type,
        token_id=token_id(token, claims),
        expires_at=expires_at,
        scope=frozenset(scope),
        client_id=client if isinstance(client, str) else None,
        acr=acr if isinstance(acr, str) else None,
        actors=actors,
        digest=digest,
        token=token,
        claims=claims,
    )


def _check_kind(signed: SignedToken, profile: Profile) -> None:
    """Tell access tokens from the other JWTs of the same issuer (RFC 8725 §3.11, §3.12)."""
    typ = signed.header.get("typ")
    if typ is not None and not isinstance(typ, str):
        raise _invalid("typ is not text")
    kind = (typ or "").lower().removeprefix("application/")
    claims = signed.claims
    if profile is Profile.AT_JWT:
        if kind != "at+jwt":
            raise _invalid("typ is not at+jwt; token_profile: jwt would allow it")
        if missing := {"iss", "exp", "aud", "sub", "client_id", "iat", "jti"} - claims.keys():
            raise _invalid(f"RFC 9068 requires {', '.join(sorted(missing))}; token_profile: jwt would allow it")
        return
    if kind not in ("", "jwt", "at+jwt"):
        raise _invalid("typ says that this is no access token")
    if claims.keys() & {"at_hash", "c_hash", "nonce"} or claims.get("typ") in ("ID", "Refresh", "Offline", "Logout"):
        raise _invalid("the claims say that this is no access token")


def _invalid(finding: str) -> Refused:
    return refuse(Kind.INVALID_TOKEN, "The token is not valid here.", finding=finding)
