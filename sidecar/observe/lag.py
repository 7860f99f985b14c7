"""How late the event loop runs what is due: the sign that something blocks it.

A task sleeps briefly and measures by how much it overslept. Nothing here acts on the result.
"""

import asyncio
from collections import deque
from typing import Final

from sidecar.model.clock import SYSTEM_CLOCK, Clock

INTERVAL: Final = 0.25
SAMPLES: Final = 60


class LoopLag:
    """The worst lag of the last 60 samples, taken four times a second."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._monotonic = clock.monotonic
        self._samples: deque[float] = deque(maxlen=SAMPLES)

    def worst(self) -> float:
        """Return the worst lag in seconds; 0 before the first sample."""
        return max(self._samples, default=0.0)

    async def sample(self, interval: float = INTERVAL) -> None:
        """Take one sample, which lasts ``interval`` seconds."""
        due = self._monotonic() + interval
        await asyncio.sleep(interval)
        self._samples.append(max(0.0, self._monotonic() - due))

    async def run(self) -> None:
        """Take samples until cancelled."""
        while True:
            await self.sample()
