"""The files of one include: read as a team's, judged by what its include allows, every mistake told in its place.

A team's file holds ``routes``, and may say ``version: 1``; nothing in it comes from the environment, and no file that
it names is looked at. Routes come out whole or not at all: one mistake is enough for none.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

from pydantic_core import SchemaValidator

from sidecar.config import approvals, dialects, mcp, references, rules, yaml
from sidecar.config.loaded import Source, TeamFile, locate
from sidecar.config.problems import ConfigError, ConfigProblem, Finding, Positions
from sidecar.config.schema import Route
from sidecar.config.schema.base import Section, key, section
from sidecar.config.schema.types import Many
from sidecar.config.teams import house as houses
from sidecar.config.teams.house import House
from sidecar.config.tree import Part
from sidecar.config.validation import first_of_each, validate, validator
from sidecar.config.values import route_name

MAX_ROUTES: Final = 10_000  # of one include


@section
class _TeamRoutes(Section):
    """What all files of an include hold together."""

    routes: Many[Route] = key("Which requests go where, with which token.")


@dataclass(frozen=True, slots=True)
class Checked:
    """What an include's files hold. routes: with their full names; none where there are problems.

    files: where each route stands; the first route of all is number 0.
    """

    routes: tuple[Route, ...]
    files: tuple[TeamFile, ...]
    problems: tuple[ConfigProblem, ...]


def check(sources: Iterable[Source], house: House, platform: Part) -> Checked:
    """Check an include's files. platform: the content of the platform's own file, which has no mistakes."""
    problems: list[ConfigProblem] = []
    content: list[object] = []
    files: list[TeamFile] = []
    for source in sources:
        try:
            document = yaml.parse(source.data, source.name)
        except ConfigError as error:
            problems += error.problems
            continue
        problems += document.problems
        problems += _frame(document.content, document.positions)
        if isinstance(routes := Part(document.content)["routes"].value, list):
            files.append(TeamFile(document.positions, len(content)))
            content += routes
    placed = tuple(files)
    if len(content) > MAX_ROUTES:
        problems.append(ConfigProblem(placed[-1].positions.file, 1, 1, "", f"more than {MAX_ROUTES} routes together"))
        return Checked((), placed, tuple(problems))
    routes, found = _routes(content, house, platform)
    problems += [place(placed, finding) for finding in found]
    if problems:
        return Checked((), placed, tuple(first_of_each(problems)))
    return Checked(tuple(replace(route, name=full_name(house, route.name)) for route in routes), placed, ())


def full_name(house: House, name: str) -> str:
    """Return what a team's route is called outside of its file."""
    return f"{house.name}/{name}"


def place(files: tuple[TeamFile, ...], finding: Finding) -> ConfigProblem:
    """Place what is wrong with one of an include's routes."""
    positions, path = locate(files, finding.path) or (files[0].positions, finding.path)
    return positions.problem(path, finding.message, at_key=finding.at_key)


def _frame(content: object, positions: Positions) -> Iterator[ConfigProblem]:
    """What is wrong with a file around its routes."""
    if not isinstance(content, dict):
        yield positions.problem((), "should be a mapping with routes")
        return
    for name in content:
        if name not in ("version", "routes"):
            yield positions.problem((name,), "team files hold routes and nothing else", at_key=True)
    if "version" in content and (type(content["version"]), content["version"]) != (int, 1):
        yield positions.problem(("version",), "should be 1")
    if not isinstance(content.get("routes"), list):
        yield positions.problem(("routes",), "should be a list of routes" if "routes" in content else "missing")


def _routes(content: list[object], house: House, platform: Part) -> tuple[tuple[Route, ...], list[Finding]]:
    members = platform.value if isinstance(platform.value, dict) else {}
    root = Part({**members, "routes": content})
    servers = platform["authorization_servers"]
    found: list[Finding] = []
    for route in root["routes"].items():
        found += houses.substitutions(route)
    read: _TeamRoutes | None
    read, wrong = validate(_schema(), {"routes": content}, None)
    found += wrong
    # What these say of the platform's own sections was said of its file.
    judges = (rules, references, mcp, dialects, approvals)
    said = (each for judge in judges for each in judge.findings(root))
    found += [each for each in said if each.path[:1] == ("routes",)]
    taken = {route["name"].text for route in platform["routes"].items()}
    for route in root["routes"].items():
        found += houses.findings(route, house, servers)
        found += _name(route["name"], house, taken)
    return read.routes if read is not None else (), found


@cache
def _schema() -> SchemaValidator:
    return validator(_TeamRoutes)


def _name(name: Part, house: House, taken: set[str | None]) -> Iterator[Finding]:
    if name.text is None:
        return
    full = full_name(house, name.text)
    if full in taken:
        yield name.finding("a route of the platform's file has the name that this one gets")
    try:
        route_name(full)
    except ValueError:
        yield name.finding("should be shorter; with the include's name before it, it has more than 64 characters")
