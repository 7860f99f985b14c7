"""A folder with a configuration file, compiled as the gateway does, and what is said of a broken one."""

from pathlib import Path

import pytest

from sidecar.config.load import load
from sidecar.config.loaded import Loaded
from sidecar.config.problems import ConfigError
from sidecar.model.route import Route
from sidecar.observe.metrics import Metrics
from sidecar.rotation import Rotation
from sidecar.snapshot import Snapshot, build
from sidecar.snapshot.parts import Parts
from tests.support.clock import FakeClock

#: The sections that every file needs; a test adds its own.
PEERS = """
version: 1
trusted_issuers:
  corp: {issuer: 'https://login.example', audience: [gateway]}
authorization_servers:
  corp: {issuer: 'https://login.example', client_auth: {method: none, client_id: gateway}}
"""
ROUTE = """
routes:
  - name: orders
    match: {path_prefix: /orders}
    upstream: {url: 'http://127.0.0.1:9000'}
    exchange: {audience: [orders-api], scope: [orders.read]}
"""


class Folder:
    """Writes files, compiles configurations."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.time = FakeClock()
        self.metrics = Metrics("test")
        self.parts = Parts()
        self.rotation = Rotation(lambda name, outcome: self.metrics.secret_reloads.labels(name, outcome).inc())

    def file(self, name: str, content: str | bytes) -> str:
        """Write a file and return its path."""
        path = self.path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    def load(self, text: str) -> Loaded:
        """Load a configuration that passes the checks of ``config``."""
        return load(self.file("routes.yaml", text))

    def build(self, text: str = PEERS + ROUTE) -> Snapshot:
        """Compile a good configuration."""
        return build(self.load(text), self.metrics, self.time.clock, self.rotation)

    def complaints(self, text: str) -> list[str]:
        """What is said of one that loads and can't be compiled, without the folder's name."""
        loaded = self.load(text)
        with pytest.raises(ConfigError) as caught:
            build(loaded, self.metrics, self.time.clock, self.rotation)
        return str(caught.value).replace(f"{self.path}/", "").splitlines()


def one(folder: Folder, old: str, new: str, peers: str = PEERS) -> Route:
    """The route of the small file, with one thing changed."""
    assert old in ROUTE
    [route] = folder.build(peers + ROUTE.replace(old, new)).routes.values()
    return route


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A folder of the test's own."""
    return Folder(tmp_path)


def place(text: str, needle: str, key: str) -> str:
    """How a problem with the value at the first place of a text begins."""
    before = text[: text.index(needle)]
    return f"routes.yaml:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}: {key}: "
