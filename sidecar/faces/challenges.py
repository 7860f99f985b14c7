"""What an upstream's challenges mean here: which of them go on to the caller, and which are about our issued token.

Pure. The caller's token is not the one that the upstream was shown, so its word on where to get another would lead the
caller to somebody else's authorization server (RFC 9728 §5.1). A demand for more (RFC 9470, ``insufficient_scope``) is
the caller's to meet, and goes on.
"""

from dataclasses import replace
from typing import Final

from sidecar.model.request import Fields
from sidecar.wire.challenges import Challenge, parse, serialize
from sidecar.wire.grammar import GrammarError

#: The field's lower-case name.
CHALLENGE: Final = b"www-authenticate"
_DEMANDS: Final = frozenset({b"insufficient_user_authentication", b"insufficient_scope"})
_NEVER: Final = frozenset({b"resource_metadata"})
_NOT_WITHOUT_DEMAND: Final = _NEVER | {b"authorization_uri", b"claims"}


def passed_on(value: bytes, resource_metadata: str = "") -> bytes | None:
    """Return what of one ``WWW-Authenticate`` value goes on; None where nothing does.

    ``resource_metadata`` never does; ``authorization_uri`` and ``claims`` only beside a demand that the caller can
    meet, and there our own ``resource_metadata``, a URL, is put, where we have one. A value that names none of them
    goes on as it came; one that does and can't be read is left out.
    """
    lowered = value.lower()
    leads_away = any(name in lowered for name in _NOT_WITHOUT_DEMAND)
    if not leads_away and not (resource_metadata and any(error in lowered for error in _DEMANDS)):
        return value
    try:
        challenges = parse(value)
    except GrammarError:
        return None if leads_away else value
    return serialize(tuple(_passed_on(challenge, resource_metadata) for challenge in challenges))


def _passed_on(challenge: Challenge, resource_metadata: str) -> Challenge:
    if challenge.value(b"error") not in _DEMANDS:
        return challenge.without(_NOT_WITHOUT_DEMAND)
    kept = challenge.without(_NEVER)
    if not resource_metadata or not challenge.is_of(b"bearer", b"dpop"):
        return kept
    ours = b"resource_metadata", b'"%b"' % resource_metadata.encode("ascii")
    return replace(kept, parameters=(*kept.parameters, ours))


def may_mean_our_token(fields: Fields) -> bool:
    """Whether a 401 may say that the issued token is not accepted, so that a newer one could be.

    Not where all it asks for is another scheme, or where it gives another reason than ``invalid_token``.
    """
    values = _values(fields)
    if not values:
        return True  # RFC 9110 §15.5.2 asks for a challenge; many forget it
    errors = _errors(values)
    return bool(errors) and errors <= {None, b"invalid_token"}


def says_invalid_token(fields: Fields) -> bool:
    """Whether a response says that the token it was shown is not valid (RFC 6750 §3.1, RFC 9449 §7.1)."""
    return b"invalid_token" in _errors(_values(fields))


def _values(fields: Fields) -> list[bytes]:
    return [value for name, value in fields if name.lower() == CHALLENGE]


def _errors(values: list[bytes]) -> set[bytes | None]:
    """The error of each challenge that is about an access token; what can't be read says nothing."""
    errors: set[bytes | None] = set()
    for value in values:
        try:
            errors |= {each.value(b"error") for each in parse(value) if each.is_of(b"bearer", b"dpop")}
        except GrammarError:
            continue
    return errors
