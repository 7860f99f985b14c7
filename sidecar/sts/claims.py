"""Reading the claims that subject tokens, actor tokens and client assertions share (RFC 7519 §4.1), on values only.

Who may say what is judged by the callers; here it is only whether a claim has the form and the time it must have.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

#: Seconds by which another host's clock may be ahead of ours; it never makes an expired token good.
LEEWAY: Final = 30


def numeric_date(value: object) -> float | None:
    """A NumericDate in seconds since the epoch, or None where the value is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        seconds = float(value)
    except OverflowError:
        return None
    return seconds if isfinite(seconds) else None


def time_problem(claims: Mapping[str, Any], now: float) -> str | None:
    """What is wrong with ``exp``, ``nbf`` or ``iat`` at this wall-clock time, or None. ``exp`` is required."""
    expires = numeric_date(claims.get("exp"))
    if expires is None:
        return "has no time of expiry"
    if expires <= now:
        return "has expired"
    for name in ("nbf", "iat"):
        if name in claims:
            seconds = numeric_date(claims[name])
            if seconds is None or seconds > now + LEEWAY:
                return "is not valid yet"
    return None


def audiences(claims: Mapping[str, Any]) -> frozenset[str]:
    """Everyone named in ``aud``; empty where it is missing or malformed."""
    match claims.get("aud"):
        case str(value):
            return frozenset((value,))
        case list(values) if all(isinstance(value, str) for value in values):
            return frozenset(values)
        case _:
            return frozenset()


def token_typ(header: Mapping[str, Any]) -> str | None:
    """The header's ``typ`` in lower case and without ``application/`` (RFC 7515 §4.1.9), or None where it is missing.

    A ``typ`` that is no text is returned as an empty string, which nothing accepts.
    """
    if "typ" not in header:
        return None
    typ = header["typ"]
    return typ.lower().removeprefix("application/") if isinstance(typ, str) else ""
