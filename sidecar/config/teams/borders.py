"""Which routes of different houses take the same requests: pure, and exact where it matters.

The platform's own routes come first: an include's route may stand behind one of them, never before it. Two includes
share no request at all, whichever would go first. So nobody's requests change because of what another team writes. The
order of routes is ``routing.precedence``'s.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from sidecar.config.matches import match_of
from sidecar.config.problems import Finding
from sidecar.config.schema import Route as RouteSection
from sidecar.config.schema.include import Allow
from sidecar.config.teams.patterns import covers_host, covers_path
from sidecar.model.route import Route, SubjectPolicy, Upstream
from sidecar.routing.precedence import conflicts
from sidecar.routing.rules import Rule, Rules, rules_of

# Who goes first depends on name, listener and match alone; the rest of a route is of no concern here.
_SOMEWHERE: Final = Upstream(None, 0, "", b"", b"", None, b"")
_ANYBODY: Final = SubjectPolicy(frozenset())


class Ground:
    """The routes of one house, and the requests that they take."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        by_listener: dict[str, list[Rule]] = {}
        for route in routes:
            by_listener.setdefault(route.listener, []).extend(rules_of(route))
        self._rules = {listener: Rules(rules) for listener, rules in by_listener.items()}

    def meeting(self, route: Route) -> Iterator[tuple[Rule, Rule]]:
        """Yield the rules of another house's route, each with every rule here that takes some request of it."""
        others = self._rules.get(route.listener)
        for rule in rules_of(route) if others is not None else ():
            for other, _ in others.meeting(rule.box) if others is not None else ():
                yield rule, other


def ground_route(section: RouteSection, listener: str, place: str) -> Route:
    """Return a route as far as its place among others needs it. place: ``file:line``, for what is told of it."""
    return Route(section.name, listener, match_of(section.match), _SOMEWHERE, _ANYBODY, None, place=place)


def within(ground: Ground) -> list[Finding]:
    """Return what is wrong between the routes of one house; ``routes.0`` is the first of them."""
    numbers = {route.name: number for number, route in enumerate(ground.routes)}
    return [_at(numbers[conflict.route], conflict.why) for conflict in conflicts(ground.routes)]


def before(ground: Ground, platform: Ground) -> Iterator[Finding]:
    """Return which routes of an include would take a request that a platform's route serves without them."""
    for number, route in enumerate(ground.routes):
        lost = next((other.route for rule, other in platform.meeting(route) if rule.rank <= other.rank), None)
        if lost is not None:
            yield _at(number, f"would take requests that the platform's route {lost.name} serves ({lost.place})")


def between(ground: Ground, other: Ground) -> Iterator[Finding]:
    """Return which routes of an include take a request that another include's route takes too."""
    for number, route in enumerate(ground.routes):
        shared = next((rule.route for _, rule in other.meeting(route)), None)
        if shared is not None:
            yield _at(number, f"takes requests that route {shared.name} of another include takes ({shared.place})")


def may_meet(one: Allow, other: Allow) -> bool:
    """Whether two includes allow a request in common; routes of others never meet."""
    hosts = any(covers_host(a, b) or covers_host(b, a) for a in one.hosts for b in other.hosts)
    return hosts and any(covers_path(a, b) or covers_path(b, a) for a in one.path_prefixes for b in other.path_prefixes)


def _at(number: int, message: str) -> Finding:
    return Finding(("routes", number, "match"), message)
