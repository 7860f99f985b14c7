"""The official SDK of the Model Context Protocol in an environment of its own, and its two programs.

pip fetches it once, pinned by digests, into the checkout's ``.cache``; our own environment never sees it. What the
programs are asked is not known here.
"""

import asyncio
import fcntl
import hashlib
import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.interop.installation import CACHE, Unavailable
from tests.support.process import free_port, running

HERE: Final = Path(__file__).parent
REQUIREMENTS: Final = HERE.parents[1] / "requirements-agents.lock"  # the one that make demo-agents installs, too
FETCH_TIMEOUT: Final = 300.0
CALL_TIMEOUT: Final = 60.0


def installed(cache: Path = CACHE) -> Path:
    """Return a Python that has the SDK. Unavailable: pip can't fetch it."""
    lock = REQUIREMENTS.read_bytes()
    kept = cache / f"mcp-sdk-{hashlib.sha256(lock).hexdigest()[:16]}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "mcp-sdk.lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)  # each step of whoever holds it has a deadline
        if not kept.exists():
            with tempfile.TemporaryDirectory(prefix="mcp-sdk-", dir=cache) as directory:
                made = Path(directory, "packages")
                _install(made)
                made.rename(kept)
    return kept


def _install(folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    exactly = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--retries=1", "--timeout=15"]
    try:
        done = subprocess.run(
            [*pip, *exactly, f"--target={folder}", f"--requirement={REQUIREMENTS}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=FETCH_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable("pip does not fetch the MCP SDK in time") from None
    if done.returncode != 0:
        raise Unavailable("pip can't fetch the MCP SDK")


class SDK:
    """Its server, which runs, and its client, which may be run against any address."""

    def __init__(self, packages: Path, port: int) -> None:
        self._packages = packages
        self.port = port

    async def client(self, url: str, token: str, mode: str, *calls: tuple[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Run the client: connect, list the tools, make the calls. Returns what it tells; see ``agent``."""
        asked = {"url": url, "token": token, "mode": mode, "calls": calls}
        process = await asyncio.create_subprocess_exec(
            *_argv("agent.py"),
            env=_environment(self._packages),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(CALL_TIMEOUT):
                out, err = await process.communicate(json.dumps(asked).encode())
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            raise AssertionError(err.decode(errors="replace")[-2000:])
        told = json.loads(out)
        assert isinstance(told, dict)
        return told


@contextmanager
def running_sdk(packages: Path, folder: Path) -> Iterator[SDK]:
    """Run the server for the length of the block."""
    port = free_port()

    def ready() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    environment = _environment(packages)
    with running([*_argv("tools.py"), str(port)], ready=ready, log=folder / "tools.log", env=environment):
        yield SDK(packages, port)


def _argv(program: str) -> list[str]:
    return [sys.executable, str(HERE / program)]


def _environment(packages: Path) -> dict[str, str]:
    return {"PYTHONPATH": str(packages), "PYTHONDONTWRITEBYTECODE": "1"}
