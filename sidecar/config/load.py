"""Reads a configuration file: bytes, then YAML, then the environment's values, then the schema and all other checks.

Every check sees the whole file and none stops another, so that one run names every mistake. What the configuration
then means for the gateway is ``snapshot``'s.
"""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path as FilePath

from pydantic import TypeAdapter, ValidationError
from pydantic_core import CoreConfig, SchemaValidator

from sidecar.config import references, rules, wording, yaml
from sidecar.config.environment import Surroundings, substitute, unreadable
from sidecar.config.loaded import Loaded
from sidecar.config.problems import ConfigError, ConfigProblem, Finding
from sidecar.config.schema import Config
from sidecar.config.tree import Part


def load(path: str | FilePath, environ: Mapping[str, str] = os.environ) -> Loaded:
    """Read and check a configuration file. Relative paths in it start at its own directory.

    ConfigError: it can't be read, or something is wrong with it; its ``problems`` are all that could be found.
    """
    file = str(path)
    try:
        with open(path, "rb") as stream:
            data = stream.read(yaml.MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError([ConfigProblem(file, 1, 1, "", unreadable(error))]) from None
    return parse(data, file, Surroundings(FilePath(path).absolute().parent, environ))


def parse(data: bytes, file: str, surroundings: Surroundings) -> Loaded:
    """Check the bytes of a configuration file. ``file`` is what problems call it.

    ConfigError: something is wrong with it; its ``problems`` are all that could be found.
    """
    document = yaml.parse(data, file)
    found: list[Finding] = []
    content = substitute(document.content, surroundings.environ, found)
    config: Config | None = None
    try:
        config = _schema().validate_python(content, context=surroundings)
    except ValidationError as error:
        found += wording.findings(error)
    root = Part(content)
    found += [*rules.findings(root), *references.findings(root)]
    placed = [document.positions.problem(path, message, at_key=at_key) for path, message, at_key in found]
    problems = _first_of_each([*document.problems, *placed])
    if config is None or problems:
        raise ConfigError(problems)
    return Loaded(config, document.positions)


@cache
def _schema() -> SchemaValidator:
    # Built by hand because pydantic's adapter of a dataclass would have its errors quote values.
    return SchemaValidator(TypeAdapter(Config).core_schema, CoreConfig(hide_input_in_errors=True))


def _first_of_each(problems: list[ConfigProblem]) -> list[ConfigProblem]:
    """One problem for each place and path: what is found wrong with a value first explains the rest."""
    firsts: dict[tuple[int, int, str], ConfigProblem] = {}
    for problem in problems:
        firsts.setdefault((problem.line, problem.column, problem.path), problem)
    return list(firsts.values())
