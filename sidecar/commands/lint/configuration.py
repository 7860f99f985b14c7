"""What rules look at: a file's sections, and its routes as they were compiled."""

from collections.abc import Iterator
from dataclasses import dataclass

from sidecar.config import schema
from sidecar.config.loaded import Loaded
from sidecar.config.problems import Finding, Path
from sidecar.model.route import Route


@dataclass(frozen=True, slots=True)
class Configuration:
    """A file without errors. routes: in the order of ``loaded.config.routes``."""

    loaded: Loaded
    routes: tuple[Route, ...]

    @property
    def config(self) -> schema.Config:
        """The sections of the file."""
        return self.loaded.config

    def pairs(self) -> Iterator[tuple[Path, schema.Route, Route]]:
        """Yield each route with its path in the file, as a section and as it was compiled."""
        for index, (section, route) in enumerate(zip(self.config.routes, self.routes, strict=True)):
            yield ("routes", index), section, route


def found(path: Path, message: str) -> Finding:
    """Return a finding at the key that a path ends with."""
    return Finding(path, message, at_key=True)
