"""Streams through a whole gateway: event streams, watches and answers that pause, over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from tests.faces.conftest import CONFIG, MakeWorld, World
from tests.support.gateway import BOUND, get
from tests.support.raw_upstream import Peer, RawUpstream
from tests.support.websocket import read_head, read_rest

HEADS = {
    "chunked": b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    "of a length": b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1000000\r\n\r\n",
    "until the connection's end": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n",
}
EVENT = b"data: one\n\n"
TIGHT = ", response_timeout: 300ms, read_idle: 300ms, send_idle: 300ms"


def framed(name: str, piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece) if name == "chunked" else piece


@dataclass(slots=True)
class Stream:
    """A response under way, both ends by the byte."""

    world: World
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    peer: Peer

    async def ended(self) -> None:
        """Wait until the gateway counts it as over."""
        async with asyncio.timeout(BOUND):
            while self.world.gateway.app._gateway.streams:  # noqa: ASYNC110 - a number, which tells nobody
                await asyncio.sleep(0.005)


@asynccontextmanager
async def streaming(world: MakeWorld, head: bytes, keys: str = "") -> AsyncIterator[Stream]:
    """Have a request answered with a head, whose body is the test's."""
    arrived: asyncio.Queue[Peer] = asyncio.Queue()
    over = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(head)
        arrived.put_nowait(peer)
        await over.wait()

    async with RawUpstream(script) as server:
        old = "upstream: {url: 'http://127.0.0.1:PORT'}"
        here = await world(CONFIG.replace(old, f"upstream: {{url: 'http://127.0.0.1:{server.port}'{keys}}}", 1))
        reader, writer = await asyncio.open_connection("127.0.0.1", here.gateway.port())
        try:
            writer.write(get(token=here.sts.mint()))
            async with asyncio.timeout(BOUND):
                peer = await arrived.get()
            yield Stream(here, reader, writer, peer)
        finally:
            over.set()
            writer.close()


@pytest.mark.parametrize("name", HEADS)
async def test_head_and_pieces_pass_at_once(name: str, world: MakeWorld) -> None:
    """Each is only sent once the one before arrived, so that nothing can be waiting for more."""
    async with streaming(world, HEADS[name]) as it:
        assert (await read_head(it.reader)).startswith(b"HTTP/1.1 200 ")
        for _ in range(20):
            await it.peer.send(framed(name, EVENT))
            async with asyncio.timeout(BOUND):
                assert EVENT in await it.reader.readuntil(EVENT)


@pytest.mark.parametrize("name", HEADS)
async def test_a_stream_that_pauses_lives_for_longer_than_any_of_its_limits(name: str, world: MakeWorld) -> None:
    async with streaming(world, HEADS[name], TIGHT) as it:
        await read_head(it.reader)
        for _ in range(8):  # longer in all than each of them
            await asyncio.sleep(0.1)
            await it.peer.send(framed(name, EVENT))
            async with asyncio.timeout(BOUND):
                assert EVENT in await it.reader.readuntil(EVENT)


@pytest.mark.parametrize("name", HEADS)
async def test_an_upstream_that_falls_silent_is_given_up_and_the_answer_cut(name: str, world: MakeWorld) -> None:
    async with streaming(world, HEADS[name], TIGHT) as it:
        await read_head(it.reader)
        await it.peer.send(framed(name, EVENT))
        rest = await read_rest(it.reader)
        assert EVENT in rest
        assert not rest.endswith(b"0\r\n\r\n")
        assert await it.peer.rest() == b""
        await it.ended()


@pytest.mark.parametrize("name", HEADS)
async def test_a_caller_that_leaves_ends_the_upstreams_connection(name: str, world: MakeWorld) -> None:
    async with streaming(world, HEADS[name]) as it:
        await read_head(it.reader)
        it.writer.close()
        assert await it.peer.rest() == b""
        await it.ended()
        pool = it.world.gateway.app.snapshot.pools["orders"]
        assert (pool.active, pool.idle) == (0, 0)


async def test_a_caller_that_takes_nothing_is_given_up_and_holds_the_upstream_back(world: MakeWorld) -> None:
    async with streaming(world, HEADS["until the connection's end"], TIGHT) as it:
        it.reader._transport.pause_reading()  # type: ignore[attr-defined]

        async def flood() -> None:
            while True:
                await it.peer.send(bytes(1 << 16))

        with pytest.raises(ConnectionError):
            await asyncio.wait_for(flood(), BOUND)
        await it.ended()


async def test_an_answer_may_come_before_its_request_has_ended(world: MakeWorld) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        assert EVENT in await peer.until(EVENT)
        await peer.send(HEADS["chunked"] + framed("chunked", EVENT) + b"0\r\n\r\n")
        await peer.rest()

    async with RawUpstream(script) as server:
        old = "upstream: {url: 'http://127.0.0.1:PORT'}"
        here = await world(CONFIG.replace(old, f"upstream: {{url: 'http://127.0.0.1:{server.port}'}}", 1))
        reader, writer = await asyncio.open_connection("127.0.0.1", here.gateway.port())
        head = get("/orders", b"Transfer-Encoding: chunked", token=here.sts.mint(), method="POST")
        writer.write(head + framed("chunked", EVENT))
        assert (await read_head(reader)).startswith(b"HTTP/1.1 200 ")
        async with asyncio.timeout(BOUND):
            assert EVENT in await reader.readuntil(EVENT)
        writer.close()
