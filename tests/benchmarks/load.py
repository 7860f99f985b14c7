"""Load, from the other core: wrk as fast as a gateway answers, and our own clients where wrk can't.

``closed`` keeps 32 connections busy. ``paced`` sends at a given rate whatever comes back (an open loop), so that a slow
answer delays no other. ``burst`` sends all at once, ``streams`` moves long bodies past a slow reader.
"""

import asyncio
import json
import random
import selectors
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.benchmarks import installed
from tests.benchmarks.meter import cpu_seconds
from tests.benchmarks.stage import LOAD_CORE, BenchmarkError

CONNECTIONS: Final = 32
PACED_CONNECTIONS: Final = 64
BOUND: Final = 120.0
SCRIPT: Final = Path(__file__).with_name("load.lua")
_PIECE: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of request. size: bytes of the answer, or of the request's body where it is an upload."""

    size: int
    upload: bool = False
    subjects: int = 1

    @property
    def path(self) -> str:
        """The target: what is answered has as many bytes as it says."""
        return "/orders/size/128" if self.upload else f"/orders/size/{self.size}"


@dataclass(frozen=True, slots=True)
class Rate:
    """What one run under full load came to."""

    requests: int
    seconds: float
    cpu: float

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU per request."""
        return self.cpu / self.requests * 1e6

    @property
    def per_second(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


def closed(port: int, pid: int, shape: Shape, subjects: Path, seconds: int) -> Rate:
    """Keep the connections busy for so long. BenchmarkError: not every answer was a success."""
    method, body = ("POST", shape.size) if shape.upload else ("GET", 0)
    argv = ["taskset", "-c", str(LOAD_CORE), installed.wrk(), "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s"]
    argv += ["-s", str(SCRIPT), f"http://127.0.0.1:{port}", "--", method, shape.path, str(body), str(subjects)]
    before = cpu_seconds(pid)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=BOUND, check=False)
    cpu = cpu_seconds(pid) - before
    try:
        told = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        raise BenchmarkError(f"wrk failed: {done.stderr.strip()}") from None
    if told["errors"] or not told["requests"]:
        raise BenchmarkError(f"{told['errors']} of {told['requests']} requests failed")
    return Rate(told["requests"], told["microseconds"] / 1e6, cpu)


def precise() -> asyncio.AbstractEventLoop:
    """Return a loop that wakes to the microsecond; the usual one rounds up to a millisecond, and sends in heaps."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


async def paced(port: int, token: str, rate: float, seconds: float) -> list[float]:
    """Send requests at random instants, ``rate`` a second on average; return how long each took, in seconds.

    Timed is from the instant at which it is to be sent; where all connections wait, that is before one is free. Needs a
    ``precise`` loop.
    """
    loop = asyncio.get_running_loop()
    chance = random.Random(20261121)
    request = _request("GET", "/orders/size/128", token)
    idle: asyncio.LifoQueue[_Client] = asyncio.LifoQueue()
    for _ in range(PACED_CONNECTIONS):
        idle.put_nowait(await _Client.connect(port))

    async def one() -> float:
        began = time.perf_counter()
        client = await idle.get()
        took = await client.ask(request) - began
        idle.put_nowait(client)
        return took

    sent: list[asyncio.Task[float]] = []
    due = time.perf_counter() + 0.1
    end = due + seconds
    while due < end:
        await asyncio.sleep(max(due - time.perf_counter(), 0))
        sent.append(loop.create_task(one()))
        due += chance.expovariate(rate)
    async with asyncio.timeout(BOUND):
        took = await asyncio.gather(*sent)
    while not idle.empty():
        idle.get_nowait().close()
    return took


async def burst(port: int, tokens: Sequence[str]) -> float:
    """Send one request with each token at the same moment, on connections made before; return the seconds it took."""
    clients = [await _Client.connect(port) for _ in tokens]
    requests = [_request("GET", "/orders/size/128", token) for token in tokens]
    began = time.perf_counter()
    async with asyncio.timeout(BOUND):
        await asyncio.gather(*(client.ask(request) for client, request in zip(clients, requests, strict=True)))
    took = time.perf_counter() - began
    for client in clients:
        client.close()
    return took


async def streams(port: int, token: str, count: int, size: int, *, upload: bool) -> None:
    """Move ``count`` bodies of ``size`` bytes at once; whoever reads an answer pauses first, so that it piles up."""
    async with asyncio.timeout(BOUND):
        await asyncio.gather(*((_upload if upload else _download)(port, token, size) for _ in range(count)))


async def seen(port: int, token: str) -> bytes:
    """Return the credential that the upstream was sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(BOUND):
            writer.write(_request("GET", "/seen", token))
            return await reader.readexactly(await _length(reader))
    finally:
        writer.close()


async def _upload(port: int, token: str, size: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(_request("POST", "/orders/size/128", token, size))
        for _ in range(size // _PIECE):
            writer.write(bytes(_PIECE))
            await writer.drain()
        await reader.readexactly(await _length(reader))
    finally:
        writer.close()


async def _download(port: int, token: str, size: int) -> None:
    # A small receive buffer: what is not read stays with the gateway, not with our kernel.
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=sock)
    try:
        writer.write(_request("GET", f"/orders/size/{size}", token))
        left = await _length(reader)
        await asyncio.sleep(1)
        while left:
            piece = await reader.read(_PIECE)
            if not piece:
                raise BenchmarkError("a download ended before its end")
            left -= len(piece)
    finally:
        writer.close()


async def _length(reader: asyncio.StreamReader) -> int:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if not head.startswith(b"http/1.1 200"):
        raise BenchmarkError(f"answered {head.split(b' ', 2)[1].decode()}")
    return int(head.partition(b"content-length: ")[2].split(b"\r\n", 1)[0])


def _request(method: str, path: str, token: str, length: int | None = None) -> bytes:
    framing = f"Content-Length: {length}\r\n" if length is not None else ""
    fields = f"Host: api.example.com\r\nAccept: */*\r\nAuthorization: Bearer {token}\r\n{framing}"
    return f"{method} {path} HTTP/1.1\r\n{fields}\r\n".encode()


class _Client(asyncio.Protocol):
    """One connection that asks for small answers, one after another."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._answer: asyncio.Future[float]
        self._got = b""

    @classmethod
    async def connect(cls, port: int) -> "_Client":
        _, protocol = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    async def ask(self, request: bytes) -> float:
        """Send, and return the instant at which the whole answer was there."""
        self._answer = asyncio.get_running_loop().create_future()
        self._got = b""
        self._transport.write(request)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, found, body = self._got.partition(b"\r\n\r\n")
        if not found:
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self._answer.set_exception(BenchmarkError(f"answered {head.split(b' ', 2)[1].decode()}"))
        elif len(body) >= int(head.lower().partition(b"content-length: ")[2].split(b"\r\n", 1)[0]):
            self._answer.set_result(time.perf_counter())

    def connection_lost(self, exc: Exception | None) -> None:
        if hasattr(self, "_answer") and not self._answer.done():
            self._answer.set_exception(BenchmarkError("a connection was closed before its answer"))

    def close(self) -> None:
        self._transport.close()
