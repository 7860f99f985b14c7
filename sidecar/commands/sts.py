"""``sidecar sts``: the embedded authorization server, for development, tests and demos.

``--check`` only reads its file; SIGHUP makes it sign with a new key. Its file is described in ``docs/sts.md``.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys

from sidecar.observe import logs
from sidecar.sts.config import Config
from sidecar.sts.keys import SigningKeys
from sidecar.sts.load import ConfigError, load
from sidecar.sts.server import banner, serve

log = logging.getLogger("sidecar.sts")


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("-c", "--config", required=True, metavar="FILE", help="its own configuration file")
    parser.add_argument("--check", action="store_true", help="only say what is wrong with the file")


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT, or only check. 2 where its file is broken or its address can't be had."""
    logs.configure()
    try:
        config = load(arguments.config)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    if arguments.check:
        print(f"{arguments.config}: {len(config.clients)} clients, {len(config.policies)} policies, no problems")
        return 0
    return asyncio.run(_until_signalled(config))


async def _until_signalled(config: Config) -> int:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    keys = SigningKeys(config.algorithm, config.lifetime)

    def rotate() -> None:
        keys.rotate()
        log.info("signs with a new key", extra={"kid": keys.current.get("kid"), "old_key_for_s": config.lifetime})

    loop.add_signal_handler(signal.SIGHUP, rotate)
    try:
        runner = await serve(config, keys=keys)
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
