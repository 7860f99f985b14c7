"""Plays a page as its reader would: writes its files, runs its commands in order, and compares what they say.

It happens in a folder of its own that looks like a checkout with its ``.venv``, with free ports for the page's, and
with nothing of our environment but where programs are. Commands share directory and variables, as in one terminal.
"""

import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.docs.pages import Block
from tests.support.process import free_ports, start, stop

#: The ports that pages use.
PORTS: Final = ("8080", "8090", "9000", "9090")
LIMIT: Final = 60.0  # seconds for one command, or until one that stays says what is expected


class Differs(Exception):
    """A page says something else than what happens; the message tells where, and what happened."""


def play(page: Sequence[Block], folder: Path) -> None:
    """Play a page's blocks in an empty folder. Differs: where it is not as the page says."""
    ports = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
    with ExitStack() as stack:
        reader = _Reader(folder, stack)
        for block in page:
            text = re.sub(r"\b\d{4}\b", lambda found: ports.get(found[0], found[0]), block.text)
            if block.mark == "file":
                reader.write(block.detail, text)
            elif block.mark == "run":
                reader.run(block, text)
            elif block.mark == "background":
                name, _, port = block.detail.partition(", ")
                reader.leave_running(name, int(ports[port]), text)
            elif block.mark.startswith("output"):
                reader.compare(block, text)


class _Reader:
    """Whoever reads the page, with one terminal for what ends and others for what stays."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._stack = stack
        self._own = folder / "reader"  # what a reader has in mind: variables, and where he is
        self._own.mkdir()
        self._place = folder / "checkout"
        self._place.mkdir()
        (self._place / ".venv").symlink_to(sys.prefix)
        self._variables = self._own / "variables"
        self._variables.touch()
        self._said = ""
        self._logs: dict[str, Path] = {}
        path = f"{sys.base_prefix}/bin:/usr/local/bin:/usr/bin:/bin"  # a reader's python3 may be none of the system's
        self._env = {"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8"}

    def write(self, name: str, text: str) -> None:
        """A file's first part makes it, every other is put to its end."""
        with (self._place / name).open("a", encoding="utf-8") as file:
            file.write(text)

    def run(self, block: Block, text: str) -> None:
        left = self._own / "place"
        script = (
            f"set -ea\n. {shlex.quote(str(self._variables))}\n"
            f"trap 'export -p > {shlex.quote(str(self._variables))}; pwd > {shlex.quote(str(left))}' EXIT\n{text}"
        )
        try:
            ended = subprocess.run(
                ["sh", "-c", script],
                cwd=self._place,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=LIMIT,
                text=True,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Differs(f"{block.place}: does not end") from None
        self._said = ended.stdout
        if ended.returncode != int(block.detail.removeprefix("exits with ") or 0):
            raise Differs(f"{block.place}: ended with {ended.returncode}\n{ended.stdout}")
        self._place = Path(left.read_text(encoding="utf-8").strip())

    def leave_running(self, name: str, port: int, text: str) -> None:
        log = self._logs[name] = self._own / f"{name}.log"
        argv = ["sh", "-c", f"cd {shlex.quote(str(self._place))}\nexec {text}"]
        process = start(argv, ready=lambda: _listens(port), log=log, env=self._env, deadline=LIMIT)
        self._stack.callback(stop, process, grace=0)  # nobody waits for a drain here

    def compare(self, block: Block, text: str) -> None:
        if block.mark == "output":
            if _pattern(text).fullmatch(_lines(self._said)) is None:
                raise Differs(f"{block.place}: said was\n{self._said}")
            return
        log, until = self._logs[block.detail], time.monotonic() + LIMIT
        while _pattern(text).search(said := _lines(log.read_text(encoding="utf-8"))) is None:
            if time.monotonic() > until:
                raise Differs(f"{block.place}: said was\n{said}")
            time.sleep(0.05)


def _pattern(shown: str) -> re.Pattern[str]:
    """What an output has to look like: ``…`` stands for anything in a line, alone for any lines."""
    lines = [
        r"(?:.*\n)*?" if line.strip() == "…" else ".*".join(map(re.escape, line.rstrip().split("…"))) + r"\n"
        for line in shown.strip("\n").splitlines()
    ]
    return re.compile(f"^{''.join(lines)}", re.MULTILINE)


def _lines(said: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in said.strip("\n").splitlines())


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
