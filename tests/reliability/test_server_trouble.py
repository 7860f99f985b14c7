"""An authorization server that is down, fails half of the time, or asks to be left alone: who notices, what it sees.

Warm users have a token that outlasts the trouble; strangers need an exchange for their first request.
"""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reliability.callers import Caller, steadily
from tests.reliability.faults import Fault, Manner
from tests.reliability.figures import LONG, record
from tests.reliability.monitor import until
from tests.reliability.world import World, world

pytestmark = pytest.mark.reliability

OUTAGE = 60.0 if LONG else 6.0  # seconds
FAILING = 60.0 if LONG else 8.0
LEFT_ALONE = 5.0
WARM = 30
CLOSED, OPEN = 0.0, 2.0  # states of the breaker in the metrics


async def breaker_is(here: World, state: float) -> bool:
    return (await here.metrics()).sum("breaker_state") == state


async def served(here: World, strangers: Iterator[Caller]) -> None:
    """Wait until somebody without a token is served."""
    way = here.way()

    async def one_is() -> bool:
        return await way.ask(next(strangers)) == 200

    await until(one_is)
    way.close()


@pytest.mark.parametrize(("kind", "manner"), [("", Manner.REFUSE), (", silent", Manner.HANG)], ids=["refuse", "hang"])
async def test_an_outage(kind: str, manner: Manner, tmp_path: Path) -> None:
    """Nobody listens, or nobody answers: then the one cold request a second that tries it waits, and times out."""
    async with world(tmp_path) as here:
        warm = here.issuer.callers(WARM)
        strangers = here.issuer.strangers()
        assert (await here.warm(warm)).failed == 0
        async with steadily(here.way(), 40, warm) as warm_tally:
            async with here.server.during(Fault(manner)):
                began = time.monotonic()
                async with steadily(here.way(), 10, strangers):
                    await until(lambda: breaker_is(here, OPEN))
                async with steadily(here.way(), 5, strangers) as cold:
                    await asyncio.sleep(max(3.0, OUTAGE - (time.monotonic() - began)))
            returned = time.monotonic()
            await served(here, strangers)
            back = time.monotonic() - returned
    record(
        f"outage{kind}",
        outage_seconds=OUTAGE,
        warm=warm_tally.sent,
        warm_failed=warm_tally.failed,
        cold=cold.sent,
        cold_504=cold.statuses[504],
        cold_p50_ms=cold.percentile(0.5, 503),
        cold_p99_ms=cold.percentile(0.99, 503),
        back_seconds=back,
    )
    assert (warm_tally.failed, warm_tally.never) == (0, [])
    assert cold.statuses.keys() == ({503} if manner is Manner.REFUSE else {503, 504})
    assert not cold.broken
    assert cold.percentile(0.5, 503) <= 20
    assert back <= 5


async def test_a_server_that_fails_half_of_the_time(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        warm = here.issuer.callers(WARM)
        assert (await here.warm(warm)).failed == 0
        before = (await here.server.count()).exchanges
        async with (
            here.server.during(Fault(Manner.ERROR, share=0.5, path="/token")),
            steadily(here.way(), 40, warm) as warm_tally,
            steadily(here.way(), 20, here.issuer.strangers()) as cold,
        ):
            await asyncio.sleep(FAILING)
        seen = (await here.server.count()).exchanges - before
        await served(here, here.issuer.strangers("late"))
        await until(lambda: breaker_is(here, CLOSED))
    record(
        "half failing",
        warm=warm_tally.sent,
        warm_failed=warm_tally.failed,
        wanted=cold.sent,
        seen=seen,
        ratio=seen / cold.sent,
        answered=cold.statuses[200],
    )
    assert (warm_tally.failed, warm_tally.never, cold.never) == (0, [], [])
    assert seen <= 1.2 * cold.sent
    assert cold.statuses.keys() <= {200, 503}


async def test_a_server_that_asks_to_be_left_alone(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        warm = here.issuer.callers(WARM)
        strangers = here.issuer.strangers()
        assert (await here.warm(warm)).failed == 0
        way = here.way()
        async with here.server.during(Fault(Manner.BUSY, seconds=LEFT_ALONE, path="/token")):
            assert await way.ask(next(strangers)) == 503
        way.close()
        async with steadily(here.way(), 40, warm) as warm_tally, steadily(here.way(), 20, strangers) as cold:
            await asyncio.sleep(LEFT_ALONE + 3)
        count = await here.server.count()
    record(
        "retry-after",
        seconds=LEFT_ALONE,
        exchanges=count.early,
        asked=cold.statuses[503],
        warm=warm_tally.sent,
        warm_failed=warm_tally.failed,
        answered_later=cold.statuses[200],
    )
    assert count.early == 0
    assert (warm_tally.failed, warm_tally.never, cold.never) == (0, [], [])
    assert cold.statuses[503] > 0
    assert cold.statuses[200] > 0
