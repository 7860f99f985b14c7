import os
from pathlib import Path
from typing import Any

import pytest

from sidecar.config.apart import load_apart
from tests.config.teams.writing import Teams, route

# Other tests may have left idle threads, which newer Pythons warn about; the gateway itself forks before it has any.


@pytest.fixture
def teams(tmp_path: Path) -> Teams:
    return Teams(tmp_path)


def test_routes_of_includes_follow_the_files_own(teams: Teams) -> None:
    teams.include("b", route("x", match__hosts=["b.example.com"]), hosts=["b.example.com"])
    teams.include("a", route("x"), route("y"))
    loaded = teams.load()
    assert [each.name for each in loaded.config.routes] == ["orders", "b/x", "a/x", "a/y"]
    assert [Path(loaded.place(("routes", n))).parent.name for n in (1, 2, 3)] == ["b", "a", "a"]
    assert loaded.problem(("routes", 3, "name"), "why").path == "routes.1.name"


def test_a_file_may_hold_includes_alone(teams: Teams) -> None:
    teams.include("a", route())
    teams.platform["routes"] = []
    assert teams.names() == ["a/orders"]
    del teams.platform["routes"]
    assert teams.names() == ["a/orders"]


@pytest.mark.parametrize("include", [[], None])
def test_without_includes_it_needs_routes(teams: Teams, include: Any) -> None:
    teams.platform |= {"include": include, "routes": []}
    assert "sidecar.yaml:1:" in teams.complaints()[-1]
    assert any(line.endswith("routes: should have at least 1 entry") for line in teams.complaints())
    del teams.platform["routes"]
    assert any(": routes: missing; " in line for line in teams.complaints())


def test_a_pattern_that_names_no_file_is_no_mistake(teams: Teams) -> None:
    teams.include("a")
    teams.platform["include"][0]["files"] = "gone/*.yaml"
    assert teams.names() == ["orders"]
    assert teams.load().includes[0].problems == ()


def test_includes_have_names_of_their_own_and_allow_what_is_defined(teams: Teams) -> None:
    teams.include("a", route())
    teams.include("a", authorization_servers=["corp", "crop"])
    teams.include("c", upstreams=["*"], hostz=[])
    found = [line.split(": ", 1)[1] for line in teams.complaints()]
    assert found[0] == "include.1.name: another include has this name"
    assert "include.1.allow.authorization_servers.1: no authorization server of this name is defined" in found[1]
    assert found[2].startswith("include.2.allow.upstreams.0: should be")
    assert found[3] == "include.2.allow.hostz: unknown key; did you mean 'hosts'?"


def test_the_platforms_own_include_may_take_from_the_environment(teams: Teams) -> None:
    teams.include("a", route(), hosts=["${HOST}"])
    teams.text("sidecar.yaml", "")
    assert teams.complaints()[0].endswith("the environment has no variable HOST")


async def test_it_passes_from_another_process(teams: Teams) -> None:
    teams.include("a", route(), on_error="isolate")
    teams.include("b", route("x", match__hosts=["z"]), on_error="isolate")
    loaded = teams.load()
    file = teams.directory / "sidecar.yaml"
    apart = await load_apart(file)
    assert apart.config == loaded.config
    assert apart.files == loaded.files
    assert apart.includes == loaded.includes
    assert [bool(included.problems) for included in apart.includes] == [False, True]


def test_files_are_named_as_the_command_line_names_the_configuration(
    teams: Teams, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sidecar.config.load import load

    teams.include("a", route())
    teams.load()
    monkeypatch.chdir(teams.directory.parent)
    for path in (f"{teams.directory.name}/sidecar.yaml", f"./{teams.directory.name}/sidecar.yaml"):
        assert load(path).place(("routes", 1)) == f"{os.path.dirname(path)}/a/routes.yaml:1"
    monkeypatch.chdir(teams.directory)
    assert load("sidecar.yaml").place(("routes", 1)) == "a/routes.yaml:1"
