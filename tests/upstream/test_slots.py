import asyncio
import random

import pytest

from sidecar.upstream.errors import UpstreamOverloaded
from sidecar.upstream.slots import Slots

LONG = 5.0


async def turns() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_slots_are_given_up_to_the_limit() -> None:
    slots = Slots(2, 0.001)
    await slots.acquire()
    await slots.acquire()
    assert slots.used == 2
    with pytest.raises(UpstreamOverloaded):
        await slots.acquire()
    assert slots.used == 2
    slots.release()
    await slots.acquire()
    assert slots.used == 2


async def test_who_waits_longest_is_next_and_nobody_overtakes() -> None:
    slots = Slots(1, LONG)
    await slots.acquire()
    order: list[int] = []

    async def take(number: int) -> None:
        await slots.acquire()
        order.append(number)

    tasks = [asyncio.create_task(take(number)) for number in range(3)]
    await turns()
    slots.release()
    late = asyncio.create_task(take(99))  # comes while the slot is on its way to the first
    await turns()
    assert order == [0]
    for _ in range(3):
        slots.release()
        await turns()
    assert order == [0, 1, 2, 99]
    await asyncio.gather(*tasks, late)
    slots.release()
    assert slots.used == 0


async def test_a_cancelled_waiter_is_passed_over() -> None:
    slots = Slots(1, LONG)
    await slots.acquire()
    first, second = asyncio.create_task(slots.acquire()), asyncio.create_task(slots.acquire())
    await turns()
    first.cancel()
    await turns()
    slots.release()
    await asyncio.wait_for(second, LONG)
    assert first.cancelled()
    assert slots.used == 1


async def test_a_slot_handed_to_a_waiter_that_is_cancelled_in_the_same_turn_is_not_lost() -> None:
    slots = Slots(1, LONG)
    await slots.acquire()
    first, second = asyncio.create_task(slots.acquire()), asyncio.create_task(slots.acquire())
    await turns()
    slots.release()
    first.cancel()
    await asyncio.wait_for(second, LONG)
    assert first.cancelled()
    assert slots.used == 1


async def test_a_waiter_that_is_cancelled_before_the_release_in_the_same_turn_is_passed_over() -> None:
    slots = Slots(1, LONG)
    await slots.acquire()
    first, second = asyncio.create_task(slots.acquire()), asyncio.create_task(slots.acquire())
    await turns()
    first.cancel()
    slots.release()
    await asyncio.wait_for(second, LONG)
    await asyncio.wait((first,))
    assert first.cancelled()
    assert slots.used == 1


async def test_waiters_that_gave_up_leave_nothing_behind() -> None:
    slots = Slots(1, 0.001)
    await slots.acquire()
    outcomes = await asyncio.gather(*(slots.acquire() for _ in range(50)), return_exceptions=True)
    assert all(isinstance(outcome, UpstreamOverloaded) for outcome in outcomes)
    assert not slots._waiters
    slots.release()
    assert slots.used == 0


async def test_no_slot_is_lost_or_made_whatever_is_cancelled() -> None:
    slots = Slots(3, LONG)
    chance = random.Random(7)
    held = 0
    most = 0

    async def use() -> None:
        nonlocal held, most
        await slots.acquire()
        held += 1
        most = max(most, held)
        try:
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
        finally:
            held -= 1
            slots.release()

    tasks = [asyncio.create_task(use()) for _ in range(500)]
    while not all(task.done() for task in tasks):
        chance.choice(tasks).cancel()
        await asyncio.sleep(0)
    assert slots.used == 0
    assert most == 3
    assert sum(not task.cancelled() for task in tasks) > 0


def test_a_slot_is_taken_at_once_where_one_is_free() -> None:
    slots = Slots(1, 0.001)
    assert [slots.take(), slots.take()] == [True, False]
    slots.release()
    assert slots.take()
    assert slots.used == 1
