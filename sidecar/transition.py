"""From one configuration to the next while the gateway runs: what can't be had without a restart, and what became new.

Pure; ``app`` does what follows from it.
"""

from collections.abc import Mapping
from typing import Final

from sidecar.config.loaded import Loaded
from sidecar.config.problems import ConfigProblem, Path
from sidecar.config.schema import Config
from sidecar.model.listener import CONTROL, DECISION
from sidecar.model.route import Route

RESTART: Final = "can't change while the gateway runs; that takes a restart"


def needs_restart(config: Config, loaded: Loaded) -> list[ConfigProblem]:
    """Say what a configuration changes of that which is made once."""
    wanted = loaded.config
    changed: dict[Path, bool] = {
        ("receipts",): wanted.receipts != config.receipts,
        ("cache", "max_entries"): wanted.cache.max_entries != config.cache.max_entries,
        ("cache", "max_bytes"): wanted.cache.max_bytes != config.cache.max_bytes,
        ("cache", "negative_lifetime"): wanted.cache.negative_lifetime != config.cache.negative_lifetime,
    }
    return [loaded.problem(key, RESTART) for key, differs in changed.items() if differs]


def listen_key(config: Config, listener: str) -> Path:
    """Where the file says what could not be bound."""
    if listener == DECISION:
        return (DECISION, "listen")
    if listener in config.listeners:
        return ("gateway", "listeners", listener, "listen") if config.gateway.listeners else ("gateway", "listen")
    return ("admin", "control" if listener == CONTROL else "listen")


def differences(before: Mapping[str, Route], after: Mapping[str, Route]) -> dict[str, list[str]]:
    """Which routes a reload changed; what is only written in another place is the same."""
    return {
        "added": sorted(after.keys() - before.keys()),
        "removed": sorted(before.keys() - after.keys()),
        "changed": sorted(name for name in after.keys() & before.keys() if after[name] != before[name]),
    }
