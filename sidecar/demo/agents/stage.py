"""The stage of the agents' demo, on loopback: an authorization server, three gateways, two agents, tools and a desk.

Started and stopped here, in order; what is played on it is the story's. Everything that is written is in one temporary
folder, which goes when the stage does.
"""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Any, Final

from aiohttp import ClientSession

from sidecar.demo.agents.assistant import Assistant
from sidecar.demo.agents.cast import (
    ALICE,
    ASSISTANT,
    FRONT_DOOR,
    RESEARCHER,
    Secrets,
    authorization_server,
)
from sidecar.demo.agents.desk import Desk, open_desk
from sidecar.demo.agents.program import ready, require_sdk, start
from sidecar.demo.caller import Answer, HeldToken, client_credentials, get, new_session, post
from sidecar.demo.example import LOOPBACK
from sidecar.demo.folder import put_secret
from sidecar.demo.stage import open_gateway
from sidecar.sts.keys import SigningKeys
from sidecar.sts.server import serve

PATIENCE: Final = 5.0  # seconds for receipts to reach their files
TAMPERED: Final = "tampered.jsonl"
GATEWAYS: Final = Path(__file__).with_name("gateways")
#: In the order in which a request passes them.
HOPS: Final = (FRONT_DOOR, ASSISTANT, RESEARCHER)


@dataclass(frozen=True, slots=True)
class Stage:
    """All that the story needs: whom to ask, and what to look at. gateways: URLs, by name."""

    folder: Path
    gateways: Mapping[str, str]
    authorization_server: str
    tool_server: str
    desk: Desk
    _session: ClientSession = field(repr=False)
    _secrets: Secrets = field(repr=False)

    async def login(self, client_id: str) -> HeldToken:
        """Return a new token of alice, for the front door. StageError: there is none to be had."""
        return await client_credentials(
            self._session, f"{self.authorization_server}/token", client_id, self._secrets.of[client_id], FRONT_DOOR
        )

    async def ask(self, token: HeldToken, tool: str, arguments: Mapping[str, str]) -> tuple[str, Answer]:
        """Ask the assistant to have a tool used; return the request's id and the answer. StageError: no answer."""
        request_id = f"{tool}-{token_hex(4)}"
        trace = f"00-{token_hex(16)}-{token_hex(8)}-00"
        headers = {"X-Request-ID": request_id, "traceparent": trace}
        url = f"{self.gateways[FRONT_DOOR]}/assistant/tasks"
        return request_id, await post(self._session, url, token, {"tool": tool, "arguments": arguments}, headers)

    async def tools(self) -> Mapping[str, Any]:
        """Return what the tool server has: its documents, and how often a tool was called at all."""
        return (await get(self._session, f"{self.tool_server}/state")).members

    @property
    def receipts(self) -> tuple[str, ...]:
        """The files of the three gateways in the folder, in the order of the hops."""
        return tuple(f"{name}.jsonl" for name in HOPS)

    async def story(self, request_id: str) -> tuple[int, str]:
        """Return what ``sidecar receipts`` tells of a request, once it is on record everywhere or PATIENCE is over."""
        status, text = 1, ""
        try:
            async with asyncio.timeout(PATIENCE):
                while text.count("came by route") < len(HOPS):
                    status, text = await self.read_receipts(*self.receipts, "--story", request_id)
        except TimeoutError:
            pass  # what is missing is told by those who asked
        return status, text

    async def read_receipts(self, *arguments: str) -> tuple[int, str]:
        """Run ``sidecar receipts`` in the folder; return its exit status and what it printed."""
        command = (sys.executable, "-m", "sidecar", "receipts", *arguments)
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=self.folder)
        printed, _ = await process.communicate()
        return process.returncode or 0, printed.decode()

    def tampered(self) -> str:
        """Make a copy of the last gateway's receipts, change a word in its middle, and return its name."""
        lines = (self.folder / self.receipts[-1]).read_text().splitlines(keepends=True)
        middle = len(lines) // 2
        lines[middle] = lines[middle].replace(ALICE, "mallory")
        (self.folder / TAMPERED).write_text("".join(lines))
        return TAMPERED


@asynccontextmanager
async def open_stage(environ: Mapping[str, str] = os.environ) -> AsyncIterator[Stage]:
    """Set everything up on ports of the system's choice, for the length of the block.

    CannotStart: the MCP SDK is not installed, or a gateway's file is not one that it can run on.
    """
    require_sdk()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="sidecar-demo-")))
        session = await stack.enter_async_context(new_session())
        secrets = Secrets()
        for name, secret in secrets.of.items():
            put_secret(folder, f"{name}.secret", secret)

        sock = socket.create_server((LOOPBACK, 0))
        stack.callback(sock.close)
        issuer = f"http://{LOOPBACK}:{sock.getsockname()[1]}"
        server = authorization_server(issuer, secrets)
        keys = SigningKeys(server.algorithm, server.lifetime)
        runner = await serve(server, sock=sock, keys=keys, audit=lambda _: None)
        stack.push_async_callback(runner.cleanup)

        desk = await open_desk(stack, session)
        tools = await start(stack, "tool_server", issuer)
        assistant, own = Assistant(session), socket.create_server((LOOPBACK, 0))
        stack.callback(own.close)
        where = {
            "DEMO_DIR": str(folder),
            "DEMO_ISSUER": issuer,
            "DEMO_TOOLS": tools,
            "DEMO_APPROVER": desk.name,
            "DEMO_DESK": desk.url,
            "DEMO_OPA": desk.url,
            "DEMO_ASSISTANT": f"http://{LOOPBACK}:{own.getsockname()[1]}",
        }
        # From the last hop to the first: each has to know where the next one is.
        gateways: dict[str, str] = {}
        gateways[RESEARCHER] = await _gateway(RESEARCHER, {**environ, **where}, stack)
        where["DEMO_RESEARCHER"] = await start(stack, "researcher", gateways[RESEARCHER])
        gateways[ASSISTANT] = assistant.gateway = await _gateway(ASSISTANT, {**environ, **where}, stack)
        runner = await assistant.serve(own)
        stack.push_async_callback(runner.cleanup)
        gateways[FRONT_DOOR] = await _gateway(FRONT_DOOR, {**environ, **where}, stack)
        await asyncio.gather(ready(session, f"{tools}/state"), ready(session, f"{where['DEMO_RESEARCHER']}/ready"))
        yield Stage(folder, gateways, issuer, tools, desk, session, secrets)


async def _gateway(name: str, environ: Mapping[str, str], stack: AsyncExitStack) -> str:
    app = await open_gateway(GATEWAYS / f"{name}.yaml", environ, stack)
    return f"http://{LOOPBACK}:{app.addresses['default'].port}"
