from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.model.request import RequestHead
from sidecar.model.route import Match, PathRelaxation, Route
from sidecar.routing.conditions import host_patterns, methods_of, path_pattern
from sidecar.routing.precedence import Conflict, best_rank, conflicts, decided_by, rank
from sidecar.routing.table import Table
from tests.routing.builders import request, route

FIELD = ((b"x", b"1"),)

#: For one request (GET /a/b of a.b.example.com with X: 1), each route before the next.
ORDER = [
    route("host", hosts=("a.b.example.com",), prefix="/"),
    route("near", hosts=("*.b.example.com",), prefix="/"),
    route("far", hosts=("*.example.com",), path="/a/b", methods=("GET",), headers=FIELD),
    route("exact", path="/a/b"),
    route("literal first", path="/a/{y}"),
    route("name first, all given", path="/{x}/b", methods=("GET",), headers=FIELD),
    route("names", path="/{x}/{y}"),
    route("long", prefix="/a/b"),
    route("short, all given", prefix="/a", methods=("GET",), headers=FIELD),
    route("short, method", prefix="/a", methods=("GET",)),
    route("short, field", prefix="/a", headers=FIELD),
    route("short", prefix="/a"),
    route("root", prefix="/"),
]


def test_the_order_is_that_of_the_design() -> None:
    ranks = [best_rank(each.match, "a.b.example.com") for each in ORDER]
    assert all(first < second for first, second in pairwise(ranks))


def test_the_order_is_what_a_table_goes_by() -> None:
    head = request(b"/a/b", host="a.b.example.com", fields=FIELD)
    for position, expected in enumerate(ORDER):
        assert Table(ORDER[position:][::-1]).match(head) is expected


def test_the_best_of_several_host_patterns_counts() -> None:
    match = route("r", hosts=("*.example.com", "a.example.com"), prefix="/").match
    assert best_rank(match, "a.example.com") == rank(match, "a.example.com")
    assert best_rank(match, "b.example.com") == rank(match, "*.example.com")
    with pytest.raises(ValueError, match="host"):
        best_rank(match, "example.org")


@pytest.mark.parametrize(
    ("first", "second", "by"), [(1, 2, "host"), (3, 4, "path"), (9, 11, "methods"), (8, 9, "headers"), (6, 6, None)]
)
def test_what_decides(first: int, second: int, by: str | None) -> None:
    one, two = (best_rank(ORDER[position].match, "a.b.example.com") for position in (first, second))
    assert decided_by(one, two) == by


def tie(first: Match, second: Match) -> bool:
    found = conflicts(
        [Route("one", "default", first, ORDER[0].upstream, ORDER[0].subject, None), _named("two", second)]
    )
    assert all((each.route, each.other) == ("two", "one") for each in found)
    return bool(found)


def _named(name: str, match: Match, listener: str = "default") -> Route:
    return Route(name, listener, match, ORDER[0].upstream, ORDER[0].subject, None)


X1, X2, Y1 = (b"x", b"1"), (b"x", b"2"), (b"y", b"1")
GET, PUT, HEAD = frozenset({"GET"}), frozenset({"PUT"}), frozenset({"HEAD"})


@pytest.mark.parametrize(
    ("first", "second", "ties"),
    [
        (Match(path="/a"), Match(path="/a"), True),
        (Match(path="/a"), Match(path="/a/"), False),
        (Match(path="/a"), Match(path="/A"), False),
        (Match(path="/a"), Match(path_prefix="/a"), False),
        (Match(path_prefix="/a"), Match(path_prefix="/a/"), True),
        (Match(path="/{a}"), Match(path="/{b}"), True),
        (Match(path="/{a}/b"), Match(path="/{a}/c"), False),
        (Match(path="/{a}/b"), Match(path="/a/{b}"), False),
        (Match(("h",), "/a"), Match(("h",), "/a"), True),
        (Match(("h",), "/a"), Match(("H",), "/a"), True),
        (Match(("h", "i"), "/a"), Match(("j", "i"), "/a"), True),
        (Match(("h", "i"), "/a"), Match(("h", "i"), "/a"), True),
        (Match(("h",), "/a"), Match(("i",), "/a"), False),
        (Match(("h",), "/a"), Match(path="/a"), False),
        (Match(("*.h",), "/a"), Match(("a.h",), "/a"), False),
        (Match(("*.h",), "/a"), Match(("*.b.h",), "/a"), False),
        (Match(path="/a", methods=GET), Match(path="/a", methods=GET | PUT), True),
        (Match(path="/a", methods=GET), Match(path="/a", methods=PUT), False),
        (Match(path="/a", methods=GET), Match(path="/a", methods=HEAD), True),
        (Match(path="/a", methods=GET), Match(path="/a"), False),
        (Match(path="/a", headers=(X1,)), Match(path="/a", headers=(X1,)), True),
        (Match(path="/a", headers=(X1,)), Match(path="/a", headers=(X2,)), False),
        (Match(path="/a", headers=(X1,)), Match(path="/a", headers=(Y1,)), True),
        (Match(path="/a", headers=(X1,)), Match(path="/a", headers=(Y1, X1)), True),
        (Match(path="/a", headers=(X1,)), Match(path="/a", headers=(Y1, X2)), False),
        (Match(path="/a", headers=(X1,)), Match(path="/a"), False),
        (Match(path="/a", headers=(X1,), methods=GET), Match(path="/a", headers=(X1,)), False),
        (Match(path="/a", headers=(X1,), methods=GET), Match(path="/a", headers=(X1,), methods=GET), True),
    ],
)
def test_ties(first: Match, second: Match, ties: bool) -> None:
    assert tie(first, second) is ties
    assert tie(second, first) is ties


def test_a_tie_of_two_is_told_once_and_names_what_is_shared() -> None:
    match = Match(("a.example", "b.example"), "/x")
    assert conflicts([_named("one", match), _named("two", match)]) == [
        Conflict("two", "one", "takes requests for a.example that one takes too, and neither goes first")
    ]
    assert conflicts([_named("one", Match(path="/x")), _named("two", Match(path="/x"))]) == [
        Conflict("two", "one", "takes requests for any host that one takes too, and neither goes first")
    ]


def test_routes_of_two_listeners_never_conflict() -> None:
    assert conflicts([_named("one", Match(path="/x"), "in"), _named("two", Match(path="/x"), "out")]) == []


def test_each_later_route_is_told_once_with_the_first_that_it_ties_with() -> None:
    found = conflicts([_named(name, Match(path="/x")) for name in ("one", "two", "three")])
    assert [(each.route, each.other) for each in found] == [("two", "one"), ("three", "one")]


EMPTY = frozenset({PathRelaxation.EMPTY_SEGMENT})


@pytest.mark.parametrize(
    ("match", "why"),
    [
        (Match(path="/a", methods=frozenset({"TRACE"})), "TRACE"),
        (Match(path="/a", methods=frozenset({"TRACE", "CONNECT"})), "TRACE"),
        (Match(path="/a", headers=(X1, X2)), "two values"),
        (Match(path="/a", headers=((b"X", b"1"),)), "lower case"),
        (Match(path="/a", headers=((b"", b"1"),)), "such a name"),
        (Match(path="/a", headers=((b"x", b" 1"),)), "such a value"),
        (Match(("a.example:80",), "/a"), "port"),
        (Match(("a_b@c", "*.", "*"), "/a"), "hosts"),
        (Match(("a.example.",), "/a"), "hosts"),
        (Match(("127.1", "*.1.2.3.4"), "/a"), "hosts"),
        (Match(("bücher.example",), "/a"), "hosts"),
        (Match(path=""), "slash"),
        (Match(path="a"), "slash"),
        (Match(path_prefix="a"), "slash"),
        (Match(path="/%61"), "canonical"),
        (Match(path="/%c3"), "canonical"),
        (Match(path_prefix="/a/%61"), "canonical"),
        (Match(path="/{x}/%7e"), "canonical"),
        (Match(path="/a/../b"), "dot segment"),
        (Match(path_prefix="/a/.."), "dot segment"),
        (Match(path="/a%5Cb"), "backslash"),
        (Match(path="/é"), "RFC 3986"),
        (Match(path="/a#b"), "RFC 3986"),
        (Match(path="/a?b"), "RFC 3986"),
        (Match(path="/a{x}"), "RFC 3986"),
        (Match(path_prefix="/{x}"), "RFC 3986"),
        (Match(path="/a//b"), "empty-segment"),
        (Match(path_prefix="/a//"), "empty-segment"),
        (Match(path="/a;x"), "path-parameters"),
        (Match(path="/a%2Fb"), "encoded-slash"),
        (Match(path="/a%2F/b", allow=EMPTY), "encoded-slash"),
    ],
)
def test_routes_that_no_request_can_meet(match: Match, why: str) -> None:
    (found,) = conflicts([_named("one", match)])
    assert (found.route, found.other) == ("one", "")
    assert why in found.why


@pytest.mark.parametrize(
    "match",
    [
        Match(path="/"),
        Match(path_prefix="/"),
        Match(path_prefix="/a/"),
        Match(path="/a/{x}/"),
        Match(path="/a//b", allow=EMPTY),
        Match(path="/a", methods=frozenset({"GET", "TRACE"})),
        Match(path="/a", headers=(X1, X1)),
        Match(("a:80", "b"), "/a"),
        Match(("API.example",), "/a"),
        Match(("[::1]", "*.example"), "/%C3%A9"),
    ],
)
def test_routes_that_some_request_meets(match: Match) -> None:
    one = _named("one", match)
    assert conflicts([one]) == []
    assert Table([one]).match(only_for(one)) is one


MATCHES = st.builds(
    Match,
    st.lists(st.sampled_from(["h", "a.h", "*.h", "*.a.h"]), max_size=2).map(tuple),
    st.none() | st.sampled_from(["/", "/a", "/a/", "/a/b", "/{x}", "/{y}", "/a/{x}", "/{x}/b", "/{x}/{y}", "/%61"]),
    st.sampled_from(["/", "/a", "/a/b", "/a//b"]),
    st.frozensets(st.sampled_from(["GET", "HEAD", "PUT", "TRACE"]), max_size=2),
    st.lists(st.sampled_from([X1, X2, Y1]), max_size=2).map(tuple),
)


def only_for(wanted: Route) -> RequestHead:
    """A request that meets a route with values that no other route names, wherever it leaves something open."""
    match = wanted.match
    hosts = [host for host in host_patterns(match) if ":" not in host or host.startswith("[")]
    path = path_pattern(match).example().replace(b"x", b"fresh")
    return request(
        path + b"fresh/" * 9 if match.path is None else path,
        method=min(methods_of(match), default="FRESH"),
        host=hosts[0].replace("*", "fresh") or "fresh",
        fields=match.headers[:1] if len(set(match.headers)) == 1 else match.headers,
    )


@settings(deadline=None)
@given(st.lists(MATCHES, max_size=8))
def test_without_a_conflict_every_route_wins_some_request_in_any_order(matches: list[Match]) -> None:
    routes: list[Route] = []
    for number, match in enumerate(matches):
        candidate = _named(f"r{number}", match)
        if not conflicts([*routes, candidate]):
            routes.append(candidate)
    for each in routes:
        assert Table(routes).match(only_for(each)) is each
        assert Table(routes[::-1]).match(only_for(each)) is each


@settings(deadline=None)
@given(MATCHES, MATCHES)
def test_a_tie_shows_in_some_request_and_without_one_order_says_nothing(first: Match, second: Match) -> None:
    one, two = _named("one", first), _named("two", second)
    if conflicts([one]) or conflicts([two]):
        return
    forwards, backwards = Table([one, two]), Table([two, one])
    tied = False
    for host in ("h", "a.h", "f.h", "f.a.h", "f"):
        for path in (b"/", b"/a", b"/a/", b"/a/b", b"/f", b"/a/f", b"/f/b", b"/f/g", b"/f/g/h"):
            for method in ("GET", "HEAD", "PUT", "FRESH"):
                for fields in ((), (X1,), (X2,), (Y1,), (X1, Y1), (X2, Y1)):
                    head = request(path, method=method, host=host, fields=fields)
                    tied = tied or _winner(forwards, head) != _winner(backwards, head)
    assert tied is bool(conflicts([one, two]))


def _winner(table: Table, head: RequestHead) -> str:
    found = table._find(head, head.path)
    return found.name if found else ""
