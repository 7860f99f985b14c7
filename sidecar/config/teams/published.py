"""What a team may know of the platform's file, and its files checked by that alone, where the rest of it is not.

Published is what ``include`` and ``house`` need: the include's ``allow`` and the names that routes may refer to. What
only shows beside other houses' routes is told where these are, in the platform's own check.
"""

import json
from collections.abc import Iterable
from pathlib import Path as FilePath
from typing import Any

from sidecar.config import yaml
from sidecar.config.addresses import listen_address
from sidecar.config.environment import unreadable
from sidecar.config.loaded import Loaded
from sidecar.config.problems import ConfigError, ConfigProblem, Positions
from sidecar.config.schema import AuthorizationServer, Config, Gateway, Listener, NoClientAuth, Route, TrustedIssuer
from sidecar.config.schema.gateway import DEFAULT_LISTEN
from sidecar.config.schema.include import Allow, PublishedHouse
from sidecar.config.teams import borders
from sidecar.config.teams import files as include_files
from sidecar.config.teams.house import House
from sidecar.config.teams.include import check, place
from sidecar.config.teams.settle import ground_of
from sidecar.config.tree import Part
from sidecar.config.validation import validate, validator


def publish(config: Config, name: str) -> str:
    """Return what the team of an include needs to know, as JSON. KeyError: there is no such include."""
    include = {include.name: include for include in config.include}[name]
    allow: dict[str, Any] = {key: list(getattr(include.allow, key)) for key in Allow.__dataclass_fields__}
    allow["upstreams"] = [pattern.text for pattern in include.allow.upstreams]
    return json.dumps(
        {
            "version": 1,
            "include": {"name": name, "allow": allow},
            "listeners": list(config.listeners),
            "trusted_issuers": list(config.trusted_issuers),
            "authorization_servers": list(config.authorization_servers),
        },
        indent=2,
    )


def check_as_team(name: str, published: str, files: Iterable[str]) -> Loaded:
    """Check a team's files by what was published for its include, and return them as loaded beside what is known.

    Of the platform's sections, which are not known, only the names mean anything.
    ConfigError: the published file is none, or another include's; or something is wrong with the team's files.
    """
    known, positions = _read(published)
    if known.include.name != name:
        raise ConfigError([positions.problem(("include", "name"), "this was published for another include")])
    places = {key: positions.place(("include", "allow", key)) for key in Allow.__dataclass_fields__}
    house = House(name, known.include.allow, places)
    sources, problems = include_files.read(files, FilePath())
    checked = check(sources, house, _platform(known))
    problems += checked.problems
    ground = ground_of(checked, lambda route: route.listener or known.listeners[0])
    problems += [place(checked.files, finding) for finding in borders.within(ground)]
    if problems:
        raise ConfigError(problems)
    return Loaded(_config(known, checked.routes), positions, checked.files)


def _read(published: str) -> tuple[PublishedHouse, Positions]:
    try:
        with open(published, "rb") as stream:
            document = yaml.parse(stream.read(yaml.MAX_BYTES + 1), published)
    except OSError as error:
        raise ConfigError([ConfigProblem(published, 1, 1, "", unreadable(error))]) from None
    known: PublishedHouse | None
    known, _ = validate(validator(PublishedHouse), document.content, None)
    if known is None or document.problems:
        raise ConfigError([ConfigProblem(published, 1, 1, "", "should be what sidecar check --export-house printed")])
    return known, document.positions


def _config(known: PublishedHouse, routes: tuple[Route, ...]) -> Config:
    listener = Listener(listen=listen_address(DEFAULT_LISTEN))
    issuer, server = TrustedIssuer(audience=()), AuthorizationServer(client_auth=NoClientAuth(method="none"))
    return Config(
        version=1,
        gateway=Gateway(listeners=dict.fromkeys(known.listeners, listener)),
        trusted_issuers=dict.fromkeys(known.trusted_issuers, issuer),
        authorization_servers=dict.fromkeys(known.authorization_servers, server),
        routes=routes,
    )


def _platform(known: PublishedHouse) -> Part:
    """The names of a platform's file, as ``references`` looks them up; whatever stands behind them is not told."""
    nothing: dict[str, object] = {}
    return Part(
        {
            "gateway": {"listeners": dict.fromkeys(known.listeners, nothing)},
            "trusted_issuers": dict.fromkeys(known.trusted_issuers, nothing),
            "authorization_servers": dict.fromkeys(known.authorization_servers, nothing),
        }
    )
