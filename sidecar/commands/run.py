"""``sidecar run``: serve until told to stop. SIGTERM and SIGINT drain, a second one ends at once; SIGHUP reloads.

The configuration is read in a process of its own, and what serves is imported here at the same time. How the
interpreter itself is set up for serving is decided here too.
"""

import argparse
import asyncio
import ctypes
import gc
import signal
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Final

from sidecar.commands.configuration import add_config
from sidecar.config import watch
from sidecar.config.apart import load_apart
from sidecar.config.problems import ConfigError
from sidecar.observe import logs

if TYPE_CHECKING:
    from sidecar.app import App
    from sidecar.reload import Reloader

#: Objects made before the garbage collector looks at the young ones, and how many such looks before it looks at older
#: ones. A request leaves nothing in cycles, so with Python's own 700 it would look all the time and find nothing.
_COLLECT_AFTER: Final = (10_000, 20, 20)

#: glibc's names (malloc.h), and how much it keeps instead of giving it back. What a body needs is freed at once, and to
#: have the pages back for the next one costs more than to copy its bytes.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_KEPT_BYTES: Final = 4 << 20
_KEPT_PIECE: Final = 1 << 20


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_config(parser)
    parser.add_argument("--log-level", default="INFO", choices=["DEBUG", "INFO", "WARNING", "ERROR"])


def run(arguments: argparse.Namespace) -> int:
    """Serve. 0 after a drain, 2 where the configuration is broken or a listener can't be bound."""
    logs.configure(arguments.log_level)
    with asyncio.Runner(loop_factory=event_loops()) as runner:
        return runner.run(_run(arguments.config))


def event_loops() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the event loop: uvloop where it is installed (the extra ``speed``), None for asyncio's own."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        return None
    return new_event_loop


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
    _settle()
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


def _settle() -> None:
    """Leave what is there now, and stays, out of every garbage collection to come, and have those come less often.

    Have the C library keep as much memory as bodies on their way need.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library: it does as it does
        return
    mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
    mallopt(_M_MMAP_THRESHOLD, _KEPT_PIECE)
