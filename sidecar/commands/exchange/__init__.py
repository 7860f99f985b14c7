"""``sidecar exchange``: makes one real exchange as the gateway would, and tells whose fault a failure is.

Here are its arguments and how the result is printed; ``attempt`` makes it, ``fault`` finds whose fault it is.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import sidecar
from sidecar.commands.configuration import add_config, load_or_explain
from sidecar.commands.exchange.attempt import Attempt
from sidecar.commands.exchange.watch import Watch
from sidecar.config.problems import ConfigError
from sidecar.exchange.plan import Plan
from sidecar.model.clock import Clock
from sidecar.observe.metrics import Metrics
from sidecar.snapshot import Snapshot, build
from sidecar.wire.grammar import B64TOKEN


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_config(parser)
    parser.add_argument("--route", required=True, metavar="NAME")
    parser.add_argument(
        "--subject-token-file",
        metavar="FILE",
        help="the caller's token, where the route asks for one",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")


def run(arguments: argparse.Namespace) -> int:
    """Make one exchange. 0 where a token was issued that the route may use, 1 where not, 2 for bad input."""
    loaded = load_or_explain(arguments.config)
    if loaded is None:
        return 2
    watch = Watch()
    try:
        snapshot = build(loaded, Metrics(sidecar.__version__), Clock(wall=watch.wall))
        token = _token(arguments.subject_token_file)
        plan = _plan(snapshot, arguments.route, token)
        if plan.route.subject.issuers and not token:
            raise ValueError(f"--subject-token-file: route {plan.route.name} asks for the caller's token")
    except (ConfigError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    told = asyncio.run(Attempt(loaded, snapshot, plan, token, watch).made())
    if arguments.json:
        print(json.dumps(told, indent=2))
    else:
        for title, value in told.items():
            for number, line in enumerate(_lines(value["sentence"] if title == "fault" else value)):
                print(f"{title if number == 0 else '':12}{line}")
    return 0 if told["outcome"] == "issued" else 1


def _plan(snapshot: Snapshot, name: str, token: str) -> Plan:
    """Return a route's plan, of several that for the token's issuer. ValueError: the route has none."""
    if name not in snapshot.plans:
        raise ValueError(f"--route: {name} is no route that exchanges; there are: {', '.join(snapshot.plans)}")
    plan = snapshot.plans[name]
    issuers = snapshot.verifier.candidates(token, plan.route.subject.issuers)
    return snapshot.plans_by_issuer.get((name, issuers[0].name), plan) if issuers else plan


def _token(path: str | None) -> str:
    """Return the token in a file, if one is named. ValueError: it can't be read, or holds something else."""
    if path is None:
        return ""
    try:
        token = Path(path).read_text("ascii").strip()
    except (OSError, ValueError):
        raise ValueError(f"--subject-token-file: {path} can't be read") from None
    if not B64TOKEN.fullmatch(token.encode()):
        raise ValueError(f"--subject-token-file: {path} does not hold one token")
    return token


def _lines(value: Any) -> list[str]:
    """A part of what is told, as text of which nothing can move a terminal's cursor."""
    if isinstance(value, dict | list):
        return [": ".join(map(_plain, pair)) for pair in (value.items() if isinstance(value, dict) else value)]
    return [_plain(value)]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) and value.isprintable() else json.dumps(value)
