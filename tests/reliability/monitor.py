"""What a gateway's process holds, seen from outside: open files, and what its metrics say.

Memory is ``tests.benchmarks.meter``'s to tell.
"""

import asyncio
import os
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from tests.support.gateway import BOUND

MIB: Final = 1024 * 1024


class Samples:
    """One scrape."""

    def __init__(self, text: str) -> None:
        self._samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def sum(self, name: str, **labels: str) -> float:
        """The sum of a metric over all samples that have these labels; 0 where there is none."""
        wanted = labels.items()
        name = f"token_sidecar_{name}"
        return sum(each.value for each in self._samples if each.name == name and wanted <= each.labels.items())

    def by(self, name: str, label: str) -> dict[str, float]:
        """The sums of a metric by the values of one label."""
        found: dict[str, float] = defaultdict(float)
        for each in self._samples:
            if each.name == f"token_sidecar_{name}":
                found[each.labels[label]] += each.value
        return dict(found)


async def until(holds: Callable[[], Awaitable[bool]], seconds: float = 30.0) -> None:
    """Wait until something holds; TimeoutError where it does not within so many seconds."""
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.05)


def open_files(pid: int) -> int:
    """Return how many files a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


async def least_open_files(pid: int, enough: int, seconds: float = BOUND) -> int:
    """How many are open once connections that came and went with the load are closed; looks until there are enough."""
    least = open_files(pid)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while least > enough:
                await asyncio.sleep(0.1)
                least = min(least, open_files(pid))
    return least
