"""Whatever an upstream sends, in whatever pieces: one response or none, and none that was cut taken for whole.

Held against the strict reading of the attack suites, which shares nothing with the connection.
"""

import asyncio
import socket
from collections.abc import Coroutine
from itertools import pairwise
from typing import Any, TypeVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.model.clock import SYSTEM_CLOCK
from sidecar.upstream.connection import Connection
from sidecar.upstream.errors import UpstreamError
from tests.attacks.strict import Rest, responses
from tests.support.values import route

T = TypeVar("T")

HEADS = (
    *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 204 No Content\r\n", b"HTTP/1.1 304 \r\n", b"HTTP/1.0 200 OK\r\n"),
    *(b"HTTP/1.1 500\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 101 Switch\r\n"),
    b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
)
FIELDS = (
    *(b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Content-Length: 11\r\n", b"Content-Length: 5, 5\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\n", b"X: y\r\n", b"\n", b" \r\n"),
    *(b"Connection: close\r\n", b"Connection: keep-alive\r\n"),
)
BODIES = (
    *(b"\r\n", b"hello", b"5\r\nhello\r\n", b"0\r\n\r\n", b"0\r\nA: b\r\n\r\n", b"b\r\nhello world\r\n"),
    *(b"5;x\r\n", b"\r", b"\n", b"0"),
)
WIRES = st.one_of(
    st.tuples(
        st.lists(st.sampled_from(HEADS), min_size=1, max_size=2),
        st.lists(st.sampled_from(FIELDS), max_size=3),
        st.lists(st.sampled_from(BODIES), max_size=6),
    ).map(lambda parts: b"".join(b"".join(part) for part in parts)),
    st.lists(st.sampled_from((*HEADS, *FIELDS, *BODIES)), max_size=12).map(b"".join),
    st.binary(max_size=60),
)


class Transport(asyncio.Transport):
    """Takes what is written, and remembers whether it was closed."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__({"socket": sock})
        self.closed = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...
    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: object) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True


class Owner:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.freed = self.gone = 0

    def free(self, connection: Connection) -> None:
        self.freed += 1

    def lost(self, connection: Connection) -> None:
        self.gone += 1


async def soon(asked: Coroutine[Any, Any, T]) -> T | None:
    """What comes of it within a few turns of the loop; None where it waits for longer, or fails as upstreams do."""
    task = asyncio.create_task(asked)
    for _ in range(30):
        await asyncio.sleep(0)
    task.cancel()
    try:
        return await task
    except (UpstreamError, asyncio.CancelledError):
        return None


async def outcome(method: str, pieces: list[bytes], *, ends: bool) -> tuple[int, bytes, bool, bool] | None:
    """Status, body, whether that is whole, whether the connection may be used again; None without a response."""
    owner = Owner()
    ours, theirs = socket.socketpair()

    async def receive(connection: Connection, transport: Transport) -> None:
        for piece in pieces:
            if not transport.closed:
                connection.data_received(piece)
        if ends and not transport.closed:
            connection.eof_received()
        if ends or transport.closed:
            connection.connection_lost(None)

    with ours, theirs:
        transport = Transport(ours)
        connection = Connection(route().upstream, SYSTEM_CLOCK, owner)
        connection.connection_made(transport)
        asking = connection.request(b"x", method=method, body=None, on_informational=None)
        asked = asyncio.create_task(soon(asking))
        for _ in range(3):
            await asyncio.sleep(0)  # it is sent
        await receive(connection, transport)
        if (response := await asked) is None:
            connection.abort()
            return None
        body, piece = bytearray(), await soon(response.read())
        while piece:
            body += piece
            piece = await soon(response.read())
        whole = piece is not None
        reusable = whole and connection.reusable
        connection.abort()
        assert owner.freed <= 1
        return response.status, bytes(body), whole, reusable


@pytest.mark.fuzz
@pytest.mark.threat("S31", "S32", "S37", "S39")
@given(st.sampled_from(["GET", "HEAD", "POST"]), WIRES, st.lists(st.integers(0, 60), max_size=4), st.booleans())
@example("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\n", [3, 40], True)
@example("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", [50], False)
@example("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", [45], True)
def test_whatever_comes_it_is_one_response_or_none(method: str, wire: bytes, cuts: list[int], ends: bool) -> None:
    places = sorted({0, len(wire), *(min(cut, len(wire)) for cut in cuts)})
    pieces = [wire[start:end] for start, end in pairwise(places)]
    got = asyncio.run(outcome(method, pieces, ends=ends))
    assert got == asyncio.run(outcome(method, [wire] if wire else [], ends=ends)), "pieces make no difference"
    meant, rest = responses(wire, to_head=method == "HEAD")
    final = [message for message in meant if message.status >= 200]
    if got is None:
        return
    status, body, whole, reusable = got
    if whole:
        assert final
        assert (status, body) == (final[0].status, final[0].body)
    if reusable:
        assert len(final) == 1
        assert rest is Rest.NOTHING
        assert meant[-1] is final[0]
