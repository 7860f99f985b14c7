"""Turns: so many at once, as many in line, in the order in which they came, and nobody who left is waited for."""

import asyncio
import random

import pytest

from sidecar.oauth.answer import ServerOverloaded
from sidecar.oauth.turns import Turns


class Visitor:
    """Somebody who takes a turn and keeps it until told to go."""

    def __init__(self, turns: Turns, order: list["Visitor"]) -> None:
        self.go = asyncio.Event()
        self.task = asyncio.create_task(self._visit(turns, order))

    async def _visit(self, turns: Turns, order: list["Visitor"]) -> None:
        async with turns:
            order.append(self)
            await self.go.wait()


async def ticks() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_so_many_at_once_and_as_many_in_line() -> None:
    turns = Turns(2)
    order: list[Visitor] = []
    visitors = [Visitor(turns, order) for _ in range(4)]
    await ticks()
    assert (turns.held, turns.waiting, turns.free) == (2, 2, False)
    with pytest.raises(ServerOverloaded):
        await turns.__aenter__()
    assert order == visitors[:2]
    visitors[1].go.set()
    await ticks()
    assert (turns.held, turns.waiting, order) == (2, 1, [*visitors[:2], visitors[2]])
    for visitor in visitors:
        visitor.go.set()
    await asyncio.gather(*(visitor.task for visitor in visitors))
    assert (turns.held, turns.waiting, turns.free) == (0, 0, True)


async def test_who_comes_first_is_served_first_also_past_those_who_left() -> None:
    turns = Turns(1)
    order: list[Visitor] = []
    visitors = [Visitor(turns, order) for _ in range(2)]
    await ticks()
    late = []
    for _ in range(5):
        visitors[1].task.cancel()
        await ticks()
        visitors[1] = Visitor(turns, order)
        await ticks()
        late.append(visitors[1])
    visitors[0].go.set()
    await ticks()
    assert order == [visitors[0], late[-1]]
    late[-1].go.set()
    await ticks()
    assert (turns.held, turns.waiting) == (0, 0)


async def test_a_turn_that_failed_is_given_back() -> None:
    turns = Turns(1)
    for _ in range(3):
        with pytest.raises(RuntimeError):
            async with turns:
                raise RuntimeError
    assert (turns.held, turns.waiting, turns.free) == (0, 0, True)


async def test_whoever_leaves_at_any_moment_leaves_nothing_behind() -> None:
    """Ten thousand come, and most leave: in line, at the moment of their turn, within it."""
    turns, chance = Turns(3), random.Random(8693)
    order: list[Visitor] = []
    visitors: list[Visitor] = []
    refused = 0
    for _ in range(10_000):
        visitors.append(Visitor(turns, order))
        for visitor in chance.sample(visitors, min(chance.choice([0, 1, 2]), len(visitors))):
            visitor.task.cancel() if chance.random() < 0.6 else visitor.go.set()
        if chance.random() < 0.5:
            await asyncio.sleep(0)
        assert turns.held <= 3
        assert turns.held + turns.waiting <= 6
        for visitor in [visitor for visitor in visitors if visitor.task.done()]:
            visitors.remove(visitor)
            if not visitor.task.cancelled() and visitor.task.exception() is not None:
                assert isinstance(visitor.task.exception(), ServerOverloaded)
                refused += 1
    for visitor in visitors:
        visitor.go.set()
    await asyncio.gather(*(visitor.task for visitor in visitors), return_exceptions=True)
    assert (turns.held, turns.waiting, turns.free) == (0, 0, True)
    assert refused
    assert order
