"""What commands that read a configuration file share: the option, and how a broken file is told."""

import argparse
import sys

from sidecar.config.loaded import Loaded
from sidecar.config.problems import ConfigError


def add_config(parser: argparse.ArgumentParser) -> None:
    """Declare ``-c FILE``."""
    parser.add_argument("-c", "--config", required=True, metavar="FILE", help="the configuration file")


def load_or_explain(path: str) -> Loaded | None:
    """Load a file; where it is broken, print all its problems and return None."""
    from sidecar.config.load import load  # brings pydantic, which a serving process does without

    try:
        return load(path)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return None
