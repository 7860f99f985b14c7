"""Which of several routes goes first, and which routes can't work together; pure.

The order is total: host (exact, longest wildcard, none), path (exact; templates segment by segment from the left,
literal before ``{name}``; longest prefix), methods given over not given, header fields given over not given.

``conflicts`` needs to look for no more than ties and impossible conditions, since nothing else can hide a route: what
goes before a route is narrower in at least one of host, path, methods and header fields, and what the route leaves open
there (a label, a segment or depth, a method, a field) always has a value that no finite set of others names.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sidecar.model.route import Match, Route
from sidecar.routing.conditions import (
    ANY_HOST,
    PathKind,
    PathPattern,
    host_patterns,
    methods_of,
    path_pattern,
    takes_host,
)
from sidecar.routing.ties import Meeting
from sidecar.wire.grammar import FIELD_VALUE, TOKEN, GrammarError, host_of
from sidecar.wire.target import canonical

_DIMENSIONS: Final = ("host", "path", "methods", "headers")


@dataclass(frozen=True, slots=True, order=True)
class Rank:
    """The place of a route under one of its host patterns; the smaller goes first.

    methods and headers are false where they are given.
    """

    host: tuple[int, int]
    path: tuple[int, ...]
    methods: bool
    headers: bool


@dataclass(frozen=True, slots=True)
class Conflict:
    """A route that can't work as it stands.

    other: the name of the route that it ties with, empty where the route itself is impossible. why: one sentence.
    """

    route: str
    other: str
    why: str


def rank(match: Match, host_pattern: str) -> Rank:
    """Return the rank of a route under one of its host patterns.

    Two routes that take one request are equal here only if they tie: ranks of patterns that never meet may be equal.
    """
    if host_pattern == ANY_HOST:
        host = (2, 0)
    elif host_pattern.startswith("*."):
        host = (1, -host_pattern.count("."))
    else:
        host = (0, 0)
    return Rank(host, _path_rank(path_pattern(match)), not match.methods, not match.headers)


def best_rank(match: Match, host: str) -> Rank:
    """Return the smallest rank that a route has for a host. ValueError: none of its patterns takes that host."""
    ranks = [rank(match, pattern) for pattern in host_patterns(match) if takes_host(pattern, host)]
    if not ranks:
        raise ValueError("no pattern takes the host")
    return min(ranks)


def decided_by(first: Rank, second: Rank) -> str | None:
    """Return what puts one rank before another: ``host``, ``path``, ``methods`` or ``headers``; None where they tie."""
    return next((name for name in _DIMENSIONS if getattr(first, name) != getattr(second, name)), None)


def conflicts(routes: Sequence[Route]) -> list[Conflict]:
    """Return what is wrong with and between routes; empty means that each of them wins some request.

    Told are routes that no request can meet, and those that tie with an earlier one of their listener: equal in host
    pattern, path and in whether methods and header fields are given, where one request can meet the methods and fields
    of both. A route is told once, with the first that it ties with.
    """
    found = [Conflict(route.name, "", why) for route in routes if (why := _impossible(route.match)) is not None]
    groups: dict[tuple[str, str, PathPattern], list[Route]] = {}
    for route in routes:
        pattern = path_pattern(route.match)
        for host in host_patterns(route.match):
            groups.setdefault((route.listener, host, pattern), []).append(route)
    ties: dict[int, Conflict] = {}
    for (_, host, _), group in groups.items():
        if len(group) == 1:
            continue
        before: defaultdict[tuple[bool, bool], Meeting] = defaultdict(Meeting)
        for route in group:
            meeting = before[bool(route.match.methods), bool(route.match.headers)]
            if (other := meeting.first(route.match)) is not None:
                why = f"takes requests for {host or 'any host'} that {other.name} takes too, and neither goes first"
                ties.setdefault(id(route), Conflict(route.name, other.name, why))
            meeting.add(route)
    return found + list(ties.values())


def _path_rank(pattern: PathPattern) -> tuple[int, ...]:
    match pattern.kind:
        case PathKind.EXACT:
            return (pattern.kind,)
        case PathKind.TEMPLATE:
            return (pattern.kind, *(segment is None for segment in pattern.segments))
        case PathKind.PREFIX:
            return (pattern.kind, -len(pattern.segments))


def _impossible(match: Match) -> str | None:
    """Why no request can meet a route's conditions; None where one can."""
    if match.methods and not methods_of(match):
        return "CONNECT and TRACE are never matched"
    fields = set(match.headers)
    if len({name for name, _ in fields}) < len(fields):
        return "a header field is matched in one line only, it can't have two values"
    if not all(_is_field(name, value) for name, value in fields):
        return "no header field has such a name, in lower case, or such a value"
    if not any(pattern == ANY_HOST or _is_host(pattern.replace("*.", "x.", 1)) for pattern in host_patterns(match)):
        return "no request's host, which has no port, can be one of its hosts"
    return _impossible_path(match)


def _impossible_path(match: Match) -> str | None:
    if not (match.path or match.path_prefix or "").startswith("/"):
        return "its path does not begin with a slash"
    text = path_pattern(match).example()
    try:
        path, features = canonical(text)
    except GrammarError as error:
        return f"no request can have its path: {error}"
    if path != text:
        return "no request is matched by its path, which is not in canonical form (RFC 3986 §6.2.2)"
    if needed := features - match.allow:
        return f"its path needs match.allow: [{', '.join(sorted(needed))}]"
    return None


def _is_field(name: bytes, value: bytes) -> bool:
    return bool(TOKEN.fullmatch(name)) and name == name.lower() and bool(FIELD_VALUE.fullmatch(value))


def _is_host(name: str) -> bool:
    try:
        return host_of(name.encode()) == name
    except GrammarError:
        return False
