"""The conditions of a route, one at a time: host, path, method and header fields (RFC 9110 §7.2, RFC 3986 §3.3).

Each is read here and nowhere else; which of several routes wins is for ``precedence``. Paths are canonical ones, cut at
their slashes.
"""

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from sidecar.model.request import RequestHead
from sidecar.model.route import Match
from sidecar.wire.grammar import TOKEN

ANY_HOST: Final = ""

#: Never matched: this is no tunnel, and TRACE would send a token back (RFC 9110 §9.3.6, §9.3.8).
UNMATCHED_METHODS: Final = frozenset({"CONNECT", "TRACE"})

_TEMPLATE_SEGMENT: Final = re.compile(rb"\{[^{}]+\}")
_BLANK: Final = re.compile(rb"(?:%2F)*(?:(?:;|%3B).*)?")


class PathKind(IntEnum):
    """How a path is matched; the smaller goes first."""

    EXACT = 0
    TEMPLATE = 1
    PREFIX = 2


@dataclass(frozen=True, slots=True)
class PathPattern:
    """A route's path, cut at its slashes; None stands for a ``{name}`` segment, whatever its name.

    A trailing slash makes an empty last segment, except in a prefix, where it says nothing.
    """

    kind: PathKind
    segments: tuple[bytes | None, ...]

    def takes(self, segments: list[bytes]) -> bool:
        """Whether a path with these segments meets the pattern."""
        wanted = len(self.segments)
        fits = self.kind is PathKind.PREFIX or len(segments) == wanted
        return fits and self.common(segments) == wanted

    def common(self, segments: list[bytes]) -> int:
        """Return how many leading segments a path has in common with the pattern."""
        count = 0
        for wanted, segment in zip(self.segments, segments, strict=False):
            if segment != wanted if wanted is not None else not fills(segment):
                break
            count += 1
        return count

    def example(self) -> bytes:
        """Return a path that meets the pattern, the shortest one but for a slash behind a prefix."""
        path = b"".join(b"/" + (b"x" if segment is None else segment) for segment in self.segments)
        return path + b"/" if self.kind is PathKind.PREFIX else path


def path_pattern(match: Match) -> PathPattern:
    """Read the path or path_prefix of a route; both begin with ``/``."""
    if match.path is None:
        prefix = (match.path_prefix or "/").encode()
        return PathPattern(PathKind.PREFIX, tuple(prefix.removesuffix(b"/").split(b"/")[1:]))
    literals = segments_of(match.path.encode())
    segments = tuple(None if _TEMPLATE_SEGMENT.fullmatch(literal) else literal for literal in literals)
    return PathPattern(PathKind.TEMPLATE if None in segments else PathKind.EXACT, segments)


def segments_of(path: bytes) -> list[bytes]:
    """Return the segments of a path that begins with ``/``; the last is empty where the path ends in one."""
    return path.split(b"/")[1:]


def fills(segment: bytes) -> bool:
    """Whether a ``{name}`` takes a segment: not an empty one, nor one that some upstream reads as empty."""
    return segment != b"" and (segment[0] not in b"%;" or _BLANK.fullmatch(segment) is None)


def host_patterns(match: Match) -> tuple[str, ...]:
    """Return the host patterns of a route, lower-case and each once; ANY_HOST alone where it names none."""
    return tuple(dict.fromkeys(host.lower() for host in match.hosts)) or (ANY_HOST,)


def takes_host(pattern: str, host: str) -> bool:
    """Whether a pattern takes a host; ``*.example.com`` takes every name below it, and not itself."""
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and len(host) >= len(pattern)
    return pattern in (ANY_HOST, host)


def takes_method(match: Match, method: str) -> bool:
    """Whether a route takes a method; GET includes HEAD."""
    if method in UNMATCHED_METHODS:
        return False
    return not match.methods or method in methods_of(match)


def methods_of(match: Match) -> frozenset[str]:
    """Return the methods that a route names and may take, and the HEAD that GET includes; empty where it names none."""
    implied = {"HEAD"} if "GET" in match.methods else set()
    return (match.methods | implied) - UNMATCHED_METHODS


def takes_headers(match: Match, request: RequestHead) -> bool:
    """Whether each header that a route names is there in exactly one line, with exactly that value."""
    return all(request.values(name) == [value] for name, value in match.headers)


def preflight_method(request: RequestHead) -> str | None:
    """Return the method that a CORS preflight asks for, or None where the request is no preflight.

    One is ``OPTIONS`` with ``Origin`` and exactly one ``Access-Control-Request-Method`` that is a token.
    """
    if request.method != "OPTIONS" or not request.values(b"origin"):
        return None
    asked = request.values(b"access-control-request-method")
    return asked[0].decode("ascii") if len(asked) == 1 and TOKEN.fullmatch(asked[0]) else None


def matched_method(request: RequestHead) -> str:
    """Return the method a request is matched by: its own, or the one that a preflight asks for."""
    if request.method != "OPTIONS":
        return request.method
    return preflight_method(request) or request.method
