"""CPU per small request on the way out: our pool beside aiohttp's ClientSession, against one loopback server.

``python -m tests.benchmarks.upstream [requests]``. The server is a process of its own, so that only the client's time
is counted; both clients take turns, and the medians and their ratio are printed. Not a test: nothing is asserted.
"""

import asyncio
import multiprocessing
import socket
import statistics
import sys
import time

import aiohttp

from sidecar.model.route import Upstream
from sidecar.upstream.pool import Pool
from sidecar.wire.fields import serialize_head

BODY = b'{"orders": [1, 2, 3], "next": null}'
FIELDS = (
    (b"Content-Type", b"application/json"),
    (b"Date", b"Sat, 21 Nov 2026 07:45:00 GMT"),
    (b"Server", b"benchmark"),
    (b"Cache-Control", b"no-store"),
    (b"X-Request-ID", b"0123456789abcdef0123456789abcdef"),
    (b"Vary", b"Accept-Encoding"),
)
REQUEST_FIELDS = (
    (b"Host", b"127.0.0.1"),
    (b"User-Agent", b"benchmark"),
    (b"Accept", b"*/*"),
    (b"Authorization", b"Bearer " + b"t" * 600),
    (b"X-Request-ID", b"0123456789abcdef0123456789abcdef"),
)
SIZES = {"small reply": len(BODY), "64 KiB reply": 64 * 1024, "1 MiB reply": 1024 * 1024}
WORKERS = 16
ROUNDS = 5


class Server(asyncio.Protocol):
    """Answers every head it sees with the number of bytes that its path names."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.replies: dict[bytes, bytes] = {}

    def data_received(self, data: bytes) -> None:
        for head in data.split(b"\r\n\r\n")[:-1]:
            size = head.split(b" ", 2)[1][1:]
            reply = self.replies.get(size)
            if reply is None:
                length = (b"Content-Length", size)
                body = (BODY * (int(size) // len(BODY) + 1))[: int(size)]
                reply = self.replies[size] = serialize_head(b"HTTP/1.1 200 OK", (*FIELDS, length)) + body
            self.transport.write(reply)


def serve(sock: socket.socket) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Server, sock=sock)
        await server.serve_forever()

    asyncio.run(run())


async def ours(port: int, size: int, requests: int) -> float:
    pool = Pool(
        Upstream(
            host="127.0.0.1", port=port, unix_path=None, base_path=b"", host_header=b"", tls=None, strip_prefix=b""
        )
    )

    async def worker(count: int) -> None:
        for _ in range(count):
            head = serialize_head(b"GET /%d HTTP/1.1" % size, REQUEST_FIELDS)
            response = await pool.request(head, method="GET")
            while await response.read():
                pass

    spent = await measured([worker(requests // WORKERS) for _ in range(WORKERS)], requests)
    await pool.close()
    return spent


async def theirs(port: int, size: int, requests: int) -> float:
    headers = [(name.decode(), value.decode()) for name, value in REQUEST_FIELDS]
    connector = aiohttp.TCPConnector(limit=1024)
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    ) as session:

        async def worker(count: int) -> None:
            for _ in range(count):
                async with session.get(
                    f"http://127.0.0.1:{port}/{size}", headers=headers, allow_redirects=False
                ) as response:
                    while await response.content.readany():
                        pass

        return await measured([worker(requests // WORKERS) for _ in range(WORKERS)], requests)


async def measured(workers: list, requests: int) -> float:  # type: ignore[type-arg]
    started = time.process_time()
    await asyncio.gather(*workers)
    return (time.process_time() - started) / requests * 1e6


def main() -> None:
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    listening = socket.create_server(("127.0.0.1", 0))
    server = multiprocessing.get_context("fork").Process(target=serve, args=(listening,), daemon=True)
    server.start()
    port = listening.getsockname()[1]
    try:
        for name, size in SIZES.items():
            count = max(160, requests if size < 1000 else requests // (size // 16384))
            figures: dict[str, list[float]] = {"ours": [], "theirs": []}
            for _ in range(ROUNDS):
                figures["ours"].append(asyncio.run(ours(port, size, count)))
                figures["theirs"].append(asyncio.run(theirs(port, size, count)))
            a, b = (statistics.median(figures[who]) for who in ("ours", "theirs"))
            print(f"{name:>13}: {a:7.1f} µs of CPU, ClientSession {b:7.1f} µs, ratio {b / a:.1f}")
    finally:
        server.terminate()
        server.join()


if __name__ == "__main__":
    main()
