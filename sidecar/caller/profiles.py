"""Which kind of token an issuer's callers present, and what tells it from its other ones (RFC 8725 §3.11, §3.12).

Pure. Here is only what kind a token is; whose it is, and whether it is alive and meant for us, is ``verify``'s.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from sidecar.model.claims import ClaimError, of_another_kind, texts
from sidecar.model.tokens import ACCESS_TOKEN


class Profile(StrEnum):
    """How an issuer's tokens look (design: ``token_profile``)."""

    AT_JWT = "at+jwt"  # RFC 9068, strict
    JWT = "jwt"  # access tokens as most servers issue them: told from other JWTs by what they must not hold
    ID_TOKEN = "id_token"  # OpenID Connect Core §3.1.3.7
    OPAQUE = "opaque"  # whatever the issuer's introspection says is active (RFC 7662)


def flaw(
    profile: Profile, header: Mapping[str, Any], claims: Mapping[str, Any], *, audience: frozenset[str], token_type: str
) -> str | None:
    """Return why a token is none of its issuer's profile; None where it is one.

    header: empty for an opaque token; claims: what introspection said of it. audience: the issuer's, by configuration.
    token_type: the URI an exchange calls it by.
    """
    typ = header.get("typ")
    if typ is not None and not isinstance(typ, str):
        return "typ is not text"
    kind = (typ or "").lower().removeprefix("application/")
    match profile:
        case Profile.AT_JWT:
            return _at_jwt(kind, claims)
        case Profile.JWT:
            if kind not in ("", "jwt", "at+jwt"):
                return "typ says that this is no access token"
            return _not_access_token(claims)
        case Profile.ID_TOKEN:
            return _id_token(kind, claims, audience)
        case Profile.OPAQUE:
            return _introspected(claims) if token_type == ACCESS_TOKEN else None


def _at_jwt(kind: str, claims: Mapping[str, Any]) -> str | None:
    if kind != "at+jwt":
        return "typ is not at+jwt; token_profile: jwt would allow it"
    if missing := {"iss", "exp", "aud", "sub", "client_id", "iat", "jti"} - claims.keys():
        return f"RFC 9068 requires {', '.join(sorted(missing))}; token_profile: jwt would allow it"
    return None


def _not_access_token(claims: Mapping[str, Any]) -> str | None:
    return "the claims say that this is no access token" if of_another_kind(claims) else None


def _id_token(kind: str, claims: Mapping[str, Any], audience: frozenset[str]) -> str | None:
    """OpenID Connect Core §2 and §3.1.3.7 (3 to 5); we never asked for it, so there is no nonce to compare."""
    other = claims.get("typ", "ID") != "ID" or claims.get("token_use", "id") not in ("id", "id_token")
    if other or kind not in ("", "jwt"):
        return "typ says that this is no ID token"
    if not claims.keys().isdisjoint({"scope", "scp", "events"}):
        return "the claims say that this is no ID token"  # an access token's, or a logout token's (Back-Channel §2.4)
    if missing := {"exp", "iat"} - claims.keys():
        return f"OpenID Connect requires {', '.join(sorted(missing))}"
    try:
        named = set(texts(claims, "aud"))
    except ClaimError as error:
        return str(error)
    if named - audience:
        return "aud names others too, whom audience does not trust"
    if "azp" in claims and claims["azp"] not in list(audience):  # it may be anything, also what no set can hold
        return "azp is another party than audience names"
    return "there is no azp beside several in aud" if len(named) > 1 and "azp" not in claims else None


def _introspected(claims: Mapping[str, Any]) -> str | None:
    """An answer about an access token; a bound one (DPoP, mac) can't be passed on as a bearer token."""
    token_type = claims.get("token_type", "Bearer")
    if not isinstance(token_type, str) or token_type.lower() not in ("bearer", "access_token"):
        return "token_type is not Bearer"
    return _not_access_token(claims)
