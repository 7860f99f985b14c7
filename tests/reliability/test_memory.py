"""Far more tokens than a cache may hold: it holds what it may, and the process stops growing."""

import asyncio
import itertools
from pathlib import Path

import pytest

from tests.benchmarks.meter import resident
from tests.reliability.figures import LONG, record
from tests.reliability.monitor import MIB
from tests.reliability.world import Settings, world

pytestmark = pytest.mark.reliability

TOKENS = 1_000_000 if LONG else 25_000
ENTRIES = 10_000  # the default
AT_ONCE = 16
LOOKS = 20
PLATEAU = 120 * MIB
#: What the process may still grow by from one half of the way, when everything that is bounded is full, to its end.
GROWTH = 8 * MIB


async def test_distinct_tokens_fill_the_cache_and_no_more(tmp_path: Path) -> None:
    async with world(tmp_path, Settings(endpoint=())) as here:
        way = here.way()
        strangers = here.issuer.strangers()
        entries, memory = [], []
        for part in range(LOOKS):
            following = itertools.islice(strangers, TOKENS // LOOKS)

            async def one_after_another() -> None:
                for stranger in following:  # noqa: B023  # it ends with its part
                    await way.ask(stranger)

            await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))
            entries.append((await here.metrics()).sum("cache_entries"))
            memory.append(resident(here.gateway))
            print(f"{part + 1}/{LOOKS}: {entries[-1]:.0f} entries, {memory[-1] / MIB:.1f} MiB")
        way.close()
        issued = (await here.seen("STS"))["count"]
    record(
        "distinct tokens",
        tokens=issued,
        most_entries=max(entries),
        configured=ENTRIES,
        half_way_mib=memory[LOOKS // 2 - 1] / MIB,
        plateau_mib=max(memory) / MIB,
    )
    assert (way.tally.failed, way.tally.never) == (0, [])
    assert issued == TOKENS
    assert max(entries) == ENTRIES
    assert max(memory) <= PLATEAU
    assert memory[-1] - memory[LOOKS // 2 - 1] <= GROWTH
