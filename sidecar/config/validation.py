"""Content held against a section of the schema, and one problem for each place that has several.

What is wrong comes back as findings, in our words; nothing here knows of files.
"""

from collections.abc import Iterable
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import CoreConfig, SchemaValidator

from sidecar.config import wording
from sidecar.config.environment import Surroundings
from sidecar.config.problems import ConfigProblem, Finding
from sidecar.config.schema.base import Section


def validator(section: type[Section]) -> SchemaValidator:
    """Return what reads a section; its errors never quote values."""
    # Built by hand because pydantic's adapter of a dataclass would have its errors quote values.
    return SchemaValidator(TypeAdapter(section).core_schema, CoreConfig(hide_input_in_errors=True))


def validate(schema: SchemaValidator, content: object, surroundings: Surroundings | None) -> tuple[Any, list[Finding]]:
    """Return the section that a validator reads, or None and what is wrong with it.

    The section's keys are those of the whole file, or some of them. Without surroundings no file is looked at.
    """
    try:
        return schema.validate_python(content, context=surroundings), []
    except ValidationError as error:
        return None, list(wording.findings(error))


def first_of_each(problems: Iterable[ConfigProblem]) -> list[ConfigProblem]:
    """One problem for each place and path: what is found wrong with a value first explains the rest."""
    firsts: dict[tuple[str, int, int, str], ConfigProblem] = {}
    for problem in problems:
        firsts.setdefault((problem.file, problem.line, problem.column, problem.path), problem)
    return list(firsts.values())
