"""``sidecar run``: serve until told to stop. SIGTERM and SIGINT drain; a second one ends at once."""

import argparse
import asyncio
import signal
import sys

from sidecar.app import App, StartError
from sidecar.commands.configuration import add_config, load_or_explain
from sidecar.config.problems import ConfigError
from sidecar.observe import logs


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_config(parser)
    parser.add_argument("--log-level", default="INFO", choices=["DEBUG", "INFO", "WARNING", "ERROR"])


def run(arguments: argparse.Namespace) -> int:
    """Serve. 0 after a drain, 2 where the configuration is broken or a listener can't be bound."""
    logs.configure(arguments.log_level)
    loaded = load_or_explain(arguments.config)
    if loaded is None:
        return 2
    try:
        app = App(loaded)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    return asyncio.run(serve(app))


async def serve(app: App) -> int:
    """Serve until a signal; return the exit status."""
    stop, now = asyncio.Event(), asyncio.Event()

    def signalled() -> None:
        (now if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled)
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
