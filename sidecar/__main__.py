"""The entry point: ``sidecar`` and ``python -m sidecar``. A command is imported only when it is called."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import sidecar

COMMANDS: Final = {
    "run": "serve",
    "check": "say what is wrong with a configuration file",
    "diff": "tell which requests change between two configuration files",
    "schema": "print the JSON Schema of a configuration file, for editors",
    "explain": "tell what would become of a request, step by step",
    "exchange": "make one exchange, and say whose fault a failure is",
    "receipts": "filter receipts, tell one request's story, verify their chain",
    "flush": "have a running gateway forget tokens before their time",
    "sts": "run the embedded authorization server, for development only",
    "demo": "show everything on loopback",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status: 2 for bad input."""
    words = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(
        prog="sidecar", description="A gateway that never passes a caller's token through."
    )
    parser.add_argument("--version", action="version", version=f"sidecar {sidecar.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    called = next((word for word in words if not word.startswith("-")), None)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if name == called:
            module = import_module(f"sidecar.commands.{name}")
            module.add(command)
            command.set_defaults(run=module.run)
    arguments = parser.parse_args(words)
    try:
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing more can be written, at exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())
