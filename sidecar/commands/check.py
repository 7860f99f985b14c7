"""``sidecar check``: everything that ``run`` would refuse, without serving."""

import argparse
import sys

import sidecar
from sidecar.commands.configuration import add_config, load_or_explain
from sidecar.config.problems import ConfigError
from sidecar.observe.metrics import Metrics
from sidecar.snapshot import build


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_config(parser)


def run(arguments: argparse.Namespace) -> int:
    """Check a file. 0 where it is good, 2 where it is not, with all its problems on stderr."""
    loaded = load_or_explain(arguments.config)
    if loaded is None:
        return 2
    try:
        snapshot = build(loaded, Metrics(sidecar.__version__))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{arguments.config}: {len(snapshot.routes)} routes, no problems")
    return 0
