"""Loads a configuration file in a process of its own, so that the one that serves never holds pydantic and YAML.

Nothing is read or checked here: that is ``load``'s, and what it says of a broken file is passed on word for word. What
comes back is a plain value, which brings nothing of the libraries with it.
"""

import hashlib
import os
import pickle
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path as FilePath
from typing import BinaryIO, Final, NoReturn

from sidecar.config.loaded import Loaded
from sidecar.config.problems import ConfigError, ConfigProblem

_DIGEST: Final = hashlib.sha256().digest_size  # bytes


def _load(path: str | FilePath) -> Loaded:
    from sidecar.config.load import load  # noqa: PLC0415 - brings the libraries

    return load(path)


def load_apart(
    path: str | FilePath,
    meanwhile: Callable[[], object] = lambda: None,
    load: Callable[[str | FilePath], Loaded] = _load,
) -> Loaded:
    """Read and check a configuration file in another process, and call ``meanwhile`` in this one at the same time.

    To be called before this process has threads, since it forks; where that can't be done, it loads the file itself.
    ConfigError: something is wrong with the file, as ``load`` says, or the other process did not come to its end.
    """
    if not hasattr(os, "fork"):
        meanwhile()
        return load(path)
    try:
        child, pipe = _start(path, load)
    except OSError as error:
        raise _failed(path, f"no process could be made for it: {error.strerror}") from None
    status: int | None = None
    try:
        with pipe:
            meanwhile()
            answer = pipe.read()  # to its end, before the child is waited for: it may be larger than the pipe
    except BaseException:  # also when this process is interrupted
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        raise
    finally:
        with suppress(ChildProcessError):  # SIGCHLD is ignored, as whoever started us may have left it
            status = os.waitpid(child, 0)[1]
    pickled = memoryview(answer)[_DIGEST:]
    if hashlib.sha256(pickled).digest() != answer[:_DIGEST]:
        raise _failed(path, f"the process that reads it {_ending(status)}")
    # Safe to unpickle: written by our own fork, through a pipe that only it and we ever held.
    result: Loaded | tuple[ConfigProblem, ...] = pickle.loads(pickled)  # noqa: S301
    if isinstance(result, Loaded):
        return result
    raise ConfigError(result)


def _start(path: str | FilePath, load: Callable[[str | FilePath], Loaded]) -> tuple[int, BinaryIO]:
    """Fork, and return the child's process id and what its answer comes through."""
    receiving, sending = os.pipe()
    try:
        child = os.fork()
    except OSError:
        os.close(receiving)
        os.close(sending)
        raise
    if child == 0:
        _answer(path, load, receiving, sending)
    os.close(sending)
    return child, open(receiving, "rb")


def _answer(path: str | FilePath, load: Callable[[str | FilePath], Loaded], receiving: int, sending: int) -> NoReturn:
    """Be the child: load, write what came of it, and end without anything that is the parent's to do at its end."""
    status = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        os.close(receiving)  # so that a parent that ended is noticed
        result: Loaded | tuple[ConfigProblem, ...]
        try:
            result = load(path)
        except ConfigError as error:
            result = error.problems
        pickled = pickle.dumps(result, pickle.HIGHEST_PROTOCOL)
        with open(sending, "wb") as pipe:
            pipe.write(hashlib.sha256(pickled).digest())
            pipe.write(pickled)
        status = 0
    finally:
        os._exit(status)  # whatever was raised is not told here; ``sidecar check`` loads the file where it shows


def _failed(path: str | FilePath, why: str) -> ConfigError:
    return ConfigError([ConfigProblem(str(path), 1, 1, "", f"the file can't be read: {why}")])


def _ending(status: int | None) -> str:
    code = os.waitstatus_to_exitcode(status) if status is not None else 0
    return f"was ended by signal {-code}" if code < 0 else f"ended with status {code}" if code else "ended too early"
