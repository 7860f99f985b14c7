"""Who may have a connection: so many at a time, the rest in the order they came.

A slot stands for one request from before its connection is made until its response has ended. Idle connections hold
none; since a request takes an idle one before it makes another, both together never exceed the limit.
"""

import asyncio
from collections import deque
from contextlib import suppress

from sidecar.upstream.errors import UpstreamOverloaded


class Slots:
    """A first-come, first-served count of slots."""

    def __init__(self, limit: int, patience: float) -> None:
        self._limit = limit
        self._patience = patience
        self._waiters: deque[asyncio.Future[None]] = deque()
        self.used = 0

    def take(self) -> bool:
        """Take a slot; False where none is free, and one has to be waited for."""
        if self.used >= self._limit:
            return False
        self.used += 1
        return True

    async def acquire(self) -> None:
        """Take a slot, waiting for at most ``patience`` seconds.

        UpstreamOverloaded: none became free. When this raises, also when cancelled, no slot was taken.
        """
        if self.take():
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(self._patience):
                await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled():
                self.release()  # it was handed over in the same turn of the loop
            else:
                with suppress(ValueError):  # ``release`` may have passed it over already
                    self._waiters.remove(waiter)
            if isinstance(error, TimeoutError):
                raise UpstreamOverloaded("every connection is in use") from None
            raise

    def release(self) -> None:
        """Give a slot back: to whoever waits longest, so that nobody who comes later overtakes."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self.used -= 1
