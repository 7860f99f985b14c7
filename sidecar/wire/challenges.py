"""``WWW-Authenticate`` taken apart and put together again (RFC 9110 §11.6.1).

Pure, and strict: a value that leaves room for a second reading is an error. Which challenges and parameters may be
shown to a caller is never decided here.
"""

import re
from dataclasses import dataclass
from typing import Final

from sidecar.wire.grammar import B64TOKEN, TOKEN, GrammarError

_QUOTED: Final = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_PARAMETER: Final = re.compile(rb"(%b)[ \t]*=[ \t]*(%b|%b)" % (TOKEN.pattern, TOKEN.pattern, _QUOTED))
# What looks like the name of a parameter, up to its "=", is a token68 only where nothing follows it.
_SCHEME: Final = re.compile(rb"(%b)(?: +(?:(%b)(?=[ \t]*(?:,|\Z)))?)?" % (TOKEN.pattern, B64TOKEN.pattern))
_BETWEEN: Final = re.compile(rb"[ \t]*(?:,[ \t]*)+|[ \t]*\Z")
_LEADING: Final = re.compile(rb"[ \t,]*")
_ESCAPED: Final = re.compile(rb"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge. scheme: as it came. token68: what stands there in place of parameters, None where nothing does.

    parameters: lower-case names, each once, and the text of the value as it came, with its quotes.
    """

    scheme: bytes
    token68: bytes | None = None
    parameters: tuple[tuple[bytes, bytes], ...] = ()

    def is_of(self, *schemes: bytes) -> bool:
        """Whether it is of one of these lower-case schemes."""
        return self.scheme.lower() in schemes

    def value(self, name: bytes) -> bytes | None:
        """The value of a parameter by its lower-case name, without quotes; None where it is not there."""
        text = dict(self.parameters).get(name)
        if text is None or not text.startswith(b'"'):
            return text
        return _ESCAPED.sub(rb"\1", text[1:-1])

    def without(self, names: frozenset[bytes]) -> "Challenge":
        """Return the same challenge without the parameters of these lower-case names."""
        kept = tuple(pair for pair in self.parameters if pair[0] not in names)
        return Challenge(self.scheme, self.token68, kept)


def parse(value: bytes) -> tuple[Challenge, ...]:
    """Return the challenges of one field value, in order.

    GrammarError: it is none of RFC 9110 §11.6.1, or a challenge has a parameter twice.
    """
    found: list[Challenge] = []
    at = _end(_LEADING, value, 0)
    while at < len(value):
        parameter = _PARAMETER.match(value, at)
        if parameter is None or not found:
            challenge, at = _begin(value, at)
            found.append(challenge)
        else:
            found[-1] = _extended(found[-1], parameter)
            at = parameter.end()
        at = _end(_BETWEEN, value, at)
    return tuple(found)


def serialize(challenges: tuple[Challenge, ...]) -> bytes:
    """Return a field value that holds these challenges, in order."""
    return b", ".join(map(_written, challenges))


def _begin(value: bytes, at: int) -> tuple[Challenge, int]:
    """Read a scheme and what follows it up to the first comma."""
    match = _SCHEME.match(value, at)
    if match is None:
        raise _malformed()
    challenge, at = Challenge(match[1], match[2]), match.end()
    if match[2] is None and match[0] != match[1] and (parameter := _PARAMETER.match(value, at)) is not None:
        return _extended(challenge, parameter), parameter.end()
    return challenge, at


def _extended(challenge: Challenge, parameter: re.Match[bytes]) -> Challenge:
    name = parameter[1].lower()
    if challenge.token68 is not None or any(name == known for known, _ in challenge.parameters):
        raise _malformed()
    return Challenge(challenge.scheme, None, (*challenge.parameters, (name, parameter[2])))


def _end(pattern: re.Pattern[bytes], value: bytes, at: int) -> int:
    match = pattern.match(value, at)
    if match is None:
        raise _malformed()
    return match.end()


def _written(challenge: Challenge) -> bytes:
    if challenge.token68 is not None:
        return challenge.scheme + b" " + challenge.token68
    parameters = b", ".join(name + b"=" + text for name, text in challenge.parameters)
    return challenge.scheme + b" " + parameters if parameters else challenge.scheme


def _malformed() -> GrammarError:
    return GrammarError("the challenge is malformed")
