"""What a WebSocket message costs the gateway: a part of ``make bench``, or ``python -m tests.benchmarks.websocket``.

The gateway, an upstream that sends everything back and the callers are processes of their own; counted is the CPU time
of the gateway alone, both ways of a message together, and the memory of one more open WebSocket. Not a test: nothing is
asserted.
"""

import asyncio
import json
import multiprocessing
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.contenders import GATEWAY_CORE
from tests.benchmarks.meter import cpu_seconds, resident
from tests.benchmarks.stage import listens
from tests.support.process import free_port, running
from tests.support.websocket import BINARY, frame, handshake, read_head, switching

SIZES = {"128 B": 128, "4 KiB": 4 << 10, "64 KiB": 64 << 10, "1 MiB": 1 << 20}
CALLERS = 32
OPEN = 1_000

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo(asyncio.Protocol):
    """Switches, and sends back every byte."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.open = False

    def data_received(self, data: bytes) -> None:
        self.transport.write(data if self.open else switching(data))
        self.open = True


def serve(sock: socket.socket) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Echo, sock=sock, backlog=OPEN)
        await server.serve_forever()

    asyncio.run(run())


@contextmanager
def gateway(folder: Path, upstream: int) -> Iterator[tuple[int, int]]:
    """Run one, and yield its port and process id."""
    port = free_port()
    route = {
        "name": "sockets",
        "match": {"path_prefix": "/"},
        "upstream": {"url": f"http://127.0.0.1:{upstream}", "websocket": True, "max_connections": 2 * OPEN},
        "exchange": "none",
    }
    parts = {
        "version": 1,
        "gateway": {"listen": f"127.0.0.1:{port}"},
        "admin": {"listen": f"127.0.0.1:{free_port()}"},
        "receipts": {"sink": "none"},
        "routes": [route],
    }
    file = folder / "routes.yaml"
    file.write_text("".join(f"{key}: {json.dumps(part)}\n" for key, part in parts.items()), encoding="utf-8")
    argv = [
        "taskset",
        "-c",
        str(GATEWAY_CORE),
        sys.executable,
        "-m",
        "sidecar",
        "run",
        "-c",
        str(file),
        "--log-level",
        "WARNING",
    ]
    with running(argv, ready=lambda: listens(port), log=folder / "gateway.log") as process:
        yield port, process.pid


async def opened(port: int) -> Connection:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4 << 20)
    writer.write(handshake())
    await read_head(reader)
    return reader, writer


async def echo(port: int, pid: int, size: int, seconds: float) -> tuple[float, float]:
    """Return microseconds of CPU for a message there and back, and messages a second."""
    message = frame(BINARY, bytes(size), masked=True)
    connections = [await opened(port) for _ in range(CALLERS)]
    loop = asyncio.get_running_loop()
    until, count = loop.time() + seconds, 0

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        while loop.time() < until:
            writer.write(message)
            await reader.readexactly(len(message))
            count += 1

    before = cpu_seconds(pid)
    await asyncio.gather(*(one(*connection) for connection in connections))
    spent = cpu_seconds(pid) - before
    for _, writer in connections:
        writer.close()
    return spent / count * 1e6, count / seconds


async def held(port: int, pid: int) -> float:
    """Return the bytes that one more open WebSocket takes."""
    first = [await opened(port) for _ in range(CALLERS)]
    before = resident(pid)
    more = [await opened(port) for _ in range(OPEN)]
    taken = resident(pid) - before
    for _, writer in first + more:
        writer.close()
    return taken / OPEN


def measure(seconds: float) -> tuple[dict[str, dict[str, float]], float]:
    """Return what messages of each size cost there and back, and the KiB that an open WebSocket takes."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=OPEN)
    server = multiprocessing.get_context("fork").Process(target=serve, args=(listening,), daemon=True)
    server.start()
    costs: dict[str, dict[str, float]] = {}
    try:
        with tempfile.TemporaryDirectory() as folder, gateway(Path(folder), listening.getsockname()[1]) as (port, pid):
            for name, size in SIZES.items():
                cost, rate = asyncio.run(echo(port, pid, size, seconds))
                costs[name] = {"cpu_us": cost, "per_second": rate}
            return costs, asyncio.run(held(port, pid)) / 1024
    finally:
        server.terminate()
        server.join()
        listening.close()


def main() -> None:
    costs, held_open = measure(3.0)
    for name, each in costs.items():
        print(f"{name:>8} there and back: {each['cpu_us']:8.1f} µs of CPU, {each['per_second']:9,.0f} a second")
    print(f"{'open':>8}: {held_open:.1f} KiB each")


if __name__ == "__main__":
    main()
