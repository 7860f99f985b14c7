"""A platform's file with includes and the files of teams, loaded."""

import json
from collections.abc import Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any

from sidecar.config.load import load
from sidecar.config.loaded import Included, Loaded
from sidecar.config.problems import ConfigError
from tests.config.conftest import VALID, put


def allow(**changes: Any) -> dict[str, Any]:
    """What an include allows, with changes."""
    return {
        "hosts": ["a.example.com"],
        "path_prefixes": ["/a"],
        "authorization_servers": ["corp"],
        "audiences": ["a-*"],
        "scopes": ["a.*"],
        "upstreams": ["http://127.0.0.1:*"],
    } | changes


def route(name: str = "orders", **changes: Any) -> dict[str, Any]:
    """A route that such an include takes, with changes by dotted key (``__`` for the dot)."""
    made: dict[str, Any] = {
        "name": name,
        "match": {"hosts": ["a.example.com"], "path_prefix": f"/a/{name}"},
        "upstream": {"url": "http://127.0.0.1:9000"},
        "exchange": {"audience": ["a-orders"], "scope": ["a.read"]},
    }
    for key, value in changes.items():
        put(made, key.replace("__", "."), value)
    return made


class Teams:
    """Writes files of a platform and of teams, and loads them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.platform: dict[str, Any] = deepcopy(VALID)
        self.platform["include"] = []

    def include(self, name: str, *routes: dict[str, Any], on_error: str = "reject", **allowed: Any) -> None:
        """Add an include with one file."""
        self.platform["include"].append(
            {"name": name, "files": f"{name}/*.yaml", "on_error": on_error, "allow": allow(**allowed)}
        )
        self.write(name, *routes)

    def write(self, name: str, *routes: dict[str, Any]) -> None:
        """Write the file of a team anew."""
        self.text(f"{name}/routes.yaml", json.dumps({"routes": routes}))

    def text(self, name: str, text: str) -> None:
        """Write any file."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def load(self, last_good: Iterable[Included] = ()) -> Loaded:
        """Load what is written."""
        self.text("sidecar.yaml", json.dumps(self.platform))
        return load(self.directory / "sidecar.yaml", {}, last_good)

    def names(self, last_good: Iterable[Included] = ()) -> list[str]:
        """Load, and return the routes' names."""
        return [each.name for each in self.load(last_good).config.routes]

    def complaints(self) -> list[str]:
        """Return what is wrong, a line each, without the directory."""
        try:
            self.load()
        except ConfigError as error:
            return str(error).replace(f"{self.directory}/", "").splitlines()
        return []
