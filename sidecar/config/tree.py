"""The file's content as it was written, for checks that look at several keys at once.

A part answers for any shape of content: what is not there, or is something else, is simply absent. So such checks run
beside those of the schema, not after them, and one run reports the mistakes of both.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from sidecar.config.problems import Finding, Path

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Part:
    """A value of the file and its path; ``Part(None, …)`` where there is none."""

    value: object
    path: Path = ()

    def __getitem__(self, key: str) -> "Part":
        value = self.value.get(key) if isinstance(self.value, dict) else None
        return Part(value, (*self.path, key))

    def __contains__(self, key: str) -> bool:
        """Whether the key is there with a value other than null."""
        return self[key].value is not None

    @property
    def text(self) -> str | None:
        """The value where it is text."""
        return self.value if isinstance(self.value, str) else None

    def members(self) -> list[tuple[str, "Part"]]:
        """Return the entries of a mapping, none where it is something else."""
        value = self.value
        return [(key, self[key]) for key in value] if isinstance(value, dict) else []

    def items(self) -> Iterator["Part"]:
        """Return the items of a list, none where it is something else."""
        if isinstance(self.value, list):
            for index, item in enumerate(self.value):
                yield Part(item, (*self.path, index))

    def read(self, function: Callable[[str], T]) -> T | None:
        """Return the text as this function of the schema reads it; None where there is none or it is refused."""
        try:
            return None if self.text is None else function(self.text)
        except ValueError:
            return None

    def finding(self, message: str) -> Finding:
        """Return what is wrong with this value."""
        return Finding(self.path, message)
