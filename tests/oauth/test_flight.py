"""One fetch at a time, whoever waits for it, whatever becomes of it."""

import asyncio

import pytest

from sidecar.oauth.flight import LEAST_SHARE, LONGEST_HOLD, Flight
from tests.support.clock import FakeClock


class Fetch:
    """A fetch that is held until it is let go, and then ends as it is told."""

    def __init__(self) -> None:
        self.begun = 0
        self.go = asyncio.Event()
        self.succeeds = True

    async def __call__(self) -> bool:
        self.begun += 1
        await asyncio.wait_for(self.go.wait(), 5)
        return self.succeeds


async def test_many_starts_are_one_fetch() -> None:
    fetch, fake = Fetch(), FakeClock()
    flight = Flight(fetch, fake.clock)
    for _ in range(5):
        flight.start()
    waiting = [asyncio.create_task(flight.join()) for _ in range(100)]
    await asyncio.sleep(0)
    assert flight.under_way
    for task in waiting[::2]:
        task.cancel()
    fetch.go.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert fetch.begun == 1
    assert [type(result) for result in results[:2]] == [asyncio.CancelledError, type(None)]
    assert not flight.under_way
    await flight.join()  # nothing to wait for
    flight.start()
    await flight.join()
    assert fetch.begun == 2


async def test_the_first_to_ask_may_leave() -> None:
    fetch = Fetch()
    flight = Flight(fetch, FakeClock().clock)

    async def ask() -> None:
        flight.start()
        await flight.join()

    first = asyncio.create_task(ask())
    await asyncio.sleep(0)
    second = asyncio.create_task(ask())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    fetch.go.set()
    await second
    assert first.cancelled()
    assert fetch.begun == 1


async def test_failures_are_followed_by_longer_and_longer_pauses() -> None:
    fetch, fake = Fetch(), FakeClock()
    fetch.go.set()
    fetch.succeeds = False
    flight = Flight(fetch, fake.clock, max)
    for begun, pause in enumerate((1, 2, 4, 4, 4), 1):
        flight.start()
        await flight.join()
        assert fetch.begun == begun
        assert flight.retry_after == pause
        fake.advance(pause - 0.1)
        flight.start()
        assert not flight.under_way
        assert flight.retry_after == 1.0  # never less
        fake.advance(0.1)
    fetch.succeeds = True
    flight.start()
    await flight.join()
    fetch.succeeds = False
    flight.start()  # a success ends all pauses
    await flight.join()
    assert flight.retry_after == 1


async def test_pauses_are_spread_and_never_longer() -> None:
    fetch, fake = Fetch(), FakeClock()
    fetch.go.set()
    fetch.succeeds = False
    asked: list[tuple[float, float]] = []

    def noted(low: float, high: float) -> float:
        asked.append((low, high))
        return low

    flight = Flight(fetch, fake.clock, noted)
    for pause in (0.75, 1.5, 3, 3):
        flight.start()
        await flight.join()
        fake.advance(pause)
    assert asked == [(LEAST_SHARE, 1.0)] * 4
    assert fetch.begun == 4


@pytest.mark.parametrize(("asked", "given"), [(0.1, 1), (7, 7), (86400, LONGEST_HOLD)])
async def test_a_peer_that_asks_for_longer_is_given_it(asked: float, given: float) -> None:
    fake = FakeClock()

    async def told_to_wait() -> bool:
        flight.hold(asked)
        return False

    flight = Flight(told_to_wait, fake.clock, max)
    flight.start()
    await flight.join()
    assert flight.retry_after == given
    fake.advance(given - 0.1)
    flight.start()
    assert not flight.under_way
    fake.advance(0.1)
    flight.start()
    assert flight.under_way
    await flight.close()


async def test_a_fault_reaches_who_waits_and_counts_as_a_failure() -> None:
    async def broken() -> bool:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    flight = Flight(broken, FakeClock().clock)
    flight.start()
    with pytest.raises(ZeroDivisionError):
        await flight.join()
    flight.start()
    assert not flight.under_way


async def test_closing_ends_it() -> None:
    fetch = Fetch()
    flight = Flight(fetch, FakeClock().clock)
    await flight.close()
    flight.start()
    await asyncio.sleep(0)
    waiting = asyncio.create_task(flight.join())
    await asyncio.sleep(0)
    await flight.close()
    assert not flight.under_way
    await waiting  # it finds nothing, and was not itself cancelled
