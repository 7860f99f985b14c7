from pathlib import Path

from sidecar.observe.metrics import Metrics
from sidecar.snapshot import build
from tests.config.teams.writing import Teams, route


def test_routes_of_includes_are_routes(tmp_path: Path) -> None:
    teams = Teams(tmp_path)
    teams.include("a", route())
    snapshot = build(teams.load(), Metrics("test"))
    made = snapshot.routes["a/orders"]
    assert (made.name, made.place) == ("a/orders", f"{tmp_path}/a/routes.yaml:1")
    assert snapshot.plans["a/orders"].route is made
    assert snapshot.pools.keys() == {"orders", "a/orders"}


def test_an_include_that_is_broken_has_no_routes(tmp_path: Path) -> None:
    teams = Teams(tmp_path)
    teams.include("a", route(match__hosts=["b.example.com"]), on_error="isolate")
    teams.include("b", route())
    assert build(teams.load(), Metrics("test")).routes.keys() == {"orders", "b/orders"}
