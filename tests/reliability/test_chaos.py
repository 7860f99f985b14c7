"""Everything at once, for as long as asked: what must hold at the end of it, and all the time.

``make soak`` runs it for half an hour. A failed run is repeated with the number it printed: ``SEED=… make soak``.
"""

import asyncio
import itertools
import os
import random
import statistics
import time
from pathlib import Path

import pytest

from tests.benchmarks.meter import resident
from tests.reliability.callers import Caller, steadily
from tests.reliability.faults import Fault
from tests.reliability.figures import LONG, record
from tests.reliability.monitor import MIB, least_open_files, open_files, until
from tests.reliability.schedule import Step, schedule
from tests.reliability.world import Settings, World, world

pytestmark = pytest.mark.reliability

SECONDS = float(os.environ.get("SOAK", "1800" if LONG else "30"))
SEED = int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 32)))
WARM = 40
#: More strangers than there is room for in the cache: whoever of them comes again was pushed out, and is cold again.
STRANGERS = 600
SETTINGS = Settings(lifetime="4m", more="receipts: {sink: none}\ncache: {max_entries: 500}")
#: Samples of memory. In their second half it may grow by so much; a short run still fills what is bounded.
LOOKS = 40
GROWTH = 8 * MIB if SECONDS >= 600 else 32 * MIB
#: Connections to the authorization server that stay open: for its metadata, its keys and its token endpoint.
KEPT = 4
#: How a request may end that needs an exchange, and one whose upstream may fail and say 500 by itself.
COLD = {200, 502, 503, 504}
FAULTED = {*COLD, 500}


async def follow(here: World, steps: list[Step], began: float) -> None:
    """Have everything go wrong when it is due."""
    path = here.folder / "routes.yaml"
    text = path.read_text(encoding="utf-8")
    for step in steps:
        await asyncio.sleep(max(0.0, began + step.at - time.monotonic()))
        match step.place:
            case "server":
                await here.server.become(step.fault)
            case "upstream":
                await here.upstream.become(step.fault)
            case "configuration":
                following = path.with_suffix(".next")
                following.write_text(text.replace("read_idle: 2s", f"read_idle: {2000 + int(step.at)}ms"))
                following.rename(path)


async def watch(pid: int, seconds: float) -> list[int]:
    """Look at the memory of a process again and again."""
    memory = []
    for _ in range(LOOKS):
        await asyncio.sleep(seconds / LOOKS)
        memory.append(resident(pid))
    return memory


async def served(here: World, callers: list[Caller]) -> None:
    """Wait until each of them has been answered: no key is stuck."""
    way = here.way()
    for caller in callers:

        async def is_served(caller: Caller = caller) -> bool:
            return await way.ask(caller) == 200

        await until(is_served)
    way.close()


async def at_rest(here: World) -> bool:
    """Whether nothing is under way any more."""
    metrics = await here.metrics()
    under_way = (metrics.sum("requests_in_flight"), metrics.sum("exchanges_in_flight"))
    return under_way == (0, 0) and metrics.sum("upstream_connections", state="active") == 0


async def test_chaos(tmp_path: Path) -> None:
    print(f"\nSEED={SEED}, {SECONDS:.0f} s")
    steps = schedule(SEED, SECONDS)
    async with world(tmp_path, SETTINGS, seed=SEED) as here:
        warm, strangers = here.issuer.callers(WARM), here.issuer.callers(STRANGERS, "stranger")
        files = open_files(here.gateway) + KEPT
        assert (await here.warm(warm)).failed == 0
        async with (
            steadily(here.way(), 40, warm) as direct,
            steadily(here.way(), 4, strangers) as cold,
            steadily(here.way("/faulted", size=5000), 8, warm) as plain,
            steadily(here.way("/faulted", query="framing=chunked", size=20_000), 4, warm) as chunked,
            steadily(here.way("/faulted", post=True), 6, warm) as posts,
        ):
            memory, _ = await asyncio.gather(watch(here.gateway, SECONDS), follow(here, steps, time.monotonic()))
        await asyncio.gather(here.server.become(Fault()), here.upstream.become(Fault()))
        await served(here, [*warm, *strangers])
        await until(lambda: at_rest(here))
        left = await least_open_files(here.gateway, files, 30.0)
        server, upstream, seen = await here.server.count(), await here.upstream.count(), await here.seen()
        taken = here.log().count("configuration taken")
    later = memory[LOOKS // 2 :]
    slope = statistics.linear_regression(range(len(later)), later).slope * len(later)
    faulted = (plain, chunked, posts)
    every = (direct, cold, *faulted)
    record(
        "chaos",
        minutes=SECONDS / 60,
        seed=SEED,
        requests=sum(tally.sent for tally in every),
        faults=server.faults + upstream.faults,
        reloads=taken,
        warm=direct.sent,
        warm_failed=direct.failed,
        never=sum(len(tally.never) for tally in every),
        posts=seen["posts"],
        doubled=len(upstream.doubled),
        more_files=left - files + KEPT,
        half_way_mib=later[0] / MIB,
        end_mib=later[-1] / MIB,
        slope_mib=slope / MIB,
    )
    for name, tally in zip(("direct", "cold", "plain", "chunked", "posts"), every, strict=True):
        print(f"{name}: {dict(tally.statuses)} {dict(tally.broken)}")
    assert list(itertools.chain.from_iterable(tally.never for tally in every)) == []
    assert (direct.failed, dict(direct.broken)) == (0, {})
    assert cold.statuses.keys() <= COLD
    assert not cold.broken
    assert all(tally.statuses.keys() <= FAULTED for tally in faulted)
    assert upstream.doubled == seen["doubled"] == []
    assert seen["dead"] == 0
    assert left <= files
    assert slope <= GROWTH
    assert taken >= sum(step.place == "configuration" for step in steps) // 2
