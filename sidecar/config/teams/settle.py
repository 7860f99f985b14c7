"""All includes of a file together: which of them are taken, with which routes, and why not.

An include with a mistake stops the load, or, where it is isolated, falls back to its last good files, and to none where
these are not good any more: they are judged like new ones, by what the file says now. Where two includes meet, what was
there first stays, so that nobody takes over another's requests by writing a file.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path as FilePath

from sidecar.config.loaded import Included, Source, TeamFile, locate
from sidecar.config.problems import ConfigError, ConfigProblem, Finding, Positions
from sidecar.config.schema import Config, Route
from sidecar.config.schema.include import Allow, Include
from sidecar.config.teams import borders
from sidecar.config.teams import files as include_files
from sidecar.config.teams.house import House
from sidecar.config.teams.include import Checked, check, place
from sidecar.config.tree import Part


@dataclass(frozen=True, slots=True)
class Platform:
    """The platform's own file, which is good by itself. directory: where it lies."""

    config: Config
    positions: Positions
    content: Part = field(repr=False)
    directory: FilePath

    def house(self, index: int) -> House:
        """Return what an include may do, by its place in the file."""
        section = self.config.include[index]
        path = ("include", index, "allow")
        places = {name: self.positions.place((*path, name)) for name in Allow.__dataclass_fields__}
        ours = (listener.listen for listener in self.config.listeners.values())
        return House(section.name, section.allow, places, (*ours, self.config.admin.listen))


@dataclass(frozen=True, slots=True)
class Settled:
    """The routes of all includes, those of one after those of another; the first is number 0 for ``files``."""

    routes: tuple[Route, ...]
    files: tuple[TeamFile, ...]
    includes: tuple[Included, ...]


@dataclass(frozen=True, slots=True)
class _Version:
    """Files of an include that are good by themselves. known: they were in use before."""

    sources: tuple[Source, ...]
    checked: Checked
    ground: borders.Ground
    known: bool


@dataclass(slots=True)
class _Guest:
    """An include on its way in: the version that would be used, and what was wrong with its present files."""

    section: Include
    house: House
    last_good: tuple[Source, ...] | None
    version: _Version | None = None
    problems: list[ConfigProblem] = field(default_factory=list)

    @property
    def isolated(self) -> bool:
        return self.section.on_error == "isolate"


def ground_of(checked: Checked, listener_of: Callable[[Route], str]) -> borders.Ground:
    """Return which requests the routes of an include take."""
    routes = []
    for number, route in enumerate(checked.routes):
        found = locate(checked.files, ("routes", number))
        routes.append(borders.ground_route(route, listener_of(route), found[0].place(found[1]) if found else ""))
    return borders.Ground(routes)


def settle(platform: Platform, last_good: Iterable[Included] = ()) -> Settled:
    """Read and check all includes of a file. last_good: what became of them the last time; what was in use is good.

    ConfigError: with the problems of all includes, where one that has some is not isolated.
    """
    known = {included.name: included.sources for included in last_good}
    ground = borders.Ground(
        [
            borders.ground_route(route, platform.config.listener_of(route), platform.positions.place(("routes", index)))
            for index, route in enumerate(platform.config.routes)
        ]
    )
    guests = [
        _Guest(section, platform.house(index), known.get(section.name))
        for index, section in enumerate(platform.config.include)
    ]
    for index, guest in enumerate(guests):
        _arrive(guest, platform, index)
    neighbours = [
        (one, two) for one, two in combinations(guests, 2) if borders.may_meet(one.house.allow, two.house.allow)
    ]
    while faults := _faults(guests, neighbours, ground):
        for guest in guests:
            if findings := [finding for each, found in faults if each is guest for finding in found]:
                _retreat(guest, findings, platform)
    if any(guest.problems and not guest.isolated for guest in guests):
        raise ConfigError(problem for guest in guests for problem in guest.problems)
    return _together(guests)


def _arrive(guest: _Guest, platform: Platform, index: int) -> None:
    """Take an include's present files, or else what it falls back to."""
    shown = platform.positions.file.removesuffix(FilePath(platform.positions.file).name)
    pattern = guest.section.files
    try:
        names = include_files.find(pattern, platform.directory)
    except include_files.UnreadableFilesError as error:
        guest.problems.append(platform.positions.problem(("include", index, "files"), str(error)))
        _fall_back(guest, platform)
        return
    sources, problems = include_files.read(names, platform.directory, shown, below=pattern)
    checked = check(sources, guest.house, platform.content)
    guest.problems += [*problems, *checked.problems]
    if guest.problems:
        _fall_back(guest, platform)
    else:
        guest.version = _version(sources, checked, guest, platform)


def _fall_back(guest: _Guest, platform: Platform) -> None:
    """Take what was in use before, where it is still allowed; else nothing."""
    sources, guest.last_good = guest.last_good, None  # once
    guest.version = None
    if sources and guest.isolated:
        checked = check(sources, guest.house, platform.content)
        if not checked.problems:
            guest.version = _version(sources, checked, guest, platform, known=True)


def _version(
    sources: tuple[Source, ...], checked: Checked, guest: _Guest, platform: Platform, known: bool = False
) -> _Version:
    ground = ground_of(checked, platform.config.listener_of)
    return _Version(sources, checked, ground, known or sources == guest.last_good)


def _faults(
    guests: Sequence[_Guest], neighbours: Sequence[tuple[_Guest, _Guest]], platform: borders.Ground
) -> list[tuple[_Guest, list[Finding]]]:
    """Which includes have to give way, and why: for their own sake or the platform's, and if none has to, another's."""
    found = [
        (guest, findings)
        for guest in guests
        if guest.version is not None
        and (findings := [*borders.within(guest.version.ground), *borders.before(guest.version.ground, platform)])
    ]
    return found or [
        (guest, findings)
        for pair in neighbours
        for guest, other in _giving_way(*pair)
        if guest.version is not None
        and other.version is not None
        and (findings := list(borders.between(guest.version.ground, other.version.ground)))
    ]


def _giving_way(one: _Guest, two: _Guest) -> list[tuple[_Guest, _Guest]]:
    """Who gives way where two meet, each with the other: who came later, else who is isolated, else both."""
    both = [(one, two), (two, one)]
    if _is_known(one) != _is_known(two):
        return [pair for pair in both if not _is_known(pair[0])]
    if one.isolated != two.isolated:
        return [pair for pair in both if pair[0].isolated]
    return both


def _is_known(guest: _Guest) -> bool:
    return guest.version is not None and guest.version.known


def _retreat(guest: _Guest, findings: Iterable[Finding], platform: Platform) -> None:
    if guest.version is not None:
        guest.problems += [place(guest.version.checked.files, finding) for finding in findings]
    _fall_back(guest, platform)


def _together(guests: Iterable[_Guest]) -> Settled:
    routes: list[Route] = []
    files: list[TeamFile] = []
    includes: list[Included] = []
    for guest in guests:
        sources: tuple[Source, ...] = ()
        if guest.version is not None:
            sources, checked = guest.version.sources, guest.version.checked
            files += [TeamFile(file.positions, file.first + len(routes)) for file in checked.files]
            routes += checked.routes
        includes.append(Included(guest.section.name, tuple(sorted(set(guest.problems))), sources))
    return Settled(tuple(routes), tuple(files), tuple(includes))
