"""The image: what is in it, that it runs, and that it comes out the same every time."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sidecar
from tests.deploy.image import DOCKERFILE, Image, instructions

pytestmark = pytest.mark.interop


def test_it_runs_with_nothing_around_it(built: Image) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can enter the image's root")
    argv = [shutil.which("chroot") or "/usr/sbin/chroot", str(built.root), *built.entrypoint, "--version"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, env={})
    assert (done.returncode, done.stdout.strip()) == (0, f"sidecar {sidecar.__version__}"), done.stderr


def test_there_is_no_shell_and_no_other_program(built: Image) -> None:
    programs = [
        path.relative_to(built.root)
        for path in built.root.rglob("*")
        if path.is_file() and not path.is_symlink() and path.stat().st_mode & 0o111 and ".so" not in path.suffixes
    ]
    assert [path.name for path in programs if not path.name.startswith("python")] == []
    assert len(programs) == 1


def test_nothing_in_it_can_be_written_or_gives_rights(built: Image) -> None:
    assert [path for path in built.root.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o7022] == []


def test_it_comes_out_the_same_again(built: Image, tmp_path: Path) -> None:
    site = built.root.parent / "site"
    assemble = DOCKERFILE.with_name("assemble.py")
    python = str(built.root.parent / "python" / "bin" / "python")
    again = subprocess.run(
        [python, str(assemble), str(site), str(tmp_path / "root")],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
        env={**os.environ, "SOURCE_DATE_EPOCH": "0"},
    )
    assert again.stdout.strip() == built.digest


def test_no_development_package_is_in_it(built: Image) -> None:
    (packages,) = built.root.rglob("site-packages")
    there = {path.name.partition("-")[0].lower() for path in packages.glob("*.dist-info")}
    assert {"token_exchange_sidecar", "aiohttp"} <= there
    assert there.isdisjoint({"pip", "setuptools", "hatchling", "pytest", "mypy", "ruff"})


def test_all_byte_code_is_there_and_trusted_without_a_time(built: Image) -> None:
    """The root is read-only: what is not compiled now is compiled at every start."""
    (package,) = (path for path in built.root.rglob("site-packages/sidecar") if path.is_dir())
    modules = list(package.rglob("*.py"))
    for module in modules:
        (compiled,) = (module.parent / "__pycache__").glob(f"{module.stem}.*.pyc")
        assert compiled.read_bytes()[4:8] == b"\x01\x00\x00\x00", module  # hash-based, unchecked (PEP 552)
    assert modules


def test_the_file_says_the_version_and_a_numeric_user(built: Image) -> None:
    said = dict(instructions())
    assert f'"{sidecar.__version__}"' in f'"{said["ARG"].partition("=")[2]}"'
    assert built.user == "65532:65532"
    assert built.command[:2] == ("run", "-c")


def test_a_library_that_is_missing_is_said(tmp_path: Path) -> None:
    """Nothing half is left for an image: the step fails."""
    bad = tmp_path / "site"
    bad.mkdir()
    (bad / "x.so").write_text("no library")
    done = subprocess.run(
        [sys.executable, str(DOCKERFILE.with_name("assemble.py")), str(bad), str(tmp_path / "root")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode != 0
