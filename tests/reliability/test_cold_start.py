"""A thousand requests of one subject who has no token, the first of whom leaves: one exchange answers the others."""

import asyncio
from pathlib import Path

import pytest

from tests.reliability.faults import Fault, Manner
from tests.reliability.figures import record
from tests.reliability.monitor import until
from tests.reliability.world import Settings, World, world

pytestmark = pytest.mark.reliability

REQUESTS = 1000


async def exchanges_were(here: World, number: int) -> bool:
    return (await here.server.count()).exchanges == number


async def in_flight(here: World, number: int) -> bool:
    return (await here.metrics()).sum("requests_in_flight") == number


async def test_a_thousand_cold_requests_whose_first_one_leaves(tmp_path: Path) -> None:
    async with world(tmp_path, Settings(timeout="30s")) as here:
        caller = here.issuer.caller("alice")
        way = here.way()
        await here.server.become(Fault(Manner.HOLD, path="/token"))
        first = asyncio.create_task(way.ask(caller))
        await until(lambda: exchanges_were(here, 1))
        others = [asyncio.create_task(way.ask(caller)) for _ in range(REQUESTS - 1)]
        await until(lambda: in_flight(here, REQUESTS))
        first.cancel()
        await asyncio.wait([first])
        count = await here.server.become(Fault())
        statuses = await asyncio.gather(*others)
        way.close()
        exchanges = (await here.server.count()).exchanges
        lookups = (await here.metrics()).by("cache_lookups_total", "result")
    record("cold start", requests=REQUESTS, exchanges=exchanges, answers=statuses.count(200))
    assert (count.exchanges, exchanges, statuses.count(200)) == (1, 1, REQUESTS - 1)
    assert way.tally.never == []
    assert lookups["coalesced"] == REQUESTS - 1
