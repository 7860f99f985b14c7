import asyncio

import pytest

from sidecar.snapshot.in_use import InUse

BOUND = 10.0


async def test_it_has_ended_when_all_have_left() -> None:
    use = InUse()
    await use.ended()
    use.enter()
    use.enter()
    ended = asyncio.create_task(use.ended())
    use.leave()
    await asyncio.sleep(0)
    assert not ended.done()
    use.leave()
    async with asyncio.timeout(BOUND):
        await ended


async def test_who_stops_waiting_disturbs_nobody() -> None:
    use = InUse()
    use.enter()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await use.ended()
    use.leave()
    async with asyncio.timeout(BOUND):
        await use.ended()
