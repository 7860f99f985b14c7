"""Two connections joined: over real sockets, with and without TLS, whatever comes in whatever pieces."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar import tunnel as tested
from sidecar.tunnel import GOING_AWAY, End, Limits, Tunnel
from sidecar.wire.frames import Closing
from tests.support.certificates import Authority
from tests.support.websocket import BINARY, CLOSE, TEXT, closing, frame, read_frame, read_rest

BOUND = 10.0
OVER = Closing(4999, "over")


class Before(asyncio.Protocol):
    """Whose connection it was."""

    def __init__(self) -> None:
        self.lost = 0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost += 1


@dataclass(slots=True)
class Side:
    """One end, and who is at the other side of its connection."""

    end: End
    before: Before
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


@asynccontextmanager
async def side(
    *, is_server: bool, early: bytes = b"", tls: tuple[ssl.SSLContext, ssl.SSLContext] | None = None
) -> AsyncIterator[Side]:
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    server, client = tls or (None, None)
    before = Before()
    making = asyncio.create_task(loop.connect_accepted_socket(lambda: before, ours, ssl=server))
    reader, writer = await asyncio.open_connection(sock=theirs, ssl=client, server_hostname="a" if client else None)
    transport, _ = await making
    end = End(transport, before, early, is_server=is_server)
    try:
        yield Side(end, before, reader, writer)
    finally:
        transport.abort()
        writer.transport.abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert before.lost == 1


@asynccontextmanager
async def joined(
    *,
    silence: float = 60.0,
    stall: float = 60.0,
    until: float | None = None,
    early: bytes = b"",
    tls: tuple[ssl.SSLContext, ssl.SSLContext] | None = None,
) -> AsyncIterator[tuple[Side, Side, Tunnel, "asyncio.Task[None]"]]:
    async with side(is_server=False, early=early, tls=tls) as caller, side(is_server=True, tls=tls) as upstream:
        pair = Tunnel(caller.end, upstream.end, Limits(silence, stall, until, OVER), time.monotonic)
        running = asyncio.create_task(pair.run())
        await asyncio.sleep(0)
        try:
            yield caller, upstream, pair, running
        finally:
            running.cancel()
            await asyncio.wait((running,))


async def over(running: "asyncio.Task[None]") -> None:
    async with asyncio.timeout(BOUND):
        await running


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = Authority(Path(tmp_path_factory.mktemp("tls")))
    client = ssl.create_default_context(cafile=str(authority.ca_file))
    return authority.issue("a").server_context(), client


MESSAGES = st.lists(st.builds(frame, st.just(BINARY), st.binary(max_size=300), masked=st.just(True)), max_size=8)


@settings(max_examples=40, deadline=None)
@given(MESSAGES, MESSAGES, st.integers(0, 5000), st.integers(1, 400), st.sampled_from([None, uvloop.new_event_loop]))
def test_what_we_say_never_stands_within_a_frame(
    before: list[bytes], after: list[bytes], place: int, step: int, loop: Callable[[], asyncio.AbstractEventLoop] | None
) -> None:
    """Wherever the end of the pair falls: whole frames, our Close frame, nothing else."""

    async def run() -> None:
        wire = b"".join(before + after)
        async with joined() as (caller, upstream, pair, running):
            cut = place % (len(wire) + 1)
            for at in range(0, cut, step):
                caller.writer.write(wire[at : min(at + step, cut)])
                await asyncio.sleep(0)
            async with asyncio.timeout(BOUND):
                received = await upstream.reader.readexactly(cut)
            pair.close(OVER)
            caller.writer.write(wire[cut:] + closing(1000, masked=True))
            upstream.writer.write(closing(1000))
            received += await read_rest(upstream.reader)
            await over(running)
        boundaries, end = {0}, 0
        for one in before + after:
            end += len(one)
            boundaries.add(end)
        expected = min(boundary for boundary in boundaries if boundary >= cut)
        assert received[:expected] == wire[:expected]
        stream = asyncio.StreamReader()
        stream.feed_data(received[expected:])
        stream.feed_eof()
        assert await read_frame(stream) == (CLOSE, b"\x13\x87over", True)
        assert await stream.read() == b""

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


@pytest.mark.parametrize("size", [1, 1 << 22])
async def test_bytes_pass_both_ways_at_once(size: int) -> None:
    async with joined(early=b"early") as (caller, upstream, _, _):
        data = bytes(range(256)) * (size // 256 + 1)

        async def pass_on(sender: Side, receiver: Side, expected: bytes) -> None:
            async with asyncio.timeout(BOUND):
                sender.writer.write(data)
                assert await receiver.reader.readexactly(len(expected)) == expected

        await asyncio.gather(pass_on(caller, upstream, b"early" + data), pass_on(upstream, caller, data))


async def test_an_end_that_takes_nothing_stops_the_other_from_being_read() -> None:
    async with joined() as (caller, upstream, _, _):
        caller.reader._transport.pause_reading()  # type: ignore[attr-defined]
        piece = bytes(1 << 18)
        most, unchanged = 0, 0
        async with asyncio.timeout(BOUND):
            while unchanged < 20:  # the other's own kernel takes no more
                upstream.writer.write(piece) if upstream.writer.transport.get_write_buffer_size() < len(piece) else None
                await asyncio.sleep(0.005)
                size = caller.end.transport.get_write_buffer_size()
                most, unchanged = max(most, size), unchanged + 1 if size == most else 0
        assert 0 < most <= 64 * 1024 + 2 * 256 * 1024
        assert not upstream.end.transport.is_reading()
        caller.reader._transport.resume_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(BOUND):
            while not upstream.end.transport.is_reading():
                await caller.reader.read(1 << 18)


async def test_over_tls_the_end_of_one_half_is_the_end(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    async with joined(tls=contexts) as (caller, upstream, _, running):
        caller.writer.write(frame(TEXT, b"last", masked=True))
        assert await read_frame(upstream.reader) == (TEXT, b"last", True)
        caller.writer.close()
        assert await read_rest(upstream.reader) == b""
        await over(running)


async def test_over_tls_it_ends_in_order_too(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    async with joined(tls=contexts, until=time.monotonic() + 0.05) as (caller, upstream, _, running):
        for each, masked in ((caller, False), (upstream, True)):
            assert await read_frame(each.reader) == (CLOSE, b"\x13\x87over", masked)
            each.writer.write(closing(1000, masked=not masked))
        assert await read_rest(caller.reader) == await read_rest(upstream.reader) == b""
        await over(running)


async def test_what_happened_before_it_was_joined_counts() -> None:
    async with side(is_server=False) as caller, side(is_server=True) as upstream:
        caller.end.go_away()
        upstream.writer.write(frame(TEXT, b"glued"))
        upstream.writer.write_eof()
        running = asyncio.create_task(Tunnel(caller.end, upstream.end, Limits(9, 9, None, OVER), time.monotonic).run())
        assert await read_frame(upstream.reader) == (CLOSE, b"\x03\xe9" + GOING_AWAY.reason.encode(), True)
        caller.writer.write(closing(1001, masked=True))
        assert await read_frame(caller.reader) == (CLOSE, b"\x03\xe9" + GOING_AWAY.reason.encode(), False)
        await over(running)


async def test_an_end_that_was_lost_before_ends_the_other() -> None:
    async with side(is_server=False) as caller, side(is_server=True) as upstream:
        upstream.end.transport.abort()
        await asyncio.sleep(0)
        await over(
            asyncio.create_task(Tunnel(caller.end, upstream.end, Limits(9, 9, None, OVER), time.monotonic).run())
        )
        assert await read_rest(caller.reader) == b""


async def test_a_closing_that_nobody_answers_ends_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tested, "CLOSING", 0.05)
    async with joined() as (caller, upstream, _, running):
        caller.writer.write(closing(1000, masked=True))
        upstream.writer.write(closing(1000))
        await over(running)  # both said it, and nobody closes
        assert await read_frame(upstream.reader) == (CLOSE, b"\x03\xe8", True)
        assert await read_rest(upstream.reader) == b""


async def test_a_close_frame_that_passed_is_not_followed_by_one_of_ours() -> None:
    async with joined() as (caller, upstream, pair, running):
        caller.writer.write(closing(1000, masked=True))
        assert await read_frame(upstream.reader) == (CLOSE, b"\x03\xe8", True)
        pair.close(OVER)
        upstream.writer.write(frame(TEXT, b"too late") + closing(1000))
        assert await read_rest(upstream.reader) == b""
        assert await read_frame(caller.reader) == (CLOSE, b"\x13\x87over", False)
        assert await read_rest(caller.reader) == b""
        await over(running)


async def test_half_open_and_silent_it_ends_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tested, "CLOSING", 0.05)
    async with joined() as (caller, upstream, _, running):
        upstream.writer.write_eof()
        assert await read_rest(caller.reader) == b""
        await over(running)


async def test_cancelled_it_cuts_both() -> None:
    async with joined() as (caller, upstream, _, running):
        await asyncio.sleep(0.01)
        running.cancel()
        assert await read_rest(caller.reader) == await read_rest(upstream.reader) == b""
        with pytest.raises(asyncio.CancelledError):
            await running


@pytest.mark.parametrize(
    "test",
    [
        test_an_end_that_takes_nothing_stops_the_other_from_being_read,
        test_what_happened_before_it_was_joined_counts,
        test_an_end_that_was_lost_before_ends_the_other,
        test_a_close_frame_that_passed_is_not_followed_by_one_of_ours,
        test_cancelled_it_cuts_both,
    ],
)
def test_it_is_the_same_on_the_faster_loop(test: Callable[[], Awaitable[None]]) -> None:
    """Its transports are others, and differ in what they do once they were handed over."""
    _on_uvloop(test())


@pytest.mark.parametrize("test", [test_over_tls_the_end_of_one_half_is_the_end, test_over_tls_it_ends_in_order_too])
def test_tls_is_the_same_on_the_faster_loop(
    test: Callable[[tuple[ssl.SSLContext, ssl.SSLContext]], Awaitable[None]],
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    _on_uvloop(test(contexts))


def _on_uvloop(test: Awaitable[None]) -> None:
    async def run() -> None:
        await test

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
