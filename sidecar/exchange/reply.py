"""What must be true of an authorization server's answer before anything is forwarded under it (RFC 8693 §2.2).

``read`` turns a successful reply into an issued token, once, and is pure. What a route expects of the token beyond that
is judged in ``expect``, on every use. A refusal's ``finding`` names what was wrong, and the key that would allow it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sidecar.exchange.details import granted_details
from sidecar.exchange.dialects import Dialect
from sidecar.exchange.failures import UNUSABLE
from sidecar.exchange.grants import GRANTS
from sidecar.model.claims import MAX_SECONDS, ClaimError, instant, of_another_kind, texts
from sidecar.model.refusal import Kind, Refused, refuse
from sidecar.model.route import Exchange
from sidecar.model.tokens import ACCESS_TOKEN, JWT, IssuedToken, Subject, act_chain, token_id
from sidecar.oauth.jwt import MAX_TOKEN_BYTES, JWTError, SignedToken, peek

#: Clocks differ: a token that is valid a moment from now is valid.
LEEWAY: Final = 30.0

_PRINTABLE: Final = re.compile(r"[\x21-\x7e]+")
_DIGITS: Final = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply that passed every check that does not depend on the route's expectations.

    expires_in: seconds, None where the reply did not say. issued_exp: wall-clock seconds, None where unreadable.
    """

    token: IssuedToken
    expires_in: float | None
    issued_exp: float | None


def peek_issued(members: Mapping[str, Any]) -> SignedToken | None:
    """Return what the reply's token says where it is a signed JWT, unverified; None where it is opaque or missing."""
    token = members.get("access_token")
    try:
        return peek(token) if isinstance(token, str) else None
    except JWTError:
        return None


def read(
    members: Mapping[str, Any],
    *,
    signed: SignedToken | None,
    verified: str,
    exchange: Exchange,
    dialect: Dialect,
    subject: Subject,
    now_wall: float,
) -> Reply:
    """Check a successful reply's members and return the token it carries.

    signed, verified: what ``peek_issued`` returned or introspection said, and how it was verified.
    Refused (EXCHANGE_UNUSABLE): anything about it that must not be used.
    """
    token = bearer_token(members)
    if token == subject.token:
        raise _unusable("access_token is the subject token itself")
    token_type = _issued_token_type(members, exchange, dialect)
    scope = _reply_scope(members, dialect)
    claims = signed.claims if signed is not None else {}
    if token_type in (ACCESS_TOKEN, JWT) and of_another_kind(claims):
        raise _unusable("the issued token's claims say that it is no access token")
    try:
        issued_exp = _times(claims, now_wall)
        actors = act_chain(claims) if signed is not None else None
        claimed = _claimed_scope(claims, dialect)
        audience = frozenset(texts(claims, "aud")) if signed is not None else None
    except ClaimError as error:
        raise _unusable(f"the issued token's {error.name} claim {error.flaw}") from None
    except ValueError:
        raise _unusable("the issued token's act claim is malformed") from None
    if scope is None and claimed is None:
        # RFC 8693 §2.2.1: left out means as requested.
        scope = frozenset(map(dialect.scope_name, exchange.scope)) or None
    else:
        scope = (scope or frozenset()) | (claimed or frozenset())
    issued = IssuedToken(
        authorization_server=exchange.authorization_server,
        token_type=token_type,
        token_id=token_id(token, claims),
        iss=_text(claims, "iss"),
        sub=_text(claims, dialect.subject_claim),
        audience=audience,
        scope=scope,
        actors=actors,
        authorization_details=granted_details(members, claims, exchange.authorization_details),
        verified=verified,
        token=token,
    )
    return Reply(issued, lifetime(members), issued_exp)


def _unusable(finding: str, *key: str) -> Refused:
    return refuse(Kind.EXCHANGE_UNUSABLE, UNUSABLE, finding=finding, key=key)


def bearer_token(members: Mapping[str, Any]) -> str:
    """Return the access token of a successful reply. Refused (EXCHANGE_UNUSABLE): it is none, or no Bearer token."""
    token = members.get("access_token")
    if not isinstance(token, str) or not token:
        raise _unusable("access_token is missing or empty")
    if len(token) > MAX_TOKEN_BYTES:
        raise _unusable("access_token is longer than 16 KiB")
    if not _PRINTABLE.fullmatch(token):
        raise _unusable("access_token holds bytes that no header may carry")
    token_type = members.get("token_type")
    if not isinstance(token_type, str) or token_type.lower() != "bearer":
        # RFC 6749 §7.1: a type that is not understood must not be used; N_A is no access token at all.
        raise _unusable("token_type is not Bearer")
    return token


def _issued_token_type(members: Mapping[str, Any], exchange: Exchange, dialect: Dialect) -> str:
    asked = exchange.requested_token_type
    issued = members.get("issued_token_type")
    if issued is None and (dialect.issued_token_type == "lenient" or not GRANTS[dialect.grant].names_types):
        return asked or ACCESS_TOKEN
    if issued is None:
        raise _unusable(
            "issued_token_type is missing; dialect_overrides.issued_token_type: lenient would allow it",
            *("authorization_servers", exchange.authorization_server, "dialect_overrides", "issued_token_type"),
        )
    usable = {ACCESS_TOKEN, JWT} if asked in (None, ACCESS_TOKEN) else {asked}
    if not isinstance(issued, str) or issued not in usable:
        raise _unusable(
            "issued_token_type is not what was asked for; exchange.requested_token_type asks for one",
            *("exchange", "requested_token_type"),
        )
    return issued


def lifetime(members: Mapping[str, Any]) -> float | None:
    """Return ``expires_in`` in seconds, None where there is none.

    An integer, or a string of digits (RFC 6749 §5.1, and servers that quote it); else Refused (EXCHANGE_UNUSABLE).
    """
    value = members.get("expires_in")
    if value is None:
        return None
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return float(value)
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > MAX_SECONDS:
        raise _unusable("expires_in is no number of seconds")
    return float(value)


def _reply_scope(members: Mapping[str, Any], dialect: Dialect) -> frozenset[str] | None:
    scope = members.get("scope")
    if scope is None:
        return None
    if not isinstance(scope, str):
        raise _unusable("scope is not text")
    return frozenset(map(dialect.scope_name, scope.split()))


def _claimed_scope(claims: Mapping[str, Any], dialect: Dialect) -> frozenset[str] | None:
    """The scope the token itself carries: ``scope`` (RFC 8693 §4.2) or ``scp``, text or a list."""
    for name in ("scope", "scp"):
        if claims.get(name) is not None:
            return frozenset(map(dialect.scope_name, texts(claims, name, split=True)))
    return None


def _times(claims: Mapping[str, Any], now_wall: float) -> float | None:
    """``exp`` of the token; refuses one that is dead or not born yet (RFC 7519 §4.1.4, §4.1.5)."""
    expires_at, not_before = instant(claims, "exp"), instant(claims, "nbf")
    if not_before is not None and not_before > now_wall + LEEWAY:
        raise _unusable("the issued token is not valid yet")
    if expires_at is not None and expires_at <= now_wall:
        raise _unusable("the issued token has expired")
    return expires_at


def _text(claims: Mapping[str, Any], name: str) -> str | None:
    value = claims.get(name)
    return value if isinstance(value, str) else None
