"""Three times as many requests as fit: what fits is answered as ever, the rest is refused at once, and then it is over.

What is full is the gateway's own limit, ``max_in_flight``, behind which every request takes as long as its upstream.
"""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.reliability.callers import Caller, Tally, Way, steadily
from tests.reliability.figures import LONG, record
from tests.reliability.world import Settings, World, world

pytestmark = pytest.mark.reliability

IN_FLIGHT = 20
WAIT = 0.2  # seconds of the upstream for each request
CAPACITY = IN_FLIGHT / WAIT
SECONDS = 30.0 if LONG else 6.0
RECOVERY = 2.0  # seconds


def slow(here: World) -> Way:
    return here.way(query=f"wait={WAIT}")


async def at_its_limit(here: World, callers: Sequence[Caller]) -> Tally:
    """Have as many requests under way as may be, each followed by the next, and none refused."""
    way, ends = slow(here), time.monotonic() + SECONDS

    async def one_after_another(caller: Caller) -> None:
        while time.monotonic() < ends:
            await way.ask(caller)

    await asyncio.gather(*(one_after_another(caller) for caller in callers[:IN_FLIGHT]))
    way.close()
    return way.tally


async def test_three_times_as_much_as_fits(tmp_path: Path) -> None:
    async with world(tmp_path, Settings(gateway=f"max_in_flight: {IN_FLIGHT}")) as here:
        callers = here.issuer.callers(50)
        assert (await here.warm(callers, 5)).failed == 0
        peak = await at_its_limit(here, callers)
        async with steadily(slow(here), 3 * CAPACITY, callers) as over:
            await asyncio.sleep(SECONDS)
            good = over.statuses[200]
        async with steadily(slow(here), CAPACITY / 2, callers):
            await asyncio.sleep(RECOVERY)
        async with steadily(slow(here), CAPACITY / 2, callers) as after:
            await asyncio.sleep(RECOVERY)
    record(
        "overload",
        seconds=SECONDS,
        offered=over.sent,
        peak_per_second=peak.statuses[200] / SECONDS,
        good_per_second=good / SECONDS,
        goodput=good / peak.statuses[200],
        peak_p99_ms=peak.percentile(0.99),
        admitted_p99_ms=over.percentile(0.99),
        refused_p50_ms=over.percentile(0.5, 503),
        failed_after=after.failed,
    )
    assert peak.failed == 0
    assert over.statuses.keys() == {200, 503}
    assert (over.never, dict(over.broken)) == ([], {})
    assert over.statuses[503] > over.statuses[200]
    assert good >= 0.9 * peak.statuses[200]
    assert over.percentile(0.5) < 1000 * (WAIT + 1)
    assert after.failed == 0
