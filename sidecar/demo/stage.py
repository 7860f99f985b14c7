"""The stage: the authorization server, the orders service and the gateway itself, in one process, on loopback.

Started and stopped here, in order; what is played on it is the story's. Everything that is written is in one temporary
folder, which goes when the stage does.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from aiohttp import ClientSession

from sidecar.app import App, StartError
from sidecar.config.load import load
from sidecar.config.problems import ConfigError
from sidecar.demo.caller import Caller, get, new_session
from sidecar.demo.cast import ALICE_CLIENT, Secrets, authorization_server
from sidecar.demo.example import FILE_PORTS, LOOPBACK, NAME, Ports, with_ports
from sidecar.demo.folder import AgentToken, put_secrets
from sidecar.demo.listening import CannotStart, listen
from sidecar.demo.orders import Orders
from sidecar.sts.audit import AuditLine
from sidecar.sts.keys import SigningKeys
from sidecar.sts.server import serve

PATIENCE: Final = 2.0  # seconds for receipts to reach their file
LOOK_EVERY: Final = 0.02  # seconds

_TOKEN_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"


@dataclass(slots=True)
class Tally:
    """What the authorization server was asked for. exchanges: granted or not."""

    exchanges: int = 0

    def count(self, line: AuditLine) -> None:
        """Take note of one decision."""
        self.exchanges += line.grant == _TOKEN_EXCHANGE


@dataclass(frozen=True, slots=True)
class Stage:
    """All that a story needs: whom to ask, and what to look at.

    gateway, admin, authorization_server, orders_service: their URLs. file: what the gateway runs on, and receipts_file
    what it writes.
    """

    folder: Path
    file: Path
    receipts_file: Path
    gateway: str
    admin: str
    authorization_server: str
    orders_service: str
    alice: Caller
    orders: Orders
    tally: Tally
    _session: ClientSession = field(repr=False)

    async def receipts(self, count: int) -> list[dict[str, Any]]:
        """Return all receipts, once there are ``count`` of them or two seconds have passed."""
        lines: list[str] = []
        try:
            async with asyncio.timeout(PATIENCE):
                while len(lines := self._receipt_lines()) < count:  # noqa: ASYNC110  # a file gives no other sign
                    await asyncio.sleep(LOOK_EVERY)
        except TimeoutError:
            pass  # what is missing is told by those who asked
        return [json.loads(line) for line in lines]

    async def metrics(self) -> list[str]:
        """Scrape the admin listener, and return its lines. StageError: it does not answer."""
        return (await get(self._session, f"{self.admin}/metrics")).text.splitlines()

    def _receipt_lines(self) -> list[str]:
        # What follows the last line feed is still being written.
        return self.receipts_file.read_text().rpartition("\n")[0].splitlines()


@asynccontextmanager
async def open_stage(example: Path, ports: Ports, environ: Mapping[str, str] = os.environ) -> AsyncIterator[Stage]:
    """Set everything up, for the length of the block.

    example: the gateway's file. ports: where they are not the file's, the gateway runs on a copy with these.
    CannotStart: a port is taken, or the file is not one that the gateway can run on.
    """
    async with AsyncExitStack() as stack:
        listening = listen(ports)
        stack.callback(listening.close)
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="sidecar-demo-")))
        session = await stack.enter_async_context(new_session())
        secrets, tally = Secrets(), Tally()
        put_secrets(folder, secrets)

        server = authorization_server(f"http://{LOOPBACK}:{listening.ports.authorization_server}", secrets)
        keys = SigningKeys(server.algorithm, server.lifetime)
        runner = await serve(server, sock=listening.authorization_server, keys=keys, audit=tally.count)
        stack.push_async_callback(runner.cleanup)
        orders = Orders(keys.verification)
        runner = await orders.serve(listening.orders)
        stack.push_async_callback(runner.cleanup)

        agent = AgentToken(folder, session, server, secrets)
        await agent.renew()
        renewing = asyncio.create_task(agent.keep())
        stack.callback(renewing.cancel)

        file = example if ports == FILE_PORTS else _copied(example, folder, listening.ports)
        app = await open_gateway(file, {**environ, "DEMO_DIR": str(folder)}, stack)
        gateway, admin = (f"http://{LOOPBACK}:{app.addresses[name].port}" for name in ("default", "admin"))
        caller = Caller(
            session,
            client_id=ALICE_CLIENT,
            secret=secrets.alice,
            token_endpoint=server.token_endpoint,
            gateway=gateway,
        )
        yield Stage(
            folder=folder,
            file=file,
            receipts_file=Path(app.config.receipts.sink),
            gateway=gateway,
            admin=admin,
            authorization_server=server.issuer,
            orders_service=f"http://{LOOPBACK}:{listening.ports.orders}",
            alice=caller,
            orders=orders,
            tally=tally,
            _session=session,
        )


def _copied(example: Path, folder: Path, ports: Ports) -> Path:
    copy = folder / NAME
    copy.write_text(with_ports(example.read_text("utf-8"), ports), "utf-8")
    return copy


async def open_gateway(file: Path, environ: Mapping[str, str], stack: AsyncExitStack) -> App:
    """Start a gateway as ``sidecar run`` does, and have it closed with the stack. CannotStart: the file, or a port."""
    try:
        app = App(load(file, environ))
        stack.push_async_callback(app.close)
        await app.start()
    except (ConfigError, StartError) as error:
        raise CannotStart(str(error)) from None
    return app
