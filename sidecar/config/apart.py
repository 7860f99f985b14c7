"""Loads a configuration file in a process of its own, so that the one that serves never holds pydantic and YAML.

Nothing is read or checked here: that is ``load``'s, and what it says of a broken file is passed on word for word. What
comes back is a plain value, which brings nothing of the libraries with it. The other process is a new one and no fork:
whoever asks may have threads and a running loop.
"""

import asyncio
import hashlib
import os
import pickle
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path as FilePath
from typing import Final

from sidecar.config.loaded import Included, Loaded
from sidecar.config.problems import ConfigError, ConfigProblem

LONGEST: Final = 60.0  # seconds that the other process may take
_DIGEST: Final = hashlib.sha256().digest_size  # bytes
#: What the other process is told to run; it finds modules where we do, and never in the directory it starts in (-P).
CHILD: Final = (
    *(sys.executable, "-P", "-c"),
    "import sys; sys.path[:] = sys.argv[1:]; from sidecar.config.apart import answer; answer()",
)


async def load_apart(
    path: str | FilePath,
    last_good: Sequence[Included] = (),
    *,
    meanwhile: Callable[[], object] = lambda: None,
    child: Sequence[str] = CHILD,
) -> Loaded:
    """Read and check a configuration file in another process, and call ``meanwhile`` in this one at the same time.

    last_good: see ``load``. ConfigError: something is wrong with the file, as ``load`` says, or the other process did
    not come to its end, for which it has a minute. Nothing of it is left when this returns, also when cancelled.
    """
    try:
        process = await asyncio.create_subprocess_exec(*child, *sys.path, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
    except OSError as error:
        raise _failed(path, f"no process could be made for it: {error.strerror}") from None
    try:
        said = await _ask(process, pickle.dumps((path, tuple(last_good))), meanwhile)
    except TimeoutError:
        raise _failed(path, "the process that reads it takes too long") from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    pickled = memoryview(said)[_DIGEST:]
    if hashlib.sha256(pickled).digest() != said[:_DIGEST]:
        raise _failed(path, f"the process that reads it {_ending(process.returncode)}")
    # Safe to unpickle: written by a process of ours, through a pipe that only it and we ever held.
    result: Loaded | tuple[tuple[ConfigProblem, ...], tuple[str, ...]] = pickle.loads(pickled)  # noqa: S301
    if isinstance(result, Loaded):
        return result
    raise ConfigError(*result)


def answer() -> None:
    """Be the other process: what to load comes by stdin, and what came of it goes out by stdout."""
    from sidecar.config.load import load  # noqa: PLC0415 - brings the libraries

    with open(os.dup(1), "wb") as pipe:
        os.dup2(2, 1)  # whatever a library prints is not part of the answer
        path, last_good = pickle.load(sys.stdin.buffer)  # noqa: S301 - written by the process that started us
        result: Loaded | tuple[tuple[ConfigProblem, ...], tuple[str, ...]]
        try:
            result = load(path, last_good=last_good)
        except ConfigError as error:
            result = error.problems, error.includes
        pickled = pickle.dumps(result, pickle.HIGHEST_PROTOCOL)
        pipe.write(hashlib.sha256(pickled).digest())
        pipe.write(pickled)


async def _ask(process: Process, request: bytes, meanwhile: Callable[[], object]) -> bytes:
    """Hand on what to load, and return all that is said to it once the process has ended."""
    if process.stdin is None or process.stdout is None:
        raise TypeError("the process has no pipes")
    process.stdin.write(request)  # a small one is in the pipe by now, so that both work at the same time
    process.stdin.close()
    meanwhile()
    async with asyncio.timeout(LONGEST):
        said = await process.stdout.read()
        await process.wait()
    return said


def _failed(path: str | FilePath, why: str) -> ConfigError:
    return ConfigError([ConfigProblem(str(path), 1, 1, "", f"the file can't be read: {why}")])


def _ending(status: int | None) -> str:
    code = status or 0
    return f"was ended by signal {-code}" if code < 0 else f"ended with status {code}" if code else "ended too early"
