import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.config.teams import include
from tests.config.conftest import put
from tests.config.teams.writing import Teams, route

BROKEN = """\
version: 1
gateway: {listen: '127.0.0.1:1'}
routes:
  - name: ${NAME}
    match: {hosts: [b.example.com], path: /a}
    upstream: {url: 'http://127.0.0.1:9000', tsl: {}}
    subject: {issuers: [crop]}
    exchange: {audience: [a-x], scope: [a.x]}
  - name: orders
    name: again
    match: {hosts: [a.example.com], path: '/a/{x}', path_prefix: /b}
    upstream: {url: 'http://127.0.0.1:9000'}
    exchange: {audience: [b-x], scope: [a.x]}
"""


@pytest.fixture
def teams(tmp_path: Path) -> Teams:
    made = Teams(tmp_path)
    made.include("a", route())
    return made


def test_a_file_is_read(teams: Teams) -> None:
    teams.text("a/routes.yaml", json.dumps({"version": 1, "routes": [route("x/y"), route("z")]}))
    assert teams.names() == ["orders", "a/x/y", "a/z"]
    teams.text("a/routes.yaml", "routes: []")
    assert teams.names() == ["orders"]


def test_every_mistake_is_told_in_its_place(teams: Teams) -> None:
    teams.text("a/broken.yaml", BROKEN)
    teams.text("a/routes.yaml", "routes: [{}]")
    teams.text("a/torn.yaml", "routes: [")
    begun = [line.split(": ")[:2] for line in teams.complaints()]
    assert begun == [
        ["a/broken.yaml:2:1", "gateway"],
        ["a/broken.yaml:4:11", "routes.0.name"],
        ["a/broken.yaml:5:21", "routes.0.match.hosts.0"],
        ["a/broken.yaml:6:46", "routes.0.upstream.tsl"],
        ["a/broken.yaml:7:25", "routes.0.subject.issuers.0"],
        ["a/broken.yaml:10:5", "routes.1.name"],
        ["a/broken.yaml:11:43", "routes.1.match.path"],
        ["a/broken.yaml:11:66", "routes.1.match.path_prefix"],
        ["a/broken.yaml:13:27", "routes.1.exchange.audience.0"],
        ["a/routes.yaml:1:10", "routes.0.exchange"],
        ["a/routes.yaml:1:10", "routes.0.match"],
        ["a/routes.yaml:1:10", "routes.0.match.hosts"],
        ["a/routes.yaml:1:10", "routes.0.name"],
        ["a/routes.yaml:1:10", "routes.0.upstream"],
        ["a/torn.yaml:2:1", "not YAML"],
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "1:1: the file is empty"),
        ("- routes", "1:1: should be a mapping with routes"),
        ("version: 1", "1:1: routes: missing"),
        ("routes:", "1:8: routes: should be a list of routes"),
        ("routes: {a: b}", "1:9: routes: should be a list of routes"),
        ("{version: true, routes: []}", "1:11: version: should be 1"),
        ("{version: '1', routes: []}", "1:11: version: should be 1"),
        ("{routes: [], include: []}", "1:14: include: team files hold routes and nothing else"),
        ("{routes: [], trusted_issuers: {}}", "1:14: trusted_issuers: team files hold routes and nothing else"),
    ],
)
def test_what_is_no_teams_file(teams: Teams, text: str, complaint: str) -> None:
    teams.text("a/routes.yaml", text)
    assert teams.complaints() == [f"a/routes.yaml:{complaint}"]


@pytest.mark.parametrize("path", ["name", "match.headers.X-T", "subject.require_claims.sub", "exchange.audience"])
@pytest.mark.parametrize("text", ["${HOME}", "a-$${x}", "a-${"])
def test_nothing_comes_from_the_environment(teams: Teams, path: str, text: str) -> None:
    changed: dict[str, Any] = route()
    put(changed, path, [text] if path == "exchange.audience" else text)
    teams.write("a", changed)
    (line,) = teams.complaints()
    assert line.endswith("team files take nothing from the environment: ${ has no place in them")


def test_no_file_that_it_names_is_looked_at(teams: Teams) -> None:
    """What is said would tell which files there are."""
    told = []
    for path in ("/etc/passwd", "/nonexistent"):
        teams.write("a", route(upstream={"url": "https://127.0.0.1:1", "tls": {"ca_file": path}}))
        told.append(teams.complaints())
    assert told[0] == told[1]
    assert any("only the platform's file may have this key" in line for line in told[0])


def test_names_are_unique_across_its_files(teams: Teams) -> None:
    teams.text("a/second.yaml", json.dumps({"routes": [route()]}))
    assert teams.complaints() == ["a/second.yaml:1:22: routes.0.name: another route has this name"]


def test_names_are_unique_beside_the_platforms(teams: Teams) -> None:
    teams.platform["routes"][0]["name"] = "a/orders"
    (line,) = teams.complaints()
    assert line.endswith("routes.0.name: a route of the platform's file has the name that this one gets")


def test_names_are_short_enough_with_the_includes_name(teams: Teams) -> None:
    teams.write("a", route("x" * 62))
    assert teams.complaints() == []
    teams.write("a", route("x" * 63))
    (line,) = teams.complaints()
    assert line.endswith("should be shorter; with the include's name before it, it has more than 64 characters")


def test_there_may_be_too_many_routes(teams: Teams, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(include, "MAX_ROUTES", 2)
    teams.write("a", *(route(name) for name in "xyz"))
    assert teams.complaints() == ["a/routes.yaml:1:1: more than 2 routes together"]


def test_the_platforms_listeners_are_for_all(teams: Teams) -> None:
    teams.platform["gateway"] = {"listeners": {"in": {"listen": "127.0.0.1:1"}, "out": {"listen": "127.0.0.1:2"}}}
    teams.platform["routes"][0]["listener"] = "in"
    (line,) = teams.complaints()
    assert line.endswith("routes.0.listener: missing; one of in, out")
    teams.write("a", route(listener="out"))
    assert teams.load().config.routes[1].listener == "out"
