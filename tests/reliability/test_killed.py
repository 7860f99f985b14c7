"""A gateway that is killed under load: every exchange that anything was forwarded under is on record, and the next one
serves at once.
"""

import asyncio
import json
import time
from pathlib import Path
from random import Random

import pytest

from tests.reliability.callers import steadily
from tests.reliability.figures import LONG, record
from tests.reliability.world import Settings, world

pytestmark = pytest.mark.reliability

KILLS = 20 if LONG else 3


def on_record(path: Path) -> tuple[set[str], int]:
    """The issued tokens that receipts of exchanges name, and how many lines are none: what was being written."""
    found, torn = set(), 0
    for line in path.read_bytes().splitlines():
        try:
            receipt = json.loads(line)
        except ValueError:
            torn += 1
            continue
        if receipt["event"] == "exchange" and receipt["decision"] == "allowed":
            found.add(receipt["issued_token"]["id"].removeprefix("jti:"))
    return found, torn


async def test_a_gateway_that_is_killed(tmp_path: Path) -> None:
    receipts = tmp_path / "receipts.jsonl"
    async with world(tmp_path, Settings(more=f"receipts: {{sink: {receipts}}}")) as here:
        warm, strangers = here.issuer.callers(20), here.issuer.strangers()
        chosen, restarts, failed, served = Random(1), [], 0, 0
        for _ in range(KILLS):
            assert (await here.warm(warm)).failed == 0
            async with (
                steadily(here.way(), 30, warm) as usual,
                steadily(here.way("/faulted"), 30, strangers) as cold,
            ):
                await asyncio.sleep(chosen.uniform(0.5, 1.5))
                here.programs.running["gateway"].kill()
            here.programs.running["gateway"].wait()
            served += usual.statuses[200] + cold.statuses[200]
            failed += sum(tally.statuses.total() - tally.statuses[200] for tally in (usual, cold))
            began = time.monotonic()
            here.start_gateway()
            way = here.way()
            assert await way.ask(warm[0]) == 200
            restarts.append(time.monotonic() - began)
            way.close()
        used = set((await here.seen())["tokens"])
    found, torn = on_record(receipts)
    record(
        "killed",
        kills=KILLS,
        served=served,
        exchanges=len(used),
        missing=len(used - found),
        torn=torn,
        restart_seconds=max(restarts),
    )
    assert used <= found
    assert torn <= KILLS
    assert failed == 0
