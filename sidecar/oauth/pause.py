"""How long a server that asks for it is left alone (RFC 9110 §10.2.3, RFC 6585 §4), and how those who waited come back.

Pure: no clock is read and nothing is awaited here.
"""

import random
from collections.abc import Callable
from typing import Final

SPREAD_SHARE: Final = 0.2  # of a pause: for so long after it, exchanges are spread
LONGEST_SPREAD: Final = 1.0  # seconds


class Pause:
    """The pauses of one server. ``now``: seconds on the monotonic clock."""

    def __init__(self, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self._uniform = uniform
        self._until = self._spread_until = float("-inf")

    def begin(self, seconds: float, now: float) -> None:
        """Leave the server alone for so long; a pause that ends later stays as it is."""
        if now + seconds > self._until:
            self._until = now + seconds
            self._spread_until = self._until + min(SPREAD_SHARE * seconds, LONGEST_SPREAD)

    def left(self, now: float) -> float:
        """Return the seconds for which the server is still to be left alone, or 0."""
        return max(0.0, self._until - now)

    def delay(self, now: float) -> float:
        """Return the seconds that an exchange should wait which comes right after a pause, as all come who were told
        the same Retry-After; 0 where there was none of late.
        """
        return self._uniform(0.0, self._spread_until - now) if now < self._spread_until else 0.0
