"""A directory with a valid configuration's content, to break in one place and see what is said about it."""

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from pydantic import TypeAdapter

from sidecar.config.environment import Surroundings
from sidecar.config.load import load
from sidecar.config.loaded import Loaded
from sidecar.config.problems import ConfigError

T = TypeVar("T")

NOWHERE = Surroundings(Path("/nonexistent"), {})

VALID: dict[str, Any] = {
    "version": 1,
    "trusted_issuers": {"corp": {"issuer": "https://login.example.com", "audience": ["gateway"]}},
    "authorization_servers": {"corp": {"issuer": "https://login.example.com", "client_auth": {"method": "none"}}},
    "workload_tokens": {},
    "routes": [
        {
            "name": "orders",
            "match": {"path_prefix": "/orders"},
            "upstream": {"url": "http://127.0.0.1:9000"},
            "exchange": {"audience": ["orders-api"]},
        }
    ],
}


@dataclass
class Workshop:
    """Writes configuration files and loads them."""

    directory: Path
    environ: dict[str, str] = field(default_factory=dict)

    def file(self, name: str, content: str = "something") -> str:
        (self.directory / name).write_text(content, encoding="utf-8")
        return name

    def read(self, text: str | bytes) -> Loaded:
        path = self.directory / "sidecar.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return load(path, self.environ)

    def complaints(self, text: str | bytes) -> list[str]:
        """Return the problems of a text as lines, without the file's name."""
        try:
            self.read(text)
        except ConfigError as error:
            return [str(problem).removeprefix(f"{problem.file}:") for problem in error.problems]
        return []

    def load(self, change: Callable[[Any], None] = lambda tree: None) -> Loaded:
        """Load the valid configuration with a change."""
        tree = deepcopy(VALID)
        change(tree)
        return self.read(json.dumps(tree))

    def wrong(self, change: Callable[[Any], None]) -> dict[str, str]:
        """Return what is wrong with the valid configuration after a change: message by path."""
        try:
            self.load(change)
        except ConfigError as error:
            return {problem.path: problem.message for problem in error.problems}
        return {}

    def wrong_with(self, path: str, value: object) -> dict[str, str]:
        """Return what is wrong with the valid configuration once a value stands at a path."""
        return self.wrong(lambda tree: put(tree, path, value))

    def load_with(self, path: str, value: object) -> Loaded:
        return self.load(lambda tree: put(tree, path, value))


def put(tree: Any, path: str, value: object) -> None:
    *parents, last = path.split(".")
    for step in parents:
        tree = tree[int(step)] if isinstance(tree, list) else tree.setdefault(step, {})
    tree[int(last) if isinstance(tree, list) else last] = value


def read(section: type[T], content: object, surroundings: object = None) -> T:
    """Read one section of a file. ValidationError: it is wrong."""
    return TypeAdapter(section).validate_python(content, context=surroundings)


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)
