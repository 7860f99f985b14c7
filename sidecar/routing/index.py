"""Routes laid out so that looking one up follows the order of ``precedence`` and costs the same with many routes.

One dictionary or tree for each step of that order: host, path, method, header fields. The indexes of one listener are
filled while a table is made and only read afterwards. No route is tried in turn, and nothing here is a pattern match.
"""

from collections.abc import Iterator

from sidecar.model.request import RequestHead
from sidecar.model.route import Route
from sidecar.routing.conditions import (
    ANY_HOST,
    PathKind,
    fills,
    host_patterns,
    methods_of,
    path_pattern,
    segments_of,
)


class HostIndex:
    """The routes of one listener by host: exact, then the longest wildcard, then those that name none."""

    __slots__ = ("_any", "_exact", "_wildcards")

    def __init__(self) -> None:
        self._exact: dict[str, _PathIndex] = {}
        self._wildcards: dict[str, _PathIndex] = {}  # by what follows the asterisk
        self._any = _PathIndex()

    def add(self, route: Route) -> None:
        """Add a route under each of its host patterns. Of routes that tie, the one added first is found."""
        for pattern in host_patterns(route.match):
            if pattern == ANY_HOST:
                paths = self._any
            elif pattern.startswith("*."):
                paths = self._wildcards.setdefault(pattern[1:], _PathIndex())
            else:
                paths = self._exact.setdefault(pattern, _PathIndex())
            paths.add(route)

    def find(self, request: RequestHead, method: str, path: bytes) -> Route | None:
        """Return the route that goes first among all that take a request by this method and canonical path."""
        host = request.host
        exact = self._exact.get(host)
        if exact is not None and (route := exact.find(request, method, path)) is not None:
            return route
        if self._wildcards:
            dot = host.find(".", 1)
            while dot != -1:
                wildcard = self._wildcards.get(host[dot:])
                if wildcard is not None and (route := wildcard.find(request, method, path)) is not None:
                    return route
                dot = host.find(".", dot + 1)
        return self._any.find(request, method, path)


class _PathIndex:
    """Routes by path: exact, then templates with literals before names, then the longest prefix."""

    __slots__ = ("_exact", "_prefixes", "_templates")

    def __init__(self) -> None:
        self._exact: dict[bytes, _MethodIndex] = {}
        self._templates = _Node()
        self._prefixes = _Node()

    def add(self, route: Route) -> None:
        pattern = path_pattern(route.match)
        if pattern.kind is PathKind.EXACT:
            rules = self._exact.setdefault(pattern.example(), _MethodIndex())
        else:
            node = self._prefixes if pattern.kind is PathKind.PREFIX else self._templates
            for segment in pattern.segments:
                node = node.below(segment)
            rules = node.rules = node.rules or _MethodIndex()
        rules.add(route)

    def find(self, request: RequestHead, method: str, path: bytes) -> Route | None:
        exact = self._exact.get(path)
        if exact is not None and (route := exact.find(request, method)) is not None:
            return route
        segments = segments_of(path)
        for rules in self._templates.full(segments):
            if (route := rules.find(request, method)) is not None:
                return route
        for rules in reversed(self._prefixes.along(segments)):
            if (route := rules.find(request, method)) is not None:
                return route
        return None


class _Node:
    """One segment deep in a tree of path patterns."""

    __slots__ = ("literals", "named", "rules")

    def __init__(self) -> None:
        self.literals: dict[bytes, _Node] = {}
        self.named: _Node | None = None
        self.rules: _MethodIndex | None = None

    def below(self, segment: bytes | None) -> "_Node":
        """Return the node for a further segment (None: a name), made where it is missing."""
        if segment is not None:
            return self.literals.setdefault(segment, _Node())
        self.named = self.named or _Node()
        return self.named

    def full(self, segments: list[bytes]) -> Iterator["_MethodIndex"]:
        """Yield the rules of each node that all segments together lead to, literals before names from the left."""
        ways = [(self, 0)]
        while ways:
            node, depth = ways.pop()
            if depth == len(segments):
                if node.rules is not None:
                    yield node.rules
                continue
            segment = segments[depth]
            if node.named is not None and fills(segment):
                ways.append((node.named, depth + 1))
            if (literal := node.literals.get(segment)) is not None:
                ways.append((literal, depth + 1))

    def along(self, segments: list[bytes]) -> list["_MethodIndex"]:
        """Return the rules of each node that leading segments lead to, the shortest way first."""
        node = self
        found = [] if node.rules is None else [node.rules]
        for segment in segments:
            below = node.literals.get(segment)
            if below is None:
                break
            node = below
            if node.rules is not None:
                found.append(node.rules)
        return found


class _MethodIndex:
    """Routes of one host and path by method: given, then not given."""

    __slots__ = ("_any", "_named")

    def __init__(self) -> None:
        self._named: dict[str, _HeaderIndex] = {}
        self._any: _HeaderIndex | None = None

    def add(self, route: Route) -> None:
        for method in methods_of(route.match):
            self._named.setdefault(method, _HeaderIndex()).add(route)
        if not route.match.methods:
            self._any = self._any or _HeaderIndex()
            self._any.add(route)

    def find(self, request: RequestHead, method: str) -> Route | None:
        for fields in (self._named.get(method), self._any):
            if fields is not None and (route := fields.find(request)) is not None:
                return route
        return None


class _HeaderIndex:
    """Routes of one host, path and method by header fields: given, then not given."""

    __slots__ = ("_bare", "_named")

    def __init__(self) -> None:
        self._named: dict[tuple[bytes, ...], dict[tuple[bytes | None, ...], Route]] = {}
        self._bare: Route | None = None

    def add(self, route: Route) -> None:
        wanted = dict(sorted(route.match.headers))
        if wanted:
            self._named.setdefault(tuple(wanted), {}).setdefault(tuple(wanted.values()), route)
        else:
            self._bare = self._bare or route

    def find(self, request: RequestHead) -> Route | None:
        for names, routes in self._named.items():
            if (route := routes.get(tuple(_only_value(request, name) for name in names))) is not None:
                return route
        return self._bare


def _only_value(request: RequestHead, name: bytes) -> bytes | None:
    values = request.values(name)
    return values[0] if len(values) == 1 else None
