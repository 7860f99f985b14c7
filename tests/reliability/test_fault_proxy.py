"""The proxy does to each request what it is told, and counts what may not be."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.reliability.faults import Fault, Manner
from tests.reliability.programs.fault_proxy import FaultProxy
from tests.support.gateway import BOUND, Upstream, ask, recording_upstream
from tests.support.process import free_port
from tests.support.raw_upstream import response

BODY = b"x" * 100
LENGTH = response(BODY)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n" + BODY + b"\r\n0\r\n\r\n"


class Rig:
    """A proxy before an upstream."""

    def __init__(self, port: int, proxy: FaultProxy, upstream: Upstream) -> None:
        self.port = port
        self.proxy = proxy
        self.upstream = upstream

    async def answer(self, request: bytes = b"GET /one HTTP/1.1\r\n\r\n") -> bytes:
        """Everything that comes back until the proxy is silent or gone."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        received = b""
        try:
            async with asyncio.timeout(BOUND):
                while (piece := await reader.read(1 << 16)) and not received.endswith(LENGTH):
                    received += piece
                    if received in (LENGTH, CHUNKED) or received.endswith(b"\r\n\r\n"):
                        break
        except ConnectionError:
            pass
        finally:
            writer.close()
        return received


@asynccontextmanager
async def rig(answer: bytes = LENGTH, seed: int = 1) -> AsyncIterator[Rig]:
    async with recording_upstream(lambda _: answer) as upstream:
        port = free_port()
        proxy = FaultProxy(port, upstream.port, seed)
        await proxy.become(Fault())
        try:
            yield Rig(port, proxy, upstream)
        finally:
            await proxy.become(Fault(Manner.REFUSE))
            await asyncio.sleep(0.01)  # its connections end


@pytest.mark.parametrize("answer", [LENGTH, CHUNKED])
async def test_what_passes_is_the_same(answer: bytes) -> None:
    async with rig(answer) as here:
        assert await here.answer() == answer
        assert here.proxy.count.requests == {"/one": 1}
        assert here.proxy.count.faults == 0


async def test_nobody_listens_and_then_somebody_does_again() -> None:
    async with rig() as here:
        await here.proxy.become(Fault(Manner.REFUSE))
        with pytest.raises(ConnectionRefusedError):
            await here.answer()
        await here.proxy.become(Fault())
        assert await here.answer() == LENGTH


@pytest.mark.parametrize(("manner", "comes"), [(Manner.HANG, b""), (Manner.HOLD, LENGTH)])
async def test_silence_ends_when_the_manner_changes(manner: Manner, comes: bytes) -> None:
    async with rig() as here:
        await here.proxy.become(Fault(manner))
        asking = asyncio.create_task(here.answer())
        async with asyncio.timeout(BOUND):
            while not here.proxy.count.faults:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.001)
        assert not asking.done()
        assert here.upstream.seen == []
        await here.proxy.become(Fault())
        assert await asking == comes


async def test_late_is_whole() -> None:
    async with rig() as here:
        await here.proxy.become(Fault(Manner.SLOW, seconds=0.01))
        assert await here.answer() == LENGTH
        assert here.proxy.count.faults == 1


async def test_what_is_dropped_went_nowhere() -> None:
    async with rig() as here:
        await here.proxy.become(Fault(Manner.DROP))
        assert await here.answer() == b""
        assert here.upstream.seen == []


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("answer", [LENGTH, CHUNKED])
async def test_what_is_cut_is_never_whole(answer: bytes, seed: int) -> None:
    async with rig(answer, seed) as here:
        await here.proxy.become(Fault(Manner.CUT))
        came = await here.answer()
        assert answer.startswith(came)
        assert came != answer
        assert len(here.upstream.seen) == 1


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("bodies", [False, True])
async def test_what_is_garbled_differs_in_few_bytes_and_says_its_true_length(bodies: bool, seed: int) -> None:
    async with rig(seed=seed) as here:
        garbled = here.proxy._garbled(LENGTH, Fault(Manner.CORRUPT, bodies=bodies))
        assert len(garbled) == len(LENGTH)
        assert 1 <= sum(one != other for one, other in zip(garbled, LENGTH, strict=True)) <= 8
        assert bodies or garbled.endswith(b"\r\nContent-Length: 100\r\n\r\n" + BODY)


async def test_it_answers_by_itself_with_an_error() -> None:
    async with rig() as here:
        await here.proxy.become(Fault(Manner.ERROR, status=502))
        assert (await here.answer()).startswith(b"HTTP/1.1 502 ")
        assert here.upstream.seen == []


async def test_who_comes_before_it_may_is_counted() -> None:
    async with rig() as here:
        await here.proxy.become(Fault(Manner.BUSY, seconds=60))
        answer = await ask(here.port, b"POST /token HTTP/1.1\r\nContent-Length: 2\r\n\r\nab")
        assert (answer.status, answer.value("retry-after")) == (429, "60")
        assert here.proxy.count.early == 0
        await here.proxy.become(Fault())
        await here.answer()
        assert here.proxy.count.early == 1


async def test_a_post_that_comes_again_is_counted_also_where_it_went_nowhere() -> None:
    async with rig() as here:
        await here.proxy.become(Fault(Manner.DROP))
        for name in ("one", "two", "one"):
            await here.answer(f"POST / HTTP/1.1\r\nX-Id: {name}\r\nContent-Length: 0\r\n\r\n".encode())
        await here.answer(b"GET / HTTP/1.1\r\nX-Id: two\r\n\r\n")
        assert here.proxy.count.doubled == ["one"]


async def test_a_fault_hits_its_path_and_its_share_alone() -> None:
    async with rig() as here:
        await here.proxy.become(Fault(Manner.ERROR, path="/token"))
        assert await here.answer() == LENGTH
        await here.proxy.become(Fault(Manner.ERROR, share=0.5))
        came = [await here.answer() for _ in range(40)]
        assert 5 < came.count(LENGTH) < 35
        assert here.proxy.count.faults == 40 - came.count(LENGTH)
