import os
from pathlib import Path

import pytest

from sidecar.config.problems import ConfigError
from tests.config.teams.writing import Teams, route

BAD = route("bad", match__hosts=["b.example.com"])


@pytest.fixture
def teams(tmp_path: Path) -> Teams:
    return Teams(tmp_path)


def test_one_mistake_stops_everything(teams: Teams) -> None:
    teams.include("a", route(), BAD)
    teams.include("b", route(), path_prefixes=["/b"], on_error="isolate")
    found = teams.complaints()
    assert [line.split(":")[0] for line in found] == ["a/routes.yaml", "b/routes.yaml"]


def test_an_isolated_include_stops_itself_alone(teams: Teams) -> None:
    teams.include("a", route(), BAD, on_error="isolate")
    teams.include("b", route(), hosts=["b.example.com", "a.example.com"])
    loaded = teams.load()
    assert [each.name for each in loaded.config.routes] == ["orders", "b/orders"]
    broken, good = loaded.includes
    assert (broken.name, broken.sources) == ("a", ())
    assert [problem.path for problem in broken.problems] == ["routes.1.match.hosts.0"]
    assert (good.name, good.problems, len(good.sources)) == ("b", (), 1)
    assert loaded.place(("routes", 1)) == f"{teams.directory}/b/routes.yaml:1"


def test_what_the_server_does_not_take_stops_the_include_that_asks_for_it(teams: Teams) -> None:
    [server] = teams.platform["authorization_servers"].values()
    server["dialect"] = "wso2"  # which wants exactly one audience
    teams.include("a", route("two", exchange__audience=["a-x", "a-y"]), on_error="isolate")
    loaded = teams.load()
    assert [each.name for each in loaded.config.routes] == ["orders"]
    [problem] = loaded.includes[0].problems
    assert problem.path == "routes.0.exchange.audience"
    assert problem.message.startswith("the server wants exactly one audience; authorization_servers.corp.")


def test_it_keeps_its_last_good_files(teams: Teams) -> None:
    teams.include("a", route(), on_error="isolate")
    good = teams.load().includes
    teams.write("a", BAD)
    assert teams.names() == ["orders"]
    kept = teams.load(good)
    assert [each.name for each in kept.config.routes] == ["orders", "a/orders"]
    assert kept.includes[0].problems
    assert kept.includes[0].sources == good[0].sources
    assert teams.names(kept.includes) == ["orders", "a/orders"]  # and once more
    teams.write("a", route("new"))
    assert teams.names(kept.includes) == ["orders", "a/new"]


def test_last_good_files_are_judged_by_what_holds_now(teams: Teams) -> None:
    teams.include("a", route(), on_error="isolate")
    good = teams.load().includes
    teams.write("a", BAD)
    teams.platform["include"][0]["allow"]["scopes"] = []
    assert teams.names(good) == ["orders"]


def test_whoever_rejects_keeps_nothing(teams: Teams) -> None:
    teams.include("a", route())
    good = teams.load().includes
    teams.write("a", BAD)
    with pytest.raises(ConfigError):
        teams.load(good)


def test_a_route_of_the_platform_is_never_lost(teams: Teams) -> None:
    teams.platform["routes"][0]["match"] = {"path_prefix": "/a"}
    teams.include("a", route())
    told = "would take requests that the platform's route orders serves (sidecar.yaml:1)"
    assert teams.complaints() == [f"a/routes.yaml:1:41: routes.0.match: {told}"]
    teams.platform["include"][0]["on_error"] = "isolate"
    assert teams.names() == ["orders"]


def test_a_tie_in_one_house_is_its_own(teams: Teams) -> None:
    teams.include("a", route("x", match__path_prefix="/a"), route("y", match__path_prefix="/a"), on_error="isolate")
    teams.include("b", route("z", match__path_prefix="/a"))
    loaded = teams.load()
    assert [each.name for each in loaded.config.routes] == ["orders", "b/z"]
    assert len(loaded.includes[0].problems) == 1


def test_where_two_meet_both_are_told(teams: Teams) -> None:
    teams.include("a", route("x", match__path_prefix="/a"))
    teams.include("b", route("y"))
    assert teams.complaints() == [
        "a/routes.yaml:1:36: routes.0.match: takes requests that route b/y of another include takes (b/routes.yaml:1)",
        "b/routes.yaml:1:36: routes.0.match: takes requests that route a/x of another include takes (a/routes.yaml:1)",
    ]


@pytest.mark.parametrize(
    ("on_error", "serving"),
    [
        (("isolate", "isolate"), []),  # nobody can tell whose they are
        (("isolate", "reject"), ["b/x"]),
        (("reject", "isolate"), ["a/x"]),
    ],
)
def test_who_gives_way_at_the_start(teams: Teams, on_error: tuple[str, str], serving: list[str]) -> None:
    teams.include("a", route("x"), on_error=on_error[0])
    teams.include("b", route("x"), on_error=on_error[1])
    assert teams.names() == ["orders", *serving]


@pytest.mark.parametrize("newcomer", ["a", "b"])
def test_who_was_there_first_stays(teams: Teams, newcomer: str) -> None:
    teams.include("a", route("old"), on_error="isolate")
    teams.include("b", route("other"), on_error="isolate")
    good = teams.load().includes
    names = [each.name for each in teams.load().config.routes]
    teams.write(newcomer, route("thief", match__path_prefix="/a"))
    loaded = teams.load(good)
    assert [each.name for each in loaded.config.routes] == names  # the newcomer falls back to what was good
    assert [bool(included.problems) for included in loaded.includes] == [newcomer == "a", newcomer == "b"]


def test_who_was_there_first_stays_also_against_one_that_rejects(teams: Teams) -> None:
    teams.include("a", route("old"), on_error="isolate")
    teams.include("b", route("other"))
    good = teams.load().includes
    teams.write("b", route("thief", match__path_prefix="/a"))
    with pytest.raises(ConfigError, match="takes requests that route a/old"):
        teams.load(good)


def test_files_that_were_good_may_meet_by_what_the_platform_changed(teams: Teams) -> None:
    teams.include("a", route("x"), on_error="isolate")
    teams.include("b", route("x", match__hosts=["b.example.com"]), hosts=["b.example.com"], on_error="isolate")
    good = teams.load().includes
    teams.platform["routes"][0]["match"] = {"path_prefix": "/a"}
    loaded = teams.load(good)
    assert [each.name for each in loaded.config.routes] == ["orders"]
    assert all(included.problems and not included.sources for included in loaded.includes)


def test_a_directory_that_cant_be_read_is_the_platforms_mistake(teams: Teams, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, os.strerror(13))

    teams.include("a", route())
    monkeypatch.setattr(os, "scandir", refuse)
    (line,) = teams.complaints()
    assert line.startswith("sidecar.yaml:1:")
    assert line.endswith("include.0.files: the directory can't be looked into: Permission denied")
