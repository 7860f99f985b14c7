"""One timer per connection for all the silences that are bounded on it.

Moving the deadline only sets a number; the loop's timer is looked at again when it fires. So a request costs no timer
of its own, and a deadline is met late by a loop's turn, never early.
"""

import asyncio
from collections.abc import Callable

from sidecar.model.clock import Clock


class Watch:
    """Calls ``expired`` once when a started deadline passes, unless it was moved or stopped before."""

    __slots__ = ("_clock", "_deadline", "_expired", "_fires_at", "_handle", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock, expired: Callable[[], None]) -> None:
        self._loop = loop
        self._clock = clock
        self._expired = expired
        self._deadline: float | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._fires_at = 0.0

    def start(self, seconds: float) -> None:
        """Set the deadline so many seconds from now, in place of any other."""
        now = self._clock.monotonic()
        self._deadline = deadline = now + seconds
        if self._handle is None or deadline < self._fires_at:
            self._arm(now, deadline)

    def stop(self) -> None:
        """Have no deadline. A timer that was set may still fire, and does nothing."""
        self._deadline = None

    def cancel(self) -> None:
        """Stop for good and leave no timer behind."""
        self._deadline = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self, now: float, deadline: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._fires_at = deadline
        self._handle = self._loop.call_later(deadline - now, self._fire)

    def _fire(self) -> None:
        self._handle = None
        deadline = self._deadline
        if deadline is None:
            return
        now = self._clock.monotonic()
        if now < deadline:
            self._arm(now, deadline)
            return
        self._deadline = None
        self._expired()
