"""``sidecar sts``: the embedded authorization server, for development, tests and demos."""

import argparse
import asyncio
import signal
import sys

from sidecar.observe import logs
from sidecar.sts.load import ConfigError, load
from sidecar.sts.server import banner, serve


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("-c", "--config", required=True, metavar="FILE", help="its own configuration file")


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal. 2 where its file is broken or its address is taken."""
    logs.configure()
    try:
        config = load(arguments.config)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2

    async def until_signalled() -> int:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        try:
            runner = await serve(config)
        except OSError as error:
            print(f"can't listen: {error.strerror}", file=sys.stderr)
            return 2
        print(banner(config), file=sys.stderr)
        await stop.wait()
        await runner.cleanup()
        return 0

    return asyncio.run(until_signalled())
