"""Which routes of one host pattern and path can take the same request, told by methods and header fields alone; pure.

Which of them goes first is for ``precedence``. Laid out so that finding out costs the same with many routes, as long as
those that name header fields name the same ones (RFC 9110 §9, §5).
"""

from collections.abc import Iterator
from typing import NamedTuple

from sidecar.model.route import Match, Route
from sidecar.routing.conditions import methods_of

_EVERY_METHOD = ""

_Values = frozenset[tuple[bytes, bytes]]


class _Added(NamedTuple):
    number: int
    route: Route


class Meeting:
    """Routes that have one listener, host pattern and path in common."""

    __slots__ = ("_added", "_methods")

    def __init__(self) -> None:
        self._added = 0
        self._methods: dict[str, dict[frozenset[bytes], dict[_Values, _Added]]] = {}

    def add(self, route: Route) -> None:
        """Add a route; of those that have all conditions in common the one added first is kept."""
        values = dict(route.match.headers)
        added = _Added(self._added, route)
        self._added += 1
        for method in _methods(route.match):
            fields = self._methods.setdefault(method, {}).setdefault(frozenset(values), {})
            fields.setdefault(frozenset(values.items()), added)

    def first(self, match: Match) -> Route | None:
        """Return the route added first among those that can take a request that meets ``match`` too."""
        values = dict(match.headers)
        methods = _methods(match)
        if not match.methods:
            methods = list(self._methods)
        elif methods:
            methods.append(_EVERY_METHOD)
        met = [
            added
            for method in methods
            for names, routes in self._methods.get(method, {}).items()
            for added in _with_fields(values, names, routes)
        ]
        return min(met, key=lambda added: added.number).route if met else None


def _methods(match: Match) -> list[str]:
    return sorted(methods_of(match)) if match.methods else [_EVERY_METHOD]


def _with_fields(
    values: dict[bytes, bytes], names: frozenset[bytes], routes: dict[_Values, _Added]
) -> Iterator[_Added]:
    """The first of the routes, which all name these fields, that agrees on those that both name."""
    if names == values.keys():
        found = routes.get(frozenset(values.items()))
    else:
        found = next(
            (
                added
                for wanted, added in routes.items()
                if all(values.get(name, value) == value for name, value in wanted)
            ),
            None,
        )
    if found is not None:
        yield found
