from pathlib import Path

from sidecar.observe.metrics import Metrics
from sidecar.snapshot import build
from tests.config.teams.writing import Teams, route


def sample(metrics: Metrics, include: str) -> str:
    name = f'token_sidecar_config_include_successful{{include="{include}"}} '
    lines = [line.removeprefix(name) for line in metrics.render()[0].decode().splitlines() if line.startswith(name)]
    return lines[0] if lines else ""


def test_routes_of_includes_are_routes(tmp_path: Path) -> None:
    teams = Teams(tmp_path)
    teams.include("a", route())
    snapshot = build(teams.load(), Metrics("test"))
    made = snapshot.routes["a/orders"]
    assert (made.name, made.place) == ("a/orders", f"{tmp_path}/a/routes.yaml:1")
    assert snapshot.plans["a/orders"].route is made
    assert snapshot.pools.keys() == {"orders", "a/orders"}
    assert snapshot.include_problems == ()


def test_each_include_is_told_of(tmp_path: Path) -> None:
    teams, metrics = Teams(tmp_path), Metrics("test")
    teams.include("a", route(match__hosts=["b.example.com"]), on_error="isolate")
    teams.include("b", route())
    snapshot = build(teams.load(), metrics)
    assert snapshot.routes.keys() == {"orders", "b/orders"}
    (line,) = snapshot.include_problems
    assert line.startswith(f"{tmp_path}/a/routes.yaml:1:")
    assert (sample(metrics, "a"), sample(metrics, "b")) == ("0.0", "1.0")
    del teams.platform["include"][1]
    teams.write("a", route())
    build(teams.load(), metrics)
    assert (sample(metrics, "a"), sample(metrics, "b")) == ("1.0", "")
