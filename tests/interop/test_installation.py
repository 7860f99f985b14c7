import hashlib
import os
import stat
from pathlib import Path

import pytest

from tests.interop import installation
from tests.interop.installation import Unavailable, find_java, installed, java_version


def make_java(home: Path, version: str) -> Path:
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "java").touch()
    (home / "release").write_text(f'IMPLEMENTOR="Nobody"\nJAVA_VERSION="{version}"\n')
    return home


def make_maven(folder: Path, script: str) -> None:
    """A Maven that does what this shell script says; ``$OUT`` is where it should put the file."""
    folder.mkdir()
    program = folder / "mvn"
    program.write_text(f'#!/bin/sh\nfor a; do case $a in -DoutputDirectory=*) OUT="${{a#*=}}";; esac; done\n{script}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize(("version", "feature"), [("25.0.3", 25), ("21", 21), ("1.8.0_402", 1), ("early-access", 0)])
def test_java_version_reads_the_feature_release(tmp_path: Path, version: str, feature: int) -> None:
    assert java_version(make_java(tmp_path / "java", version)) == feature


def test_a_folder_without_a_java_has_version_zero(tmp_path: Path) -> None:
    assert java_version(tmp_path) == 0
    home = make_java(tmp_path / "java", "25")
    (home / "release").unlink()
    assert java_version(home) == 0


def test_java_home_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(make_java(tmp_path / "java", "99.0.1")))
    assert find_java() == tmp_path / "java"


def test_what_is_too_old_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(make_java(tmp_path / "java", "20.0.1")))
    monkeypatch.setenv("PATH", "")
    make_java(tmp_path / "jvm" / "java-8", "1.8.0_402")
    newer = make_java(tmp_path / "jvm" / "java-21", "21.0.2")
    assert find_java(tmp_path / "jvm") == newer


def test_the_java_on_path_goes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    home = make_java(tmp_path / "java", "21")
    (home / "bin" / "java").chmod(0o755)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").symlink_to(home / "bin" / "java")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert find_java(tmp_path / "none") == home


def test_without_java_the_reason_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Unavailable, match="needs Java 21 or later"):
        find_java(tmp_path)


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
    home = tmp_path / "cache" / f"keycloak-{installation.VERSION}"
    home.mkdir(parents=True)
    assert installed(tmp_path / "cache") == installation.Installation(home, java)
