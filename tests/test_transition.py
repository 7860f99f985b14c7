from pathlib import Path

import pytest

from sidecar.config.load import load
from sidecar.config.loaded import Loaded
from sidecar.transition import RESTART, differences, listen_key, needs_restart
from tests.support.values import route

TEXT = """version: 1
gateway: {listen: '127.0.0.1:0'}
receipts: {sink: none}
cache: {max_entries: 10, max_bytes: 1MiB, negative_lifetime: 5s, max_lifetime: 1m}
routes:
  - name: orders
    match: {path_prefix: /orders}
    upstream: {url: 'http://127.0.0.1:9'}
    exchange: none
"""


def loaded(folder: Path, text: str = TEXT) -> Loaded:
    path = folder / "f.yaml"
    path.write_text(text)
    return load(path)


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("sink: none", "sink: stdout", "3:11: receipts"),
        ("sink: none", "sink: none, uses: none", "3:11: receipts"),
        ("receipts: {sink: none}\n", "", "1:1: receipts"),
        ("max_entries: 10", "max_entries: 11", "4:22: cache.max_entries"),
        ("max_bytes: 1MiB", "max_bytes: 2MiB", "4:37: cache.max_bytes"),
        ("negative_lifetime: 5s", "negative_lifetime: 6s", "4:62: cache.negative_lifetime"),
    ],
)
def test_what_takes_a_restart(tmp_path: Path, old: str, new: str, where: str) -> None:
    config = loaded(tmp_path).config
    (problem,) = needs_restart(config, loaded(tmp_path, TEXT.replace(old, new)))
    assert str(problem) == f"{tmp_path}/f.yaml:{where}: {RESTART}"


def test_what_takes_none(tmp_path: Path) -> None:
    config = loaded(tmp_path).config
    other = TEXT.replace("max_lifetime: 1m", "max_lifetime: 2m").replace(":0'", ":1'").replace("orders", "carts")
    assert needs_restart(config, loaded(tmp_path, other)) == []
    assert needs_restart(config, loaded(tmp_path)) == []


def test_where_an_address_is_written(tmp_path: Path) -> None:
    short = loaded(tmp_path)
    assert listen_key(short.config, "default") == ("gateway", "listen")
    assert listen_key(short.config, "admin") == ("admin", "listen")
    assert listen_key(short.config, "control") == ("admin", "control")
    listeners = "gateway: {listeners: {in: {listen: '127.0.0.1:0'}}}"
    several = loaded(tmp_path, TEXT.replace("gateway: {listen: '127.0.0.1:0'}", listeners))
    decision = loaded(tmp_path, TEXT.replace("gateway:", "decision: {listen: '127.0.0.1:0', form: envoy} #"))
    assert listen_key(decision.config, "decision") == ("decision", "listen")
    assert listen_key(several.config, "in") == ("gateway", "listeners", "in", "listen")


def test_which_routes_are_others() -> None:
    one, moved, other = route(), route(place="elsewhere:1"), route(listener="other")
    assert differences({"a": one, "b": one, "c": one}, {"b": moved, "c": other, "d": one}) == {
        "added": ["d"],
        "removed": ["a"],
        "changed": ["c"],
    }
