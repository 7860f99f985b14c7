"""The routes of a snapshot as one immutable table: a request's head in, the route that serves it out; pure.

The path is judged first (``wire.target.canonical``), then the order of ``precedence`` decides among all routes that
take the request, and only then whether the winner allows what the path has in it. What is forwarded is decided
elsewhere.
"""

from collections.abc import Sequence
from typing import Final

from sidecar.model.memory import Memory
from sidecar.model.refusal import Kind, Refused, refuse
from sidecar.model.request import RequestHead
from sidecar.model.route import Route
from sidecar.routing.conditions import UNMATCHED_METHODS, matched_method, path_pattern, segments_of
from sidecar.routing.index import HostIndex
from sidecar.routing.near import near
from sidecar.wire.grammar import GrammarError
from sidecar.wire.target import canonical, readings

#: Matches that are remembered, and the longest path of one: what others ask must not fill the memory of a process.
REMEMBERED: Final = 1024
LONGEST_REMEMBERED: Final = 256


class Table:
    """Routes, compiled once. They have no ``conflicts``; of routes that tie, the one defined first wins."""

    __slots__ = ("_by_fields", "_hosts", "_remembered", "_routes")

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = tuple(routes)
        self._hosts: dict[str, HostIndex] = {}
        # Listeners on which a match depends on more than what a memory's key holds.
        self._by_fields = {route.listener for route in self._routes if route.match.headers}
        self._remembered: Memory[tuple[str, str, str, bytes], Route] = Memory(REMEMBERED)
        for route in self._routes:
            self._hosts.setdefault(route.listener, HostIndex()).add(route)

    def match(self, request: RequestHead) -> Route:
        """Return the route that serves a request.

        Refused: INVALID_REQUEST where the path is none that may be matched, or has a feature that the route (or no
        route) allows, or by it would get round a route that goes before; NO_ROUTE where no route takes the request.
        """
        key = (request.listener, matched_method(request), request.host, request.path)
        if (known := self._remembered.get(key)) is not None:
            return known
        path, features = _canonical(request)
        route = self._find(request, path)
        if features:
            self._judge(request, path, features, route)
        if route is None:
            raise refuse(Kind.NO_ROUTE, "No route takes this request.")
        if request.listener not in self._by_fields and len(request.path) <= LONGEST_REMEMBERED:
            self._remembered.put(key, route)
        return route

    def near(self, request: RequestHead, limit: int = 5) -> list[tuple[Route, str]]:
        """Return routes of the same listener that nearly served a request, and one sentence each why they do not.

        Where the winner refuses the request for its path, it comes first. Empty for a path that may not be matched.
        Looks at every route.
        """
        try:
            path, features = _canonical(request)
        except Refused:
            return []
        route = self._find(request, path)
        found: list[tuple[Route, str]] = []
        if route is not None and features:
            try:
                self._judge(request, path, features, route)
            except Refused as refused:
                found.append((route, f"it goes first, but refuses the path: {refused.refusal.finding}"))
        others = [other for other in self._routes if other.listener == request.listener]
        return (found + near(others, request, path, route, limit))[:limit]

    def _find(self, request: RequestHead, path: bytes) -> Route | None:
        hosts = self._hosts.get(request.listener)
        method = matched_method(request)
        if hosts is None or method in UNMATCHED_METHODS:
            return None
        return hosts.find(request, method, path)

    def _judge(self, request: RequestHead, path: bytes, features: frozenset[str], route: Route | None) -> None:
        """Raise what a path's features lead to under the route that was found."""
        surplus = features if route is None else features - route.match.allow
        if route is None or surplus:
            keys = ", ".join(sorted(surplus))
            raise refuse(
                Kind.INVALID_REQUEST,
                "The path has an encoded slash, an empty segment or parameters.",
                finding=f"match.allow: [{keys}] of the route would let it through",
                key=("match", "allow") if route is not None else (),
            )
        # What the route allows are ordinary bytes to it. Yet where it takes the path also as an upstream may read it,
        # and another route goes first there, the bytes would buy the caller this route's token for the other's place.
        pattern = path_pattern(route.match)
        for reading in sorted(readings(path)):
            if not pattern.takes(segments_of(reading)):
                continue
            other = self._find(request, reading)
            if other is not None and other is not route:
                raise refuse(
                    Kind.INVALID_REQUEST,
                    "The path can be read as one that another route serves.",
                    finding=f"an upstream may read the path as one of route {other.name}; no key allows that",
                )


def _canonical(request: RequestHead) -> tuple[bytes, frozenset[str]]:
    try:
        return canonical(request.path)
    except GrammarError as error:
        raise refuse(Kind.INVALID_REQUEST, f"Bad request: {error}.") from None
