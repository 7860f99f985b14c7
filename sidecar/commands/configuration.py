"""What commands that read a configuration file share: the option, how a broken file is told, which key is to blame."""

import argparse
import sys
from collections.abc import Sequence

from sidecar.config.loaded import Loaded
from sidecar.config.problems import ConfigError, Path


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


def first_key(path: Path, section: object, names: Sequence[str]) -> Path:
    """Return the path of the first of these keys that a section has; of the section itself where it has none."""
    return (*path, *[name for name in names if getattr(section, name, None) is not None][:1])
