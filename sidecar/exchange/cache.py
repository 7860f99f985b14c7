"""Issued tokens kept until shortly before they expire, and refusals kept for seconds.

Bounded in entries and in bytes, least recently used first out; memory only. What a route expects of a token is never
judged here: an entry knows everything a later check needs, and every use is judged anew.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cachetools import Cache, LRUCache

from sidecar.exchange.schedule import Schedule
from sidecar.model.refusal import Refusal
from sidecar.model.tokens import IssuedToken, WorkloadToken

#: What an entry costs beside the token's own text: key, values and bookkeeping, measured roughly.
ENTRY_OVERHEAD: Final = 1024


@dataclass(slots=True)
class Entry:
    """An issued token in use.

    fragment: what every receipt of its use has in common, made once.
    refresh_at: the instant from which a use starts a refresh; pushed back when one was started, so that a key is
        refreshed at most once in ``schedule.REFRESH_INTERVAL``.
    """

    token: IssuedToken
    actor: WorkloadToken | None
    exchange_id: str
    schedule: Schedule
    fragment: str = field(default="", repr=False)
    refresh_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.refresh_at = self.schedule.refresh_at

    @property
    def size(self) -> int:
        """Bytes this entry counts for."""
        return len(self.token.token) + len(self.fragment) + ENTRY_OVERHEAD


class _BytesBound(LRUCache[bytes, Entry]):
    """An LRU by bytes that tells what it pushed out."""

    def __init__(self, max_bytes: int, on_evict: Callable[[str], None]) -> None:
        super().__init__(max_bytes, getsizeof=lambda entry: entry.size)
        self._on_evict = on_evict

    def popitem(self) -> tuple[bytes, Entry]:
        """Push the least recently used entry out."""
        item = super().popitem()
        self._on_evict("size")
        return item

    def peek(self, key: bytes) -> Entry:
        """Return an entry without counting that as a use."""
        return Cache.__getitem__(self, key)


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
        """on_evict is told why an entry went: ``size``, ``expired``, ``replaced`` or ``refused``."""
        self._entries = _BytesBound(max_bytes, on_evict)
        self._max_entries = max_entries
        self._negative_lifetime = negative_lifetime
        # Refusals are bounded apart, so that a flood of bad tokens pushes no good one out.
        self._refusals: LRUCache[bytes, tuple[float, Refusal]] = LRUCache(max_entries)
        self._on_evict = on_evict

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """Bytes held."""
        return int(self._entries.currsize)

    def get(self, key: bytes, now: float) -> Entry | None:
        """Return the entry if it may still be used at this monotonic instant."""
        entry = self._entries.get(key)
        if entry is not None and now >= entry.schedule.deadline:
            self.discard(key, "expired")
            return None
        return entry

    def put(self, key: bytes, entry: Entry) -> None:
        """Keep an entry; one too large for the whole cache is not kept."""
        self._refusals.pop(key, None)
        if entry.size > self._entries.maxsize:
            self.discard(key, "replaced")
            return
        self._entries[key] = entry
        while len(self._entries) > self._max_entries:
            self._entries.popitem()

    def discard(self, key: bytes, reason: str) -> None:
        """Forget a key."""
        if self._entries.pop(key, None) is not None:
            self._on_evict(reason)

    def refusal(self, key: bytes, now: float) -> Refusal | None:
        """Return the refusal that this ask met within the last seconds."""
        kept = self._refusals.get(key)
        if kept is None:
            return None
        until, refusal = kept
        if now >= until:
            del self._refusals[key]
            return None
        return refusal

    def put_refusal(self, key: bytes, refusal: Refusal, now: float) -> None:
        """Remember a refusal that the subject token itself caused; nobody else's fault may be kept."""
        self._refusals[key] = (now + self._negative_lifetime, refusal)

    def sweep(self, now: float) -> None:
        """Forget tokens that have expired, so that they do not stay in memory until somebody asks for them."""
        for key in [key for key in self._entries if now >= self._entries.peek(key).schedule.deadline]:
            self.discard(key, "expired")
