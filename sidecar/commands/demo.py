"""``sidecar demo``: all of it on loopback, with a story to watch; then it stays up to be tried."""

import argparse
import asyncio
import os
import shlex
import signal
import sys
from pathlib import Path

from sidecar.demo.caller import StageError
from sidecar.demo.example import FILE_PORTS, FREE_PORTS, Ports, example_file
from sidecar.demo.listening import CannotStart
from sidecar.demo.show import Show
from sidecar.demo.stage import open_stage
from sidecar.demo.story import tell
from sidecar.demo.tries import tries
from sidecar.observe import logs


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--once", action="store_true", help="end after the story instead of staying up")
    parser.add_argument("--free-ports", action="store_true", help="let the system choose the ports, not the file")


def run(arguments: argparse.Namespace) -> int:
    """Tell the story. 0 where all was as told, 1 where something was not, 2 where it can't begin."""
    logs.configure("WARNING")
    show = Show(sys.stdout, colour=sys.stdout.isatty() and not os.environ.get("NO_COLOR"))
    ports = FREE_PORTS if arguments.free_ports else FILE_PORTS
    return asyncio.run(perform(show, example_file(), ports, stay=not arguments.once))


async def perform(show: Show, example: Path, ports: Ports, *, stay: bool) -> int:
    """Set the stage, tell the story, and stay up if wanted until SIGINT or SIGTERM; return the exit status.

    A signal before the story's end gives 1.
    """
    if (task := asyncio.current_task()) is not None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    status = 1
    try:
        async with open_stage(example, ports) as stage:
            status = 0 if await tell(stage, show) else 1
            show.title("All of it was as told." if status == 0 else "Not all of it was as told: look for NO above.")
            if stay:
                show.text("Everything stays up. Lines to try in another terminal:")
                show.lines(*tries(stage, _this_program()))
                show.text("Ctrl-C ends it, and removes its folder.")
                await asyncio.Event().wait()
    except (CannotStart, StageError) as error:
        print(error, file=sys.stderr)
        return 2
    except asyncio.CancelledError:
        pass
    return status


def _this_program() -> str:
    """How a shell calls what is running now."""
    called = Path(sys.argv[0])
    return shlex.quote(str(called)) if called.stem == "sidecar" else f"{shlex.quote(sys.executable)} -m sidecar"
