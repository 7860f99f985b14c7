"""Which requests are served otherwise by one table than by another: all of them, as few regions, without sampling.

A region is what one route of the old table and one of the new both take, but for what other routes take before them.
Two things make that exact and quick. Where both winners are in both tables they are the same, the order being total; so
only routes that one table lacks are held against all that meet them, and every other against itself alone. And a region
is empty only where its most ordinary request lies elsewhere: a host, path, method and fields that no route names are
taken by the fewest others, as ``precedence`` says of what can hide a route. So one request for each is looked up in
both tables (RFC 9110 §7.2, RFC 3986 §3.3).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from sidecar.model.request import RequestHead
from sidecar.model.route import Route
from sidecar.routing.conditions import ANY_HOST, PathKind, matched_method
from sidecar.routing.index import HostIndex
from sidecar.routing.precedence import best_rank
from sidecar.routing.rules import Box, Rule, Rules, rules_of

#: Of those that go first, more than these are not told one by one.
MOST_EXCEPTIONS: Final = 50

Differ = Callable[[Route | None, Route | None], bool]


@dataclass(frozen=True, slots=True)
class Region:
    """Requests that the old route served and the new one serves; None: no route did, or does.

    They are those that one of the boxes takes, which differ in their host alone, and none of the exceptions, of which
    an empty host stands for every host of the region. more: there are further exceptions.
    example: one of the requests, which is in no other region. Its path has no features but those of the routes' own.
    """

    listener: str
    old: Route | None
    new: Route | None
    boxes: tuple[Box, ...]
    exceptions: tuple[Box, ...]
    more: bool
    example: RequestHead = field(repr=False)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Its host patterns, sorted; an empty one is any host."""
        return tuple(box.host for box in self.boxes)


def regions(old: Sequence[Route], new: Sequence[Route], differ: Differ) -> list[Region]:
    """Return all regions whose two routes differ, ordered by listener, host and path; no two have a request in common.

    Neither list may have ``conflicts``. differ: whether it matters that one route took the other's place; never asked
    of a request that no route takes in either table.

    A path with features counts as the bytes that it has, whatever ``match.allow`` says: who goes first for it is told
    here, what the winner allows is its own business.
    """
    sides = _Side(old), _Side(new)
    ordinary = _Ordinary(sides)
    found = [
        region
        for listener, box, mine, other in _pairs(*sides)
        if differ(_route(mine), _route(other))
        and (region := _region(sides, ordinary, listener, box, (mine, other))) is not None
    ]
    return sorted(_merged(found), key=lambda region: (region.listener, region.hosts, _order(region.boxes[0])))


class _Side:
    """One table: its rules, by what they take and by what meets them, and who wins."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.rules: dict[tuple[str, Box], Rule] = {}
        self._winners: dict[str, HostIndex] = {}
        by_listener: dict[str, list[Rule]] = {}
        for route in routes:
            self._winners.setdefault(route.listener, HostIndex()).add(route)
            for rule in rules_of(route):
                self.rules[route.listener, rule.box] = rule
                by_listener.setdefault(route.listener, []).append(rule)
        self._meeting = {listener: Rules(rules) for listener, rules in by_listener.items()}

    def meeting(self, listener: str, box: Box) -> Iterator[tuple[Rule, Box]]:
        """Yield the rules that take some request of a box, and what they take of it."""
        rules = self._meeting.get(listener)
        return iter(()) if rules is None else rules.meeting(box)

    def serves(self, request: RequestHead, rule: Rule | None) -> bool:
        """Whether a rule takes a request and goes first; None: whether there is no such rule."""
        winners = self._winners.get(request.listener)
        route = None if winners is None else winners.find(request, matched_method(request), request.path)
        if route is None or rule is None:
            return route is None and rule is None
        return route is rule.route and best_rank(route.match, request.host) == rule.rank


class _Ordinary:
    """Requests of a box that are like no other: what a box leaves open has a value that no rule names."""

    def __init__(self, sides: Iterable[_Side]) -> None:
        boxes = [box for side in sides for _, box in side.rules]
        segments = {segment for box in boxes for segment in box.path.segments if segment is not None}
        self._segment = _unnamed(segments | {label.encode() for box in boxes for label in box.host.split(".")})
        self._method = _unnamed({method.encode() for box in boxes for method in box.methods}).decode().upper()
        self._depth = max((len(box.path.segments) for box in boxes), default=0) + 1

    def requests(self, listener: str, box: Box) -> Iterator[tuple[str, RequestHead]]:
        """Yield the most ordinary request of a box for each of its methods; the method is empty for a further one."""
        for method in sorted(box.methods) or [""]:
            yield method, self.request(listener, box, method or self._method, self._depth)

    def prettiest(self, listener: str, box: Box, serves: Callable[[RequestHead], bool]) -> RequestHead:
        """Return the request of a box that is easiest to read of those that ``serves`` takes."""
        methods = sorted(box.methods, key=lambda method: (method != "GET", method)) or ["GET", self._method]
        least = len(box.path.segments)
        tries = (self.request(listener, box, way, depth) for depth in range(least, self._depth + 1) for way in methods)
        return next(filter(serves, tries))

    def request(self, listener: str, box: Box, method: str, depth: int) -> RequestHead:
        segments = [self._segment if segment is None else segment for segment in box.path.segments]
        if box.path.kind is PathKind.PREFIX:
            segments += [self._segment] * (depth - len(segments)) or ([] if segments else [b""])
        label = self._segment.decode()
        host = label if box.host == ANY_HOST else box.host.replace("*", label, 1)
        return RequestHead(
            listener=listener,
            method=method,
            path=b"".join(b"/" + segment for segment in segments),
            query=None,
            host=host,
            authority=host.encode(),
            fields=tuple(sorted(box.headers)),
            version=(1, 1),
            scheme="http",
            peer=None,
            content_length=None,
            chunked=False,
            expects_continue=False,
            request_id="",
        )


def _pairs(old: _Side, new: _Side) -> Iterator[tuple[str, Box, Rule | None, Rule | None]]:
    """Yield every two rules that may go first for one request, each pair once, and what both take."""
    for (listener, box), rule in old.rules.items():
        if (twin := new.rules.get((listener, box))) is not None:
            yield listener, box, rule, twin
            continue
        yield listener, box, rule, None
        for other, shared in new.meeting(listener, box):
            yield listener, shared, rule, other
    for (listener, box), rule in new.rules.items():
        if (listener, box) in old.rules:
            continue
        yield listener, box, None, rule
        for other, shared in old.meeting(listener, box):
            if (listener, other.box) in new.rules:
                yield listener, shared, other, rule


def _region(
    sides: tuple[_Side, _Side], ordinary: _Ordinary, listener: str, box: Box, rules: tuple[Rule | None, Rule | None]
) -> Region | None:
    """What an old and a new rule both serve of the box that both take; None where that is nothing."""

    def serves(request: RequestHead) -> bool:
        return all(side.serves(request, rule) for side, rule in zip(sides, rules, strict=True))

    methods = [
        method
        for method, request in ordinary.requests(listener, box)
        # A preflight is matched by the method it asks for, so its fields may leave a rule for OPTIONS none of its own.
        if matched_method(request) == request.method and serves(request)
    ]
    if not methods:
        return None
    box = replace(box, methods=frozenset(filter(None, methods)))
    kept, more = _largest(_before(sides, listener, box, rules))
    exceptions = [replace(each, host=ANY_HOST) if each.host == box.host else each for each in kept]
    return Region(
        listener=listener,
        old=_route(rules[0]),
        new=_route(rules[1]),
        boxes=(box,),
        exceptions=tuple(sorted(exceptions, key=_order)),
        more=more,
        example=ordinary.prettiest(listener, box, serves),
    )


def _before(
    sides: tuple[_Side, _Side], listener: str, box: Box, winners: tuple[Rule | None, Rule | None]
) -> Iterator[Box]:
    """Yield what other rules take of a box before its winners."""
    for side, winner in zip(sides, winners, strict=True):
        for rule, shared in side.meeting(listener, box):
            if winner is None or rule.rank < winner.rank:
                yield shared


def _largest(boxes: Iterable[Box]) -> tuple[list[Box], bool]:
    """Those that are in no other one, and whether there are more than are told."""
    kept: list[Box] = []
    for box in boxes:
        if any(each.meet(box) == box for each in kept):
            continue
        kept = [each for each in kept if box.meet(each) != each]
        if len(kept) == MOST_EXCEPTIONS:
            return kept, True
        kept.append(box)
    return kept, False


def _merged(found: Iterable[Region]) -> Iterator[Region]:
    """Put together what differs in the host alone."""
    alike: dict[object, list[Region]] = {}
    for region in found:
        names = tuple(route and route.name for route in (region.old, region.new))
        box = replace(region.boxes[0], host=ANY_HOST)
        alike.setdefault((region.listener, names, box, region.exceptions, region.more), []).append(region)
    for group in alike.values():
        group.sort(key=lambda region: region.hosts)
        yield replace(group[0], boxes=tuple(box for region in group for box in region.boxes))


def _route(rule: Rule | None) -> Route | None:
    return None if rule is None else rule.route


def _order(box: Box) -> tuple[object, ...]:
    segments = [(segment is None, segment or b"") for segment in box.path.segments]
    return (box.host, segments, box.path.kind, sorted(box.methods), sorted(box.headers))


def _unnamed(names: Iterable[bytes]) -> bytes:
    taken = {name.lower() for name in names}
    number = 0
    while (name := b"other%d" % number if number else b"other") in taken:
        number += 1
    return name
