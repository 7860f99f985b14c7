"""Holds what the rules find against what the file accepts."""

from collections.abc import Collection, Iterator
from typing import NamedTuple

from sidecar.commands.lint.configuration import Configuration, found
from sidecar.commands.lint.rules import RULES, UNUSED_ACCEPT
from sidecar.config.loaded import Loaded
from sidecar.config.problems import ConfigProblem, Finding, Path
from sidecar.config.schema import Config
from sidecar.model.route import Route


class Lint(NamedTuple):
    """A finding, its rule, and its place in the file."""

    problem: ConfigProblem
    rule: str


class Verdict(NamedTuple):
    """lints: sorted by their place. accepted: how many findings the file accepts."""

    lints: tuple[Lint, ...]
    accepted: int


def judge(loaded: Loaded, routes: tuple[Route, ...], rules: Collection[str]) -> Verdict:
    """Apply rules to a file. routes: compiled from it, in its order. rules: by name; of others nothing is told."""
    accepts = set(_accepts(loaded.config))
    used: set[Path] = set()
    lints: list[Lint] = []
    accepted = 0
    for rule, finding in _findings(Configuration(loaded, routes), rules):
        accept = (*_owner(finding.path), "accept", rule)
        if accept in accepts:
            used.add(accept)
            accepted += 1
        else:
            lints.append(_placed(loaded, rule, finding))
    lints += [
        _placed(loaded, UNUSED_ACCEPT, found(path, "there is nothing to accept"))
        for path in accepts - used
        if path[-1] in rules
    ]
    return Verdict(tuple(sorted(lints)), accepted)


def _findings(configuration: Configuration, rules: Collection[str]) -> Iterator[tuple[str, Finding]]:
    for name in rules:
        for check in RULES[name].checks:
            for finding in check(configuration):
                yield name, finding


def _owner(path: Path) -> Path:
    """The path of what has the ``accept`` for a finding: its route, or the file."""
    return path[:2] if path[0] == "routes" else ()


def _accepts(config: Config) -> Iterator[Path]:
    yield from (("accept", rule) for rule in config.accept)
    for index, route in enumerate(config.routes):
        yield from (("routes", index, "accept", rule) for rule in route.accept)


def _placed(loaded: Loaded, rule: str, finding: Finding) -> Lint:
    return Lint(loaded.problem(finding.path, finding.message, at_key=finding.at_key), rule)
