"""The upstream of all contenders: ``python -m tests.benchmarks.programs.service PORT``.

It answers with as many bytes as the path names (``/size/65536``), reads a body to its end first, tells at ``/seen``
which credential it was sent, and echoes nothing else. As little work as Python can do, since it shares a core with the
load.
"""

import asyncio
import re
import socket
import sys
from typing import Final

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_CREDENTIAL: Final = re.compile(rb"\r\nauthorization: *([^\r]*)", re.IGNORECASE)
_FIELDS: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Sat, 21 Nov 2026 07:45:00 GMT\r\n"
    b"Server: benchmark\r\nCache-Control: no-store\r\nVary: Accept-Encoding\r\nContent-Length: %d\r\n\r\n"
)
_LARGEST_WHOLE: Final = 4 << 20  # a larger reply is written piece by piece
_PIECE: Final = b"x" * (1 << 18)


class Service(asyncio.Protocol):
    """One connection: requests one after another, no pipelining."""

    replies: Final[dict[bytes, bytes]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        # A whole reply is to fit, so that writing one is a single call.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.head = b""
        self.reply = b""
        self.left: int | None = 0  # bytes of the body to come; None: chunked
        self.tail = b""
        self.owed = 0  # bytes of a large reply still to write
        self.room = True

    def data_received(self, data: bytes) -> None:
        if self.reply:
            self._take_body(data)
            return
        self.head += data
        end = self.head.find(b"\r\n\r\n")
        if end < 0:
            return
        head, rest, self.head = self.head[: end + 2], self.head[end + 4 :], b""
        path = head.split(b" ", 2)[1]
        self.reply = self._seen(head) if path == b"/seen" else self._sized(path)
        length = _LENGTH.search(head) if not head.startswith(b"GET") else None
        self.left = None if length is None and _CHUNKED.search(head) else int(length[1]) if length else 0
        self.tail = b""
        self._take_body(rest)

    def _take_body(self, data: bytes) -> None:
        if self.left is None:
            self.tail = (self.tail + data)[-7:]
            if not (self.tail.endswith(b"\r\n0\r\n\r\n") or self.tail == b"0\r\n\r\n"):
                return
        else:
            self.left -= len(data)
            if self.left > 0:
                return
        reply, self.reply = self.reply, b""
        self.transport.write(reply)
        self._write_owed()

    def _sized(self, path: bytes) -> bytes:
        size = int(path.rpartition(b"/")[2])
        if size > _LARGEST_WHOLE:
            self.owed = size
            return _FIELDS % size
        if path not in self.replies:
            self.replies[path] = _FIELDS % size + b"x" * size
        return self.replies[path]

    def _seen(self, head: bytes) -> bytes:
        found = _CREDENTIAL.search(head)
        seen = found[1] if found else b""
        return _FIELDS % len(seen) + seen

    def _write_owed(self) -> None:
        while self.owed and self.room:
            piece = _PIECE[: self.owed]
            self.owed -= len(piece)
            self.transport.write(piece)

    def pause_writing(self) -> None:
        self.room = False

    def resume_writing(self) -> None:
        self.room = True
        self._write_owed()


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Service, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
