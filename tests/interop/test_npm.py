from pathlib import Path

import pytest

from tests.interop.installation import Unavailable
from tests.interop.npm import dependencies, node, node_version, packed


def program(path: Path, says: str, status: int = 0) -> Path:
    """A program that says one line."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\nexit {status}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("says", "status", "version"), [("v22.23.3", 0, 22), ("v18.20.4", 0, 18), ("v22.1.0", 1, 0), ("hello", 0, 0)]
)
def test_node_version(tmp_path: Path, says: str, status: int, version: int) -> None:
    assert node_version(program(tmp_path / "node", says, status)) == version


def test_what_is_not_there_has_version_zero(tmp_path: Path) -> None:
    assert node_version(tmp_path / "node") == 0


def test_a_node_that_is_new_enough_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = program(tmp_path / "bin" / "node", "v20.0.0")
    monkeypatch.setenv("PATH", f"{found.parent}:/bin")
    assert node(tmp_path / "cache") == found


def test_an_old_node_without_npm_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = program(tmp_path / "bin" / "node", "v18.20.4")
    monkeypatch.setenv("PATH", str(old.parent))
    with pytest.raises(Unavailable, match=r"Node|npm"):
        node(tmp_path / "cache")


def test_without_npm_nothing_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="npm is not here"):
        packed("something@1.0.0", "0" * 64, tmp_path / "cache")
    for name in ("package.json", "package-lock.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(Unavailable, match="npm is not here"):
        dependencies(tmp_path, tmp_path / "cache")


def test_another_package_than_the_pinned_one_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm = program(tmp_path / "bin" / "npm", "")
    npm.write_text("#!/bin/sh\necho other > something-1.0.0.tgz\n")
    monkeypatch.setenv("PATH", f"{npm.parent}:/bin:/usr/bin")
    with pytest.raises(RuntimeError, match="not what it was"):
        packed("something@1.0.0", "0" * 64, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.tgz"))


def test_npm_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm = program(tmp_path / "bin" / "npm", "no network", 1)
    monkeypatch.setenv("PATH", f"{npm.parent}:/bin:/usr/bin")
    with pytest.raises(Unavailable, match="npm can't fetch something"):
        packed("something@1.0.0", "0" * 64, tmp_path / "cache")
