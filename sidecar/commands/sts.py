"""``sidecar sts``: the embedded authorization server, for development, tests and demos."""

import argparse
import asyncio
import os
import signal
import sys

from sidecar.observe import logs
from sidecar.sts.config import Config
from sidecar.sts.load import ConfigError, load
from sidecar.sts.server import banner, serve


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("-c", "--config", required=True, metavar="FILE", help="its own configuration file")


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT. 2 where its file is broken or its address can't be had."""
    logs.configure()
    try:
        config = load(arguments.config)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    return asyncio.run(_until_signalled(config))


async def _until_signalled(config: Config) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        runner = await serve(config)
    except OSError as error:
        host, port = config.listen
        # A name that can't be resolved has no errno of the system's.
        why = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else error.strerror
        print(f"can't listen on {host}:{port}: {why}", file=sys.stderr)
        return 2
    try:
        print(banner(config), file=sys.stderr, flush=True)
        await stop.wait()
    finally:
        await runner.cleanup()
    return 0
