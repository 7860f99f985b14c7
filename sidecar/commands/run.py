"""``sidecar run``: serve until told to stop. SIGTERM and SIGINT drain; a second one ends at once.

The configuration is read in a process of its own, and what serves is imported here at the same time.
"""

import argparse
import asyncio
import logging
import signal
import sys
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from sidecar.commands.configuration import add_config
from sidecar.config.apart import load_apart
from sidecar.config.problems import ConfigError
from sidecar.observe import logs

if TYPE_CHECKING:
    from sidecar.app import App

log = logging.getLogger("sidecar")


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_config(parser)
    parser.add_argument("--log-level", default="INFO", choices=["DEBUG", "INFO", "WARNING", "ERROR"])


def run(arguments: argparse.Namespace) -> int:
    """Serve. 0 after a drain, 2 where the configuration is broken or a listener can't be bound."""
    logs.configure(arguments.log_level)
    try:
        loaded = load_apart(arguments.config, meanwhile=partial(import_module, "sidecar.app"))
        from sidecar.app import App

        app = App(loaded)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    return asyncio.run(serve(app))


async def serve(app: "App") -> int:
    """Serve until a signal; return the exit status."""
    from sidecar.app import StartError

    stop, now = asyncio.Event(), asyncio.Event()

    def signalled() -> None:
        (now if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled)
    # By default it would end the process, and cut off whatever runs.
    loop.add_signal_handler(signal.SIGHUP, log.warning, "a changed file is taken at the next start only")
    try:
        try:
            await app.start()
        except StartError as error:
            print(error, file=sys.stderr)
            return 2
        await stop.wait()
        drained, hurried = asyncio.create_task(app.drain()), asyncio.create_task(now.wait())
        await asyncio.wait({drained, hurried}, return_when=asyncio.FIRST_COMPLETED)
        for task in (drained, hurried):
            task.cancel()
        return 0
    finally:
        await app.close()
