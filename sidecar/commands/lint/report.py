"""How ``sidecar check`` tells what it found: for people, for programs, and for reviews on GitHub.

All forms say the same of errors and findings. Errors for people go to stderr, as those of every command do; everything
else goes to stdout.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from sidecar.commands.lint.verdict import Lint
from sidecar.config.problems import ConfigProblem


class Report(NamedTuple):
    """What there is to tell of a file: its errors, how many routes it has and what was found.

    asked: how many issuers and authorization servers were asked.
    """

    file: str
    errors: tuple[ConfigProblem, ...] = ()
    routes: int = 0
    lints: tuple[Lint, ...] = ()
    accepted: int = 0
    asked: int = 0

    @property
    def status(self) -> int:
        """The exit status: 2 for errors, 1 for findings that were not accepted, 0 for neither."""
        return 2 if self.errors else 1 if self.lints else 0


def text(report: Report) -> None:
    """Print a line for each problem, and one about the file where it has no errors."""
    for error in report.errors:
        print(error, file=sys.stderr)
    for lint in report.lints:
        print(f"{lint.problem} [{lint.rule}]")
    if not report.errors:
        problems = f"{len(report.lints)} to look at" if report.lints else "no problems"
        accepted = f", {report.accepted} accepted" if report.accepted else ""
        asked = f", {report.asked} issuers and servers asked" if report.asked else ""
        print(f"{report.file}: {report.routes} routes, {problems}{accepted}{asked}")


def as_json(report: Report) -> None:
    """Print one object: ``file``, ``problems`` (a list) and ``accepted`` (how many)."""
    problems = [
        {
            "severity": severity,
            "rule": rule,
            "file": problem.file,
            "line": problem.line,
            "column": problem.column,
            "path": problem.path,
            "message": problem.message,
        }
        for severity, rule, problem in _problems(report)
    ]
    print(json.dumps({"file": report.file, "problems": problems, "accepted": report.accepted}, indent=2))


def github(report: Report) -> None:
    """Print a workflow command for each problem; a review then shows it at its line."""
    for severity, rule, problem in _problems(report):
        properties = {
            "file": problem.file,
            "line": problem.line,
            "col": problem.column,
            "title": rule or "sidecar check",
        }
        said = ",".join(f"{name}={_escaped(str(value), ':,')}" for name, value in properties.items())
        message = f"{problem.path}: {problem.message}" if problem.path else problem.message
        print(f"::{severity} {said}::{_escaped(message)}")


#: By the word for ``--format``.
FORMATS: Final[Mapping[str, Callable[[Report], None]]] = MappingProxyType(
    {"text": text, "json": as_json, "github": github}
)


def _problems(report: Report) -> Iterator[tuple[str, str | None, ConfigProblem]]:
    for error in report.errors:
        yield "error", None, error
    for lint in report.lints:
        yield "warning", lint.rule, lint.problem


def _escaped(value: str, special: str = "") -> str:
    """Write what a workflow command would read as its own syntax as ``%XX``."""
    return "".join(f"%{ord(char):02X}" if char in f"%\r\n{special}" else char for char in value)
