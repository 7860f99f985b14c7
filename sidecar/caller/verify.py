"""Is the token real, alive, and meant for this gateway (RFC 9068 §4, RFC 8725, RFC 7519, RFC 7662)?

A verified JWT is remembered by its text until it expires or its issuer's keys change; what introspection says of a
token is remembered there. Every failure of a token is the same ``invalid-token`` to the caller; only the finding, for
operators, says which check it was.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Final

from sidecar.caller.profiles import Profile, flaw
from sidecar.caller.take import Credential
from sidecar.model.claims import ClaimError, instant, texts
from sidecar.model.clock import SYSTEM_CLOCK, Clock
from sidecar.model.memory import Memory
from sidecar.model.refusal import Kind, Refused, refuse
from sidecar.model.tokens import Subject, act_chain, token_id
from sidecar.oauth.introspection import Introspection, IntrospectionUnavailable
from sidecar.oauth.jwks import IssuerUnavailable, KeySource
from sidecar.oauth.jwt import MAX_TOKEN_BYTES, AlgorithmError, JWTError, SignedToken, peek

REMEMBERED: Final = 10_000
_REASON: Final = "The token is not valid here."


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """An issuer whose tokens callers may present. leeway: seconds; audience: at least one must be in the token's.

    keys: what signatures are checked with; None where no JWT is. introspection: asked about every token, a JWT's once
    its signature was checked; None where nobody is asked. There is at least one of them.
    """

    name: str
    iss: str
    audience: frozenset[str]
    profile: Profile
    token_type: str
    algorithms: tuple[str, ...]
    scope_claims: tuple[str, ...]
    audience_claim: str
    leeway: float
    keys: KeySource | None
    introspection: Introspection | None = None


@dataclass(slots=True)
class _Remembered:
    subject: Subject
    issuer: TrustedIssuer
    keys: KeySource
    generation: int


@dataclass(slots=True)
class Verifier:
    """Verifies what callers present against the trusted issuers of one snapshot."""

    issuers: Sequence[TrustedIssuer]
    clock: Clock = SYSTEM_CLOCK
    # By the token's text, which its subject holds anyway, and the issuers that were allowed.
    _remembered: Memory[tuple[str, frozenset[str]], _Remembered] = field(
        default_factory=lambda: Memory(REMEMBERED), repr=False
    )

    async def verify(self, credential: Credential, allowed: frozenset[str]) -> Subject:
        """Return the subject token of one of the allowed issuers.

        A JWT goes to the issuer that its ``iss`` names, and its text to no other; what has no ``iss`` to read goes to
        the one that introspects.
        Refused: INVALID_TOKEN for anything about the token; ISSUER_UNAVAILABLE where its keys, or what its issuer says
        of it, are not to be had.
        """
        token = credential.token
        known = self._remembered.get((token, allowed))
        if known is not None and known.generation == known.keys.use():
            if self.clock.wall() > known.subject.expires_at + known.issuer.leeway:
                raise _invalid("the token has expired", known.issuer, "leeway")
            if known.issuer.introspection is None:
                return known.subject
            return await self._still_active(known.issuer, known.subject)
        digest = sha256(token.encode()).digest()
        signed, refused = _peeked(token)
        for issuer in self._candidates(signed, allowed):
            try:
                if signed is None or issuer.keys is None:
                    return await self._introspected(issuer, token, digest)
                subject = _subject(token, digest, signed.header, signed.claims, issuer, self.clock.wall())
                await _check_signature(token, issuer.keys, issuer)
                known = _Remembered(subject, issuer, issuer.keys, issuer.keys.generation)
                self._remembered.put((token, allowed), known)
                return await self._still_active(issuer, subject)
            except Refused as error:
                # An issuer that can't be asked outweighs one that says no: the token may be good.
                if refused.refusal.kind is not Kind.ISSUER_UNAVAILABLE:
                    refused = error
        raise refused

    def forget(self, takes: Callable[[str, str], bool]) -> int:
        """Forget the verified tokens of the subjects that ``takes`` says, by ``iss`` and ``sub``; return how many."""
        return self._remembered.forget(lambda known: takes(known.subject.iss, known.subject.sub))

    def candidates(self, token: str, allowed: frozenset[str]) -> list[TrustedIssuer]:
        """Return those of the allowed issuers that may have issued a token, by what it says of itself."""
        return self._candidates(_peeked(token)[0], allowed)

    def _candidates(self, signed: SignedToken | None, allowed: frozenset[str]) -> list[TrustedIssuer]:
        return [
            issuer
            for issuer in self.issuers
            if issuer.name in allowed
            and (issuer.profile is Profile.OPAQUE if signed is None else issuer.iss == signed.claims["iss"])
        ]

    async def _introspected(self, issuer: TrustedIssuer, token: str, digest: bytes) -> Subject:
        """Judge what an issuer says of a token as the claims of a JWT are judged."""
        if len(token) > MAX_TOKEN_BYTES:
            raise _invalid("the token is longer than 16 KiB")
        claims = await _asked(issuer, token)
        if claims.get("iss", issuer.iss) != issuer.iss:
            raise _invalid("the issuer says that the token is another one's")
        return _subject(token, digest, {}, claims, issuer, self.clock.wall())

    async def _still_active(self, issuer: TrustedIssuer, subject: Subject) -> Subject:
        """Have the issuer asked whether a verified JWT is still good, where it is to be asked.

        What it says must be about this token; it may end its life earlier, and gives it nothing.
        """
        if issuer.introspection is None:
            return subject
        claims = await _asked(issuer, subject.token)
        if claims.get("iss", subject.iss) != subject.iss or claims.get("sub", subject.sub) != subject.sub:
            raise _invalid("what the issuer says is about another token")
        if "cnf" in claims:
            raise _bound()
        expires_at = instant(claims, "exp")  # well-formed, or else there was no answer
        if expires_at is None or expires_at >= subject.expires_at:
            return subject
        if self.clock.wall() > expires_at + issuer.leeway:
            raise _invalid("the token has expired", issuer, "leeway")
        return replace(subject, expires_at=expires_at)


def _peeked(token: str) -> tuple[SignedToken | None, Refused]:
    """Read a token that may be a JWT with an issuer; and how it is refused if no trusted issuer is to be asked."""
    try:
        signed = peek(token)
    except JWTError as error:
        return None, _invalid(str(error))
    refused = refuse(
        Kind.INVALID_TOKEN, _REASON, finding="iss is no trusted issuer of the route", key=("subject", "issuers")
    )
    return (signed, refused) if "iss" in signed.claims else (None, refused)


async def _asked(issuer: TrustedIssuer, token: str) -> Mapping[str, Any]:
    """Return what an issuer says of an active token."""
    if issuer.introspection is None:
        raise _invalid("the issuer's tokens are not introspected")
    try:
        claims = await issuer.introspection.introspect(token)
    except IntrospectionUnavailable as error:
        raise _unavailable(error, issuer, "introspection") from None
    if claims is None:
        raise _invalid("the issuer says that the token is not active")
    return claims


async def _check_signature(token: str, keys: KeySource, issuer: TrustedIssuer) -> None:
    try:
        await keys.verify(token, issuer.algorithms)
    except AlgorithmError as error:
        raise _invalid(str(error), issuer, "algorithms") from None
    except JWTError as error:
        raise _invalid(str(error), issuer, "jwks_uri") from None
    except IssuerUnavailable as error:
        raise _unavailable(error, issuer, "jwks_uri") from None


def _subject(
    token: str,
    digest: bytes,
    header: Mapping[str, Any],
    claims: Mapping[str, Any],
    issuer: TrustedIssuer,
    now: float,
) -> Subject:
    """Judge everything about a token but its signature: cheaper than that, and needs no key."""
    wrong = flaw(issuer.profile, header, claims, audience=issuer.audience, token_type=issuer.token_type)
    if wrong is not None:
        raise _invalid(wrong, issuer, "token_profile")
    try:
        return _judged(token, digest, claims, issuer, now)
    except ClaimError as error:
        keys = {issuer.audience_claim: "audience_claim", **dict.fromkeys(issuer.scope_claims, "scope_claim")}
        raise _invalid(str(error), issuer, keys.get(error.name)) from None


def _judged(token: str, digest: bytes, claims: Mapping[str, Any], issuer: TrustedIssuer, now: float) -> Subject:
    expires_at = instant(claims, "exp")
    if expires_at is None or now > expires_at + issuer.leeway:
        raise _invalid("the token has expired, or has no exp", issuer, "leeway")
    if (not_before := instant(claims, "nbf")) is not None and not_before > now + issuer.leeway:
        raise _invalid("the token is not valid yet", issuer, "leeway")
    if not issuer.audience & set(texts(claims, issuer.audience_claim)):
        raise _invalid("the token is not meant for this gateway", issuer, "audience")
    if "cnf" in claims:
        # RFC 9449 §7.2, RFC 8705 §3: exchanging it would make a bearer token of a bound one.
        raise _bound()
    sub = claims.get("sub")
    if not isinstance(sub, str) or not sub:
        raise _invalid("the token has no sub")
    try:
        actors = act_chain({**claims, "iss": issuer.iss})  # what introspection says may be without
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
        auth_time=_auth_time(claims),
        leeway=issuer.leeway,
    )


def _auth_time(claims: Mapping[str, Any]) -> float | None:
    """When the person logged in; None for what is no time. Only a route that asks for it refuses the token then."""
    try:
        seconds = instant(claims, "auth_time")
    except ClaimError:
        return None
    return seconds if seconds is not None and seconds >= 0 and seconds.is_integer() else None


def _bound() -> Refused:
    return _invalid("the token is bound to a key whose proof is not checked")


def _unavailable(error: IssuerUnavailable | IntrospectionUnavailable, issuer: TrustedIssuer, key: str) -> Refused:
    return refuse(
        Kind.ISSUER_UNAVAILABLE,
        "The token can't be checked at the moment.",
        retry_after=error.retry_after,
        finding=error.reason,
        key=("trusted_issuers", issuer.name, key),
    )


def _invalid(finding: str, issuer: TrustedIssuer | None = None, key: str | None = None) -> Refused:
    """Refuse the token. key: of the issuer, the one that counts."""
    path = ("trusted_issuers", issuer.name, key) if issuer is not None and key is not None else ()
    return refuse(Kind.INVALID_TOKEN, _REASON, finding=finding, key=path)
