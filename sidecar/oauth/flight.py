"""One fetch at a time: what keys and metadata share.

A fetch runs in a task of its own, so that a request which is cancelled breaks it for nobody else. After a failure the
next one may begin after 1 s, then 2 s, then 4 s, each a little less at random; a peer that asks for longer is given it
(RFC 9110 §10.2.3). What is fetched, and how long it is good for, is the owner's business.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

from sidecar.model.clock import Clock

FIRST_PAUSE: Final = 1.0  # seconds
LONGEST_PAUSE: Final = 4.0  # what was down is in use again soon after it is back
LEAST_SHARE: Final = 0.75  # of a pause, so that many gateways do not come at once
LONGEST_HOLD: Final = 60.0  # what a peer may ask for


class Flight:
    """Runs ``fetch``, which answers whether it succeeded, never twice at once."""

    def __init__(
        self,
        fetch: Callable[[], Awaitable[bool]],
        clock: Clock,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._uniform = uniform
        self._task: asyncio.Task[None] | None = None
        self._pause = 0.0
        self._not_before = float("-inf")

    @property
    def under_way(self) -> bool:
        """Whether a fetch is running."""
        return self._task is not None

    @property
    def retry_after(self) -> float:
        """Seconds until the next fetch may begin, at least 1: what a caller is told to wait."""
        return max(1.0, self._not_before - self._clock.monotonic())

    def start(self) -> None:
        """Begin a fetch, unless one is under way or the pause after a failure is not over."""
        if self._task is None and self._clock.monotonic() >= self._not_before:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def hold(self, seconds: float) -> None:
        """Begin none for so long, a minute at most: the peer asked for it."""
        self._not_before = max(self._not_before, self._clock.monotonic() + min(seconds, LONGEST_HOLD))

    async def join(self) -> None:
        """Wait for the fetch under way, if there is one; whether it succeeded is seen in what it left behind.

        A fetch that was given up counts as none; a fault in it, which is nothing that a fetch reports, is raised.
        """
        task = self._task
        if task is not None:
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()

    async def close(self) -> None:
        """Give up the fetch under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        succeeded = False
        try:
            succeeded = await self._fetch()
        finally:
            self._pause = 0.0 if succeeded else min(max(self._pause * 2, FIRST_PAUSE), LONGEST_PAUSE)
            pause = self._pause * self._uniform(LEAST_SHARE, 1.0)
            self._not_before = max(self._not_before, self._clock.monotonic() + pause)
            self._task = None
