"""Tokens that end under steady load: each is renewed once, before its end, while the old one serves; nobody waits."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.reliability.callers import Tally, Way, steadily
from tests.reliability.figures import LONG, record
from tests.reliability.world import Settings, world

pytestmark = pytest.mark.reliability

LIFETIMES = 20 if LONG else 3
#: The shortest that is renewed ahead: tokens are kept for 12 of 15 seconds, and renewed after 10.
LIFETIME = 15
RENEWED_AFTER = 10.0
USERS = 20

EXPIRING = 10_000 if LONG else 500
GENERATION = 600.0 if LONG else 40.0  # seconds
#: Often enough for everybody to come by between the earliest renewal and the end.
RATE = 200.0 if LONG else 150.0


async def test_one_exchange_for_a_lifetime_and_nobody_waits(tmp_path: Path) -> None:
    settings = Settings(lifetime=f"{LIFETIME}s", more="receipts: {sink: none}\ncache: {early_expiry: 3s}")
    async with world(tmp_path, settings) as here:
        users = here.issuer.callers(USERS)
        assert (await here.warm(users)).failed == 0
        began = time.monotonic()
        async with steadily(here.way(), 100, users) as tally:
            await asyncio.sleep(LIFETIMES * RENEWED_AFTER)
        lifetimes = (time.monotonic() - began) / RENEWED_AFTER
        exchanges = (await here.server.count()).exchanges
        lookups = (await here.metrics()).by("cache_lookups_total", "result")
        dead = (await here.seen())["dead"]
    record(
        "lifetimes",
        lifetimes=LIFETIMES,
        users=USERS,
        requests=tally.sent,
        exchanges=exchanges,
        per_lifetime=exchanges / USERS / LIFETIMES,
        waited=lookups["miss"] + lookups["coalesced"],
        failed=tally.failed,
    )
    assert (tally.failed, tally.never, dead) == (0, [], 0)
    assert lookups["miss"] + lookups["coalesced"] == USERS
    assert USERS * (LIFETIMES - 1) <= exchanges <= USERS * (1 + lifetimes)


async def test_many_tokens_that_end_in_the_same_second(tmp_path: Path) -> None:
    """Renewals are spread over the time before; a request that is served from the cache never notices."""
    settings = Settings(
        more=f"receipts: {{sink: none}}\ncache: {{early_expiry: 1s, max_entries: {2 * EXPIRING}}}",
        endpoint=(str(GENERATION),),
    )
    async with world(tmp_path, settings) as here:
        users = here.issuer.callers(EXPIRING)
        assert (await here.warm(users)).failed == 0
        ends = (await here.seen("STS"))["start"] + GENERATION
        way = here.way()
        assert time.time() < ends - GENERATION / 2, "the machine is too slow: not all are of one generation"
        async with steadily(way, RATE, users):
            before = await answers_of(way, 0.6 * GENERATION - (GENERATION - (ends - time.time())))
            renewing = await answers_of(way, ends - time.time() + 1)
        renewed = await here.seen("STS")
        lookups = (await here.metrics()).by("cache_lookups_total", "result")
    later = [count for second, count in renewed["times"].items() if int(second) >= ends - GENERATION / 2]
    record(
        "same second",
        tokens=EXPIRING,
        renewed=sum(later),
        most_in_a_second=max(later),
        over_seconds=len(later),
        failed=way.tally.failed,
        waited=lookups["miss"] + lookups["coalesced"] - EXPIRING,
        p99_before_ms=before.percentile(0.99),
        p99_renewing_ms=renewing.percentile(0.99),
    )
    assert (way.tally.failed, way.tally.never) == (0, [])
    assert lookups["miss"] + lookups["coalesced"] == EXPIRING
    assert sum(later) == EXPIRING
    assert max(later) <= EXPIRING / 4


async def answers_of(way: Way, seconds: float) -> Tally:
    """What comes of the requests that end in so many seconds from now on."""
    way.tally, whole = Tally(), way.tally
    await asyncio.sleep(seconds)
    way.tally, part = whole, way.tally
    whole.add(part)
    return part
