"""A whole gateway in the test's own process: real sockets, a real file, an upstream that records every byte."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sidecar.app import App
from sidecar.config.load import load
from sidecar.config.problems import ConfigError

BOUND = 10.0  # seconds for any single wait


@dataclass(frozen=True, slots=True)
class Answer:
    """A response as it came: field names lower-case, in order; the body without its framing."""

    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes
    raw: bytes = field(repr=False)

    def value(self, name: str) -> str | None:
        """The one value of a field, None where there is none."""
        values = [value for key, value in self.fields if key == name]
        if len(values) > 1:
            raise AssertionError(f"{name} is there {len(values)} times")
        return values[0] if values else None

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def kind(self) -> str:
        """The kind of problem it tells."""
        return str(self.json()["type"]).rsplit(":", 1)[1]


@dataclass(slots=True)
class Seen:
    """One request as the upstream received it."""

    head: bytes
    body: bytes

    @property
    def line(self) -> bytes:
        """The request line."""
        return self.head.split(b"\r\n", 1)[0]

    def values(self, name: bytes) -> list[bytes]:
        """The values of all fields of this lower-case name."""
        lines = self.head.rstrip(b"\r\n").split(b"\r\n")[1:]
        pairs = (line.split(b": ", 1) for line in lines)
        return [value for key, value in pairs if key.lower() == name]


Respond = Callable[[Seen], bytes]


def ok(_: Seen) -> bytes:
    """Answer 200."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"


class Upstream:
    """Records every request it gets, and every byte."""

    def __init__(self, respond: Respond = ok) -> None:
        self.respond = respond
        self.seen: list[Seen] = []
        self.bytes = bytearray()
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def last(self) -> Seen:
        """The latest request."""
        return self.seen[-1]

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.bytes += head
                seen = Seen(head, await self._body(head, reader))
                self.seen.append(seen)
                writer.write(self.respond(seen))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _body(self, head: bytes, reader: asyncio.StreamReader) -> bytes:
        seen = Seen(head, b"")
        if lengths := seen.values(b"content-length"):
            body = await reader.readexactly(int(lengths[0]))
            self.bytes += body
            return body
        body = b""
        if seen.values(b"transfer-encoding"):
            while True:
                line = await reader.readuntil(b"\r\n")
                chunk = await reader.readexactly(int(line, 16) + 2)
                self.bytes += line + chunk
                body += chunk[:-2]
                if line == b"0\r\n":
                    break
        return body

    async def close(self) -> None:
        """End all connections."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def recording_upstream(respond: Respond = ok) -> AsyncIterator[Upstream]:
    """Run an upstream for the length of the block."""
    upstream = Upstream(respond)
    server = await asyncio.start_server(upstream.accept, "127.0.0.1", 0, limit=1 << 20, backlog=1024)
    upstream.port = server.sockets[0].getsockname()[1]
    try:
        yield upstream
    finally:
        server.close()
        await upstream.close()
        await server.wait_closed()
        await asyncio.sleep(0)


class RunningGateway:
    """A gateway that runs, as tests see it."""

    def __init__(self, app: App, folder: Path) -> None:
        self.app = app
        self.folder = folder

    def port(self, listener: str = "default") -> int:
        """The port of a listener, or of the admin listener (``admin``)."""
        return self.app.addresses[listener].port

    @property
    def receipts(self) -> bytes:
        """Everything the receipts file holds."""
        path = self.folder / "receipts.jsonl"
        return path.read_bytes() if path.exists() else b""

    async def receipt_lines(self) -> list[dict[str, Any]]:
        """All receipts so far."""
        await self.app._journal.receipts.flush(BOUND)
        return [json.loads(line) for line in self.receipts.splitlines()]

    async def metrics(self) -> str:
        """A scrape."""
        return (await ask(self.port("admin"), get("/metrics"))).body.decode()

    async def ask(self, request: bytes, listener: str = "default") -> Answer:
        """Send bytes on a connection of their own and return the final answer."""
        return await ask(self.port(listener), request)


@asynccontextmanager
async def running_gateway(folder: Path, text: str) -> AsyncIterator[RunningGateway]:
    """Run a gateway with this configuration; its listeners should name port 0, receipts go to a file in the folder."""
    path = folder / "routes.yaml"
    receipts = "" if "receipts:" in text else f"receipts: {{sink: {folder}/receipts.jsonl}}\n"
    admin = "" if "admin:" in text else "admin: {listen: '127.0.0.1:0'}\n"
    path.write_text(f"version: 1\n{admin}{receipts}{text}")
    try:
        app = App(load(path))
    except ConfigError as error:
        raise AssertionError(str(error)) from None
    try:
        await app.start()
        yield RunningGateway(app, folder)
    finally:
        await app.close()


def get(target: str = "/orders/1", *fields: bytes, token: str | None = None, method: str = "GET") -> bytes:
    """Return a request on a connection of its own."""
    lines = [f"{method} {target} HTTP/1.1".encode(), b"Host: api.example.com", b"Connection: close", *fields]
    if token is not None:
        lines.append(b"Authorization: Bearer " + token.encode())
    return b"\r\n".join(lines) + b"\r\n\r\n"


async def ask(port: int, request: bytes) -> Answer:
    """Send bytes on a connection of their own, and return the final answer; interim ones are skipped."""
    async with asyncio.timeout(BOUND):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(request)
            await writer.drain()
            return await read_answer(reader, head_only=request.startswith(b"HEAD"))
        finally:
            writer.close()


async def read_answer(reader: asyncio.StreamReader, *, head_only: bool = False) -> Answer:
    """Read one final response."""
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        if status >= 200:
            break
    lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")[1:]
    fields = tuple((name.lower(), value) for name, value in (line.split(": ", 1) for line in lines))
    named = dict(fields)
    raw, body = head, b""
    if head_only or status in (204, 304):
        pass
    elif "content-length" in named:
        body = await reader.readexactly(int(named["content-length"]))
        raw += body
    elif named.get("transfer-encoding") == "chunked":
        while True:
            line = await reader.readuntil(b"\r\n")
            chunk = await reader.readexactly(int(line, 16) + 2)
            raw += line + chunk
            body += chunk[:-2]
            if line == b"0\r\n":
                break
    else:
        body = await reader.read()
        raw += body
    return Answer(status, fields, body, raw)
