"""The desk: somebody who says yes or no to what agents want to do, as a decision point that the gateway asks.

Open Policy Agent with ``approve.rego`` where there is one, a small service that speaks AuthZEN 1.0 otherwise. What was
said yes to is put in from outside, by ``approve``, as a person at a desk would.
"""

import asyncio
import os
import shutil
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from subprocess import DEVNULL
from typing import Any, Final, Protocol

from aiohttp import ClientError, ClientSession, web

from sidecar.demo.agents.cast import ALICE
from sidecar.demo.agents.program import ended
from sidecar.demo.caller import StageError
from sidecar.demo.example import LOOPBACK
from sidecar.demo.service import serve

POLICY: Final = Path(__file__).with_name("gateways") / "approve.rego"
#: Names a program to use for OPA, where it is not on the PATH; empty: none is used.
OPA_VARIABLE: Final = "DEMO_OPA_PROGRAM"
STARTING: Final = 20.0  # seconds for OPA to be ready


class Desk(Protocol):
    """Who is asked. name: of the approver in the gateway's file. url: where it is. told: what it is, in words."""

    name: str
    url: str
    told: str

    async def approve(self, path: str) -> None:
        """Say yes to the deletion of one document. StageError: nobody takes it down."""
        ...


class AuthZENDesk:
    """Answers ``POST /access/v1/evaluation`` (AuthZEN 1.0, Access Evaluation)."""

    name = "desk"
    told = "speaks AuthZEN; opa on the PATH would be used"

    def __init__(self) -> None:
        self._approved: set[str] = set()
        self.url = ""

    async def approve(self, path: str) -> None:
        """Say yes to the deletion of one document."""
        self._approved.add(path)

    async def serve(self, stack: AsyncExitStack) -> None:
        """Start, for as long as the stack is open."""
        sock = socket.create_server((LOOPBACK, 0))
        self.url = f"http://{LOOPBACK}:{sock.getsockname()[1]}"
        app = web.Application()
        app.router.add_post("/access/v1/evaluation", self._answer)
        stack.push_async_callback((await serve(app, sock)).cleanup)

    async def _answer(self, request: web.Request) -> web.Response:
        asked: dict[str, Any] = await request.json()
        properties = asked["action"].get("properties", {})
        good = (
            asked["subject"]["id"] == ALICE
            and properties.get("tool") == "delete_document"
            and properties.get("arguments", {}).get("path") in self._approved
        )
        said = "someone" if good else "nobody"
        return web.json_response(
            {"decision": good, "context": {"reason": f"{said} at the desk said yes to this document"}}
        )


class OPADesk:
    """A process of Open Policy Agent on the policy beside this module."""

    name = "opa"
    told = "Open Policy Agent, on approve.rego"

    def __init__(self, program: str, session: ClientSession) -> None:
        self._program = program
        self._session = session
        self._approved: dict[str, bool] = {}
        self.url = ""

    async def approve(self, path: str) -> None:
        """Put the yes where the policy finds it. StageError: OPA does not take it."""
        self._approved[path] = True
        try:
            async with self._session.put(f"{self.url}/v1/data/desk/approved", json=self._approved) as response:
                taken = response.status == 204
        except (ClientError, TimeoutError):
            taken = False
        if not taken:
            raise StageError("OPA does not take what the desk says")

    async def serve(self, stack: AsyncExitStack) -> None:
        """Start, for as long as the stack is open. StageError: it does not come up."""
        with socket.create_server((LOOPBACK, 0)) as sock:
            address = f"{LOOPBACK}:{sock.getsockname()[1]}"
        self.url = f"http://{address}"
        process = await asyncio.create_subprocess_exec(
            self._program, "run", "--server", "--addr", address, "--disable-telemetry", "--log-level", "error",
            str(POLICY), stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL,
        )  # fmt: skip
        stack.push_async_callback(ended, process)
        try:
            async with asyncio.timeout(STARTING):
                while process.returncode is None and not await self._healthy():  # noqa: ASYNC110  # it gives no other sign
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pass
        if not await self._healthy():
            raise StageError("OPA does not start")

    async def _healthy(self) -> bool:
        try:
            async with self._session.get(f"{self.url}/health") as response:
                return response.status == 200
        except (ClientError, TimeoutError):
            return False


async def open_desk(stack: AsyncExitStack, session: ClientSession) -> Desk:
    """Start whoever is there, for as long as the stack is open. StageError: OPA is there and does not start."""
    program = os.environ.get(OPA_VARIABLE, shutil.which("opa"))
    desk = OPADesk(program, session) if program else AuthZENDesk()
    await desk.serve(stack)
    return desk
