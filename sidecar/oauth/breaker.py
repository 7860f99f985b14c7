"""When an authorization server is given a rest because exchange after exchange fails there, and when it is tried again.

A pure state machine: no clock is read and nothing is awaited here. What counts as a failure is ``answer``'s to say: no
connection, no answer in time, 5xx. A token in the cache never asks it.
"""

import random
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from typing import Final

FAILURES_IN_A_ROW: Final = 5
LAST: Final = 20  # exchanges that are remembered; half of them may fail
#: Some servers answer 500 to one bad token: fewer different asks than these say nothing of the server.
DIFFERENT_KEYS: Final = 3
PROBE_EVERY: Final = 1.0  # seconds
JITTER: Final = 0.25  # of that, more or less, so that many gateways do not come at once


class BreakerState(IntEnum):
    """The values are those of the metric."""

    CLOSED = 0  # exchanges go on
    HALF_OPEN = 1  # the next exchange to come is let through, and decides
    OPEN = 2  # nobody is let through: for a moment, or while that one is under way

    @property
    def word(self) -> str:
        """The state for people: ``half-open``."""
        return self.name.lower().replace("_", "-")


class Breaker:
    """The breaker of one server. ``now``: seconds on the monotonic clock.

    Whoever may send is given the number of a period and hands it back with what came of it. What comes of exchanges of
    an earlier period changes nothing any more: they were sent before the state became what it is.
    """

    def __init__(self, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self._uniform = uniform
        self._last: deque[bytes | None] = deque(maxlen=LAST)  # the keys of those that failed, None for a success
        self._probe_at: float | None = None  # None while it is closed
        self._probing = False
        self._period = 0

    def state(self, now: float) -> BreakerState:
        """Return the state at this instant."""
        if self._probe_at is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self.wait(now) > 0 else BreakerState.HALF_OPEN

    def wait(self, now: float) -> float:
        """Return the seconds until an exchange may be sent; 0 where it may be now."""
        if self._probe_at is None:
            return 0.0
        return PROBE_EVERY if self._probing else max(0.0, self._probe_at - now)

    def enter(self, now: float) -> int | None:
        """Return the number of the period for an exchange that is about to be sent, None where it may not be.

        Where the breaker is not closed, this is the one exchange that decides; it must be told of with `succeeded`,
        `failed` or `given_up`.
        """
        if self.wait(now) > 0:
            return None
        if self._probe_at is not None:
            self._probing = True
        return self._period

    def succeeded(self, period: int) -> None:
        """The server answered an exchange; a refusal is an answer."""
        if period != self._period:
            return
        if self._probing:
            self._last.clear()
            self._probe_at, self._probing = None, False
            self._period += 1
        else:
            self._last.append(None)

    def failed(self, period: int, key: bytes, now: float) -> None:
        """The server failed an exchange. key: of what was asked, in the cache."""
        if period != self._period:
            return
        self._last.append(key)
        if self._probing or self._too_many():
            self._rest(now)

    def given_up(self, period: int, now: float) -> None:
        """An exchange ended without saying anything of the server."""
        if period == self._period and self._probing:
            self._rest(now)

    def _too_many(self) -> bool:
        row: list[bytes] = []
        for key in reversed(self._last):
            if key is None:
                break
            row.append(key)
        failed = [key for key in self._last if key is not None]
        return (len(row) >= FAILURES_IN_A_ROW and len(set(row)) >= DIFFERENT_KEYS) or (
            len(self._last) == LAST and 2 * len(failed) >= LAST and len(set(failed)) >= DIFFERENT_KEYS
        )

    def _rest(self, now: float) -> None:
        self._probe_at = now + PROBE_EVERY * self._uniform(1 - JITTER, 1 + JITTER)
        self._probing = False
        self._period += 1
