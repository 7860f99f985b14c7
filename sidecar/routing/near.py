"""Why not the other routes: what ``sidecar explain`` tells of those that a request nearly met.

A route is near when it takes the request and another goes first, or when exactly one of its conditions is not met.
Every route is looked at, so this is for people, never for requests. Sentences name the routes' own text only.
"""

from collections.abc import Sequence
from heapq import nsmallest
from typing import Final

from sidecar.model.request import RequestHead
from sidecar.model.route import Route
from sidecar.routing.conditions import (
    host_patterns,
    matched_method,
    methods_of,
    path_pattern,
    segments_of,
    takes_headers,
    takes_host,
    takes_method,
)
from sidecar.routing.precedence import best_rank, decided_by

_WHY_FIRST: Final = {
    "host": "its host is more specific",
    "path": "its path is more specific",
    "methods": "it names methods",
    "headers": "it names header fields",
    None: "it comes earlier",
}


def near(
    routes: Sequence[Route], request: RequestHead, path: bytes, winner: Route | None, limit: int
) -> list[tuple[Route, str]]:
    """Return at most ``limit`` of the routes and why each does not serve a request with this canonical path.

    Those that take it come first, then those with more leading segments of the path, then by name. winner, the route
    that goes first, is left out.
    """
    segments, method = segments_of(path), matched_method(request)
    found: list[tuple[bool, int, str, Route, str]] = []
    for route in routes:
        if route is winner:
            continue
        missed = _missed(route, request, segments, method)
        if len(missed) <= 1:
            common = path_pattern(route.match).common(segments)
            found.append((bool(missed), -common, route.name, route, missed[0] if missed else ""))
    nearest = nsmallest(limit, found, key=lambda entry: entry[:3])
    return [(route, _why(route, condition, request, segments, winner)) for *_, route, condition in nearest]


def _missed(route: Route, request: RequestHead, segments: list[bytes], method: str) -> list[str]:
    """The names of the conditions that are not met."""
    match = route.match
    met = {
        "host": any(takes_host(pattern, request.host) for pattern in host_patterns(match)),
        "path": path_pattern(match).takes(segments),
        "methods": takes_method(match, method),
        "headers": takes_headers(match, request),
    }
    return [condition for condition, is_met in met.items() if not is_met]


def _why(route: Route, condition: str, request: RequestHead, segments: list[bytes], winner: Route | None) -> str:
    match = route.match
    if winner is not None and not condition:
        return _why_second(route, request, winner)
    if condition == "host":
        return f"other host: it serves {', '.join(host_patterns(match))}"
    if condition == "path":
        return _why_path(route, segments)
    if condition == "methods":
        methods = ", ".join(sorted(methods_of(match))) or "every method but CONNECT and TRACE"
        return f"other method: it serves {methods}"
    names = [name.decode("latin-1") for name, value in match.headers if request.values(name) != [value]]
    return f"header field missing, repeated or of another value: {', '.join(names)}"


def _why_path(route: Route, segments: list[bytes]) -> str:
    pattern = path_pattern(route.match)
    common = pattern.common(segments)
    written = route.match.path or route.match.path_prefix or "/"
    if common == len(pattern.segments):
        return f"the path goes on after {written}"
    shared = "/".join(written.split("/")[: common + 1]) or "/"
    return f"the path differs from {written} after {shared}"


def _why_second(route: Route, request: RequestHead, winner: Route) -> str:
    decided = decided_by(best_rank(winner.match, request.host), best_rank(route.match, request.host))
    return f"it takes the request too, but {winner.name} goes first: {_WHY_FIRST[decided]}"
