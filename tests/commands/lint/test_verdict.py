from typing import Any

import pytest

from sidecar.config.problems import ConfigError
from tests.commands.lint.conftest import Desk, route

ORDERS = route("orders", "/orders")
OPEN = route("open", "/open", exchange="none")
LONG: dict[str, Any] = {"cache": {"max_lifetime": "2h"}}


def test_findings_are_told_where_they_stand(desk: Desk) -> None:
    verdict = desk.verdict(OPEN, ORDERS, **LONG)
    lines = (desk.folder / "routes.yaml").read_text().splitlines()
    assert [lint.rule for lint in verdict.lints] == ["exchange-none", "long-lifetime"]
    for lint in verdict.lints:
        assert lines[lint.problem.line - 1][lint.problem.column - 1 :].startswith(lint.problem.path.rpartition(".")[2])
        assert lint.problem.file == str(desk.folder / "routes.yaml")
    assert verdict.accepted == 0


def test_an_accept_covers_all_findings_of_its_rule_in_its_place(desk: Desk) -> None:
    expect = {"audience": "any", "scope": "any", "subject": "any"}
    one = route("one", "/one", exchange={"audience": ["a"], "expect": expect})
    two = {**one, "name": "two", "match": {"path_prefix": "/two"}}
    verdict = desk.verdict({**one, "accept": {"expect-any": "an old server"}}, two)
    assert verdict.accepted == 2
    assert {lint.problem.path for lint in verdict.lints} == {
        "routes.1.exchange.expect",
        "routes.1.exchange.expect.subject",
    }
    assert desk.lints(ORDERS, **LONG, accept={"long-lifetime": "batch jobs"}) == []


def test_what_is_accepted_in_one_place_is_told_in_the_other(desk: Desk) -> None:
    upstream = {"url": "http://a.example", "allow_plain_http": True}
    plain = route("plain", "/plain", upstream=upstream)
    assert desk.lints(plain, accept={"plain-http": "the mesh encrypts"}) == [
        ("plain-http", "routes.0.upstream.allow_plain_http"),
        ("unused-accept", "accept.plain-http"),
    ]
    assert desk.lints({**plain, "accept": {"plain-http": "the mesh encrypts"}}) == []


def test_an_accept_of_nothing_is_told(desk: Desk) -> None:
    assert desk.lints({**ORDERS, "accept": {"no-target": "why"}}, accept={"unused": "why"}) == [
        ("unused-accept", "accept.unused"),
        ("unused-accept", "routes.0.accept.no-target"),
    ]


def test_what_is_not_looked_for_may_be_accepted_all_the_same(desk: Desk) -> None:
    accepting = {**ORDERS, "accept": {"unconfirmed-writes": "the desk confirms"}}
    assert desk.lints(accepting) == []
    desk.also = ("unconfirmed-writes",)
    assert (desk.lints(accepting), desk.verdict(accepting).accepted) == ([], 1)
    assert desk.lints({**accepting, "match": {"path": "/", "methods": ["GET"]}}) == [
        ("unused-accept", "routes.0.accept.unconfirmed-writes")
    ]


@pytest.mark.parametrize(
    ("place", "accept", "message"),
    [
        ("route", {"exchange-none": ""}, "should say why this is meant, in one line of text"),
        ("route", {"exchange-none": "  "}, "should say why this is meant, in one line of text"),
        ("route", {"exchange-none": None}, "is empty; should be text; quotes make it so"),
        ("route", {"unused": "about the file"}, "should be 'exchange-none', 'expect-any'"),
        ("route", {"unused-accept": "never"}, "should be 'exchange-none', 'expect-any'"),
        ("file", {"unused": "two\nlines"}, "should say why this is meant, in one line of text"),
        ("file", {"exchange-none": "about a route"}, "should be 'empty-glob', 'long-lifetime'"),
    ],
)
def test_an_accept_that_is_none(desk: Desk, place: str, accept: dict[str, Any], message: str) -> None:
    routes = [{**OPEN, "accept": accept}] if place == "route" else []
    sections = {"accept": accept} if place == "file" else {}
    with pytest.raises(ConfigError) as caught:
        desk.configuration(*routes, **sections)
    (problem,) = caught.value.problems
    assert problem.message.startswith(message)
    assert problem.path == ("routes.0.accept." if place == "route" else "accept.") + next(iter(accept))
