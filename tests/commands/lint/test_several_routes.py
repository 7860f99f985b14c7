from typing import Any

import pytest

from tests.commands.lint.conftest import Desk, Lints, route

ADMIN = {"require_scope": ["admin"]}


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        (route("outer", "/admin", subject=ADMIN), route("inner", "/admin/public")),
        (route("outer", "/admin", subject=ADMIN), route("inner", "=/admin/public/{id}")),
        (route("outer", "/admin", subject=ADMIN), route("inner", "=/admin")),
        (route("outer", "=/admin/{page}", subject=ADMIN), route("inner", "=/admin/public")),
        (route("outer", "/", subject=ADMIN), route("inner", "/public")),
        (
            route("outer", "/", subject=ADMIN, match={"hosts": ["*.example.com"], "methods": ["GET"]}),
            route("inner", "/", match={"hosts": ["a.example.com"]}),
        ),
        (
            route("outer", "/admin", subject=ADMIN, match={"methods": ["GET", "POST"]}),
            route("inner", "/admin/public", match={"methods": ["GET"], "headers": {"X-Tool": "a"}}),
        ),
        (
            route("outer", "/admin", subject={"require_scope": ["admin"], "clients": ["c"]}),
            route("inner", "/admin/public", subject={"clients": ["c"]}),
        ),
    ],
)
def test_a_weaker_route_within_a_stricter_one(desk: Desk, outer: dict[str, Any], inner: dict[str, Any]) -> None:
    assert desk.lints(outer, inner) == [("nested-policy", "routes.1.subject.require_scope")]
    assert desk.messages(inner, outer) == ["asks less than route outer, which is around it"]


def test_a_route_without_approval_within_one_that_needs_it(desk: Desk) -> None:
    approvers = {"desk": {"opa": {"url": "http://127.0.0.1:1/"}}}
    outer, inner = route("outer", "/admin", approval={"by": "desk"}), route("inner", "/admin/x")
    assert ("nested-policy", "routes.1.approval") in desk.lints(outer, inner, approvers=approvers)
    inner["approval"] = {"by": "desk", "max_age": "1h"}
    assert desk.lints(outer, inner, approvers=approvers) == []


@pytest.mark.parametrize(("strict", "lax"), [("/admin", "/Admin"), ("=/admin", "=/ADMIN"), ("/admin", "/Admin/public")])
def test_a_path_that_differs_in_case_alone(desk: Desk, strict: str, lax: str) -> None:
    routes = route("strict", strict, subject=ADMIN), route("lax", lax)
    assert desk.lints(*routes) == [("nested-policy", "routes.1.subject.require_scope")]
    assert desk.messages(*routes) == ["asks less than route strict, whose path differs in case alone"]


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        (route("outer", "/"), route("inner", "/admin", subject=ADMIN)),
        (
            route("outer", "/admin", subject=ADMIN),
            route("inner", "/admin/x", subject={"require_scope": ["admin", "x"]}),
        ),
        (route("outer", "/admin", subject=ADMIN), route("inner", "/admin/x", subject={"require_scope": ["x"]})),
        (route("outer", "/admin", subject=ADMIN), route("inner", "/administration")),
        (route("outer", "=/admin", subject=ADMIN), route("inner", "/admin/x")),
        (
            route("outer", "/admin", subject=ADMIN, match={"methods": ["POST"]}),
            route("inner", "/admin/x", match={"methods": ["GET"]}),
        ),
        (
            route("outer", "/admin", subject=ADMIN, match={"headers": {"X-Tool": "a"}}),
            route("inner", "/admin/x"),
        ),
        (route("outer", "/admin", subject=ADMIN, match={"hosts": ["a.example"]}), route("inner", "/admin/x")),
        (route("outer", "/", exchange="none", accept={"exchange-none": "public"}), route("inner", "/admin")),
    ],
)
def test_what_is_not_nested_or_not_weaker(lints: Lints, outer: dict[str, Any], inner: dict[str, Any]) -> None:
    assert lints(outer, inner) == []


def test_no_token_at_all_is_told_once(lints: Lints) -> None:
    open_ = route("open", "/admin/public", exchange="none")
    assert lints(route("admin", "/admin", subject=ADMIN), open_) == [("exchange-none", "routes.1.exchange")]


READ, WRITE = {"methods": ["GET"]}, {"methods": ["POST"]}


@pytest.mark.parametrize(
    ("first", "second", "by"),
    [
        (READ, {}, "methods"),
        ({**READ, "headers": {"X-Tool": "a"}}, {}, "methods"),
        ({**READ, "headers": {"X-Tool": "a"}}, READ, "header fields"),
        ({"headers": {"X-Tool": "a"}}, {}, "header fields"),
        (READ, {"headers": {"X-Tool": "a"}}, "methods"),
        ({**READ, "headers": {"X-Tool": "a"}}, {"headers": {"X-Other": "b"}}, "methods"),
        ({**READ, "hosts": ["a.example", "b.example"]}, {"hosts": ["b.example"]}, "methods"),
    ],
)
def test_routes_of_one_path_that_overlap(desk: Desk, first: dict[str, Any], second: dict[str, Any], by: str) -> None:
    routes = route("first", "/x", match=first), route("second", "/x", match=second)
    assert desk.lints(*routes) == [("overlapping-routes", "routes.1.match")]
    assert desk.lints(*routes[::-1]) == [("overlapping-routes", "routes.0.match")]
    assert desk.messages(*routes) == [f"takes what route first leaves, which goes first by its {by}"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (READ, WRITE),
        ({**READ, "headers": {"X-Tool": "a"}}, WRITE),
        ({**READ, "headers": {"X-Tool": "a"}}, {"headers": {"X-Tool": "b"}}),
        ({"headers": {"X-Tool": "a"}}, {"headers": {"X-Tool": "b"}}),
        ({**READ, "hosts": ["a.example"]}, {"hosts": ["b.example"]}),
        ({**READ, "hosts": ["a.example"]}, {"hosts": []}),
    ],
)
def test_routes_of_one_path_that_share_no_request(lints: Lints, first: dict[str, Any], second: dict[str, Any]) -> None:
    matches = [{key: value for key, value in match.items() if value} for match in (first, second)]
    assert lints(*(route(f"r{number}", "/x", match=match) for number, match in enumerate(matches))) == []


def test_paths_that_differ_share_nothing_by_methods(lints: Lints) -> None:
    assert lints(route("one", "/x", match=READ), route("two", "=/x"), route("three", "/x/y")) == []
