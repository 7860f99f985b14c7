import os
from pathlib import Path

import pytest

from sidecar.config.teams import files as include_files
from sidecar.config.teams.files import UnreadableFilesError, find, read

PATTERN = "teams/a/*.yaml"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    directory = tmp_path / "[x]"  # what a pattern means is no matter of where it starts
    (directory / "teams/a").mkdir(parents=True)
    (directory / "teams/b").mkdir()
    return directory


def complaints(home: Path, *names: str, below: str | None = PATTERN) -> list[str]:
    sources, problems = read(names, home, "conf", below)
    assert not (sources and problems)
    return list(map(str, problems))


def test_files_are_found_in_order(home: Path) -> None:
    for name in ("teams/a/y.yaml", "teams/a/x.yaml", "teams/a/.hidden.yaml", "teams/a/x.yml", "teams/b/x.yaml"):
        (home / name).write_text(name)
    assert find(PATTERN, home) == ["teams/a/x.yaml", "teams/a/y.yaml"]
    assert find("teams/*/x.yaml", home) == ["teams/a/x.yaml", "teams/b/x.yaml"]
    assert find("**/y.yaml", home) == ["teams/a/y.yaml"]
    assert find(f"{home.parent}/[[]x]/teams/b/*", Path("/elsewhere")) == [f"{home}/teams/b/x.yaml"]
    sources, problems = read(find(PATTERN, home), home, "conf", PATTERN)
    assert [(source.name, source.data) for source in sources] == [
        ("conf/teams/a/x.yaml", b"teams/a/x.yaml"),
        ("conf/teams/a/y.yaml", b"teams/a/y.yaml"),
    ]
    assert problems == []
    assert "teams/a/x.yaml'" not in repr(sources[0]).replace(repr(sources[0].name), "")


@pytest.mark.parametrize("pattern", [PATTERN, "gone/*.yaml", "teams/a/x.yaml"])
def test_no_files_are_no_mistake(home: Path, pattern: str) -> None:
    assert find(pattern, home) == []


def test_a_directory_that_cant_be_looked_into_is_not_an_empty_one(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(os, "scandir", refuse)  # root may look everywhere
    with pytest.raises(UnreadableFilesError, match="the directory can't be looked into: Permission denied"):
        find(PATTERN, home)


def test_there_may_be_too_many(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(include_files, "MAX_FILES", 2)
    for number in range(3):
        (home / f"teams/a/{number}.yaml").touch()
    with pytest.raises(UnreadableFilesError, match="more than 2 files"):
        find(PATTERN, home)


def test_they_may_be_too_large_together(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(include_files, "MAX_BYTES", 10)
    for name in ("x", "y"):
        (home / f"teams/a/{name}.yaml").write_text("123456")
    sources, problems = read(find(PATTERN, home), home, "", PATTERN)
    assert [source.name for source in sources] == ["teams/a/x.yaml"]
    assert list(map(str, problems)) == ["teams/a/y.yaml:1:1: the files of an include are larger than 8 MiB together"]


def test_a_link_stays_in_its_directory(home: Path) -> None:
    (home / "secret.yaml").write_text("password: x")
    (home / "teams/b/x.yaml").write_text("routes: []")
    (home / "teams/a/..data").mkdir()
    (home / "teams/a/..data/x.yaml").write_text("routes: []")
    for name, goes_to in {"in": "..data/x.yaml", "up": "../../secret.yaml", "next": "../b/x.yaml"}.items():
        (home / f"teams/a/{name}.yaml").symlink_to(goes_to)
    assert complaints(home, "teams/a/in.yaml") == []
    for name in ("up", "next"):
        (line,) = complaints(home, f"teams/a/{name}.yaml")
        assert line == f"conf/teams/a/{name}.yaml:1:1: a symbolic link leads out of the include's directory"
    assert complaints(home, "teams/a/next.yaml", below="teams/*/*.yaml") == []
    assert complaints(home, "teams/a/up.yaml", below=None) == []


def test_only_ordinary_files_are_read(home: Path) -> None:
    os.mkfifo(home / "teams/a/pipe.yaml")  # would be waited for
    (home / "teams/a/dir.yaml").mkdir()
    (home / "teams/a/loop.yaml").symlink_to("loop.yaml")
    (home / "teams/a/broken.yaml").symlink_to("nothing")
    found = complaints(home, *find(PATTERN, home))
    assert [line.split(":")[0] for line in found] == [
        f"conf/teams/a/{n}.yaml" for n in ("broken", "dir", "loop", "pipe")
    ]
    assert found[0].endswith("there is no such file")
    assert found[1].endswith("is not a file")
    assert found[3].endswith("is not a file")
