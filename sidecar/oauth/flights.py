"""Questions under way, by what they ask: whoever asks the same meanwhile waits for the same answer.

Each runs in a task of its own, so that one who leaves breaks it for nobody else. What an answer is worth, and how long
it is kept, is the owner's business.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

V = TypeVar("V")


class Flights(Generic[V]):
    """The questions of one owner. To be closed."""

    def __init__(self) -> None:
        self._by_key: dict[bytes, asyncio.Task[V]] = {}
        self._overtaken: set[asyncio.Task[V]] = set()  # nobody joins them, and nothing of them is kept

    async def join(self, key: bytes, ask: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """Return what comes of the question under way, or of ``ask`` where there is none; raise what that raises.

        Cancelling leaves the question to the others who wait for it.
        """
        flight = self._by_key.get(key)
        if flight is None:
            flight = self._by_key[key] = asyncio.create_task(ask())
            flight.add_done_callback(lambda done: self._landed(key, done))
        return await asyncio.shield(flight)

    def overtake(self) -> None:
        """Leave all that are under way to those who wait already: the next to ask the same asks anew."""
        self._overtaken.update(self._by_key.values())
        self._by_key.clear()

    @property
    def current_counts(self) -> bool:
        """Whether the question that runs in the current task was not overtaken: its answer may be kept."""
        return asyncio.current_task() not in self._overtaken

    async def close(self) -> None:
        """Give up all of them."""
        flights = [*self._by_key.values(), *self._overtaken]
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    def _landed(self, key: bytes, flight: asyncio.Task[V]) -> None:
        if flight in self._overtaken:
            self._overtaken.remove(flight)
        else:
            self._by_key.pop(key, None)
        if not flight.cancelled():
            flight.exception()  # whoever waited has it; where all of them left, nobody is to be told
