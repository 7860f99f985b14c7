"""``sidecar run`` as others start it: a process with listeners, a log on stderr, and an exit status."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.gateway import BOUND


class Process:
    """``sidecar run`` as others start it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.errors: list[str] = []

    async def ready(self) -> dict[str, int]:
        """The ports of its listeners, once it is ready."""
        listeners: dict[str, str] = (await self.says("ready"))["listeners"]
        return {name: int(address.rpartition(":")[2]) for name, address in listeners.items()}

    async def says(self, message: str) -> dict[str, Any]:
        """The next line of its log whose message begins so."""
        assert self.process.stderr is not None
        async with asyncio.timeout(2 * BOUND):
            while line := (await self.process.stderr.readline()).decode():
                self.errors.append(line)
                if line.startswith("{") and json.loads(line)["message"].startswith(message):
                    found: dict[str, Any] = json.loads(line)
                    return found
        raise AssertionError("".join(self.errors))

    async def ended(self) -> tuple[int, str]:
        """Its exit status, and everything it said on stderr."""
        async with asyncio.timeout(2 * BOUND):
            _, errors = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, "".join(self.errors) + errors.decode()

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)


@asynccontextmanager
async def running(folder: Path, text: str, files: int | None = None) -> AsyncIterator[Process]:
    """Run it, and kill it where a test leaves it running. files: how many it may have open."""
    path = folder / "routes.yaml"
    path.write_text(f"version: 1\nadmin: {{listen: '127.0.0.1:0'}}\nreceipts: {{sink: none}}\n{text}")
    limit = ("sh", "-c", f'ulimit -n {files} && exec "$@"', "sh") if files is not None else ()
    process = await asyncio.create_subprocess_exec(
        *(*limit, sys.executable, "-m", "sidecar", "run", "-c", str(path)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Process(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
