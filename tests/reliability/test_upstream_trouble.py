"""An upstream that freezes, or whose connections break anywhere: nothing is done twice, nothing in part looks whole."""

import asyncio
import random
from pathlib import Path

import pytest

from tests.reliability.callers import steadily
from tests.reliability.faults import Fault, Manner
from tests.reliability.figures import LONG, record
from tests.reliability.world import world

pytestmark = pytest.mark.reliability

FAULTS = 1000 if LONG else 300
AT_ONCE = 10
FROZEN = 8.0  # seconds
RESPONSE_TIMEOUT = 2.0  # of the route
#: Of all requests, so that kept connections, which are where a request may be sent again, are used between them.
SHARE = 0.6


async def test_a_frozen_upstream(tmp_path: Path) -> None:
    """It accepts connections, as its kernel does, and is silent."""
    async with world(tmp_path) as here:
        warm = here.issuer.callers(20)
        assert (await here.warm(warm)).failed == 0
        async with steadily(here.way(), 50, warm) as others:
            with here.programs.frozen("FAULTED"):
                async with steadily(here.way("/faulted"), 10, warm) as own:
                    await asyncio.sleep(FROZEN)
            async with steadily(here.way("/faulted"), 10, warm) as after:
                await asyncio.sleep(1)
    record(
        "frozen upstream",
        others=others.sent,
        others_failed=others.failed,
        own=own.sent,
        own_504=own.statuses[504],
        own_p99_ms=own.percentile(0.99, 504),
        response_timeout_ms=1000 * RESPONSE_TIMEOUT,
    )
    assert (others.failed, others.never) == (0, [])
    assert own.statuses.keys() == {504}
    assert own.percentile(0.5, 504) < 1000 * (RESPONSE_TIMEOUT + 1)
    assert after.failed == 0


async def test_no_post_is_doubled(tmp_path: Path) -> None:
    """Connections end right after a request was read, or while it is answered; kept ones, and new ones."""
    async with world(tmp_path) as here:
        caller = here.issuer.caller("alice")
        await here.warm([caller])
        way = here.way("/faulted", post=True)
        chosen = random.Random(1)
        while (count := await here.upstream.count()).faults < FAULTS:
            manner = chosen.choice([Manner.DROP, Manner.CUT, Manner.DROP, Manner.ERROR])
            await here.upstream.become(Fault(manner, SHARE))
            await asyncio.gather(*(way.ask(caller) for _ in range(AT_ONCE)))
        way.close()
        seen = await here.seen()
    record("doubled posts", faults=count.faults, sent=way.tally.sent, doubled=len(count.doubled))
    assert count.doubled == seen["doubled"] == []
    assert way.tally.never == []
    assert way.tally.statuses[200] > 0
    assert way.tally.statuses[502] > 0


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_no_cut_answer_looks_whole(framing: str, tmp_path: Path) -> None:
    """A body of unknown length that ends with its connection is left out: nobody can tell that it was cut."""
    async with world(tmp_path) as here:
        caller = here.issuer.caller("alice")
        await here.warm([caller])
        way = here.way("/faulted", query=f"framing={framing}", size=20_000)
        while (count := await here.upstream.become(Fault(Manner.CUT, SHARE))).faults < FAULTS // 2:
            await asyncio.gather(*(way.ask(caller) for _ in range(AT_ONCE)))
        way.close()
    record(f"cut answers, {framing}", faults=count.faults, sent=way.tally.sent, shown_whole=len(way.tally.never))
    assert way.tally.never == []
    assert way.tally.broken.total() > 0
    assert way.tally.statuses[200] > 0
