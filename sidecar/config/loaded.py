"""What a configuration file is once it was read: its values, and where each of its keys stands.

A value without behaviour: it says what is in the file, ``snapshot`` what that means. Neither pydantic nor YAML is
needed to have one.
"""

from dataclasses import dataclass

from sidecar.config.problems import ConfigProblem, Path, Positions
from sidecar.config.schema import Config


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that passed every check of this package, and where each of its keys stands."""

    config: Config
    positions: Positions

    def problem(self, path: Path, message: str, *, at_key: bool = False) -> ConfigProblem:
        """Return a problem found later, at the place of a value such as ``("routes", 0, "match")`` or of its key."""
        return self.positions.problem(path, message, at_key=at_key)

    def place(self, path: Path) -> str:
        """Return where a value stands, as ``file:line``."""
        return self.positions.place(path)
