import asyncio
from collections.abc import AsyncIterator

import pytest

from sidecar.oauth.flights import Flights


class Desk:
    """Answers with the number of the question, once it may; keeps what counts."""

    def __init__(self) -> None:
        self.flights: Flights[int] = Flights()
        self.go = asyncio.Event()
        self.asked = 0
        self.kept: list[int] = []

    async def ask(self) -> int:
        self.asked += 1
        number = self.asked
        await self.go.wait()
        if self.flights.current_counts:
            self.kept.append(number)
        return number

    def join(self, key: bytes) -> "asyncio.Task[int]":
        return asyncio.create_task(self.flights.join(key, self.ask))


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    opened = Desk()
    yield opened
    await opened.flights.close()


async def test_the_same_is_asked_once_whoever_leaves(desk: Desk) -> None:
    first, *others = [desk.join(b"a") for _ in range(5)]
    other = desk.join(b"b")
    await asyncio.sleep(0)
    first.cancel()
    desk.go.set()
    assert await asyncio.gather(*others) == [1, 1, 1, 1]
    assert await other == 2
    assert first.cancelled()
    assert await desk.join(b"a") == 3  # what landed is not remembered here


async def test_what_is_overtaken_is_for_those_who_wait_and_nothing_of_it_counts(desk: Desk) -> None:
    before = desk.join(b"a")
    await asyncio.sleep(0)
    desk.flights.overtake()
    after = desk.join(b"a")
    await asyncio.sleep(0)
    desk.go.set()
    assert (await before, await after) == (1, 2)
    assert desk.kept == [2]
    assert (desk.flights._by_key, desk.flights._overtaken) == ({}, set())


async def test_a_failure_is_for_all_who_wait_and_for_nobody_later(desk: Desk) -> None:
    async def fail() -> int:
        await desk.go.wait()
        raise ValueError

    waiting = [asyncio.create_task(desk.flights.join(b"a", fail)) for _ in range(2)]
    await asyncio.sleep(0)
    desk.go.set()
    assert [type(each) for each in await asyncio.gather(*waiting, return_exceptions=True)] == [ValueError] * 2
    assert await desk.join(b"a") == 1


async def test_closing_gives_all_up(desk: Desk) -> None:
    waiting = [desk.join(b"a")]
    await asyncio.sleep(0)
    desk.flights.overtake()
    waiting.append(desk.join(b"a"))
    await asyncio.sleep(0)
    await desk.flights.close()
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in ended] == [asyncio.CancelledError] * 2
    assert (desk.flights._by_key, desk.flights._overtaken) == ({}, set())
