"""The page about Keycloak, played from its first command to its last with a real one."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Block, read
from tests.docs.play import play
from tests.interop.keycloak import Keycloak

pytestmark = pytest.mark.interop

SHOWN_SERVER = "https://login.example.com"


def played(keycloak: Keycloak, folder: Path) -> list[Block]:
    """The page's blocks, each command to be run, at this server; before them what a reader has in the terminal.

    folder: for ``kcadm.sh``, which is not executable as it was unpacked.
    """
    page = [
        replace(
            block,
            text=block.text.replace(SHOWN_SERVER, keycloak.url),
            mark="run" if block.mark == "not run" else block.mark,
            detail="" if block.mark == "not run" else block.detail,
        )
        for block in read(ROOT / "docs" / "keycloak.md")
    ]
    terminal = keycloak.administrators_terminal()
    command = folder / "kcadm.sh"
    command.write_text('#!/bin/sh\nexec bash "$KEYCLOAK_BIN/kcadm.sh" "$@"\n', encoding="utf-8")
    command.chmod(0o700)
    variables = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in terminal.items())
    return [Block("the terminal", "sh", f"{variables}export PATH={shlex.quote(str(folder))}:$PATH\n", "run"), *page]


def test_every_step_does_what_it_says(keycloak: Keycloak, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    page = played(keycloak, tmp_path / "bin")
    assert [block.mark for block in page].count("run") >= 6
    (tmp_path / "reader").mkdir()
    play(page, tmp_path / "reader")
