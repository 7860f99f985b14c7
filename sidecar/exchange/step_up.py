"""What an authorization server says of the login that it wants first, as far as callers may be told (RFC 9470 §3).

It stands in an error reply that some server made of whatever it was sent: what is not exactly of the right form is left
out, and the caller then learns only that a login is needed.
"""

import base64
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from sidecar.exchange.dialects import Dialect
from sidecar.model.refusal import StepUp
from sidecar.oauth.jwt import strict_json

MAX_CLAIMS_BYTES: Final = 4096
MAX_SECONDS: Final = 10**9
_ACR_VALUES: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,128}( [\x21\x23-\x5b\x5d-\x7e]{1,128}){0,15}")
_DIGITS: Final = re.compile(r"[0-9]{1,9}")


def wanted(login: Mapping[str, Any], dialect: Dialect) -> StepUp:
    """Return what may be told of an error reply's ``acr_values``, ``max_age`` and ``claims``."""
    acr_values = login.get("acr_values")
    well_formed = isinstance(acr_values, str) and _ACR_VALUES.fullmatch(acr_values)
    return StepUp(
        acr_values=tuple(str(acr_values).split(" ")) if well_formed else (),
        max_age=_seconds(login.get("max_age")),
        claims=_claims(login.get("claims")) if dialect.relay_claims else None,
    )


def _seconds(value: object) -> int | None:
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(value)
    return value if type(value) is int and 0 <= value <= MAX_SECONDS else None


def _claims(value: object) -> str | None:
    """A JSON object in Base64, of letters that Base64 and its URL variant share: clients decode either."""
    if not isinstance(value, str) or len(value) > MAX_CLAIMS_BYTES:
        return None
    try:
        members = strict_json(value.encode())
        text = json.dumps(members, separators=(",", ":"), allow_nan=False)
    except (ValueError, RecursionError):
        return None
    if not isinstance(members, dict):
        return None
    for letter in ">?~\x7f":  # in ASCII, only these become the letters in which the two differ; JSON has them in text
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return base64.b64encode(text.encode()).decode() if len(text) <= MAX_CLAIMS_BYTES else None
