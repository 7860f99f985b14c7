"""Other programs as processes of a test: started with a log file, waited for until ready, and always stopped; and ports
for them.

What a program is asked or told never lives here.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

LOG_LINES: Final = 40


class StartError(Exception):
    """A program ended, or was not ready in time; the message carries the end of its log."""


def free_ports(count: int) -> list[int]:
    """Return loopback ports that nobody has right now; held all at once, so that they differ."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def free_port() -> int:
    """Return a loopback port that nobody has right now."""
    return free_ports(1)[0]


def start(
    argv: Sequence[str],
    *,
    ready: Callable[[], bool],
    log: Path,
    env: Mapping[str, str] | None = None,
    deadline: float = 30.0,
) -> subprocess.Popen[bytes]:
    """Start a program and return once ``ready`` says so, which is asked ten times a second.

    Both its outputs are appended to ``log``. ``env`` is its whole environment; None hands on ours. StartError: it
    ended before it was ready, or was not within ``deadline`` seconds; nothing of it is left running then.
    """
    with log.open("ab") as output:
        # A group of its own, so that what a shell script starts ends with the script.
        process = subprocess.Popen(
            argv, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        _wait(process, ready, time.monotonic() + deadline, log)
    except BaseException:
        stop(process, grace=0)
        raise
    return process


def stop(process: subprocess.Popen[bytes], grace: float = 10.0) -> int:
    """End a program and all it started: SIGTERM, then SIGKILL after ``grace`` seconds. Return its exit status."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(grace)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


@contextmanager
def running(
    argv: Sequence[str],
    *,
    ready: Callable[[], bool],
    log: Path,
    env: Mapping[str, str] | None = None,
    deadline: float = 30.0,
) -> Iterator[subprocess.Popen[bytes]]:
    """``start`` a program for a block, and ``stop`` it at the block's end."""
    process = start(argv, ready=ready, log=log, env=env, deadline=deadline)
    try:
        yield process
    finally:
        stop(process)


def _wait(process: subprocess.Popen[bytes], ready: Callable[[], bool], until: float, log: Path) -> None:
    while not ready():
        if (status := process.poll()) is not None:
            raise StartError(f"ended with status {status} before it was ready\n{_tail(log)}")
        if time.monotonic() >= until:
            raise StartError(f"not ready in time\n{_tail(log)}")
        time.sleep(0.1)


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])
