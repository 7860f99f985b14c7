"""Routes as boxes of requests: where two of them meet, and which of very many meet one.

A rule is a route under one of its host patterns, which is what the order of ``precedence`` goes by. Nothing here
decides which rule serves a request; that is ``index``'s. Pure; hosts as in RFC 9110 §7.2, paths as in RFC 3986 §3.3.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from sidecar.model.route import Route
from sidecar.routing.conditions import (
    ANY_HOST,
    PathKind,
    PathPattern,
    fills,
    host_patterns,
    methods_of,
    path_pattern,
    takes_host,
)
from sidecar.routing.precedence import Rank, rank


@dataclass(frozen=True, slots=True)
class Box:
    """The requests that meet all of four conditions. methods: empty for every one; headers: lower-case name, value."""

    host: str
    path: PathPattern
    methods: frozenset[str]
    headers: frozenset[tuple[bytes, bytes]]

    def meet(self, other: "Box") -> "Box | None":
        """Return the requests that both take; None where there are none."""
        host, path = _meet_hosts(self.host, other.host), _meet_paths(self.path, other.path)
        if host is None or path is None:
            return None
        methods = self.methods & other.methods if self.methods and other.methods else self.methods | other.methods
        headers = self.headers | other.headers
        if (self.methods and not methods) or len({name for name, _ in headers}) < len(headers):
            return None
        return Box(host, path, methods, headers)


@dataclass(frozen=True, slots=True)
class Rule:
    """A route under one of its host patterns."""

    route: Route
    box: Box
    rank: Rank


def rules_of(route: Route) -> list[Rule]:
    """Return a route's rules, one for each of its host patterns."""
    match = route.match
    path, methods, headers = path_pattern(match), methods_of(match), frozenset(match.headers)
    return [Rule(route, Box(host, path, methods, headers), rank(match, host)) for host in host_patterns(match)]


class Rules:
    """The rules of one listener, laid out by host and path so that few are looked at."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._hosts: dict[str, _Node] = {}
        self._below: dict[str, list[str]] = {}
        for rule in rules:
            self._hosts.setdefault(rule.box.host, _Node()).add(rule)
        for host in self._hosts:
            for pattern in _above(host):
                self._below.setdefault(pattern, []).append(host)

    def meeting(self, box: Box) -> Iterator[tuple[Rule, Box]]:
        """Yield the rules that take some request of a box, and what they take of it; shorter paths of a host first."""
        for host in (box.host, *_above(box.host), *self._below.get(box.host, ())):
            for rule in self._hosts[host].meeting(box) if host in self._hosts else ():
                if (shared := rule.box.meet(box)) is not None:
                    yield rule, shared


class _Node:
    """One segment deep in a tree of path patterns."""

    __slots__ = ("below", "rules")

    def __init__(self) -> None:
        self.below: dict[bytes | None, _Node] = {}
        self.rules: dict[tuple[bytes, ...], dict[tuple[bytes, ...], list[Rule]]] = {}  # by fields' names and values

    def add(self, rule: Rule) -> None:
        node = self
        for segment in rule.box.path.segments:
            node = node.below.setdefault(segment, _Node())
        wanted = dict(sorted(rule.box.headers))
        node.rules.setdefault(tuple(wanted), {}).setdefault(tuple(wanted.values()), []).append(rule)

    def meeting(self, box: Box) -> Iterator[Rule]:
        """Yield rules whose path and fields may meet a box, and every one whose path and fields do."""
        path, wanted = box.path, dict(box.headers)
        nodes = deque([(self, 0)])
        while nodes:
            node, depth = nodes.popleft()
            for names, by_values in node.rules.items():
                if all(name in wanted for name in names):
                    yield from by_values.get(tuple(wanted[name] for name in names), ())
                else:
                    yield from chain.from_iterable(by_values.values())
            if depth < len(path.segments):
                segment = path.segments[depth]
                keys = node.below.keys() if segment is None else (segment, None)
                nodes.extend((node.below[key], depth + 1) for key in keys if key in node.below)
            elif path.kind is PathKind.PREFIX:
                nodes.extend((below, depth + 1) for below in node.below.values())


def _above(host: str) -> Iterator[str]:
    """The other patterns that take all that a host pattern takes."""
    dot = host.find(".", 1)
    while dot != -1:
        if (pattern := "*" + host[dot:]) != host:
            yield pattern
        dot = host.find(".", dot + 1)
    if host != ANY_HOST:
        yield ANY_HOST


def _meet_hosts(one: str, two: str) -> str | None:
    if takes_host(one, two):
        return two
    return one if takes_host(two, one) else None


def _meet_paths(one: PathPattern, two: PathPattern) -> PathPattern | None:
    shorter, longer = sorted((one, two), key=lambda pattern: len(pattern.segments))
    if shorter.kind is not PathKind.PREFIX and len(longer.segments) > len(shorter.segments):
        return None
    segments = list(longer.segments)
    for depth, (mine, other) in enumerate(zip(longer.segments, shorter.segments, strict=False)):
        if mine is None or other is None:
            literal = other if mine is None else mine
            if literal is not None and not fills(literal):
                return None
            segments[depth] = literal
        elif mine != other:
            return None
    if one.kind is two.kind is PathKind.PREFIX:
        return PathPattern(PathKind.PREFIX, tuple(segments))
    return PathPattern(PathKind.TEMPLATE if None in segments else PathKind.EXACT, tuple(segments))
