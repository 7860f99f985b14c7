"""What can be wrong with a configuration file, and where: file, line, column, path of keys.

Checks yield findings, which know a path only; positions come from the file that was read. No message repeats a value,
since any value may have come from the environment.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

Path = tuple[str | int, ...]

_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9_/-]+")
_MAX_KEY: Final = 80  # characters of a key that are printed


class Finding(NamedTuple):
    """One thing that is wrong. at_key: the key is, not its value."""

    path: Path
    message: str
    at_key: bool = False


class Mark(NamedTuple):
    """A place in a file, both counted from 1; columns are characters."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, order=True)
class ConfigProblem:
    """One thing that is wrong, with its place; sorts by file and position, prints as one line."""

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}"
        return f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"


class ConfigError(Exception):
    """A configuration can't be used. ``problems`` are all of them, sorted; the message is one line for each.

    includes: the patterns of the files that it includes, where it came to looking at those.
    """

    def __init__(self, problems: Iterable[ConfigProblem], includes: Iterable[str] = ()) -> None:
        self.problems = tuple(sorted(problems))
        self.includes = tuple(includes)
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(frozen=True, slots=True)
class Positions:
    """Where the keys and values of one file stand."""

    file: str
    keys: Mapping[Path, Mark]
    values: Mapping[Path, Mark]

    def problem(self, path: Path, message: str, *, at_key: bool = False) -> ConfigProblem:
        """Place a problem at a value (or its key); for a path that is not in the file, at the nearest one above it."""
        return ConfigProblem(self.file, *self._mark(path, at_key), show(path), message)

    def place(self, path: Path) -> str:
        """Return where a value stands, as ``file:line``."""
        return f"{self.file}:{self._mark(path, at_key=False).line}"

    def _mark(self, path: Path, at_key: bool) -> Mark:
        exact = self.keys.get(path) if at_key else None
        if (exact := exact or self.values.get(path)) is not None:
            return exact
        while path:
            path = path[:-1]
            if (mark := self.keys.get(path) or self.values.get(path)) is not None:
                return mark
        return Mark(1, 1)


def show(path: Path) -> str:
    """Write a path as ``routes.0.name``; a key with other than plain characters is quoted and cut."""
    return ".".join(_show(part) for part in path)


def _show(part: str | int) -> str:
    text = str(part)
    if _PLAIN_KEY.fullmatch(text) and len(text) <= _MAX_KEY:
        return text
    return json.dumps(text if len(text) <= _MAX_KEY else f"{text[:_MAX_KEY]}…")
