"""What a configuration file is once it was read: its values, and where each of its keys stands.

A value without behaviour: it says what is in the file and in those it includes, ``snapshot`` what that means. Neither
pydantic nor YAML is needed to have one.
"""

from bisect import bisect_right
from dataclasses import dataclass, field

from sidecar.config.problems import ConfigProblem, Path, Positions
from sidecar.config.schema import Config


@dataclass(frozen=True, slots=True)
class Source:
    """A file as it was read. name: what problems call it."""

    name: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class TeamFile:
    """A file of an include, whose routes are those of the configuration from ``first`` on."""

    positions: Positions
    first: int


@dataclass(frozen=True, slots=True)
class Included:
    """What became of an include.

    problems: why its present files are not in use; empty where they are. sources: the files whose routes are in use:
    the present ones, or the last good ones, or none.
    """

    name: str
    problems: tuple[ConfigProblem, ...]
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that passed every check of this package, and where each of its keys stands.

    Its routes are those of the file itself, followed by those of its includes, whose names begin with the include's.
    files: those that routes of includes come from, in the order of the routes. includes: in the order of the file.
    """

    config: Config
    positions: Positions
    files: tuple[TeamFile, ...] = ()
    includes: tuple[Included, ...] = ()

    def problem(self, path: Path, message: str, *, at_key: bool = False) -> ConfigProblem:
        """Return a problem found later, at the place of a value such as ``("routes", 0, "match")`` or of its key."""
        positions, local = locate(self.files, path) or (self.positions, path)
        return positions.problem(local, message, at_key=at_key)

    def place(self, path: Path) -> str:
        """Return where a value stands, as ``file:line``."""
        positions, local = locate(self.files, path) or (self.positions, path)
        return positions.place(local)


def locate(files: tuple[TeamFile, ...], path: Path) -> tuple[Positions, Path] | None:
    """Return which of several files a value of a route stands in, and its path there; None where in none of them."""
    match path:
        case ("routes", int(index), *rest):
            before = bisect_right(files, index, key=lambda file: file.first)
            if before:
                file = files[before - 1]
                return file.positions, ("routes", index - file.first, *rest)
    return None
