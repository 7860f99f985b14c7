"""A collector that takes OTLP over HTTP in JSON, strictly: what does not fit the published protocol fails the test."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.scripted import replied

BOUND = 10.0
TAKEN = replied({})


class Collector:
    """Keeps every span and every byte it is sent. reply: what it answers; empty: it closes the connection.

    hold: requests are answered only while it is set.
    """

    def __init__(self) -> None:
        self.reply = TAKEN
        self.hold = asyncio.Event()
        self.hold.set()
        self.bytes = bytearray()
        self.requests: list[ExportTraceServiceRequest] = []
        self.heads: list[bytes] = []
        self.port = 0
        self._came = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def spans(self) -> list[Span]:
        """All spans that were sent, also those that were not taken."""
        return [
            span
            for request in self.requests
            for of_resource in request.resource_spans
            for of_scope in of_resource.scope_spans
            for span in of_scope.spans
        ]

    async def trace(self, number: int = 1) -> list[Span]:
        """Wait for this many spans of requests, and return all there are by then."""
        async with asyncio.timeout(BOUND):
            while sum(span.kind == Span.SPAN_KIND_SERVER for span in self.spans) < number:
                self._came.clear()
                await self._came.wait()
        return self.spans

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        if (task := asyncio.current_task()) is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.lower().split(b"\r\n")
                length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
                body = await reader.readexactly(length)
                self.bytes += head + body
                self.heads.append(head)
                self.requests.append(read(body))
                self._came.set()
                await self.hold.wait()
                writer.write(self.reply)
                await writer.drain()
                if not self.reply:
                    break
        writer.close()

    async def close(self) -> None:
        """End all connections."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def collector() -> AsyncIterator[Collector]:
    """Run a collector for the length of the block."""
    running = Collector()
    server = await asyncio.start_server(running.accept, "127.0.0.1", 0, limit=1 << 22)
    running.port = server.sockets[0].getsockname()[1]
    try:
        yield running
    finally:
        server.close()
        await running.close()
        await server.wait_closed()
        await asyncio.sleep(0)


def read(body: bytes) -> ExportTraceServiceRequest:
    """Read an export request; a member that the protocol does not know, or of another form, is an error.

    The protocol's JSON has ids in hexadecimal, where that of protobuf in general has Base64.
    """
    message = ExportTraceServiceRequest()
    ParseDict(_ids(json.loads(body)), message, ignore_unknown_fields=False)
    return message


def _ids(value: Any) -> Any:
    if isinstance(value, list):
        return [_ids(each) for each in value]
    if not isinstance(value, dict):
        return value
    lengths = {"traceId": 16, "spanId": 8, "parentSpanId": 8}
    read = {name: _ids(member) for name, member in value.items()}
    for name in lengths.keys() & read.keys():
        raw = bytes.fromhex(read[name])
        if len(raw) != lengths[name]:
            raise ValueError(f"{name} is {len(raw)} bytes long")
        read[name] = base64.b64encode(raw).decode()
    return read


def told(span: Span | Resource) -> dict[str, str | int]:
    """What the attributes of a span, or of where it is from, say."""
    return {
        pair.key: pair.value.int_value if pair.value.HasField("int_value") else pair.value.string_value
        for pair in span.attributes
    }
