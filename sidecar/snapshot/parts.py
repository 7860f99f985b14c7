"""What outlives a snapshot: connections, keys, secrets and what else is kept open or remembered, by kind and name.

The next snapshot takes over every part that it would make of the very same settings. What it does not take over is
closed, once nobody uses it any more; when that is, is decided elsewhere.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    value: Any
    made_of: object
    close: Callable[[Any], Awaitable[None]] | None


class Parts:
    """The parts of one snapshot. before: those of the snapshot that it follows."""

    def __init__(self, before: "Parts | None" = None) -> None:
        self._before = before.made if before is not None else {}
        #: The parts by kind and name, in the order of their making.
        self.made: dict[tuple[str, ...], _Part] = {}

    def keep(
        self,
        key: tuple[str, ...],
        made_of: object,
        make: Callable[[], T],
        close: Callable[[T], Awaitable[None]] | None = None,
    ) -> T:
        """Return the part of this kind and name as it was made before of equal settings, or else make it.

        made_of: everything that ``make`` depends on. close: ends what the part holds open. Raises what ``make`` does.
        """
        part = self._before.get(key)
        if part is None or part.made_of != made_of:
            part = _Part(make(), made_of, close)
        self.made[key] = part
        value: T = part.value
        return value

    def settle(self) -> None:
        """Forget the parts before: whoever followed has been taken."""
        self._before = {}

    def closers(self, after: "Parts | None" = None) -> list[Callable[[], Awaitable[None]]]:
        """Return what closes each part that the following snapshot did not take over, in the order of their making."""
        taken = set(map(id, after.made.values())) if after is not None else set()
        return [
            partial(part.close, part.value)
            for part in self.made.values()
            if part.close is not None and id(part) not in taken
        ]
