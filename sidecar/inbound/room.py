"""How many connections a process takes at once, and what those beyond that are told.

A connection over the limit costs one write: nothing of it is parsed. Descriptors are counted too, since each connection
in may need one out, and a process that has none left can answer nobody, not even its own probes.
"""

import asyncio
import resource
from typing import Final, cast

#: Descriptors left to everything but callers and upstreams: files, listeners, issuers, probes.
RESERVE: Final = 128
#: Connections over the limit that may wait to be told so; more are closed without a word.
TURNED_AWAY: Final = 32
#: Seconds for a request to come: closing before it did could destroy the answer on its way (RFC 9112 §9.6).
PATIENCE: Final = 1.0


class Room:
    """Counts connections; shared by listeners whose limit is one.

    most: connections at once. Not more than ``most`` callers of ``enter`` are inside before one of them leaves.
    """

    __slots__ = ("most", "turned_away", "used")

    def __init__(self, most: int) -> None:
        self.most = most
        self.used = 0
        self.turned_away: set[TurnedAway] = set()

    def enter(self) -> bool:
        """Take a place; False where there is none."""
        if self.used >= self.most:
            return False
        self.used += 1
        return True

    def leave(self) -> None:
        """Give a place back."""
        self.used -= 1


class TurnedAway(asyncio.Protocol):
    """A connection for which there is no room: it is answered before it asks, and closed as soon as it did."""

    def __init__(self, room: Room, answer: bytes) -> None:
        self._room = room
        self._answer = answer
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Answer, or close at once where too many wait already."""
        self._transport = cast(asyncio.Transport, transport)
        if len(self._room.turned_away) >= TURNED_AWAY:
            self._transport.abort()
            return
        self._room.turned_away.add(self)
        self._transport.write(self._answer)
        self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._transport.close)

    def data_received(self, data: bytes) -> None:  # noqa: ARG002 - nothing of it is read
        """The request is here, so closing does the answer no harm any more."""
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - it ends either way
        """Forget it."""
        self._room.turned_away.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()


def affordable(wanted: int) -> int:
    """Return how many of the wanted connections the process has descriptors for, one for an upstream with each.

    The soft limit is raised for that, as far as the hard one lets it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * wanted + RESERVE
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    return max(1, (soft - RESERVE) // 2)
