import asyncio

from sidecar.upstream.watch import Watch
from tests.support.clock import FakeClock

SOON = 0.001  # seconds of the loop's clock; what is asserted hangs on the fake one


class Watched:
    def __init__(self) -> None:
        self.time = FakeClock()
        self.expired = asyncio.Event()
        self.count = 0
        self.watch = Watch(asyncio.get_running_loop(), self.time.clock, self._expire)

    def _expire(self) -> None:
        self.count += 1
        self.expired.set()

    async def some_turns(self) -> None:
        for _ in range(5):
            await asyncio.sleep(SOON)


async def test_it_expires_once_and_not_before_the_deadline() -> None:
    watched = Watched()
    watched.watch.start(SOON)
    await watched.some_turns()
    assert watched.count == 0  # the loop's timer fired, the clock had not moved
    watched.time.advance(SOON)
    await asyncio.wait_for(watched.expired.wait(), 5)
    await watched.some_turns()
    assert watched.count == 1


async def test_a_stopped_deadline_does_not_expire() -> None:
    watched = Watched()
    watched.watch.start(SOON)
    watched.watch.stop()
    watched.time.advance(1)
    await watched.some_turns()
    assert watched.count == 0


async def test_a_later_deadline_replaces_an_earlier_one() -> None:
    watched = Watched()
    watched.watch.start(SOON)
    watched.watch.start(100)
    watched.time.advance(50)
    await watched.some_turns()
    assert watched.count == 0
    watched.watch.cancel()


async def test_an_earlier_deadline_replaces_a_later_one() -> None:
    watched = Watched()
    watched.watch.start(1000)
    watched.watch.start(SOON)
    watched.time.advance(SOON)
    await asyncio.wait_for(watched.expired.wait(), 5)


async def test_it_can_be_started_again_after_expiring_and_after_stopping() -> None:
    watched = Watched()
    for _ in range(2):
        watched.watch.start(SOON)
        watched.watch.stop()
        watched.watch.start(SOON)
        watched.time.advance(SOON)
        await asyncio.wait_for(watched.expired.wait(), 5)
        watched.expired.clear()
    assert watched.count == 2


async def test_moving_the_deadline_makes_no_new_timer() -> None:
    watched = Watched()
    watched.watch.start(50)
    handle = watched.watch._handle
    for _ in range(100):
        watched.time.advance(0.1)
        watched.watch.start(60)
    assert watched.watch._handle is handle
    watched.watch.cancel()
    assert handle is not None
    assert handle.cancelled()


async def test_cancel_leaves_nothing_that_fires() -> None:
    watched = Watched()
    watched.watch.start(SOON)
    watched.watch.cancel()
    watched.time.advance(1)
    await watched.some_turns()
    assert watched.count == 0
