"""The page about adding a client authentication is right: its changes apply to a copy of the code, and work there."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, read
from tests.support.canary import Canary, search
from tests.support.scripted import scripted_server
from tests.support.sts import running_sts

PAGE = read(ROOT / "docs" / "adding-client-authentication.md")
CHANGES = [block for block in PAGE if block.language == "diff"]
BOUND = 120.0


class Misfit(Exception):
    """A change is not to the code as it is."""


def changed(text: str, change: str) -> str:
    """Apply one change: the lines that stay and go have to be there once, one after another."""
    lines = change.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] in " -")
    if text.count(before) != 1:
        raise Misfit(f"is there {text.count(before)} times:\n{before}")
    return text.replace(before, "".join(line[1:] for line in lines if line[0] in " +"))


def changes(diff: str) -> Iterator[tuple[str, str]]:
    """Yield the changes of a diff, each with the file it is to."""
    _, *parts = re.split(r"^--- (\S+)\n\+\+\+ \1\n", diff, flags=re.MULTILINE)
    for name, part in zip(parts[::2], parts[1::2], strict=True):
        yield from ((name, change) for change in re.split("^@@\n", part, flags=re.MULTILINE)[1:])


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code with all changes of the page."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("sidecar", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for block in CHANGES:
        for name, change in changes(block.text):
            file = folder / name
            file.write_text(changed(file.read_text(encoding="utf-8"), change), encoding="utf-8")
    return folder


def python(copy: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *words], cwd=copy, env=environ, capture_output=True, text=True, timeout=BOUND, check=False
    )


def test_there_are_changes() -> None:
    assert len(CHANGES) == 5
    assert len(list(changes("".join(block.text for block in CHANGES)))) == 9


def test_its_own_tests_and_those_of_every_method_pass(copy: Path) -> None:
    tests = ("tests/oauth/client_auth/test_simple.py", "tests/snapshot/test_client_auth.py")
    done = python(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
    assert done.returncode == 0, done.stdout[-3000:]
    where = python(copy, "-c", "import sidecar; print(sidecar.__file__)").stdout
    assert Path(where.strip()).is_relative_to(copy)


def test_types_and_style_are_right(copy: Path) -> None:
    files = [name for block in CHANGES for name, _ in changes(block.text)]
    for words in (("check",), ("format", "--check")):
        done = python(copy, "-m", "ruff", *words, "--no-cache", *files)
        assert done.returncode == 0, done.stdout


async def test_a_gateway_authenticates_by_it(copy: Path, tmp_path: Path) -> None:
    text = next(block.text for block in PAGE if block.mark == "file")
    key = Canary.fresh("api-key")
    (tmp_path / "api.key").write_text(key.text)
    async with running_sts() as sts, scripted_server() as server:
        (tmp_path / "token").write_text(sts.mint())
        text = text.replace("TOKEN_ENDPOINT", f"http://127.0.0.1:{server.port}/token").replace("ISSUER", sts.issuer)
        (tmp_path / "routes.yaml").write_text(text)
        words = ("exchange", "-c", str(tmp_path / "routes.yaml"), "--route", "orders")
        done = await asyncio.to_thread(
            python, copy, "-m", "sidecar", *words, "--subject-token-file", str(tmp_path / "token")
        )
        assert done.returncode == 0, done.stderr
        (asked,) = server.asked
        assert b"\r\nX-API-Key: " + key.text.encode() + b"\r\n" in asked.head
        assert asked.form["client_id"] == "gateway"
        assert search((done.stdout + done.stderr).encode(), key) == []


@pytest.mark.parametrize("change", [" not there\n+x\n", " import ssl\n-import sys\n", " \n+x\n"])
def test_a_change_that_does_not_fit_fails(change: str) -> None:
    text = (ROOT / "sidecar/oauth/client_auth/simple.py").read_text(encoding="utf-8")
    with pytest.raises(Misfit):
        changed(text, change)
