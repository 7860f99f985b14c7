"""A forward proxy on loopback, as networks have them: CONNECT and absolute-form (RFC 9110 §9.3.6, RFC 9112 §3.2.2).

It keeps every byte that it could read. What is tunnelled through it is none of its business.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

PATIENCE = 5.0  # seconds; more than any test needs


@dataclass
class Proxy:
    """manner: what it does with a request: carry it out, refuse it with a 403, never answer, close the connection at
    once, or close it once the tunnel is promised.

    seen: all bytes of all connections, both ways. heads: the request lines, in order.
    """

    manner: Literal["carry", "refuse", "hang", "close", "cut"] = "carry"
    port: int = 0
    seen: bytearray = field(default_factory=bytearray)
    heads: list[str] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.seen += head
            self.heads.append(head.split(b"\r\n")[0].decode("ascii"))
            await self._answer(head, reader, writer)
        writer.close()

    async def _answer(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, target, _ = self.heads[-1].split(" ")
        match self.manner:
            case "refuse":
                writer.write(b"HTTP/1.1 403 canary-of-the-proxy\r\nContent-Length: 0\r\n\r\n")
            case "hang":
                await asyncio.sleep(PATIENCE)
            case "cut":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            case "carry":
                url = urlsplit(f"//{target}" if method == "CONNECT" else target)
                back, out = await asyncio.open_connection(url.hostname, url.port or 80)
                if method == "CONNECT":
                    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    out.write(head.replace(target.encode(), (url.path or "/").encode(), 1))
                try:
                    await asyncio.gather(self._pass(reader, out), self._pass(back, writer))
                finally:
                    out.close()

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while piece := await source.read(1 << 16):
            self.seen += piece
            sink.write(piece)
            await sink.drain()
        sink.close()


@asynccontextmanager
async def running_proxy() -> AsyncIterator[Proxy]:
    """Run a proxy for the length of the block."""
    proxy = Proxy()
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in list(proxy.tasks):
            task.cancel()
        await asyncio.gather(*proxy.tasks, return_exceptions=True)
        await asyncio.sleep(0)
