"""How often each kind of refusal happened lately, for the status page.

Counts by the minute, in a ring: constant memory, whatever the load. No request, caller or token is remembered.
"""

from collections import Counter, deque
from collections.abc import Mapping
from typing import Final

from sidecar.model.clock import Clock
from sidecar.model.refusal import Kind

MINUTES: Final = 15


class RecentRefusals:
    """Refusals by kind over the last 15 minutes, to the minute."""

    def __init__(self, clock: Clock) -> None:
        self._monotonic = clock.monotonic
        self._minutes: deque[tuple[int, Counter[Kind]]] = deque(maxlen=MINUTES)

    def note(self, kind: Kind) -> None:
        """Count one refusal."""
        minute = int(self._monotonic() // 60)
        if not self._minutes or self._minutes[-1][0] != minute:
            self._minutes.append((minute, Counter()))
        self._minutes[-1][1][kind] += 1

    def counts(self) -> Mapping[Kind, int]:
        """Return how often each kind happened, the most frequent first; kinds that did not are left out."""
        oldest = int(self._monotonic() // 60) - MINUTES + 1
        total: Counter[Kind] = Counter()
        for minute, counter in self._minutes:
            if minute >= oldest:
                total.update(counter)
        return dict(total.most_common())
