"""How many retries a server bears: a fifth of what it answers, so that retries never double its trouble.

Pure. What may be tried again at all is ``answer``'s to say.
"""

from typing import Final

FIRST: Final = 2.0  # retries before anything was answered
EARNED: Final = 0.2  # retries, by each exchange that was answered at once
MOST: Final = 10.0  # retries that can be saved up


class RetryBudget:
    """The retries of one server. A server that answers nothing earns none, and soon gets none."""

    def __init__(self) -> None:
        self._left = FIRST

    def earn(self) -> None:
        """Note an exchange that was answered at its first attempt."""
        self._left = min(self._left + EARNED, MOST)

    def spend(self) -> bool:
        """Take one retry; False where there is none left."""
        # Fifths do not add up to one exactly.
        if self._left < 1 - 1e-9:
            return False
        self._left -= 1
        return True
