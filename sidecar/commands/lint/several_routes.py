"""Rules about routes that get in each other's way: one around another, or beside it on the same path."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from sidecar.commands.lint.around import Around, covers
from sidecar.commands.lint.configuration import Configuration, found
from sidecar.commands.lint.demands import laxer_keys
from sidecar.config.problems import Finding, Path
from sidecar.model.route import Match, Route
from sidecar.routing.conditions import PathPattern, host_patterns, methods_of, path_pattern
from sidecar.routing.rules import Rule
from sidecar.routing.ties import Meeting

#: Whether methods and header fields are given, in the order in which such routes of one path go first.
_ORDER: Final = ((True, True), (True, False), (False, True), (False, False))


def nested_policy(configuration: Configuration) -> Iterator[Finding]:
    """Find routes that ask less of the caller's token than a route around them, or than one that differs in case."""
    around = Around(configuration.routes)
    for path, _, route in configuration.pairs():
        if route.exchange is None:
            continue  # exchange-none tells
        if (laxer := _laxer(around, route)) is not None:
            key, why = laxer
            yield found((*path, *key), why)


def _laxer(around: Around, route: Route) -> tuple[Path, str] | None:
    for rule, other in around.of(route):
        if other.route.exchange is None or not _share_methods(rule, other):
            continue
        keys: list[Path] = [("subject", key) for key in laxer_keys(route.subject, than=other.route.subject)]
        if other.route.approval is not None and route.approval is None:
            keys.append(("approval",))
        if keys:
            how = "which is around it" if covers(other.box.path, rule.box.path) else "whose path differs in case alone"
            return keys[0], f"asks less than route {other.route.name}, {how}"
    return None


def _share_methods(one: Rule, other: Rule) -> bool:
    return not one.box.methods or not other.box.methods or bool(one.box.methods & other.box.methods)


def overlapping_routes(configuration: Configuration) -> Iterator[Finding]:
    """Find routes that get of a path what another route leaves, which goes first by its methods or header fields."""
    places: defaultdict[tuple[str, str, PathPattern], list[Route]] = defaultdict(list)
    for route in configuration.routes:
        for host in host_patterns(route.match):
            places[route.listener, host, path_pattern(route.match)].append(route)
    behind: dict[str, Route] = {}
    for routes in places.values():
        if len(routes) > 1:
            for route, other in _behind(routes):
                behind.setdefault(route.name, other)
    for path, _, route in configuration.pairs():
        if route.name in behind:
            first = behind[route.name]
            what = "header fields" if _is_by_headers(route.match, first.match) else "methods"
            yield found((*path, "match"), f"takes what route {first.name} leaves, which goes first by its {what}")


def _behind(routes: list[Route]) -> Iterator[tuple[Route, Route]]:
    """Yield each route of one place behind another one, and that one."""
    meeting = {given: Meeting() for given in _ORDER}
    for route in routes:
        meeting[_given(route.match)].add(route)
    for route in routes:
        for given in _ORDER[: _ORDER.index(_given(route.match))]:
            if (other := meeting[given].first(route.match)) is not None:
                yield route, other
                break


def _given(match: Match) -> tuple[bool, bool]:
    return bool(methods_of(match)), bool(match.headers)


def _is_by_headers(route: Match, other: Match) -> bool:
    return bool(route.methods) == bool(other.methods)
