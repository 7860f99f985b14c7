import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar.model.clock import SYSTEM_CLOCK, Clock
from sidecar.model.route import TLS
from sidecar.upstream.body import Body
from sidecar.upstream.connection import WRITE_HIGH_WATER, Connection
from sidecar.upstream.dial import Dialer
from sidecar.upstream.errors import (
    Phase,
    RequestBodyMismatch,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnavailable,
)
from sidecar.upstream.head import Fields
from sidecar.upstream.interim import MAX_INFORMATIONAL
from sidecar.upstream.response import HIGH_WATER, Response
from tests.support.certificates import Authority
from tests.support.clock import FakeClock
from tests.support.raw_upstream import Peer, RawUpstream, Script, answering, response
from tests.support.upstreams import all_of, body_of, endless, head, upstream

BOUND = 5.0
SOON = 0.005
RECEIVE = 256 * 1024  # what the loop receives at once


class Client:
    """A connection and what it reported."""

    connection: Connection

    def __init__(self) -> None:
        self.freed = 0
        self.closed = asyncio.Event()

    def free(self, connection: Connection) -> None:
        self.freed += 1

    def lost(self, connection: Connection) -> None:
        assert not self.closed.is_set()
        self.closed.set()

    async def request(
        self,
        wire: bytes = head(),
        *,
        method: str = "GET",
        body: Body | None = None,
        heard: list[tuple[int, Fields]] | None = None,
    ) -> Response:
        async def note(status: int, fields: Fields) -> None:
            if heard is not None:
                heard.append((status, fields))

        return await self.connection.request(wire, method=method, body=body, on_informational=note)


@contextlib.asynccontextmanager
async def connected(
    script: Script, *, clock: Clock = SYSTEM_CLOCK, server: dict[str, Any] | None = None, **settings: Any
) -> AsyncIterator[Client]:
    """A client connected to a server that follows a script."""
    client = Client()
    async with RawUpstream(script, **(server or {})) as listening:
        limits = upstream(listening.port, **settings)
        client.connection = await Dialer(limits).connect(lambda: Connection(limits, clock, client))
        try:
            yield client
        finally:
            client.connection.abort()
            await asyncio.wait_for(client.closed.wait(), BOUND)


def then_close(wire: bytes) -> Script:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(wire)
        peer.close()

    return script


def then_reset(wire: bytes) -> Script:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(wire)
        await asyncio.sleep(SOON)  # lets the bytes be received before the reset overtakes them
        peer.reset()

    return script


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nT: 1\r\n\r\n"


# What a response is, and whether its connection may be used again.


@pytest.mark.parametrize(
    ("method", "wire", "body", "reusable"),
    [
        ("GET", response(b"hello"), b"hello", True),
        ("GET", response(b""), b"", True),
        ("GET", CHUNKED, b"abcdefg", True),
        ("GET", response(b"hello", b"Connection: close"), b"hello", False),
        ("GET", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok", False),
        ("GET", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok", b"ok", True),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", b"", True),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", b"", True),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"", True),
        ("HEAD", b"HTTP/1.1 200 OK\r\n\r\n", b"", True),
        ("GET", response(b"hello") + b"x", b"hello", False),
        ("GET", response(b"hello") + response(b"evil"), b"hello", False),
        ("GET", CHUNKED + response(b"evil"), b"abcdefg", False),
        ("HEAD", response(b"body of a HEAD"), b"", False),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\nbody", b"", False),
        ("GET", response(b"\x1f\x8b not touched", b"Content-Encoding: gzip"), b"\x1f\x8b not touched", True),
    ],
)
@pytest.mark.parametrize("step", [None, 1])
async def test_a_complete_response(method: str, wire: bytes, body: bytes, reusable: bool, step: int | None) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await (peer.send(wire) if step is None else peer.dribble(wire, step))
        await peer.rest()

    async with connected(script) as client:
        answer = await client.request(method=method)
        assert await all_of(answer) == body
        assert client.freed == 1
        if reusable:
            assert client.connection.reusable
            assert client.connection.fit
        else:
            await asyncio.wait_for(client.closed.wait(), BOUND)
            assert not client.connection.reusable


async def test_one_request_after_another() -> None:
    replies = [response(b"one"), CHUNKED, b"HTTP/1.1 204 No Content\r\n\r\n", response(b"four")]
    async with connected(answering(*replies)) as client:
        bodies = [await all_of(await client.request()) for _ in replies]
        assert bodies == [b"one", b"abcdefg", b"", b"four"]
        assert client.freed == len(replies)


async def test_the_head_says_what_the_body_will_be() -> None:
    async with connected(answering(response(b"hello", b"X: 1"), CHUNKED)) as client:
        known = await client.request()
        assert (known.status, known.reason, known.content_length, known.has_body) == (200, "OK", 5, True)
        assert known.fields == ((b"Content-Length", b"5"), (b"X", b"1"))
        await all_of(known)
        unknown = await client.request()
        assert (unknown.content_length, unknown.has_body) == (None, True)
        await all_of(unknown)


async def test_a_body_until_close_is_relayed_to_its_end() -> None:
    async with connected(then_close(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000)) as client:
        assert await all_of(await client.request()) == b"x" * 100_000
        assert client.freed == 1
        assert not client.connection.reusable


# What is cut never looks complete.


@pytest.mark.parametrize("end", [then_close, then_reset])
@pytest.mark.parametrize("wire", [response(b"abcdefg"), CHUNKED])
async def test_a_response_cut_anywhere_is_never_complete(wire: bytes, end: Callable[[bytes], Script]) -> None:
    begin = wire.index(b"\r\n\r\n") + 4
    cuts = range(0, len(wire), 7) if end is then_close else [0, 5, begin, begin + 4, len(wire) - 2, len(wire) - 1]
    for cut in cuts:
        async with connected(end(wire[:cut])) as client:
            if cut < begin:
                with pytest.raises(UpstreamUnavailable):
                    await client.request()
                assert client.freed == 0
                assert client.connection.heard == (cut > 0)
            else:
                answer = await client.request()
                with pytest.raises(UpstreamTruncated):
                    await all_of(answer)
                assert client.freed == 1


async def test_a_body_until_close_that_ends_in_a_reset_is_cut() -> None:
    async with connected(then_reset(b"HTTP/1.1 200 OK\r\n\r\nabc")) as client:
        answer = await client.request()
        assert await answer.read() == b"abc"
        with pytest.raises(UpstreamTruncated):
            await answer.read()


@pytest.mark.parametrize("wire", [b"zz\r\n", b"3\r\nabcd\r\n", b"3\r\nabc\n0\r\n\r\n"])
async def test_a_malformed_chunk_cuts_the_body(wire: bytes) -> None:
    start = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with connected(answering(start + b"1\r\nx\r\n" + wire)) as client:
        with pytest.raises(UpstreamTruncated):
            await all_of(await client.request())
        await asyncio.wait_for(client.closed.wait(), BOUND)


@pytest.mark.parametrize("orderly", [True, False])
async def test_over_tls_only_a_closing_alert_ends_a_body_until_close(orderly: bool, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = authority.issue("127.0.0.1").server_context()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nabc")
        await asyncio.sleep(SOON)
        if orderly:
            peer.close()
            await peer.rest()
        else:
            peer.cut()

    async with connected(script, server={"tls": context}, tls=TLS(ca_file=authority.ca_file)) as client:
        answer = await client.request()
        assert await answer.read() == b"abc"
        if orderly:
            assert await answer.read() == b""
        else:
            with pytest.raises(UpstreamTruncated):
                await answer.read()


# What is no response.


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 999 X\r\n\r\n",
        b"HTTP/1.1 200 O\x01K\r\n\r\n",
        b"HTTP/1.1 200 OK\nA: 1\n\n",
        b"HTTP/1.1 200 OK\r\nA: 1\r\n b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: \x01\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 102 Processing\r\n\r\n" * (MAX_INFORMATIONAL + 1) + response(),
        b"SSH-2.0-OpenSSH\r\n",
        b"\r\n" + response(),
    ],
)
@pytest.mark.threat("S39")
async def test_what_must_not_be_relayed_is_unavailable(wire: bytes) -> None:
    async with connected(answering(wire)) as client:
        with pytest.raises(UpstreamUnavailable) as caught:
            await client.request()
        assert wire.decode("latin-1") not in str(caught.value)
        assert client.connection.heard
        await asyncio.wait_for(client.closed.wait(), BOUND)
        assert client.freed == 0


async def test_a_server_that_speaks_first_is_not_spoken_to() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(response(b"evil"))
        await peer.rest()

    async with connected(script) as client:
        await asyncio.wait_for(client.closed.wait(), BOUND)
        with pytest.raises(UpstreamUnavailable):
            await client.request()


# Informational responses.


async def test_100_and_103_are_passed_on_in_order_and_others_dropped() -> None:
    interim = b"".join(b"HTTP/1.1 %d X\r\nLink: %d\r\n\r\n" % (status, status) for status in (103, 102, 100, 199, 103))
    async with connected(answering(interim + response(b"done"))) as client:
        heard: list[tuple[int, Fields]] = []
        answer = await client.request(heard=heard)
        assert [status for status, _ in heard] == [103, 100, 103]
        assert heard[0][1] == ((b"Link", b"103"),)
        assert await all_of(answer) == b"done"
        assert client.connection.reusable


async def test_a_final_response_does_not_wait_for_informational_ones_and_comes_after_them() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        for _ in range(MAX_INFORMATIONAL):
            await peer.send(b"HTTP/1.1 103 Early\r\n\r\n")
            await asyncio.sleep(0)
        await peer.send(response(b"done"))
        await peer.rest()

    async with connected(script) as client:
        heard: list[tuple[int, Fields]] = []
        assert await all_of(await client.request(heard=heard)) == b"done"
        assert len(heard) == MAX_INFORMATIONAL


async def test_100_lets_a_waiting_body_go() -> None:
    go = asyncio.Event()
    pieces = iter([b"abc"])

    async def read() -> bytes:
        await asyncio.wait_for(go.wait(), BOUND)
        return next(pieces, b"")

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await peer.exactly(3) == b"abc"
        await peer.send(response(b"done"))
        await peer.rest()

    async def heard(status: int, fields: Fields) -> None:
        assert status == 100
        go.set()

    async with connected(script) as client:
        wire = head("POST", "/", b"Content-Length: 3", b"Expect: 100-continue")
        answer = await client.connection.request(wire, method="POST", body=Body(read, 3), on_informational=heard)
        assert await all_of(answer) == b"done"
        assert client.connection.reusable


async def test_what_the_listener_raises_closes_the_connection() -> None:
    async def fail(status: int, fields: Fields) -> None:
        raise ZeroDivisionError

    async with connected(answering(b"HTTP/1.1 103 Early\r\n\r\n" + response())) as client:
        with pytest.raises(ZeroDivisionError):
            await client.connection.request(head(), method="GET", body=None, on_informational=fail)
        await asyncio.wait_for(client.closed.wait(), BOUND)


# Request bodies.


async def test_bodies_arrive_as_they_were_framed_and_the_connection_stays() -> None:
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        await peer.head()
        seen.append(await peer.exactly(200_000))
        await peer.send(response(b"1"))
        await peer.head()
        seen.append(await peer.until(b"0\r\n\r\n"))
        await peer.send(response(b"2"))
        await peer.rest()

    async with connected(script) as client:
        pieces = [b"x" * 65536] * 3 + [b"x" * (200_000 - 3 * 65536)]
        sized = head("POST", "/", b"Content-Length: 200000")
        assert await all_of(await client.request(sized, method="POST", body=body_of(*pieces, length=200_000))) == b"1"
        chunked = head("POST", "/", b"Transfer-Encoding: chunked")
        assert await all_of(await client.request(chunked, method="POST", body=body_of(b"abc", b"de"))) == b"2"
        assert client.connection.reusable
    assert seen == [b"x" * 200_000, b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"]


@pytest.mark.parametrize("pieces", [(b"abc",), (b"abc", b"defgh")])
async def test_a_body_that_breaks_its_promise_closes(pieces: tuple[bytes, ...]) -> None:
    received: list[bytes] = []

    async def script(peer: Peer) -> None:
        await peer.head()
        received.append(await peer.rest())

    async with connected(script) as client:
        with pytest.raises(RequestBodyMismatch):
            await client.request(head("PUT"), method="PUT", body=body_of(*pieces, length=5))
        await asyncio.wait_for(client.closed.wait(), BOUND)
        await asyncio.sleep(SOON)
        assert received == [b"abc"]


@pytest.mark.parametrize("error", [ZeroDivisionError, asyncio.CancelledError])
async def test_what_the_source_raises_reaches_the_caller_and_the_upload_never_looks_complete(
    error: type[BaseException],
) -> None:
    received: list[bytes] = []
    pieces = iter([b"abc"])

    async def read() -> bytes:
        for piece in pieces:
            return piece
        raise error

    async def script(peer: Peer) -> None:
        await peer.head()
        received.append(await peer.rest())

    async with connected(script) as client:
        with pytest.raises(error):
            await client.request(head("POST"), method="POST", body=Body(read, None))
        await asyncio.wait_for(client.closed.wait(), BOUND)
        await asyncio.sleep(SOON)
        assert received == [b"3\r\nabc\r\n"]


@pytest.mark.threat("S38")
async def test_an_early_response_stops_the_upload_and_ends_the_connection() -> None:
    pieces = iter([b"first"])
    reading = False

    async def read() -> bytes:
        nonlocal reading
        for piece in pieces:
            return piece
        reading = True
        try:
            await asyncio.sleep(BOUND)
            return b"second"
        finally:
            reading = False

    received: list[bytes] = []

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.until(b"first")
        await asyncio.sleep(SOON)
        assert reading
        await peer.send(response(b"no", status=b"401 Unauthorized"))
        received.append(await peer.rest())

    async with connected(script) as client:
        answer = await client.request(head("POST"), method="POST", body=Body(read, None))
        assert not reading  # the source is the caller's again
        assert answer.status == 401
        assert await all_of(answer) == b"no"
        assert client.freed == 1
        await asyncio.wait_for(client.closed.wait(), BOUND)
        await asyncio.sleep(SOON)
        assert received == [b"\r\n"]


@pytest.mark.parametrize("outcome", [b"late", ZeroDivisionError()])
async def test_what_the_source_does_in_the_turn_of_the_response_changes_nothing(outcome: bytes | Exception) -> None:
    supply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    received: list[bytes] = []

    async def read() -> bytes:
        return await supply

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
        await asyncio.sleep(SOON)
        await peer.send(b"def")
        received.append(await peer.rest())

    async with connected(script) as client:
        receive = client.connection.data_received

        def supply_then_receive(data: bytes) -> None:
            if isinstance(outcome, bytes) and not supply.done():
                supply.set_result(outcome)
            elif isinstance(outcome, Exception) and not supply.done():
                supply.set_exception(outcome)
            receive(data)

        client.connection.data_received = supply_then_receive  # type: ignore[method-assign]
        answer = await client.request(head("POST"), method="POST", body=Body(read, None))
        assert await all_of(answer) == b"abcdef"
        await asyncio.wait_for(client.closed.wait(), BOUND)
        await asyncio.sleep(SOON)
        assert received == [b""]


async def test_an_early_response_reaches_a_blocked_upload_and_is_read_to_its_end() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(SOON)
        await peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 6\r\n\r\nabc")
        await asyncio.sleep(SOON)
        await peer.send(b"def")
        await asyncio.sleep(BOUND)

    async with connected(script, send_idle=0.02, response_timeout=0.02) as client:
        answer = await client.request(head("POST"), method="POST", body=Body(endless(bytes(65536)), None))
        assert await all_of(answer) == b"abcdef"
        await asyncio.wait_for(client.closed.wait(), BOUND)


async def test_a_request_that_is_still_on_its_way_when_the_response_ends_ends_the_connection() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await peer.send(response(b"done"))
        await asyncio.sleep(BOUND)

    async with connected(script) as client:
        size = 16 * 1024 * 1024
        answer = await client.request(head("PUT"), method="PUT", body=body_of(bytes(size), length=size))
        assert await all_of(answer) == b"done"
        assert not client.connection.reusable
        await asyncio.wait_for(client.closed.wait(), BOUND)


async def test_an_upload_is_only_taken_from_its_source_as_fast_as_it_is_read() -> None:
    taken = 0

    async def read() -> bytes:
        nonlocal taken
        taken += 65536
        return bytes(65536)

    async def script(peer: Peer) -> None:
        await peer.head()
        peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(BOUND)

    async with connected(script) as client:
        task = asyncio.create_task(client.request(head("POST"), method="POST", body=Body(read, None)))
        before = -1
        while taken != before:
            before = taken
            await asyncio.sleep(0.05)
        assert client.connection._transport.get_write_buffer_size() <= WRITE_HIGH_WATER + 65536 + 32
        task.cancel()
        await asyncio.wait((task,))


async def test_a_connection_lost_within_the_upload_is_unavailable() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.exactly(100_000)
        peer.reset()

    async with connected(script) as client:
        with pytest.raises(UpstreamUnavailable):
            await client.request(head("POST"), method="POST", body=Body(endless(bytes(65536)), None))


# Silence.


async def silent(peer: Peer) -> None:
    await peer.head()
    await peer.rest()


async def expires(task: asyncio.Task[Any], time: FakeClock, seconds: float) -> UpstreamTimeout:
    """Check that a task ends in a timeout when so much time has passed, and not before."""
    for step in (0.0, seconds * 0.9):
        time.advance(step)
        await asyncio.sleep(4 * SOON)
        assert not task.done()
    time.advance(seconds * 0.2)
    with pytest.raises(UpstreamTimeout) as caught:
        await asyncio.wait_for(task, BOUND)
    return caught.value


async def test_no_response_head_in_time() -> None:
    time = FakeClock()
    async with connected(silent, clock=time.clock, response_timeout=SOON) as client:
        task = asyncio.create_task(client.request())
        assert (await expires(task, time, SOON)).phase is Phase.RESPONSE
        await asyncio.wait_for(client.closed.wait(), BOUND)


async def test_a_head_that_dribbles_gains_no_time() -> None:
    time = FakeClock()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nA: 1")
        await peer.rest()

    async with connected(script, clock=time.clock, response_timeout=SOON) as client:
        task = asyncio.create_task(client.request())
        assert (await expires(task, time, SOON)).phase is Phase.RESPONSE


async def test_the_response_timeout_counts_from_the_end_of_the_request() -> None:
    time = FakeClock()
    pieces: asyncio.Queue[bytes] = asyncio.Queue()

    async with connected(silent, clock=time.clock, response_timeout=SOON) as client:
        task = asyncio.create_task(client.request(head("POST"), method="POST", body=Body(pieces.get, None)))
        for _ in range(4):
            await asyncio.sleep(2 * SOON)
            time.advance(SOON * 100)  # the body's source is slow, not the upstream
            assert not task.done()
            pieces.put_nowait(b"x")
        pieces.put_nowait(b"")
        await asyncio.sleep(2 * SOON)
        assert (await expires(task, time, SOON)).phase is Phase.RESPONSE


async def test_an_upstream_that_takes_no_bytes() -> None:
    time = FakeClock()

    async def script(peer: Peer) -> None:
        peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(BOUND)

    async with connected(script, clock=time.clock, send_idle=SOON, response_timeout=60) as client:
        task = asyncio.create_task(client.request(head("POST"), method="POST", body=Body(endless(bytes(65536)), None)))
        await asyncio.sleep(0.1)
        assert (await expires(task, time, SOON)).phase is Phase.SEND


async def test_an_upstream_that_takes_bytes_slowly_is_not_silent() -> None:
    time = FakeClock()
    size = 24 * 1024 * 1024  # far more than the kernel keeps, so that the connection's own buffer shrinks in steps
    steps = 8

    async def script(peer: Peer) -> None:
        await peer.head()
        await asyncio.sleep(0.05)  # the upload comes to stand against a reader that does not read
        for _ in range(steps):
            await peer.exactly(size // steps)
            time.advance(SOON * 1.5)  # twice that would be silence
            await asyncio.sleep(4 * SOON)
        await peer.send(response(b"done"))
        await peer.rest()

    async with connected(script, clock=time.clock, send_idle=SOON * 2, response_timeout=60) as client:
        answer = await client.request(head("PUT"), method="PUT", body=body_of(bytes(size), length=size))
        assert await all_of(answer) == b"done"
        assert client.connection.reusable


async def test_the_response_timeout_ends_with_the_head() -> None:
    time = FakeClock()
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
        await go.wait()
        await peer.send(b"def")
        await peer.rest()

    async with connected(script, clock=time.clock, response_timeout=SOON) as client:
        answer = await client.request()
        time.advance(10)
        await asyncio.sleep(4 * SOON)
        go.set()
        assert await all_of(answer) == b"abcdef"


async def test_a_body_that_stops_coming() -> None:
    time = FakeClock()
    wire = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"
    async with connected(answering(wire), clock=time.clock, read_idle=SOON) as client:
        answer = await client.request()
        assert await answer.read() == b"abc"
        task = asyncio.create_task(answer.read())
        assert (await expires(task, time, SOON)).phase is Phase.READ
        assert client.freed == 1
        await asyncio.wait_for(client.closed.wait(), BOUND)


async def test_a_reader_that_takes_its_time_is_no_silence_of_the_upstream() -> None:
    time = FakeClock()
    async with connected(answering(response(bytes(RECEIVE * 4))), clock=time.clock, read_idle=SOON) as client:
        answer = await client.request()
        received = 0
        while received < RECEIVE * 4:
            received += len(await answer.read())
            time.advance(SOON * 10)
            await asyncio.sleep(SOON)
        assert await answer.read() == b""


# Memory, and giving up.


async def test_a_slow_reader_bounds_what_is_received() -> None:
    size = 16 * 1024 * 1024
    async with connected(answering(response(bytes(size)))) as client:
        answer = await client.request()
        most = received = 0
        while received < size:
            await asyncio.sleep(0.001 if received < size // 8 else 0)
            most = max(most, answer.buffered)
            received += len(await answer.read())
        assert 0 < most <= HIGH_WATER + RECEIVE + 64
        assert await answer.read() == b""
        assert client.connection.reusable


async def test_closing_a_response_closes_the_connection() -> None:
    async with connected(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")) as client:
        answer = await client.request()
        answer.close()
        answer.close()
        assert client.freed == 1
        with pytest.raises(UpstreamTruncated):
            await answer.read()
        await asyncio.wait_for(client.closed.wait(), BOUND)


async def test_an_unread_response_keeps_its_bytes_when_the_connection_serves_the_next() -> None:
    large = bytes(2 * HIGH_WATER)  # enough to stop the reading in the very moment it is complete

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.head()
        await peer.send(response(b"two"))
        await peer.rest()

    async with connected(script) as client:
        asking = asyncio.create_task(client.request())
        await asyncio.sleep(0)
        client.connection.data_received(response(large))
        first = await asking
        assert first.buffered > HIGH_WATER
        assert client.connection.reusable
        second = await client.request()
        assert await all_of(second) == b"two"
        assert await all_of(first) == large


@pytest.mark.parametrize("body", [None, Body(endless(bytes(65536)), None)])
async def test_a_cancelled_request_closes_and_leaves_nothing(
    body: Body | None, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(silent) as client:
        task = asyncio.create_task(client.request(body=body))
        await asyncio.sleep(SOON)
        task.cancel()
        await asyncio.wait((task,))
        assert task.cancelled()
        await asyncio.wait_for(client.closed.wait(), BOUND)
        assert client.freed == 0
    assert not caplog.records


async def test_a_cancelled_read_closes_and_leaves_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with connected(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")) as client:
        answer = await client.request()
        task = asyncio.create_task(answer.read())
        await asyncio.sleep(SOON)
        task.cancel()
        await asyncio.wait((task,))
        assert task.cancelled()
        assert client.freed == 1
        await asyncio.wait_for(client.closed.wait(), BOUND)
    assert not caplog.records
