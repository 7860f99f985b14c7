"""Looks at a peer: when they come, and that nothing ends them but their end."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from sidecar.oauth.probe import Probe


class Watched:
    """A probe whose time is a list of the naps it wants; each one lasts until the test lets it go on."""

    def __init__(self, look: Callable[[], Awaitable[object]], uniform: Callable[[float, float], float] = max) -> None:
        self.naps: list[float] = []
        self.wake = asyncio.Semaphore(0)
        self.probe = Probe(30.0, look, uniform=uniform, sleep=self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        await self.wake.acquire()

    async def next(self) -> None:
        """Let it go on to its next nap."""
        naps = len(self.naps)
        self.wake.release()
        async with asyncio.timeout(5):
            while len(self.naps) == naps:  # noqa: ASYNC110 - it is asleep when it says so
                await asyncio.sleep(0)


class Looks:
    def __init__(self) -> None:
        self.count = 0
        self.failure: Exception | None = None

    async def __call__(self) -> None:
        self.count += 1
        if self.failure is not None:
            raise self.failure


@pytest.mark.parametrize(("chance", "first", "then"), [(min, 0, 27), (max, 3, 33)])
async def test_it_looks_again_and_again_at_no_fixed_time(
    chance: Callable[[float, float], float], first: float, then: float
) -> None:
    looks = Looks()
    watched = Watched(looks, chance)
    watched.probe.start()
    watched.probe.start()  # once is enough
    await asyncio.sleep(0)
    assert looks.count == 0
    for count in range(1, 4):
        await watched.next()
        assert looks.count == count
    assert watched.naps == pytest.approx([first, then, then, then])
    await watched.probe.close()


async def test_a_look_that_breaks_is_not_the_last(caplog: pytest.LogCaptureFixture) -> None:
    looks = Looks()
    watched = Watched(looks)
    looks.failure = RuntimeError("canary")
    watched.probe.start()
    await asyncio.sleep(0)
    await watched.next()
    await watched.next()
    assert looks.count == 2
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert "canary" not in caplog.text
    await watched.probe.close()


async def test_a_look_that_hangs_is_not_doubled_and_can_be_ended() -> None:
    begun = 0

    async def hang() -> None:
        nonlocal begun
        begun += 1
        await asyncio.Event().wait()

    watched = Watched(hang)
    watched.probe.start()
    watched.wake.release()
    watched.wake.release()
    for _ in range(5):
        await asyncio.sleep(0)
    assert begun == 1
    await watched.probe.close()
    await watched.probe.close()  # there is nothing left to end


async def test_what_never_began_can_be_closed() -> None:
    await Probe(1.0, Looks()).close()
