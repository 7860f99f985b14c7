"""``sidecar run``: serve until told to stop. SIGTERM and SIGINT drain, a second one ends at once; SIGHUP reloads.

The configuration is read in a process of its own, and what serves is imported here at the same time.
"""

import argparse
import asyncio
import signal
import sys
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from sidecar.commands.configuration import add_config
from sidecar.config import watch
from sidecar.config.apart import load_apart
from sidecar.config.problems import ConfigError
from sidecar.observe import logs

if TYPE_CHECKING:
    from sidecar.app import App
    from sidecar.reload import Reloader


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_config(parser)
    parser.add_argument("--log-level", default="INFO", choices=["DEBUG", "INFO", "WARNING", "ERROR"])


def run(arguments: argparse.Namespace) -> int:
    """Serve. 0 after a drain, 2 where the configuration is broken or a listener can't be bound."""
    logs.configure(arguments.log_level)
    return asyncio.run(_run(arguments.config))


async def _run(path: str) -> int:
    try:
        before = watch.look(path, ())
        loaded = await load_apart(path, meanwhile=partial(import_module, "sidecar.reload"))
        from sidecar.app import App
        from sidecar.reload import Reloader

        app = App(loaded)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    return await serve(app, Reloader(app, path, watch.known(before, loaded)))


async def serve(app: "App", reloader: "Reloader") -> int:
    """Serve until a signal, while the configuration follows its files; return the exit status."""
    from sidecar.app import StartError

    stop, now = asyncio.Event(), asyncio.Event()

    def signalled() -> None:
        (now if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled)
    loop.add_signal_handler(signal.SIGHUP, reloader.ask)
    try:
        try:
            await app.start()
        except StartError as error:
            print(error, file=sys.stderr)
            return 2
        following = asyncio.create_task(reloader.run())
        await stop.wait()
        following.cancel()
        await asyncio.wait([following])
        drained, hurried = asyncio.create_task(app.drain()), asyncio.create_task(now.wait())
        await asyncio.wait({drained, hurried}, return_when=asyncio.FIRST_COMPLETED)
        for task in (drained, hurried):
            task.cancel()
        return 0
    finally:
        await app.close()
