"""A proxy before one server that makes it fail as it is told: ``… fault_proxy PORT CONTROL_PORT SERVER_PORT SEED``.

It understands as much of HTTP/1.1 as the peers of a test speak, so that it is known where in a message a fault hits.
Each line on the control port is a ``faults.Fault`` as JSON, or ``{}`` for nothing new; each is answered with a
``faults.Count`` of what has come so far.
"""

import asyncio
import json
import random
import re
import socket
import struct
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from typing import Final

from tests.reliability.faults import Count, Fault, Manner

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_LINE: Final = re.compile(rb"[^\r\n]+")
_FRAMING: Final = re.compile(rb"content-length|transfer-encoding", re.IGNORECASE)
_NAME: Final = re.compile(rb"\r\nx-id: *([^\r]*)", re.IGNORECASE)
_OWN: Final = b"HTTP/1.1 %d Fault\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n%b\r\n"
_GARBLED: Final = 8  # bytes
LIMIT: Final = 1 << 20


class FaultProxy:
    """All connections of the proxy, and what it does with the next request."""

    def __init__(self, port: int, server_port: int, seed: int) -> None:
        self.count = Count()
        self._port = port
        self._server_port = server_port
        self._random = random.Random(seed)
        self._fault = Fault()
        self._changed = asyncio.Event()
        self._listener: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._posts: set[bytes] = set()
        self._quiet_until = 0.0

    async def become(self, fault: Fault) -> None:
        """Fail so from now on; requests that are held go on."""
        self._fault = fault
        self._changed.set()
        self._changed = asyncio.Event()
        if fault.manner is Manner.REFUSE:
            if self._listener is not None:
                self._listener.close()
                self._listener = None
            for writer in list(self._writers):
                _reset(writer)
        elif self._listener is None:
            self._listener = await asyncio.start_server(
                self._accept, "127.0.0.1", self._port, limit=LIMIT, backlog=4096
            )

    async def control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to the control port."""
        while line := await reader.readline():
            if told := json.loads(line):
                await self.become(Fault(**{**told, "manner": Manner(told["manner"])}))
            writer.write(json.dumps(asdict(self.count)).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server: asyncio.StreamWriter | None = None
        self._writers.add(writer)
        try:
            with suppress(OSError, EOFError, asyncio.LimitOverrunError):
                back, server = await asyncio.open_connection("127.0.0.1", self._server_port, limit=LIMIT)
                while await self._one(reader, writer, back, server):
                    pass
        finally:
            self._writers.discard(writer)
            writer.close()
            if server is not None:
                server.close()

    async def _one(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        back: asyncio.StreamReader,
        server: asyncio.StreamWriter,
    ) -> bool:
        """Serve one request; whether another may follow on the connection."""
        request = await _message(reader)
        path = self._note(request)
        fault, changed = self._fault, self._changed
        if fault.path not in ("", path) or self._random.random() >= fault.share:
            fault = Fault()
        if fault.manner is not Manner.PASS:
            self.count.faults += 1
        match fault.manner:
            case Manner.HANG:
                await changed.wait()
                return False
            case Manner.HOLD:
                await changed.wait()
            case Manner.SLOW:
                await asyncio.sleep(self._random.uniform(0, fault.seconds))
            case Manner.DROP:
                return self._end(writer)
            case Manner.ERROR:
                writer.write(_OWN % (fault.status, b""))
                return True
            case Manner.BUSY:
                self._quiet_until = time.monotonic() + fault.seconds
                writer.write(_OWN % (429, b"Retry-After: %d\r\n" % fault.seconds))
                return True
        server.write(request)
        answer = await _message(back)
        match fault.manner:
            case Manner.CUT:
                writer.write(answer[: self._random.randrange(len(answer))])
                return self._end(writer)
            case Manner.CORRUPT:
                writer.write(self._garbled(answer, fault))
                return False
        writer.write(answer)
        await writer.drain()
        return True

    def _note(self, request: bytes) -> str:
        """Count a request and return its path."""
        head = request[: request.index(b"\r\n\r\n")]
        path = head.split(b" ", 2)[1].partition(b"?")[0].decode()
        self.count.requests[path] = self.count.requests.get(path, 0) + 1
        self.count.early += time.monotonic() < self._quiet_until
        if head.startswith(b"POST") and (name := _NAME.search(head)):
            if name[1] in self._posts:
                self.count.doubled.append(name[1].decode())
            self._posts.add(name[1])
        return path

    def _garbled(self, answer: bytes, fault: Fault) -> bytes:
        """Change some bytes: of anything, or of the status line or a field that does not say how long the body is."""
        if fault.bodies:
            begin, end = 0, len(answer)
        else:
            head = answer[: answer.index(b"\r\n\r\n") + 2]
            lines = [each.span() for each in _LINE.finditer(head) if not _FRAMING.match(each[0])]
            begin, end = self._random.choice(lines)
        at = self._random.randrange(begin, end)
        changed = bytes(byte ^ self._random.randrange(1, 256) for byte in answer[at : min(end, at + _GARBLED)])
        return answer[:at] + changed + answer[at + len(changed) :]

    def _end(self, writer: asyncio.StreamWriter) -> bool:
        """End a connection, with an error or in an orderly way."""
        if self._random.random() < 0.5:
            _reset(writer)
        return False


def _reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # What was written goes out first where the other end takes it; then the reset.
    writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()


async def _message(reader: asyncio.StreamReader) -> bytes:
    """Read one whole message, as it came."""
    head = await reader.readuntil(b"\r\n\r\n")
    if found := _LENGTH.search(head):
        return head + await reader.readexactly(int(found[1]))
    if not _CHUNKED.search(head):
        return head
    pieces = [head]
    while True:
        line = await reader.readuntil(b"\r\n")
        pieces += [line, await reader.readexactly(int(line, 16) + 2)]
        if int(line, 16) == 0:
            return b"".join(pieces)


async def main(port: int, control_port: int, server_port: int, seed: int) -> None:
    proxy = FaultProxy(port, server_port, seed)
    await proxy.become(Fault())
    server = await asyncio.start_server(proxy.control, "127.0.0.1", control_port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:5])))
