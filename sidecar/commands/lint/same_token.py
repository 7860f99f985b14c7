"""The rule about the same token asked for by routes of different strictness (RFC 8693 §2.1)."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain, combinations
from typing import Final, NamedTuple

from sidecar.commands.lint.configuration import Configuration, found
from sidecar.commands.lint.demands import Supersets
from sidecar.config.problems import Finding
from sidecar.model.route import Exchange, Route

#: A route that asks for more scopes than this is compared by each of them and all together, not by all their choices.
MANY_SCOPES: Final = 5


class _Asked(NamedTuple):
    """What is asked for. scope: None stands for whatever the authorization server gives."""

    authorization_server: str
    audience: str
    scope: frozenset[str] | None


class _Demands(NamedTuple):
    """What is asked of a token or an approver, by the key that asks; which values or clients makes no difference."""

    require_scope: frozenset[str]
    require_claims: frozenset[str]
    clients: frozenset[str]
    acr_values: frozenset[str]
    max_age: frozenset[str]
    require_actor: frozenset[str]
    allowed_actors: frozenset[str]
    approval: frozenset[str]


def mixed_strictness(configuration: Configuration) -> Iterator[Finding]:
    """Find routes that get what another route gets, or more, and ask less of the caller's token for it."""
    ways = [(path, way, _demands(way)) for path, _, route in configuration.pairs() for way in _ways(route)]
    asking: dict[_Asked, dict[_Demands, Route]] = {}
    for _, way, demands in ways:
        for asked in chain.from_iterable(map(_added_as, way.exchanges)):
            asking.setdefault(asked, {}).setdefault(demands, way)
    stricter = _Stricter(asking)
    for path, way, demands in ways:
        for asked in chain.from_iterable(map(_covered, way.exchanges)):
            laxer = stricter.than(demands, asked)
            # Within one route it is the gateway that tells a tool from another, whatever their tokens are good for.
            if laxer is not None and laxer[1].name != way.name:
                key, other = laxer
                message = f"asks less than route {other.name}, whose exchange asks for the same or less"
                yield found((*path, *_place(way, key)), message)
                break


def _ways(route: Route) -> Iterator[Route]:
    """A route, and as it is under each of its rules, as far as demands and scopes go."""
    yield route
    for rule in route.mcp.rules if route.mcp is not None else ():
        under = route.under(rule)
        asked = {each: replace(each, scope=(*each.scope, *rule.scope)) for each in route.exchanges}
        yield replace(
            under,
            exchange=asked[route.exchange] if route.exchange is not None else None,
            by_issuer=tuple((issuer, asked[each]) for issuer, each in route.by_issuer),
        )


def _place(way: Route, key: str) -> tuple[str, ...]:
    """Where a way could demand more."""
    if way.rule is not None and key in ("acr_values", "max_age", "approval"):
        return (*way.rule.key, key)
    return (key,) if key == "approval" else ("subject", key)


class _Stricter:
    """Finds, among the routes that ask for one thing, those that demand more; remembers what that takes."""

    def __init__(self, asking: Mapping[_Asked, Mapping[_Demands, Route]]) -> None:
        self._asking = asking
        self._made: dict[tuple[_Asked, str], tuple[Supersets, dict[frozenset[str], Route]]] = {}

    def than(self, demands: _Demands, asked: _Asked) -> tuple[str, Route] | None:
        """Return a key by which some route that asks for this demands more, and the route."""
        routes = self._asking.get(asked, {})
        if not routes or (len(routes) == 1 and demands in routes):
            return None
        for key, names in zip(_Demands._fields, demands, strict=True):
            if (asked, key) not in self._made:
                by_names = {getattr(each, key): route for each, route in routes.items()}
                self._made[asked, key] = Supersets(by_names), by_names
            supersets, by_names = self._made[asked, key]
            if (more := supersets.of(names)) is not None:
                return key, by_names[more]
        return None


def _demands(route: Route) -> _Demands:
    policy = route.subject
    return _Demands(
        require_scope=frozenset(policy.require_scope),
        require_claims=frozenset(path for path, _ in policy.require_claims),
        clients=_whether(policy.clients),
        acr_values=_whether(policy.acr_values),
        max_age=_whether(policy.max_age),
        require_actor=_whether(policy.require_actor),
        allowed_actors=_whether(policy.allowed_actors),
        approval=_whether(route.approval),
    )


def _whether(demand: object) -> frozenset[str]:
    return frozenset({"demanded"} if demand else ())


def _added_as(exchange: Exchange) -> Iterator[_Asked]:
    """What a route asks for, exactly, and that it asks for something of that audience."""
    for audience in _audiences(exchange):
        yield _Asked(exchange.authorization_server, audience, None)
        if exchange.scope:
            yield _Asked(exchange.authorization_server, audience, frozenset(exchange.scope))


def _covered(exchange: Exchange) -> Iterator[_Asked]:
    """What others may ask for, and this exchange gives."""
    scopes: list[frozenset[str] | None] = [*_choices(exchange.scope)] if exchange.scope else [None]
    for audience in _audiences(exchange):
        for scope in scopes:
            yield _Asked(exchange.authorization_server, audience, scope)


def _audiences(exchange: Exchange) -> tuple[str, ...]:
    return (*exchange.audience, *exchange.resource) or ("",)


def _choices(scope: tuple[str, ...]) -> Iterator[frozenset[str]]:
    distinct = sorted(set(scope))
    sizes = range(1, len(distinct) + 1) if len(distinct) <= MANY_SCOPES else (1, len(distinct))
    for size in sizes:
        yield from map(frozenset, combinations(distinct, size))
