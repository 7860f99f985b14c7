import hashlib
import os
import stat
from pathlib import Path

import pytest

from tests.interop import installation
from tests.interop.installation import Unavailable, installed
from tests.interop.test_java import make_java


def make_maven(folder: Path, script: str) -> None:
    """A Maven that does what this shell script says; ``$OUT`` is where it should put the file."""
    folder.mkdir()
    program = folder / "mvn"
    program.write_text(f'#!/bin/sh\nfor a; do case $a in -DoutputDirectory=*) OUT="${{a#*=}}";; esac; done\n{script}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def test_without_maven_the_reason_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(make_java(tmp_path / "java", "25")))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="Maven"):
        installed(tmp_path / "cache")


def test_what_maven_says_is_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(make_java(tmp_path / "java", "25")))
    make_maven(tmp_path / "bin", "echo '[INFO] here'; echo '[ERROR] no route to anywhere'; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with pytest.raises(Unavailable, match="no route to anywhere"):
        installed(tmp_path / "cache")


def test_another_file_than_the_known_one_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(make_java(tmp_path / "java", "25")))
    make_maven(tmp_path / "bin", 'printf forged > "$OUT/keycloak.zip"')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with pytest.raises(RuntimeError, match=hashlib.sha256(b"forged").hexdigest()):
        installed(tmp_path / "cache")
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["keycloak.lock"]


def test_what_was_made_before_is_used_without_maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = make_java(tmp_path / "java", "25")
    monkeypatch.setenv("JAVA_HOME", str(java))
    monkeypatch.setenv("PATH", str(tmp_path))
    home = tmp_path / "cache" / installation.NAME
    home.mkdir(parents=True)
    assert installed(tmp_path / "cache") == installation.Installation(home, java)


def test_without_java_the_reason_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_maven(tmp_path / "bin", "exit 1")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(installation, "find_java", lambda: None)
    monkeypatch.setattr(installation, "fetched_java", lambda cache: None)
    with pytest.raises(Unavailable, match="needs Java 21 or later"):
        installed(tmp_path / "cache")


def test_a_fetched_java_is_the_last_resort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    home = cache / installation.NAME
    home.mkdir(parents=True)
    monkeypatch.setattr(installation, "find_java", lambda: None)
    monkeypatch.setattr(installation, "fetched_java", lambda cache: cache / "java")
    assert installed(cache) == installation.Installation(home, cache / "java")
