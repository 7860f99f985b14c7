"""Rich authorization requests: whether what was granted is no wider than what was asked for (RFC 9396 §7, §9.1).

Pure. What the members of a detail mean is known to the upstream alone, so they are compared by their form: a list may
get shorter, everything else must be there as it was asked for.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sidecar.model.refusal import Kind, Refused, refuse

_UNUSABLE = "The authorization server's reply can't be used."


def granted_details(reply: Mapping[str, Any], claims: Mapping[str, Any], asked: Sequence[str]) -> tuple[str, ...]:
    """Return the granted details as JSON texts: those of the reply, or of the token's claim; empty if none was asked.

    asked: JSON objects as texts. Both reply and claim are held against them.
    Refused (EXCHANGE_UNUSABLE): nothing tells that they were granted, or more was.
    """
    if not asked:
        return ()
    wanted = [json.loads(text) for text in asked]
    told = [source["authorization_details"] for source in (reply, claims) if "authorization_details" in source]
    if not told:
        raise _unusable("no authorization_details are granted, though exchange.authorization_details asks for some")
    for details in told:
        if not isinstance(details, list) or not details:
            raise _unusable("authorization_details is not a list of what was granted")
        if not all(any(_within(detail, one) for one in wanted) for detail in details):
            raise _unusable("authorization_details holds more than exchange.authorization_details asks for")
    return tuple(_text(detail) for detail in told[0])


def _within(granted: Any, asked: Any) -> bool:
    if isinstance(granted, dict) and isinstance(asked, dict):
        # A member that is missing may be a restriction that is missing.
        return granted.keys() == asked.keys() and all(_within(granted[name], asked[name]) for name in granted)
    if isinstance(granted, list) and isinstance(asked, list):
        # An empty list may mean everything.
        return bool(granted or not asked) and all(any(_within(one, each) for each in asked) for one in granted)
    return _text(granted) == _text(asked)


def _text(value: Any) -> str:
    """A JSON value as one text: equal values give the same, and true is not 1."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _unusable(finding: str) -> Refused:
    return refuse(Kind.EXCHANGE_UNUSABLE, _UNUSABLE, finding=finding)
