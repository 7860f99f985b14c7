import json
from pathlib import Path

import pytest

from sidecar.config.problems import ConfigError
from sidecar.config.teams.published import check_as_team, publish
from tests.config.teams.writing import Teams, route


@pytest.fixture
def teams(tmp_path: Path) -> Teams:
    made = Teams(tmp_path)
    made.text("secret", "s3cret")
    made.platform["workload_tokens"] = {"s3cret": {"file": "secret", "type": "jwt"}}
    made.platform["authorization_servers"]["corp"]["extra_params"] = {"x": "s3cret"}
    made.include("a", route(), hosts=["a.example.com", "*.a.example.com"])
    made.include("b", route("s3cret", match__hosts=["b.example.com"]), hosts=["b.example.com"])
    made.text("house.json", publish(made.load().config, "a"))
    return made


def complaints(teams: Teams, *files: str, house: str = "house.json", name: str = "a") -> list[str]:
    start = f"{teams.directory}/"
    with pytest.raises(ConfigError) as refused:
        check_as_team(name, start + house, [start + file for file in files])
    return str(refused.value).replace(start, "").splitlines()


def test_what_is_published(teams: Teams) -> None:
    text = (teams.directory / "house.json").read_text()
    assert json.loads(text) == {
        "version": 1,
        "include": {
            "name": "a",
            "allow": {
                "hosts": ["a.example.com", "*.a.example.com"],
                "path_prefixes": ["/a"],
                "authorization_servers": ["corp"],
                "audiences": ["a-*"],
                "scopes": ["a.*"],
                "upstreams": ["http://127.0.0.1:*"],
            },
        },
        "listeners": ["default"],
        "trusted_issuers": ["corp"],
        "authorization_servers": ["corp"],
    }
    assert "s3cret" not in text
    with pytest.raises(KeyError):
        publish(teams.load().config, "c")


def test_good_files(teams: Teams) -> None:
    teams.text("a/second.yaml", json.dumps({"routes": [route("x"), route("y")]}))
    files = [f"{teams.directory}/a/{name}.yaml" for name in ("routes", "second")]
    loaded = check_as_team("a", f"{teams.directory}/house.json", files)
    assert [route.name for route in loaded.config.routes] == ["a/orders", "a/x", "a/y"]
    assert loaded.place(("routes", 2)) == f"{files[1]}:1"
    section = loaded.config.routes[0]
    assert (loaded.config.listener_of(section), loaded.config.issuers_of(section)) == ("default", ("corp",))


def test_a_teams_mistakes_are_those_that_the_platform_would_tell(teams: Teams) -> None:
    teams.write(
        "a",
        route("x", match__hosts=["b.example.com"], listener="defualt"),
        route("y", exchange__audience=["b"], subject={"issuers": ["crop"]}, upstream__tls={"ca_file": "/etc/passwd"}),
        route("y"),
    )
    by_team, by_platform = complaints(teams, "a/routes.yaml"), teams.complaints()
    assert [line.split(" (")[0] for line in by_team] == [line.split(" (")[0] for line in by_platform]
    assert "house.json:6" in by_team[0] + by_team[1]


def test_routes_of_the_team_may_tie(teams: Teams) -> None:
    teams.write("a", route("x", match__path_prefix="/a"), route("y", match__path_prefix="/a"))
    (line,) = complaints(teams, "a/routes.yaml")
    assert line.endswith("and neither goes first")


def test_where_there_are_several_listeners_each_route_names_one(teams: Teams) -> None:
    content = json.loads((teams.directory / "house.json").read_text())
    teams.text("house.json", json.dumps({**content, "listeners": ["in", "out"]}))
    (line,) = complaints(teams, "a/routes.yaml")
    assert line.endswith("routes.0.listener: missing; one of in, out")


@pytest.mark.parametrize("text", ["", "{}", "[]", "version: 1", '{"version": 1, "include": {}, "listeners": ["x"]}'])
def test_what_was_never_published(teams: Teams, text: str) -> None:
    teams.text("other.json", text)
    assert complaints(teams, "a/routes.yaml", house="other.json")[0].startswith("other.json:1:1: ")


def test_what_was_published_for_somebody_else(teams: Teams) -> None:
    (line,) = complaints(teams, "a/routes.yaml", name="b")
    assert line == "house.json:4:13: include.name: this was published for another include"


def test_files_that_are_not_there(teams: Teams) -> None:
    assert complaints(teams, "a/gone.yaml") == ["a/gone.yaml:1:1: there is no such file"]
    assert complaints(teams, "a/routes.yaml", house="gone.json") == ["gone.json:1:1: there is no such file"]
