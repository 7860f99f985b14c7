"""What callers send leaves nothing behind, however much of it is different each time."""

import asyncio
import gc
from random import Random

import pytest

from tests.faces.conftest import MakeWorld
from tests.support.gateway import BOUND, ask, get, read_answer


def strange(number: int, random: Random) -> bytes:
    """A request that no route takes, and that nobody sent before."""
    method = random.choice(["GET", "POST", "PURGE", "MKCOL", "REPORT", "UNSUBSCRIBE"])
    return (
        f"{method} /nothing/{random.randbytes(6).hex()}/{number}?{number} HTTP/1.1\r\nHost: h{number}.example\r\n"
        f"User-Agent: {number}\r\nX-{number}: {number}\r\nAuthorization: Bearer {random.randbytes(20).hex()}\r\n"
        "Content-Length: 0\r\n\r\n"
    ).encode()


async def answers(port: int, requests: list[bytes]) -> list[int]:
    """Send them on one connection, one after the other, and return the statuses."""
    statuses = []
    async with asyncio.timeout(BOUND):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for request in requests:
                writer.write(request)
                statuses.append((await read_answer(reader)).status)
        finally:
            writer.close()
    return statuses


def series(scrape: str) -> set[str]:
    """The names and labels of all that is exported."""
    return {line.rsplit(" ", 1)[0] for line in scrape.splitlines() if not line.startswith("#")}


@pytest.mark.threat("S63", "S64")
async def test_unknown_paths_methods_and_hosts_add_no_series(world: MakeWorld) -> None:
    here = await world()
    random = Random(64)
    port = here.gateway.port()

    async def rounds(start: int, stop: int) -> None:
        assert set(await answers(port, [strange(number, random) for number in range(start, stop)])) == {404}
        for number in range(start, start + 20):  # of these methods nobody has heard: each ends its connection
            assert await answers(port, [strange(number, random).replace(b" ", b"%d " % number, 1)]) == [400]

    assert (await ask(port, get(token=here.sts.mint()))).status == 200  # what an exchange adds is there
    await rounds(0, 30)
    before = series(await here.gateway.metrics())
    assert len(before) > 50
    await rounds(30, 430)
    assert series(await here.gateway.metrics()) == before


@pytest.mark.threat("S64")
async def test_unknown_paths_leave_no_objects(world: MakeWorld) -> None:
    here = await world()
    random = Random(65)

    async def some(count: int) -> int:
        requests = [
            get(f"/nothing/{random.randbytes(8).hex()}").replace(b": close", b": keep-alive") for _ in range(count)
        ]
        assert set(await answers(here.gateway.port(), requests)) == {404}
        await ask(here.gateway.port("admin"), get("/metrics"))
        gc.collect()
        return len(gc.get_objects())

    await some(50)
    before = await some(50)
    assert await some(1000) < before + 500  # one object each would be twice as many
