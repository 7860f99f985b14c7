"""``sidecar check``: everything that ``run`` would refuse, without serving, and what may not be meant."""

import argparse
import gc
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import sidecar
from sidecar.commands import team
from sidecar.commands.lint.report import FORMATS, Report
from sidecar.commands.lint.rules import OPT_IN, chosen
from sidecar.commands.lint.verdict import judge
from sidecar.commands.online import Answers, ask
from sidecar.config.problems import ConfigError
from sidecar.observe.metrics import Metrics
from sidecar.snapshot import build


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    team.add(parser)
    parser.add_argument(
        "--also",
        action="append",
        choices=OPT_IN,
        default=[],
        metavar="RULE",
        help=f"look for what this rule finds too: {', '.join(OPT_IN)}",
    )
    parser.add_argument("--online", action="store_true", help="also ask the file's issuers and authorization servers")
    parser.add_argument("--format", choices=FORMATS, default="text", help="for people (the default) or for programs")


def run(arguments: argparse.Namespace) -> int:
    """Check a file and tell. 0 where it is good, 1 where something may not be meant, 2 where it can't be served.

    With ``--online`` also 2 where requests would fail, because a peer gives no answer or does not accept us.
    """
    if (misused := team.misused(arguments)) is not None:
        print(f"sidecar check: {misused}", file=sys.stderr)
        return 2
    if arguments.export_house is not None:
        return team.export(arguments.config, arguments.export_house)
    with _no_garbage():
        if arguments.as_team is not None:
            report = team.check(arguments.as_team, arguments.house, arguments.files, arguments.also)
        else:
            report = _check(arguments.config, arguments.also, online=arguments.online)
    FORMATS[arguments.format](report)
    return report.status


def _check(file: str, also: Iterable[str], *, online: bool) -> Report:
    from sidecar.config.load import load  # brings pydantic, which a serving process does without

    try:
        loaded = load(file)
        snapshot = build(loaded, Metrics(sidecar.__version__))
    except ConfigError as error:
        return Report(file, errors=error.problems)
    if isolated := [problem for include in loaded.includes for problem in include.problems]:
        return Report(file, errors=tuple(sorted(isolated)))
    verdict = judge(loaded, tuple(snapshot.routes.values()), chosen(also))
    answers = ask(loaded) if online else Answers()
    return Report(
        file,
        errors=answers.errors,
        routes=len(snapshot.routes),
        lints=tuple(sorted([*verdict.lints, *answers.lints])),
        accepted=verdict.accepted,
        asked=answers.asked,
    )


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Look for no garbage: all of a file is held to the end, and going through it again and again takes longest."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
