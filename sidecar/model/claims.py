"""Single claims of a token, read strictly (RFC 7519 §4.1, RFC 8693 §4.2): whoever judges a token reads them alike.

What a claim must say is the caller's to judge, and so is how a malformed one is told.
"""

from collections.abc import Mapping
from typing import Any, Final

#: What an ID token holds and an access token does not (OpenID Connect Core §2, §3.1.3.6, §3.3.2.11).
_OF_ID_TOKENS: Final = frozenset({"at_hash", "c_hash", "nonce"})
#: What Keycloak's other tokens call themselves in a claim, and what other servers say a token is for.
_OTHER_TYPS: Final = ("ID", "Refresh", "Offline", "Logout")
_OTHER_USES: Final = ("id", "id_token", "refresh", "refresh_token")

#: No honest instant or lifetime is larger; what is, is no number of seconds.
MAX_SECONDS: Final = 10**10


class ClaimError(ValueError):
    """A claim is malformed: its name, and what is wrong as a phrase; nothing of its value."""

    def __init__(self, name: str, flaw: str) -> None:
        super().__init__(f"{name} {flaw}")
        self.name = name
        self.flaw = flaw


def of_another_kind(claims: Mapping[str, Any]) -> bool:
    """Whether a token's claims say that it is no access token, but an ID, refresh or logout token."""
    other = claims.get("typ") in _OTHER_TYPS or claims.get("token_use") in _OTHER_USES
    return other or not _OF_ID_TOKENS.isdisjoint(claims)


def instant(claims: Mapping[str, Any], name: str) -> float | None:
    """Return a claim that is seconds since the epoch; None where there is none. ClaimError: it is no such number."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MAX_SECONDS:
        raise ClaimError(name, "is no time")
    return float(value)


def texts(claims: Mapping[str, Any], name: str, *, split: bool = False) -> list[str]:
    """Return a claim that is text or a list of text, empty where there is none; with split, text is cut at spaces.

    ClaimError: it is anything else.
    """
    value = claims.get(name, [])
    if isinstance(value, str):
        return value.split() if split else [value]
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        return value
    raise ClaimError(name, "is malformed")
