"""``sidecar demo``: all of it on loopback, with a story to watch; then it stays up to be tried."""

import argparse
import asyncio
import os
import shlex
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from sidecar.demo.agents import stage as agents_stage
from sidecar.demo.agents import story as agents_story
from sidecar.demo.agents import tries as agents_tries
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
    parser.add_argument("--agents", action="store_true", help="the demo of governed delegation instead")
    parser.add_argument("--free-ports", action="store_true", help="let the system choose the ports, not the file")


def run(arguments: argparse.Namespace) -> int:
    """Tell the story. 0 where all was as told, 1 where something was not, 2 where it can't begin."""
    logs.configure("WARNING")
    show = Show(sys.stdout, colour=sys.stdout.isatty() and not os.environ.get("NO_COLOR"))
    stay = not arguments.once
    if arguments.agents:
        return asyncio.run(perform_agents(show, stay=stay))
    ports = FREE_PORTS if arguments.free_ports else FILE_PORTS
    return asyncio.run(perform(show, example_file(), ports, stay=stay))


async def perform(show: Show, example: Path, ports: Ports, *, stay: bool) -> int:
    """Tell how a token changes hands, and stay up if wanted until SIGINT or SIGTERM; return the exit status.

    A signal before the story's end gives 1.
    """

    async def play(stack: AsyncExitStack) -> tuple[bool, Sequence[str]]:
        stage = await stack.enter_async_context(open_stage(example, ports))
        return await tell(stage, show), tries(stage, _this_program())

    return await _performed(play, show, stay=stay)


async def perform_agents(show: Show, *, stay: bool) -> int:
    """Tell how far agents get with what a person allowed; otherwise like ``perform``."""

    async def play(stack: AsyncExitStack) -> tuple[bool, Sequence[str]]:
        stage = await stack.enter_async_context(agents_stage.open_stage())
        return await agents_story.tell(stage, show), agents_tries.tries(stage, _this_program())

    return await _performed(play, show, stay=stay)


Play = Callable[[AsyncExitStack], Awaitable[tuple[bool, Sequence[str]]]]


async def _performed(play: Play, show: Show, *, stay: bool) -> int:
    """play: tells its story on a stage that stays as long as the stack; whether all was as told, and lines to try."""
    if (task := asyncio.current_task()) is not None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    status = 1
    try:
        async with AsyncExitStack() as stack:
            as_told, lines = await play(stack)
            status = 0 if as_told else 1
            show.title("All of it was as told." if as_told else "Not all of it was as told: look for NO above.")
            if stay:
                show.text("Everything stays up. Lines to try in another terminal:")
                show.lines(*lines)
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
