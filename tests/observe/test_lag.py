import asyncio

import pytest

from sidecar.model.clock import Clock
from sidecar.observe.lag import SAMPLES, LoopLag


def _clock(*readings: float) -> Clock:
    values = iter(readings)
    return Clock(monotonic=lambda: next(values))


async def test_the_worst_of_the_samples_counts() -> None:
    lag = LoopLag(_clock(0.0, 0.3, 1.0, 1.0, 2.0, 1.9))
    assert lag.worst() == 0.0
    for _ in range(3):
        await lag.sample(0.0)
    assert lag.worst() == pytest.approx(0.3)


async def test_a_bad_moment_is_forgotten_when_its_sample_is_too_old() -> None:
    lag = LoopLag(_clock(0.0, 5.0, *[0.0] * 2 * SAMPLES))
    await lag.sample(0.0)
    for _ in range(SAMPLES - 1):
        await lag.sample(0.0)
    assert lag.worst() == 5.0
    await lag.sample(0.0)
    assert lag.worst() == 0.0


async def test_it_samples_until_cancelled() -> None:
    task = asyncio.create_task(LoopLag().run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)
