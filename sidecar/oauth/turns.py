"""Whose turn it is: so many requests to a server at once, as many again in a queue, and no more."""

import asyncio
from types import TracebackType

from sidecar.oauth.answer import ServerOverloaded


class Turns:
    """The turns of one server, first come, first served; ``async with`` waits for one and holds it.

    ServerOverloaded: at once, where ``at_once`` hold theirs and as many wait. Whoever is cancelled leaves no trace.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._turn = asyncio.Semaphore(at_once)
        self._held = self._waiting = 0

    @property
    def held(self) -> int:
        """How many requests are under way."""
        return self._held

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return self._waiting

    @property
    def free(self) -> bool:
        """Whether the next to come would not have to wait."""
        return self._held + self._waiting < self._at_once

    async def __aenter__(self) -> None:
        if self._held + self._waiting >= 2 * self._at_once:
            raise ServerOverloaded("too many requests are waiting for the server")
        self._waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self._waiting -= 1
        self._held += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._held -= 1
        self._turn.release()
