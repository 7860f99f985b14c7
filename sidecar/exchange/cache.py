"""Issued tokens kept until shortly before they expire, and refusals kept for seconds.

Bounded in entries and in bytes, least recently used first out; memory only. What a route expects of a token is never
judged here: an entry knows everything a later check needs, and every use is judged anew.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cachetools import LRUCache

from sidecar.exchange.schedule import Schedule
from sidecar.model.decision import Grant
from sidecar.model.flush import About
from sidecar.model.refusal import Refusal
from sidecar.model.route import Expect
from sidecar.model.tokens import IssuedToken, Subject, WorkloadToken

#: What an entry costs beside the token's own text: key, values and bookkeeping, measured roughly.
ENTRY_OVERHEAD: Final = 1024


@dataclass(slots=True)
class Entry:
    """An issued token in use.

    about: by what it is found where tokens are to be forgotten.
    fragment: what every receipt of its use has in common, made once.
    refresh_at: the instant from which a use starts a refresh; pushed back when one was started, so that a key is
        refreshed at most once in ``schedule.REFRESH_INTERVAL``.
    passed: the last use that passed every check: what was expected, whose token, and what was granted.
    """

    token: IssuedToken
    actor: WorkloadToken | None
    exchange_id: str
    schedule: Schedule
    about: About
    fragment: str = field(default="", repr=False)
    refresh_at: float = field(init=False)
    passed: tuple[Expect, Subject, Grant] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.refresh_at = self.schedule.refresh_at

    @property
    def size(self) -> int:
        """Bytes this entry counts for."""
        return len(self.token.token) + len(self.fragment) + ENTRY_OVERHEAD


class TokenCache:
    """Issued tokens by the key of their ask."""

    def __init__(
        self,
        *,
        max_entries: int,
        max_bytes: int,
        negative_lifetime: float,
        on_evict: Callable[[str], None] = lambda _: None,
    ) -> None:
        """on_evict is told why an entry went: ``size``, ``expired``, ``replaced``, ``refused`` or ``flush``."""
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()  # the least recently used first
        self._size = 0
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._negative_lifetime = negative_lifetime
        # Refusals are bounded apart, so that a flood of bad tokens pushes no good one out.
        self._refusals: LRUCache[bytes, tuple[float, Refusal, About]] = LRUCache(max_entries)
        self._on_evict = on_evict
        self._oldest: float | None = None

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """Bytes held."""
        return self._size

    @property
    def oldest(self) -> float | None:
        """When the oldest token that is kept was asked for, on the monotonic clock, as the last sweep found it.

        None where none is kept.
        """
        return self._oldest if self._entries else None

    def get(self, key: bytes, now: float) -> Entry | None:
        """Return the entry if it may still be used at this monotonic instant."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if now >= entry.schedule.deadline:
            self.discard(key, "expired")
            return None
        self._entries.move_to_end(key)
        return entry

    def put(self, key: bytes, entry: Entry) -> None:
        """Keep an entry; one too large for the whole cache is not kept."""
        self._refusals.pop(key, None)
        if entry.size > self._max_bytes:
            self.discard(key, "replaced")
            return
        self._forget(key)
        self._entries[key] = entry
        self._size += entry.size
        if len(self._entries) == 1:
            self._oldest = entry.schedule.sent
        while len(self._entries) > self._max_entries or self._size > self._max_bytes:
            self._forget(next(iter(self._entries)))
            self._on_evict("size")

    def discard(self, key: bytes, reason: str) -> None:
        """Forget a key."""
        if self._forget(key):
            self._on_evict(reason)

    def refusal(self, key: bytes, now: float) -> Refusal | None:
        """Return the refusal that this ask met within the last seconds."""
        kept = self._refusals.get(key)
        if kept is None:
            return None
        until, refusal, _ = kept
        if now >= until:
            del self._refusals[key]
            return None
        return refusal

    def put_refusal(self, key: bytes, refusal: Refusal, about: About, now: float) -> None:
        """Remember a refusal that the subject token itself caused; nobody else's fault may be kept."""
        self._refusals[key] = (now + self._negative_lifetime, refusal, about)

    def flush(self, takes: Callable[[About], bool]) -> tuple[int, int]:
        """Forget what ``takes`` says; return how many issued tokens and how many refusals that were."""
        tokens = [key for key, entry in self._entries.items() if takes(entry.about)]
        for key in tokens:
            self.discard(key, "flush")
        refusals = [key for key, (_, _, about) in self._refusals.items() if takes(about)]
        for key in refusals:
            del self._refusals[key]
        return len(tokens), len(refusals)

    def sweep(self, now: float) -> None:
        """Forget tokens that have expired, so that they do not stay in memory until somebody asks for them."""
        oldest = now
        for key, entry in list(self._entries.items()):
            if now >= entry.schedule.deadline:
                self.discard(key, "expired")
            else:
                oldest = min(oldest, entry.schedule.sent)
        self._oldest = oldest

    def _forget(self, key: bytes) -> bool:
        entry = self._entries.pop(key, None)
        if entry is None:
            return False
        self._size -= entry.size
        return True
