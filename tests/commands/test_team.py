import argparse
import json
from pathlib import Path

import pytest

from sidecar.commands import check
from tests.config.teams.writing import Teams, route


@pytest.fixture
def teams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Teams:
    monkeypatch.chdir(tmp_path)
    made = Teams(tmp_path)
    made.include("a", route())
    made.load()
    return made


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    check.add(parser)
    return check.run(parser.parse_args(words))


def test_a_team_checks_its_files_with_what_is_published(teams: Teams, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-c", "sidecar.yaml", "--export-house", "a") == 0
    teams.text("house.json", capsys.readouterr().out)
    (teams.directory / "sidecar.yaml").unlink()
    as_team = ("--as-team", "a", "--house", "house.json", "a/routes.yaml")
    assert run(*as_team) == 0
    assert capsys.readouterr() == ("include a: 1 routes, no problems\n", "")
    teams.write("a", route(exchange__scope=["b.read"]))
    assert run(*as_team) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("a/routes.yaml:1:")
    assert "b.read is not among the scopes that include 'a' allows (house.json:" in err
    assert run(*as_team, "--format", "json") == 2
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert (problem["file"], problem["path"]) == ("a/routes.yaml", "routes.0.exchange.scope.0")


def test_a_team_learns_what_it_may_not_mean(teams: Teams, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-c", "sidecar.yaml", "--export-house", "a") == 0
    teams.text("house.json", capsys.readouterr().out)
    as_team = ("--as-team", "a", "--house", "house.json", "a/routes.yaml")
    inner = route("inner", match__path_prefix="/a/outer/x", exchange__audience=["a-inner"])
    teams.write("a", route("outer", subject={"max_age": "5m"}), inner, route("open", exchange="none"))
    assert run(*as_team) == 1
    told = [line.partition(": ")[2] for line in capsys.readouterr().out.splitlines()]
    assert told == [
        "routes.1.subject.max_age: asks less than route a/outer, which is around it [nested-policy]",
        "routes.2.exchange: lets requests through that carry no token [exchange-none]",
        "3 routes, 2 to look at",
    ]
    teams.write("a", route("orders", accept={"unconfirmed-writes": "drafts"}), route("others", match__methods=["PUT"]))
    assert run(*as_team) == 0  # neither servers nor issuers are judged, of which a team knows nothing
    assert run(*as_team, "--also", "unconfirmed-writes") == 1
    told = capsys.readouterr().out.splitlines()[1:]
    assert told[0].endswith("after any old login [unconfirmed-writes]")
    assert told[1:] == ["include a: 2 routes, 1 to look at, 1 accepted"]


def test_a_house_is_published_whatever_teams_wrote(teams: Teams, capsys: pytest.CaptureFixture[str]) -> None:
    teams.text("a/routes.yaml", "torn: [")
    assert run("-c", "sidecar.yaml", "--export-house", "a") == 0
    assert json.loads(capsys.readouterr().out)["include"]["name"] == "a"


def test_no_house_of_that_name(teams: Teams, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-c", "sidecar.yaml", "--export-house", "b") == 2
    assert run("-c", "gone.yaml", "--export-house", "a") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "sidecar.yaml:1:1: include: no include of the name that was asked for",
        "gone.yaml:1:1: there is no such file",
    ]


def test_the_platforms_check_tells_of_isolated_includes_too(teams: Teams, capsys: pytest.CaptureFixture[str]) -> None:
    teams.platform["include"][0]["on_error"] = "isolate"
    teams.write("a", route(exchange__scope=["b.read"]))
    teams.load()
    assert run("-c", "sidecar.yaml") == 2
    assert "b.read is not among the scopes that include 'a' allows (sidecar.yaml:1)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("-c sidecar.yaml a/routes.yaml", "FILES and --house go with --as-team"),
        ("-c sidecar.yaml --house house.json", "FILES and --house go with --as-team"),
        ("--as-team a a/routes.yaml", "--as-team needs --house and at least one file"),
        ("--as-team a --house house.json", "--as-team needs --house and at least one file"),
        ("--as-team a --house house.json a/routes.yaml --export-house a", "--export-house goes with -c"),
    ],
)
def test_what_does_not_go_together(
    teams: Teams, capsys: pytest.CaptureFixture[str], words: str, complaint: str
) -> None:
    assert run(*words.split()) == 2
    assert capsys.readouterr() == ("", f"sidecar check: {complaint}\n")


def test_something_is_checked(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == 2
    assert "one of the arguments -c/--config --as-team is required" in capsys.readouterr().err
