"""The two clocks, as one value, so that a test can hold both still.

Lifetimes are counted on the monotonic clock from the moment a request was sent; the wall clock serves only to read
claims (``exp``, ``nbf``, ``iat``) and to stamp receipts.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """A monotonic and a wall clock; both answer in seconds."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time


SYSTEM_CLOCK = Clock()
