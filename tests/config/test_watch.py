"""What counts as a change of a configuration's files, and when."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.config import watch
from tests.config.teams.writing import Teams, route

BOUND = 10.0


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "EVERY", 0.01)
    monkeypatch.setattr(watch, "SETTLED", 0.01)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "teams").mkdir()
    (tmp_path / "main.yaml").write_text("a: 1\n")
    (tmp_path / "teams" / "one.yaml").write_text("b: 1\n")
    return tmp_path


def in_place(folder: Path) -> None:
    (folder / "main.yaml").write_text("a: 2\n")


def same_time_and_size(folder: Path) -> None:
    path = folder / "main.yaml"
    before = path.stat()
    path.write_text("a: 2\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def rename(folder: Path) -> None:
    (folder / "next").write_text("a: 2\n")
    (folder / "next").rename(folder / "main.yaml")


def remove(folder: Path) -> None:
    (folder / "main.yaml").unlink()


def a_new_include(folder: Path) -> None:
    (folder / "teams" / "two.yaml").write_text("b: 1\n")


def an_include_less(folder: Path) -> None:
    (folder / "teams" / "one.yaml").unlink()


def another_include(folder: Path) -> None:
    (folder / "teams" / "one.yaml").rename(folder / "teams" / "two.yaml")


def an_include_in_place(folder: Path) -> None:
    (folder / "teams" / "one.yaml").write_text("b: 2\n")


def an_include_out_of_bounds(folder: Path) -> None:
    (folder / "teams" / "one.yaml").unlink()
    (folder / "teams" / "one.yaml").symlink_to(folder / "main.yaml")


def seen(folder: Path) -> watch.Contents:
    return watch.look(folder / "main.yaml", ["teams/*.yaml"])


CHANGES = [
    in_place,
    same_time_and_size,
    rename,
    remove,
    a_new_include,
    an_include_less,
    another_include,
    an_include_in_place,
    an_include_out_of_bounds,
]


@pytest.mark.parametrize("change", CHANGES)
async def test_every_change_is_seen(folder: Path, change: Callable[[Path], None]) -> None:
    before = seen(folder)
    assert seen(folder) == before
    waiting = asyncio.create_task(watch.changed(folder / "main.yaml", ["teams/*.yaml"], before))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    change(folder)
    async with asyncio.timeout(BOUND):
        await waiting
    assert seen(folder) != before


async def test_a_change_of_nothing_is_none(folder: Path) -> None:
    before = seen(folder)
    (folder / "main.yaml").write_text("a: 1\n")
    os.utime(folder / "main.yaml")
    (folder / "other.yaml").write_text("c: 1\n")
    assert seen(folder) == before


async def test_the_link_that_kubernetes_swaps(tmp_path: Path) -> None:
    for version in (1, 2):
        (tmp_path / f"..v{version}").mkdir()
        (tmp_path / f"..v{version}" / "main.yaml").write_text(f"a: {version}\n")
    (tmp_path / "..data").symlink_to("..v1")
    (tmp_path / "main.yaml").symlink_to("..data/main.yaml")
    before = watch.look(tmp_path / "main.yaml", ())
    (tmp_path / "..next").symlink_to("..v2")
    (tmp_path / "..next").rename(tmp_path / "..data")
    async with asyncio.timeout(BOUND):
        await watch.changed(tmp_path / "main.yaml", (), before)


async def test_a_change_counts_when_it_rests(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, now, looks = {"f": b"0"}, {"f": b"0"}, 0

    def look(path: object, patterns: object) -> watch.Contents:
        nonlocal looks, now
        looks += 1
        now = {"f": str(min(looks, 5)).encode()}
        return now

    monkeypatch.setattr(watch, "look", look)
    async with asyncio.timeout(BOUND):
        await watch.changed("f", (), before)
    assert looks == 6  # five different ones, and the last of them twice


async def test_a_change_that_is_taken_back_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([{"f": b"1"}, {"f": b"0"}, {"f": b"0"}, {"f": b"2"}, {"f": b"2"}])
    monkeypatch.setattr(watch, "look", lambda *_: next(looks))
    async with asyncio.timeout(BOUND):
        await watch.changed("f", (), {"f": b"0"})
    assert list(looks) == []


def test_a_load_has_seen_what_it_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    teams = Teams(tmp_path)
    teams.include("a", route())
    teams.load()
    path = tmp_path / "sidecar.yaml"
    monkeypatch.chdir(tmp_path.parent)
    for name in (path, Path(tmp_path.name) / "sidecar.yaml", f"./{tmp_path.name}/sidecar.yaml"):
        from sidecar.config.load import load

        known = watch.known(watch.look(name, ()), load(name, {}))
        assert known == watch.look(path, ["a/*.yaml"])


def test_a_load_has_not_seen_what_it_did_not_take(tmp_path: Path) -> None:
    teams = Teams(tmp_path)
    teams.include("a", route(), on_error="isolate")
    good = teams.load().includes
    teams.text("a/routes.yaml", "routes: 1\n")
    path = tmp_path / "sidecar.yaml"
    before = watch.look(path, ["a/*.yaml"])
    assert watch.known(before, teams.load(good)) == before  # not what it fell back to
    assert watch.known(watch.look(path, ()), teams.load(good)) != before


def test_a_folder_that_can_not_be_looked_into_is_told_apart(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = seen(folder)

    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    assert seen(folder) != before
    assert seen(folder) == seen(folder)
