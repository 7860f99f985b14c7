"""Starts a program of this package as a process of its own, and ends it.

The tool server and the researcher need the MCP SDK; the process that runs the gateways does not import it.
"""

import asyncio
import importlib.util
import socket
import sys
from asyncio.subprocess import Process
from contextlib import AsyncExitStack
from typing import Final

from aiohttp import ClientSession

from sidecar.demo.caller import StageError, get
from sidecar.demo.example import LOOPBACK
from sidecar.demo.listening import CannotStart

ENDING: Final = 5.0  # seconds
STARTING: Final = 60.0  # seconds: the SDK is large, and machines are busy
_NEEDED: Final = ("mcp", "httpx2", "uvicorn")


def require_sdk() -> None:
    """CannotStart: the MCP SDK is not installed here."""
    if any(importlib.util.find_spec(name) is None for name in _NEEDED):
        raise CannotStart("This demo needs the MCP SDK: make demo-agents installs it, or pip install 'mcp>=2.3'")


async def start(stack: AsyncExitStack, module: str, *arguments: str) -> str:
    """Run a module of this package with a listening socket, for as long as the stack is open; return its URL.

    The socket listens from now on; who connects waits until the program is there.
    """
    with socket.create_server((LOOPBACK, 0)) as sock:
        descriptor = sock.fileno()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", f"sidecar.demo.agents.{module}", str(descriptor), *arguments, pass_fds=(descriptor,)
        )
        stack.push_async_callback(ended, process)
        return f"http://{LOOPBACK}:{sock.getsockname()[1]}"


async def ready(session: ClientSession, url: str) -> None:
    """Wait until a program answers. StageError: it does not in a minute."""
    ends = asyncio.get_running_loop().time() + STARTING
    while True:
        try:
            await get(session, url)
        except StageError:
            if asyncio.get_running_loop().time() >= ends:
                raise
        else:
            return


async def ended(process: Process) -> None:
    """Have a process end, by force where it does not by itself."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(ENDING):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
