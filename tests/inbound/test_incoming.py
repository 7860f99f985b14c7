"""What a handler has of a request: reading, writing, and being told that nobody is there."""

import asyncio

import pytest

from sidecar.inbound import incoming as incoming_module
from sidecar.inbound.incoming import ClientGone, Incoming
from tests.inbound.test_server import BOUND, GET, connected, echo, is_refusal, one_answer, serving, was_reset
from tests.support.gateway import read_answer


async def test_lingering_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming_module, "LINGERING", 0.01)
    async with serving() as (port, _), connected(port) as (reader, writer):
        writer.write(b"no request\r\n\r\n")
        assert is_refusal(await reader.read())
        while not writer.transport.is_closing():  # the server's end is gone: writing fails
            writer.write(b"x" * 4096)
            await asyncio.sleep(0.001)


async def test_an_interim_response_does_not_begin_the_final_one() -> None:
    seen = []

    async def handle(incoming: Incoming) -> Incoming:
        incoming.write_interim(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        seen.append(incoming.started)
        await echo(incoming)
        seen.append(incoming.started)
        return incoming

    async with serving(handle) as (port, _):
        assert (await one_answer(port, GET)).status == 200
    assert seen == [False, True]


async def test_the_peer_and_the_end_of_the_request() -> None:
    seen: list[tuple[str | None, bool]] = []
    reached = asyncio.Event()

    async def handle(incoming: Incoming) -> Incoming:
        seen.append((incoming.peer, incoming.complete))
        reached.set()
        await echo(incoming)
        seen.append((incoming.peer, incoming.complete))
        return incoming

    async with serving(handle) as (port, _), connected(port) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n1")
        await reached.wait()
        writer.write(b"2")
        assert (await read_answer(reader)).body == b"/|12"
    assert seen == [("127.0.0.1", False), ("127.0.0.1", True)]


async def test_a_body_that_stalls_is_told_apart_from_one_that_comes_late() -> None:
    stalled = asyncio.Event()

    async def handle(incoming: Incoming) -> Incoming:
        assert await incoming.read(BOUND) == b"12345"
        with pytest.raises(TimeoutError):
            await incoming.read(0.001)
        stalled.set()
        return await echo(incoming)

    async with serving(handle) as (port, _), connected(port) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
        async with asyncio.timeout(BOUND):
            await stalled.wait()
            writer.write(b"67890")
            assert (await reader.readuntil(b"67890")).endswith(b"/|67890")


async def test_a_handler_that_reads_is_told_when_the_caller_leaves_within_the_body() -> None:
    reached, told = asyncio.Event(), asyncio.Event()

    async def handle(incoming: Incoming) -> Incoming:
        reached.set()
        try:
            while await incoming.read(BOUND):
                pass
        except (ClientGone, asyncio.CancelledError):
            told.set()
            raise
        return await echo(incoming)

    for framing in (b"Content-Length: 10\r\n\r\n12345", b"Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n"):
        reached.clear()
        told.clear()
        async with serving(handle) as (port, refusals):
            async with connected(port) as (_, writer):
                writer.write(b"POST / HTTP/1.1\r\nHost: a\r\n" + framing)
                await reached.wait()
            async with asyncio.timeout(BOUND):
                await told.wait()
            assert refusals == []


async def test_a_handler_that_writes_is_told_that_nobody_is_there() -> None:
    gone = asyncio.get_running_loop().create_future()

    async def handle(incoming: Incoming) -> Incoming:
        try:
            while True:
                incoming.write(bytes(65536))
                await incoming.drain(BOUND)
        except BaseException as error:
            gone.set_result(error)
            raise

    async with serving(handle) as (port, _):
        async with connected(port) as (reader, writer):
            writer.write(GET)
            await reader.readexactly(65536)
        async with asyncio.timeout(BOUND):
            assert isinstance(await gone, ClientGone | asyncio.CancelledError)


@pytest.mark.threat("S41")
async def test_a_caller_that_takes_nothing_is_cut_off() -> None:
    gone = asyncio.get_running_loop().create_future()

    async def handle(incoming: Incoming) -> Incoming:
        try:
            while True:
                incoming.write(bytes(65536))
                await incoming.drain(0.01)
        except ClientGone:
            gone.set_result(incoming.keep_open)
        return incoming

    async with serving(handle) as (port, _), connected(port) as (reader, writer):
        writer.write(GET)
        assert await gone is False
        assert await was_reset(reader)


async def test_a_large_body_is_handed_on_in_pieces_however_much_came_at_once() -> None:
    body, pieces = bytes(range(256)) * 4096, list[bytes]()

    async def handle(incoming: Incoming) -> Incoming:
        while piece := await incoming.read(BOUND):
            pieces.append(piece)
        incoming.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        return incoming

    async with serving(handle) as (port, _), connected(port) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert (await read_answer(reader)).status == 204
    assert b"".join(pieces) == body
    assert max(map(len, pieces)) <= incoming_module.PIECE
