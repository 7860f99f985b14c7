"""Looks at a peer every now and then, so that it is known to be down before somebody needs it.

What a look is, and what is made of it, is for whoever starts one. A look is nobody's request and waits for nobody.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final

log = logging.getLogger("sidecar.oauth")

FIRST_SHARE: Final = 0.1  # of the time between two looks: within that much of a start comes the first
JITTER: Final = 0.1  # of the time between two looks, more or less


class Probe:
    """Calls ``look`` about every so many seconds, from `start` to `close`; one at a time, however long it takes."""

    def __init__(
        self,
        every: float,
        look: Callable[[], Awaitable[object]],
        *,
        uniform: Callable[[float, float], float] = random.uniform,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._every = every
        self._look = look
        self._uniform = uniform
        self._sleep = sleep
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, unless it has begun. Needs a running event loop."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """End, whatever is under way."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _run(self) -> None:
        # Many gateways start at once: after a deployment, after an outage.
        await self._sleep(self._uniform(0.0, FIRST_SHARE * self._every))
        while True:
            try:
                await self._look()
            except Exception as error:  # noqa: BLE001 - whatever broke, the next look may tell; its text may quote anything
                log.error("a look at a peer broke off: %s", type(error).__name__)
            await self._sleep(self._every * self._uniform(1 - JITTER, 1 + JITTER))
