"""Reads a configuration file: bytes, then YAML, then the environment's values, then the schema and all other checks.

Every check sees the whole file and none stops another, so that one run names every mistake; only what it includes is
looked at after it. What the configuration then means for the gateway is ``snapshot``'s.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path as FilePath

from pydantic_core import SchemaValidator

from sidecar.config import approvals, dialects, mcp, references, rules, workload, yaml
from sidecar.config.environment import Surroundings, substitute, unreadable
from sidecar.config.loaded import Included, Loaded, TeamFile
from sidecar.config.problems import ConfigError, ConfigProblem, Finding
from sidecar.config.schema import Config
from sidecar.config.teams.settle import Platform, settle
from sidecar.config.tree import Part
from sidecar.config.validation import first_of_each, validate, validator
from sidecar.config.wording import nearest


def load(path: str | FilePath, environ: Mapping[str, str] = os.environ, last_good: Iterable[Included] = ()) -> Loaded:
    """Read and check a configuration file and those it includes. Relative paths in it start at its own directory.

    last_good: the includes as they were loaded before; one that is isolated and broken keeps these files.
    ConfigError: it can't be read, or something is wrong with it; its ``problems`` are all that could be found.
    """
    file = str(path)
    return parse(read(path), file, Surroundings(FilePath(path).absolute().parent, environ), last_good)


def parse(data: bytes, file: str, surroundings: Surroundings, last_good: Iterable[Included] = ()) -> Loaded:
    """Check the bytes of a configuration file, and the files it includes. ``file`` is what problems call it.

    ConfigError: something is wrong with it; its ``problems`` are all that could be found.
    """
    platform = parse_platform(data, file, surroundings)
    config, positions = platform.config, platform.positions
    if not config.include:
        return Loaded(config, positions)
    try:
        settled = settle(platform, last_good)
    except ConfigError as error:
        raise ConfigError(error.problems, (include.files for include in config.include)) from None
    own = len(config.routes)
    files = tuple(TeamFile(each.positions, each.first + own) for each in settled.files)
    return Loaded(replace(config, routes=(*config.routes, *settled.routes)), positions, files, settled.includes)


def read(path: str | FilePath) -> bytes:
    """Return the bytes of a file, or one more than a configuration may have. ConfigError: it can't be read."""
    try:
        with open(path, "rb") as stream:
            return stream.read(yaml.MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError([ConfigProblem(str(path), 1, 1, "", unreadable(error))]) from None


def parse_platform(data: bytes, file: str, surroundings: Surroundings) -> Platform:
    """Check the bytes of a configuration file without what it includes. ConfigError: as of ``parse``."""
    document = yaml.parse(data, file)
    found: list[Finding] = []
    content = substitute(document.content, surroundings.environ, found)
    config: Config | None
    config, wrong = validate(_schema(), content, surroundings)
    root = Part(content)
    found += [*wrong, *_needed(root)]
    parts = (rules, references, workload, mcp, dialects, approvals)
    found += [finding for part in parts for finding in part.findings(root)]
    found += _includes(root)
    placed = [document.positions.problem(path, message, at_key=at_key) for path, message, at_key in found]
    problems = first_of_each([*document.problems, *placed])
    if config is None or problems:
        raise ConfigError(problems)
    return Platform(config, document.positions, root, surroundings.directory)


@cache
def _schema() -> SchemaValidator:
    return validator(Config)


def _needed(root: Part) -> Iterator[Finding]:
    """A file serves something: routes of its own, or included ones."""
    if isinstance(root.value, dict) and not root["include"].value:
        if "routes" not in root.value:
            yield root["routes"].finding("missing; which requests go where, with which token")
        elif root["routes"].value == []:
            yield root["routes"].finding("should have at least 1 entry")


def _includes(root: Part) -> Iterator[Finding]:
    """Includes have names of their own, and allow what is defined."""
    seen: set[str] = set()
    servers = [name for name, _ in root["authorization_servers"].members()]
    for include in root["include"].items():
        name = include["name"].text
        if name is not None and name in seen:
            yield include["name"].finding("another include has this name")
        seen.add(name or "")
        for server in include["allow"]["authorization_servers"].items():
            if server.text is not None and server.text not in servers:
                near = nearest(server.text, servers)
                yield server.finding(f"no authorization server of this name is defined{near}")
