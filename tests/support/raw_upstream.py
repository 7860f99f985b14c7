"""A server that does exactly what a test says, byte by byte: for everything a well-behaved server would not do.

A script is a coroutine function that gets each accepted connection as a ``Peer``. Every wait is bounded. What a script
raises (but for the client's hanging up on it) is raised again when the server is left.
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

BOUND = 5.0  # seconds for any single wait


class Peer:
    """One accepted connection, as the server sees it; ``number`` counts from 1 in the order of arrival."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.reader = reader
        self.writer = writer

    async def head(self) -> bytes:
        """Read one request head, with its empty line."""
        async with asyncio.timeout(BOUND):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def exactly(self, count: int) -> bytes:
        """Read so many bytes."""
        async with asyncio.timeout(BOUND):
            return await self.reader.readexactly(count)

    async def until(self, end: bytes) -> bytes:
        """Read up to and with these bytes."""
        async with asyncio.timeout(BOUND):
            return await self.reader.readuntil(end)

    async def rest(self) -> bytes:
        """Read until the client closes; a reset counts as closing."""
        received = bytearray()
        async with asyncio.timeout(BOUND):
            with suppress(ConnectionError):
                while piece := await self.reader.read(65536):
                    received += piece
        return bytes(received)

    async def send(self, data: bytes) -> None:
        """Write and wait until the kernel took it."""
        async with asyncio.timeout(BOUND):
            self.writer.write(data)
            await self.writer.drain()

    async def dribble(self, data: bytes, step: int = 1) -> None:
        """Write in pieces of ``step`` bytes, each in a segment of its own as far as loopback allows."""
        for at in range(0, len(data), step):
            await self.send(data[at : at + step])
            await asyncio.sleep(0)

    def close(self) -> None:
        """Close in an orderly way (FIN)."""
        self.writer.close()

    def cut(self) -> None:
        """Close the socket under whatever runs on it: over TLS, without a closing alert."""
        self.writer.transport.abort()

    def reset(self) -> None:
        """Close with an error (RST)."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Peer], Awaitable[Any]]


class RawUpstream:
    """Listens on a free loopback port, or on a unix socket, while its context lasts."""

    def __init__(self, script: Script, *, unix_path: str | None = None, tls: ssl.SSLContext | None = None) -> None:
        self._script = script
        self._unix_path = unix_path
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []
        self.accepted = 0
        self.port = 0

    async def __aenter__(self) -> Self:
        if self._unix_path is not None:
            self._server = await asyncio.start_unix_server(self._accept, self._unix_path, ssl=self._tls)
        else:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, ssl=self._tls)
            self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._server.wait_closed()
        await asyncio.sleep(0)  # sockets are closed in the loop's next turn
        if self._failures and error is None:
            raise self._failures[0]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            await self._script(Peer(self.accepted, reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        except BaseException as failure:  # noqa: BLE001  # it is the test's, not this task's
            self._failures.append(failure)
        finally:
            writer.transport.abort() if self._tls else writer.close()


def response(body: bytes = b"", *fields: bytes, status: bytes = b"200 OK") -> bytes:
    """Return a response with a length."""
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def answering(*responses: bytes) -> Script:
    """Return a script that answers the requests of each connection with these, one by one, then waits for its end."""

    async def script(peer: Peer) -> None:
        for each in responses:
            await peer.head()
            await peer.send(each)
        await peer.rest()

    return script
