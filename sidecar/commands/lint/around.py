"""Which routes take everything that another takes and more, by host and path: those around it.

Paths are compared without regard to case, because upstreams may; whether the case was the same is told. Laid out so
that asking costs the same with many routes. Pure; hosts and paths as in RFC 9110 §7.2 and RFC 3986 §3.3.
"""

from collections.abc import Iterable, Iterator

from sidecar.model.route import Route
from sidecar.routing.conditions import ANY_HOST, PathKind, PathPattern, fills
from sidecar.routing.rules import Rule, rules_of


class Around:
    """Routes by listener, host pattern and path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._hosts: dict[tuple[str, str], _Node] = {}
        self._rules: dict[str, list[Rule]] = {}
        for route in routes:
            self._rules[route.name] = rules_of(route)
            for rule in self._rules[route.name]:
                self._hosts.setdefault((route.listener, rule.box.host), _Node()).add(rule)

    def of(self, route: Route) -> Iterator[tuple[Rule, Rule]]:
        """Yield each rule of a route with each that is around it and another route's, the nearest path and host first.

        Those at the very same host and path are left out. Methods are none of it; header fields are those that the rule
        has too, or none.
        """
        for rule in self._rules[route.name]:
            for host in _hosts_around(rule.box.host):
                node = self._hosts.get((route.listener, host))
                for other in node.along(rule) if node is not None else ():
                    same_place = host == rule.box.host and other.box.path == rule.box.path
                    if other.route is not route and not same_place:
                        yield rule, other


def covers(outer: PathPattern, inner: PathPattern) -> bool:
    """Whether a path that is around another is so in the same case too."""
    return all(
        wanted is None or wanted == segment for wanted, segment in zip(outer.segments, inner.segments, strict=False)
    )


class _Node:
    """One segment deep in a tree of path patterns."""

    __slots__ = ("below", "rules")

    def __init__(self) -> None:
        self.below: dict[bytes | None, _Node] = {}
        self.rules: dict[tuple[bool, frozenset[tuple[bytes, bytes]]], list[Rule]] = {}

    def add(self, rule: Rule) -> None:
        node = self
        for segment in rule.box.path.segments:
            node = node.below.setdefault(_folded(segment), _Node())
        is_prefix = rule.box.path.kind is PathKind.PREFIX
        node.rules.setdefault((is_prefix, rule.box.headers), []).append(rule)

    def along(self, rule: Rule) -> list[Rule]:
        """Return the rules on the way to a rule's path, and at its end, the longest path first."""
        path, nodes = rule.box.path, [self]
        found = list(self.taking(rule, exact_too=False))
        for depth, segment in enumerate(path.segments, 1):
            keys = (_folded(segment), None) if segment is not None and fills(segment) else (_folded(segment),)
            nodes = [node.below[key] for node in nodes for key in keys if key in node.below]
            exact_too = depth == len(path.segments) and path.kind is not PathKind.PREFIX
            for node in nodes:
                found += node.taking(rule, exact_too=exact_too)
        return found[::-1]

    def taking(self, rule: Rule, *, exact_too: bool) -> Iterator[Rule]:
        """Yield the rules that end here and take the path and header fields of a rule."""
        for is_prefix in (True, False) if exact_too else (True,):
            for headers in {frozenset[tuple[bytes, bytes]](), rule.box.headers}:
                yield from self.rules.get((is_prefix, headers), ())


def _hosts_around(host: str) -> Iterator[str]:
    """A host pattern, and the others that take all that it takes."""
    yield host
    dot = host.find(".", 1)
    while dot != -1:
        if (pattern := f"*{host[dot:]}") != host:
            yield pattern
        dot = host.find(".", dot + 1)
    if host != ANY_HOST:
        yield ANY_HOST


def _folded(segment: bytes | None) -> bytes | None:
    return None if segment is None else segment.lower()
