"""A folder with one valid file, to change in one place and see what is found."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.commands.lint.configuration import Configuration
from sidecar.commands.lint.rules import chosen
from sidecar.commands.lint.verdict import Verdict, judge
from sidecar.config.load import load
from sidecar.observe.metrics import Metrics
from sidecar.snapshot import build

VALID: dict[str, Any] = {
    "version": 1,
    "trusted_issuers": {"corp": {"issuer": "https://login.example", "audience": ["gateway"]}},
    "authorization_servers": {
        "corp": {
            "issuer": "https://login.example",
            "client_auth": {"method": "client_secret_basic", "client_id": "gateway", "client_secret_file": "secret"},
        }
    },
}


def route(name: str, path: str, **more: Any) -> dict[str, Any]:
    """A route that asks for an audience of its own, for a prefix or, with ``=`` before it, for exactly a path."""
    match = {"path": path[1:]} if path.startswith("=") else {"path_prefix": path}
    match |= more.pop("match", {})
    upstream = {"url": "http://127.0.0.1:9000", **more.pop("upstream", {})}
    return {"name": name, "match": match, "upstream": upstream, "exchange": {"audience": [name]}, **more}


class _Plain(yaml.SafeDumper):
    """Writes values out wherever they are used."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class Desk:
    """Where a file is looked at."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.also: tuple[str, ...] = ()
        (folder / "secret").write_text("s3cret")

    def configuration(self, *routes: dict[str, Any], **sections: Any) -> Configuration:
        tree = {**deepcopy(VALID), "routes": list(routes) or [route("orders", "/orders")], **sections}
        path = self.folder / "routes.yaml"
        path.write_text(yaml.dump(tree, Dumper=_Plain, sort_keys=False))
        loaded = load(path, {})
        return Configuration(loaded, tuple(build(loaded, Metrics("test")).routes.values()))

    def verdict(self, *routes: dict[str, Any], **sections: Any) -> Verdict:
        configuration = self.configuration(*routes, **sections)
        return judge(configuration.loaded, configuration.routes, chosen(self.also))

    def lints(self, *routes: dict[str, Any], **sections: Any) -> list[tuple[str, str]]:
        """What is found in the valid file with these routes and sections: rule and path, sorted."""
        return sorted((lint.rule, lint.problem.path) for lint in self.verdict(*routes, **sections).lints)

    def messages(self, *routes: dict[str, Any], **sections: Any) -> list[str]:
        return [lint.problem.message for lint in self.verdict(*routes, **sections).lints]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


Lints = Callable[..., list[tuple[str, str]]]


@pytest.fixture
def lints(desk: Desk) -> Lints:
    return desk.lints
