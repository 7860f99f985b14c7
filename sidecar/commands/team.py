"""``sidecar check`` for a team, which has its own files but not the platform's, and what the platform publishes for it.

The published house names what the team may use and nothing that is secret: no address, no URL but those the include
allows, no route of anybody else. So the team learns of every mistake in its own files, and of what may not be meant in
its routes; only the platform's check can tell where they meet those of others.
"""

import argparse
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

from sidecar.commands.lint.report import Report
from sidecar.commands.lint.rules import chosen
from sidecar.commands.lint.verdict import judge
from sidecar.config.problems import ConfigError, ConfigProblem
from sidecar.config.schema.accept import RouteRule
from sidecar.exchange.dialects import Dialect
from sidecar.snapshot.routes import compile_route


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that say what is checked."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("-c", "--config", metavar="FILE", help="the configuration file")
    what.add_argument("--as-team", metavar="NAME", help="check a team's FILES, by what include NAME allows")
    parser.add_argument("--house", metavar="FILE", help="with --as-team: what --export-house printed")
    parser.add_argument(
        "--export-house", metavar="NAME", help="with -c: print what the team of include NAME needs for --as-team"
    )
    parser.add_argument("files", nargs="*", metavar="FILES", help="with --as-team: the team's files")


def misused(arguments: argparse.Namespace) -> str | None:
    """Return what is wrong with how the arguments are put together; None where nothing is."""
    if arguments.as_team is None and (arguments.files or arguments.house is not None):
        return "FILES and --house go with --as-team"
    if arguments.as_team is not None and (not arguments.files or arguments.house is None):
        return "--as-team needs --house and at least one file"
    if arguments.online and (arguments.as_team is not None or arguments.export_house is not None):
        return "--online goes with -c alone: a team's files name nobody who can be asked"
    if arguments.as_team is not None and arguments.export_house is not None:
        return "--export-house goes with -c"
    return None


def check(name: str, house: str, files: list[str], also: Iterable[str]) -> Report:
    """Check the files of a team. name: its include's; house: the file with what was published for it.

    also: rules that are looked for besides. Those about anything but routes are left to the platform's check.
    """
    from sidecar.config.teams.published import check_as_team  # brings pydantic

    try:
        loaded = check_as_team(name, house, files)
    except ConfigError as error:
        return Report(house, errors=error.problems)
    # What a server's dialect adds is not known here, and what only that makes a difference to is not found.
    dialects = dict.fromkeys(loaded.config.authorization_servers, Dialect())
    routes = tuple(compile_route(loaded, index, dialects) for index in range(len(loaded.config.routes)))
    verdict = judge(loaded, routes, chosen(also).intersection(get_args(RouteRule)))
    return Report(f"include {name}", routes=len(routes), lints=verdict.lints, accepted=verdict.accepted)


def export(path: str, name: str) -> int:
    """Print what a team needs to know of a configuration file. 2 where the file is broken or has no such include.

    What teams wrote is not looked at: what they may write does not depend on it.
    """
    from sidecar.config.environment import Surroundings
    from sidecar.config.load import parse_platform, read
    from sidecar.config.teams.published import publish

    try:
        platform = parse_platform(read(path), path, Surroundings(Path(path).absolute().parent, os.environ))
        if name not in {include.name for include in platform.config.include}:
            raise ConfigError([ConfigProblem(path, 1, 1, "include", "no include of the name that was asked for")])
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    print(publish(platform.config, name))
    return 0
