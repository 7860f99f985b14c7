"""A decision point that speaks AuthZEN 1.0, as a process of its own; it does what a file says, and records every byte.

Run as ``python -m tests.support.desk PORT FOLDER``: ``FOLDER/does.json`` is read for every question, which goes to
``FOLDER/asked.jsonl`` with its head. Tests start it by ``running_desk``.
"""

import asyncio
import json
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

from aiohttp import web

from tests.support.process import free_port, running

PATH = "/access/v1/evaluation"


@dataclass(frozen=True, slots=True)
class Desk:
    """A running one, as tests see it."""

    url: str
    folder: Path

    def does(self, **what: Any) -> None:
        """Have it answer so from now on: ``status``, ``type``, ``body`` (JSON, or text), ``pause`` in seconds."""
        part = self.folder / "does.part"
        part.write_text(json.dumps(what))
        part.replace(self.folder / "does.json")

    def says(self, decision: bool, **context: Any) -> None:
        """Have it decide so from now on."""
        self.does(body={"decision": decision, **({"context": context} if context else {})})

    @property
    def recorded(self) -> bytes:
        """Every question with its head, as bytes."""
        log = self.folder / "asked.jsonl"
        return log.read_bytes() if log.exists() else b""

    @property
    def asked(self) -> list[Any]:
        """The questions' bodies, in order."""
        return [json.loads(line)["body"] for line in self.recorded.splitlines()]


@contextmanager
def running_desk(folder: Path) -> Iterator[Desk]:
    """Run one for the length of the block; it says yes until told otherwise."""
    folder.mkdir()
    port = free_port()
    desk = Desk(f"http://127.0.0.1:{port}", folder)
    desk.says(decision=True)

    def ready() -> bool:
        try:
            with urllib.request.urlopen(f"{desk.url}/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    argv = [sys.executable, "-m", "tests.support.desk", str(port), str(folder)]
    with running(argv, ready=ready, log=folder / "log"):
        yield desk


async def _evaluate(request: web.Request, folder: Path) -> web.Response:
    body = await request.json()
    with (folder / "asked.jsonl").open("a") as log:
        head = [
            f"{request.method} {request.raw_path}",
            *(f"{name}: {value}" for name, value in request.headers.items()),
        ]
        log.write(json.dumps({"head": head, "body": body}) + "\n")
    does = json.loads((folder / "does.json").read_text())
    await asyncio.sleep(does.get("pause", 0))
    answer = does.get("body", "")
    text = answer if isinstance(answer, str) else json.dumps(answer)
    return web.Response(status=does.get("status", 200), text=text, content_type=does.get("type", "application/json"))


def main(port: int, folder: Path) -> None:
    """Serve until stopped."""

    async def evaluate(request: web.Request) -> web.Response:
        return await _evaluate(request, folder)

    async def ready(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_post(PATH, evaluate)
    app.router.add_get("/ready", ready)
    web.run_app(app, host="127.0.0.1", port=port, print=None, shutdown_timeout=0.1)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
