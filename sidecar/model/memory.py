"""A bounded memory: what was asked for longest ago goes first.

It is asked for every request, so that an answer is two look-ups in C. Nothing here knows how long anything is good:
whoever remembers says in the key, or with the value, what it depends on.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Memory(Generic[K, V]):
    """At most ``most`` values by key."""

    __slots__ = ("_most", "_values")

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K) -> V | None:
        """Return what is remembered, None where nothing is; it counts as a use."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        """Remember, in place of what was there, and forget what was used longest ago where it is too much."""
        values = self._values
        values[key] = value
        values.move_to_end(key)
        if len(values) > self._most:
            values.popitem(last=False)

    def forget(self, takes: Callable[[V], bool]) -> int:
        """Forget the values that ``takes`` says; return how many."""
        taken = [key for key, value in self._values.items() if takes(value)]
        for key in taken:
            del self._values[key]
        return len(taken)

    def clear(self) -> None:
        """Forget everything."""
        self._values.clear()
