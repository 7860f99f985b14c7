"""Two configuration files side by side, for ``sidecar diff``: what is different for a request that either serves.

To what ``routing.changes`` tells of two routes, this adds what only the files know: whether an authorization server, a
trusted issuer or a workload token that both name is still the same one. No value of theirs is told, since one may be
secret.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Final

import sidecar
from sidecar.config.loaded import Loaded
from sidecar.model.route import TLS, Route
from sidecar.observe.metrics import Metrics
from sidecar.routing.changes import Change, changes
from sidecar.routing.regions import Region
from sidecar.snapshot import build

#: Keys of those we speak to that bound time and number, only permit others, or are another way to say one of them.
_NOT_COMPARED: Final = frozenset(
    {"timeout", "max_in_flight", "keys_stale", "probe", "allow_plain_http", "authorization_server"}
)


@dataclass(frozen=True, slots=True)
class Version:
    """One file, compiled. Files that stand beside it are named without its directory, so that it may be moved.

    definitions: the keys of those we speak to, by section and name.
    """

    routes: tuple[Route, ...]
    definitions: Mapping[tuple[str, str], Mapping[str, Any]] = field(repr=False)

    @classmethod
    def of(cls, loaded: Loaded, path: str) -> "Version":
        """Compile a file that was loaded from a path. ConfigError: with every problem of its parts together."""
        home = f"{Path(path).absolute().parent}/"
        snapshot = build(loaded, Metrics(sidecar.__version__))
        return cls(tuple(_at_home(route, home) for route in snapshot.routes.values()), _definitions(loaded, home))


class Versions:
    """An old and a new version."""

    def __init__(self, old: Version, new: Version) -> None:
        self._redefined = {
            name: ", ".join(keys)
            for name, before in old.definitions.items()
            if (keys := _differing(before, new.definitions.get(name, before)))
        }
        self._relaxed = {route.name for route in old.routes if route.match.allow}
        self._relaxed &= {route.name for route in new.routes if route.match.allow}

    def differ(self, old: Route | None, new: Route | None) -> bool:
        """Whether anything is different for a request that these serve; None: no route does."""
        return bool(changes(old, new)) or any(self._redefinitions(old, new))

    def changes(self, region: Region) -> list[Change]:
        """Return all that is different for the requests of a region."""
        return [*changes(region.old, region.new), *self._redefinitions(region.old, region.new)]

    def notes(self, region: Region) -> list[str]:
        """Return what a region means for odd paths that lie in none: those that an upstream may read as one of its.

        A route that allows them lets one through only where no other route serves what it may be read as.
        """
        old, new = (route.name if route is not None else "" for route in (region.old, region.new))
        if old == new:
            return []
        becoming = {old: "are refused from now on", new: "are no longer refused for that"}
        return [
            f"odd paths of {name} (match.allow) that can be read as one of these {what}"
            for name, what in becoming.items()
            if name in self._relaxed
        ]

    def _redefinitions(self, old: Route | None, new: Route | None) -> Iterator[Change]:
        """Tell of what both routes name, and what is another one now."""
        if not self._redefined or old is None or new is None or old.exchange is None or new.exchange is None:
            return
        common = [
            (
                "authorization_server",
                "authorization_servers",
                _servers(old) & _servers(new),
            ),
            *(
                (what, "workload_tokens", {getattr(old.exchange, what) or ""} & {getattr(new.exchange, what) or ""})
                for what in ("subject_token", "actor_token")
            ),
            ("issuers", "trusted_issuers", old.subject.issuers & new.subject.issuers),
        ]
        for what, section, names in common:
            for name in sorted(names):
                if (keys := self._redefined.get((section, name))) is not None:
                    yield Change(what, name, name, f"defined otherwise: {keys}")


def _definitions(loaded: Loaded, home: str) -> dict[tuple[str, str], dict[str, Any]]:
    config = loaded.config
    sections: dict[str, Mapping[str, object]] = {
        "authorization_servers": config.authorization_servers,
        "trusted_issuers": config.trusted_issuers,
        "workload_tokens": config.workload_tokens,
    }
    found = {
        (section, name): {key: value for key, value in _flat(entry, home).items() if key not in _NOT_COMPARED}
        for section, entries in sections.items()
        for name, entry in entries.items()
    }
    for name, issuer in config.trusted_issuers.items():
        found["trusted_issuers", name]["issuer"] = config.issuer_of(issuer)
    return found


def _servers(route: Route) -> set[str]:
    return {exchange.authorization_server for exchange in route.exchanges}


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    keys = [*before, *(key for key in after if key not in before)]
    return [key for key in keys if before.get(key) != after.get(key)]


def _at_home(route: Route, home: str) -> Route:
    if route.upstream.tls is None:
        return route
    return replace(route, upstream=replace(route.upstream, tls=TLS(**_flat(route.upstream.tls, home))))


def _flat(section: Any, home: str) -> dict[str, Any]:
    """The values of a section and of those in it, by dotted key, with paths below ``home`` cut short."""
    found: dict[str, Any] = {}
    for each in fields(section):
        value = getattr(section, each.name)
        if is_dataclass(value):
            found |= {f"{each.name}.{key}": inner for key, inner in _flat(value, home).items()}
        else:
            found[each.name] = value.removeprefix(home) if isinstance(value, str) else value
    return found
