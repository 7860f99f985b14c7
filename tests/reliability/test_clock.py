"""The wall clock jumps by an hour, as it does when it is set right: cached tokens are used, and end when they should.

Only the gateway's clock jumps, by libfaketime; everybody else's is right. What it has cached is kept by its monotonic
clock, which no jump moves.
"""

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.reliability.callers import Caller, steadily
from tests.reliability.figures import LONG, record
from tests.reliability.monitor import until
from tests.reliability.world import Settings, World, world

pytestmark = pytest.mark.reliability

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
HOUR = 3600
JUMPS = (HOUR, -HOUR, 0)
LASTS = 4.0  # seconds of each jump
#: So long the clock is an hour behind. Issued tokens live for 15 seconds, 12 of which they are used.
BEHIND = 120.0 if LONG else 20.0
USERS = 20

needs_library = pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed")


def settings(folder: Path, usual: Settings) -> Settings:
    """A gateway whose wall clock follows a file; its monotonic clock does not."""
    (folder / "clock").write_text("+0\n", encoding="ascii")
    library, follows = f"LD_PRELOAD={LIBRARY}", f"FAKETIME_TIMESTAMP_FILE={folder}/clock"
    options = ("FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1")
    return replace(usual, environment=("env", library, follows, *options))


def shift(here: World, seconds: int) -> None:
    """Have the gateway's wall clock differ so much from ours."""
    following = here.folder / "clock.next"
    following.write_text(f"{seconds:+d}\n", encoding="ascii")
    following.rename(here.folder / "clock")


async def is_ahead(here: World, soon_over: Caller, *, ahead: bool) -> bool:
    """Whether the gateway takes a token for expired whose end is half an hour from now."""
    way = here.way()
    status = await way.ask(soon_over)
    way.close()
    return status == (401 if ahead else 200)


@needs_library
async def test_the_wall_clock_jumps(tmp_path: Path) -> None:
    """An exchange that is made while the clock is ahead would fail: by such a clock, what comes is dead."""
    async with world(tmp_path, settings(tmp_path, Settings())) as here:
        users = here.issuer.callers(USERS)
        soon_over = here.issuer.caller("soon-over", HOUR / 2)
        assert (await here.warm([*users, soon_over])).failed == 0
        async with steadily(here.way(), 50, users) as tally:
            for seconds in JUMPS:
                shift(here, seconds)
                await until(partial(is_ahead, here, soon_over, ahead=seconds > 0))
                await asyncio.sleep(LASTS)
        exchanges, dead = (await here.server.count()).exchanges, (await here.seen())["dead"]
    record(
        "clock jumps",
        jumps=len(JUMPS),
        requests=tally.sent,
        failed=tally.failed,
        dead=dead,
        exchanges=exchanges - USERS - 1,
    )
    assert (tally.failed, tally.never, dead) == (0, [], 0)
    assert exchanges == USERS + 1


@needs_library
async def test_tokens_end_in_time_while_the_wall_clock_is_behind(tmp_path: Path) -> None:
    short = Settings(lifetime="15s", more="receipts: {sink: none}\ncache: {early_expiry: 3s}")
    async with world(tmp_path, settings(tmp_path, short)) as here:
        users = here.issuer.callers(USERS)
        assert (await here.warm(users)).failed == 0
        async with steadily(here.way(), 50, users) as tally:
            shift(here, -HOUR)
            await asyncio.sleep(BEHIND)
        exchanges, dead = (await here.server.count()).exchanges, (await here.seen())["dead"]
    record(
        "clock behind",
        seconds=BEHIND,
        requests=tally.sent,
        failed=tally.failed,
        dead=dead,
        renewed=exchanges - USERS,
    )
    assert (tally.failed, tally.never, dead) == (0, [], 0)
    assert exchanges >= 2 * USERS
