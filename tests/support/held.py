"""Connections that stay open, and an upstream that answers when it is told to: for tests of how a gateway goes down."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress

from tests.support.gateway import BOUND, Answer, read_answer

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def exchange(connection: Connection, request: bytes) -> Answer:
    """One request on a connection that may stay open."""
    reader, writer = connection
    async with asyncio.timeout(BOUND):
        writer.write(request)
        await writer.drain()
        return await read_answer(reader)


async def once(opening: Awaitable[Connection], request: bytes) -> Answer:
    """One request on a connection of its own, however that is opened."""
    async with asyncio.timeout(BOUND):
        connection = await opening
    try:
        return await exchange(connection, request)
    finally:
        connection[1].close()


def keep(target: str = "/orders/1") -> bytes:
    """A request on a connection that is to stay open."""
    return f"GET {target} HTTP/1.1\r\nHost: api.example.com\r\n\r\n".encode()


async def ended(connection: Connection) -> bool:
    """Whether the other side closes the connection."""
    async with asyncio.timeout(BOUND):
        with suppress(ConnectionError):
            return await connection[0].read() == b""
    return True


class Held:
    """An upstream that answers when it is told to."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()
        self.answer = asyncio.Event()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                self.arrived.set()
                await asyncio.wait_for(self.answer.wait(), 2 * BOUND)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
                await writer.drain()
        writer.close()


@asynccontextmanager
async def held_upstream() -> AsyncIterator[Held]:
    """Run one."""
    held = Held()
    server = await asyncio.start_server(held.serve, "127.0.0.1", 0)
    held.port = server.sockets[0].getsockname()[1]
    try:
        yield held
    finally:
        held.answer.set()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0)


async def under_way(held: Held, port: int) -> tuple[Connection, asyncio.Task[Answer]]:
    """A request that has arrived upstream."""
    connection = await asyncio.open_connection("127.0.0.1", port)
    running = asyncio.create_task(exchange(connection, keep()))
    async with asyncio.timeout(BOUND):
        await held.arrived.wait()
    return connection, running


async def refused(port: int) -> bool:
    """Whether nobody listens any more, now or soon."""
    async with asyncio.timeout(BOUND):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                return True
            writer.close()
            await asyncio.sleep(0.01)
