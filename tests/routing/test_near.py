from sidecar.model.request import RequestHead
from sidecar.model.route import Route
from sidecar.routing.near import near
from sidecar.routing.table import Table
from tests.routing.builders import request, route


def told(routes: list[Route], head: RequestHead, limit: int = 5) -> list[tuple[str, str]]:
    winner = Table(routes)._find(head, head.path)
    return [(each.name, why) for each, why in near(routes, head, head.path, winner, limit)]


def test_each_condition_has_its_sentence() -> None:
    routes = [
        route("host", hosts=("a.example", "*.b.example"), prefix="/orders"),
        route("method", prefix="/orders", methods=("PUT", "GET")),
        route("field", prefix="/orders", headers=((b"x", b"1"), (b"y", b"2"))),
        route("path", path="/orders/{id}/items"),
        route("longer", prefix="/orders/1/2"),
        route("shorter", path="/orders"),
    ]
    head = request(b"/orders/1", method="POST", fields=((b"y", b"2"),))
    assert dict(told(routes, head, 10)) == {
        "host": "other host: it serves a.example, *.b.example",
        "method": "other method: it serves GET, HEAD, PUT",
        "field": "header field missing, repeated or of another value: x",
        "path": "the path differs from /orders/{id}/items after /orders/{id}",
        "longer": "the path differs from /orders/1/2 after /orders/1",
        "shorter": "the path goes on after /orders",
    }


def test_a_method_that_is_never_served_is_told_as_such() -> None:
    assert told([route("all", prefix="/")], request(method="TRACE")) == [
        ("all", "other method: it serves every method but CONNECT and TRACE")
    ]


def test_routes_that_come_second_are_told_with_what_decided() -> None:
    field = ((b"x", b"1"),)
    head = request(b"/a/b", fields=field)
    best = route("best", hosts=("api.example.com",), path="/a/b", methods=("GET",), headers=field)
    seconds = [
        route("by host", path="/a/b"),
        route("by path", hosts=("api.example.com",), prefix="/a"),
        route("by methods", hosts=("api.example.com",), path="/a/b"),
        route("by headers", hosts=("api.example.com",), path="/a/b", methods=("GET",)),
        route("by place", hosts=("api.example.com",), path="/a/b", methods=("GET",), headers=field),
    ]
    begin = "it takes the request too, but best goes first: "
    assert dict(told([best, *seconds], head, 10)) == {
        "by host": begin + "its host is more specific",
        "by path": begin + "its path is more specific",
        "by methods": begin + "it names methods",
        "by headers": begin + "it names header fields",
        "by place": begin + "it comes earlier",
    }


def test_a_route_that_misses_two_conditions_is_not_near() -> None:
    assert told([route("far", prefix="/b", methods=("PUT",))], request(b"/a")) == []


def test_those_that_take_the_request_come_first_then_the_longest_common_part_then_the_name() -> None:
    routes = [
        route("z", prefix="/b"),
        route("y", prefix="/a/b/x"),
        route("x", prefix="/a/x"),
        route("w", prefix="/a/b/y"),
        route("v", prefix="/"),
        route("winner", prefix="/a"),
    ]
    head = request(b"/a/b/c")
    assert [name for name, _ in told(routes, head)] == ["v", "w", "y", "x", "z"]
    assert told(routes[::-1], head) == told(routes, head)
    assert told(routes, head, 2) == told(routes, head)[:2]


def test_a_path_that_shares_nothing_is_told_from_the_root() -> None:
    assert told([route("orders", prefix="/orders")], request(b"/ordrs")) == [
        ("orders", "the path differs from /orders after /")
    ]


def test_sentences_show_nothing_of_the_request() -> None:
    head = request(b"/canary", host="canary", fields=((b"canary", b"canary"), (b"x", b"canary")))
    routes = [
        route("path", prefix="/a"),
        route("host", prefix="/", hosts=("a",)),
        route("field", prefix="/", headers=((b"x", b"1"),)),
    ]
    found = told(routes, head)
    assert len(found) == 3
    assert "canary" not in str(found)
