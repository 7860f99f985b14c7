"""Spans on their way to a collector: gathered, bounded, sent in the background, and lost rather than waited for.

No request is ever held up or fails because of them. How a batch is sent is handed in; what a span says is ``spans``'
business.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from sidecar.observe.spans import Span, encode

MAX_WAITING: Final = 8192  # spans
BATCH: Final = 128  # few enough that making its text holds up nobody
GATHER_SECONDS: Final = 1.0
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
EXPORTED: Final = "exported"
DROPPED: Final = "dropped"

_log = logging.getLogger("sidecar.tracing")


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came of sending a batch. failure: why it was not taken, in constant words; None where it was.

    rejected: spans that the collector did not take of a batch that it took. again: sending it again may help;
    retry_after: not before this many seconds, where the collector says so.
    """

    failure: str | None = None
    rejected: int = 0
    again: bool = False
    retry_after: float | None = None


class SpanExporter:
    """Takes spans and sends them in batches. Belongs to the event loop on which the first ones are offered.

    send: sends one body and says what came of it; never raises but for cancellation. count: told ``exported`` or
    ``dropped``, and how many spans.
    """

    def __init__(
        self,
        send: Callable[[bytes], Awaitable[Delivery]],
        about: Mapping[str, str],
        count: Callable[[str, int], None],
        *,
        max_waiting: int = MAX_WAITING,
        gather: float = GATHER_SECONDS,
        first_pause: float = FIRST_PAUSE,
    ) -> None:
        self._send = send
        self._about = about
        self._count = count
        self._max_waiting = max_waiting
        self._gather = gather
        self._first_pause = first_pause
        self._waiting: deque[Span] = deque()
        self._batch: list[Span] = []
        self._task: asyncio.Task[None] | None = None
        self._more = asyncio.Event()
        self._closing = False
        self._failing = False

    def offer(self, spans: list[Span]) -> None:
        """Take the spans of one request, or drop them where too many wait already."""
        if self._closing or len(self._waiting) + len(self._batch) + len(spans) > self._max_waiting:
            self._count(DROPPED, len(spans))
            return
        self._waiting.extend(spans)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        if len(self._waiting) >= BATCH:
            self._more.set()

    async def close(self, timeout: float) -> None:
        """Send what waits, for ``timeout`` seconds at most; the rest is dropped, as is what is offered from now on."""
        self._closing = True
        self._more.set()
        if self._task is not None:
            await asyncio.wait((self._task,), timeout=timeout)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if left := len(self._waiting) + len(self._batch):
            self._waiting.clear()
            self._batch = []
            self._count(DROPPED, left)

    async def _run(self) -> None:
        while not self._closing or self._waiting:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._gather):
                    await self._more.wait()
            while self._waiting:
                self._batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                await self._deliver(encode(self._batch, self._about))
                self._batch = []
            if not self._closing:
                self._more.clear()

    async def _deliver(self, body: bytes) -> None:
        """Send one batch, again and again where that may help; meanwhile others wait, and are dropped when many do."""
        pause = self._first_pause
        while True:
            delivery = await self._send(body)
            if delivery.failure is None:
                self._count(EXPORTED, max(0, len(self._batch) - delivery.rejected))
                if delivery.rejected:
                    self._count(DROPPED, min(delivery.rejected, len(self._batch)))
                if self._failing:
                    self._failing = False
                    _log.warning("spans are taken again")
                return
            if not self._failing:
                self._failing = True
                _log.error("spans can't be exported", extra={"cause": delivery.failure})
            if not delivery.again:
                self._count(DROPPED, len(self._batch))
                return
            await asyncio.sleep(min(max(pause, delivery.retry_after or 0.0), LONGEST_PAUSE))
            pause *= 2
