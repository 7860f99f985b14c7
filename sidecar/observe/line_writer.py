"""Lines to a file or a pipe, in order, each whole, without ever making the event loop wait for a disk or a reader.

The event loop's thread queues lines, bounded in bytes; one thread of its own writes them. A write that fails is tried
again until it succeeds, so lines are lost only when the queue is full or time is up at the end. What the lines say is
no business of this module; a chain is made in the writing thread, so that nobody waits for digests.
"""

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import select
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Final, TypeVar

from sidecar.observe.chain import Chain, last_line

QUEUE_BYTES: Final = 8 * 1024 * 1024
GATHER_SECONDS: Final = 0.02  # lines wait this long for others, so that one write serves many
RETRY_SECONDS: Final = 1.0
FILE_CHUNK: Final = 64 * 1024

_T = TypeVar("_T")

_log = logging.getLogger("sidecar.receipts")


class SinkError(Exception):
    """The file can't be appended to; the message is the operating system's name for the error, or says why."""


@dataclass(frozen=True, slots=True)
class _Batch:
    lines: list[str]
    size: int
    written: asyncio.Future[None] | None


class LineWriter:
    """Appends lines to a file, or to standard output where ``path`` is None.

    lost: told how many lines were lost, as they are. Several processes may append to one file. Lines are ASCII and end
    in a line feed. All methods belong to the event loop that ``start`` was called on.

    chained: lines, which are JSON objects then, are linked (``chain``), from the last one of a regular file on; such a
    file has one writer.
    """

    def __init__(
        self, path: str | None, lost: Callable[[int], None], *, max_bytes: int = QUEUE_BYTES, chained: bool = False
    ) -> None:
        self._path = path
        self._lost = lost
        self._max_bytes = max_bytes
        self._chained = chained
        self._chain: Chain | None = None
        self._backlog = 0  # bytes queued or being written
        self._unwritten = 0  # the same in lines
        self._pending: list[str] = []
        self._pending_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._failing = False
        self._handed: SimpleQueue[_Batch | None] = SimpleQueue()
        self._stop = threading.Event()

    def start(self) -> None:
        """Open the file and begin to write; needs a running event loop.

        SinkError: the file can't be opened, is a pipe that nobody reads, or has a chain that another process writes.
        """
        self._loop = asyncio.get_running_loop()
        try:
            self._fd = _open(self._path)
        except OSError as error:
            raise SinkError(_name(error)) from None
        try:
            self._chain = self._begin() if self._chained else None
        except (OSError, SinkError) as error:
            os.close(self._fd)
            raise (SinkError(_name(error)) if isinstance(error, OSError) else error) from None
        # A daemon, since a write that never returns must not keep the process from ending.
        self._thread = threading.Thread(target=self._write_all, name="receipts", daemon=True)
        self._thread.start()

    @property
    def failing(self) -> bool:
        """Whether lines can't be written at present, or not as fast as they come."""
        return self._failing

    @property
    def room(self) -> bool:
        """Whether the queue is less than half full: the other half is for lines that were already promised."""
        return self._backlog < self._max_bytes // 2

    def offer(self, line: str) -> bool:
        """Queue a line; False when the queue is full, and then the line is lost."""
        size = len(line)
        if self._backlog + size > self._max_bytes:
            self._lost(1)
            self._fail("queue full")
            return False
        self._backlog += size
        self._unwritten += 1
        self._pending.append(line)
        self._pending_bytes += size
        if self._timer is None:
            self._timer = self._loop.call_later(GATHER_SECONDS, self._hand_over)
        return True

    async def write(self, line: str, timeout: float) -> bool:
        """Queue a line and wait, ``timeout`` seconds at most, until the operating system has it and all before it.

        False: it was lost because the queue is full, or is not written yet; it may still be.
        """
        return self.offer(line) and await self.flush(timeout)

    async def flush(self, timeout: float) -> bool:
        """Wait, ``timeout`` seconds at most, until everything queued so far is written; False when time ran out."""
        written: asyncio.Future[None] = self._loop.create_future()
        self._hand_over(written)
        done, _ = await asyncio.wait((written,), timeout=timeout)
        if not done:
            self._fail("slow")
        return bool(done)

    async def close(self, timeout: float) -> None:
        """Write what is queued, for ``timeout`` seconds at most; what is left then is lost, and counted as such."""
        flushed = await self.flush(timeout)
        self._stop.set()
        self._handed.put(None)
        if flushed:
            self._thread.join(timeout=RETRY_SECONDS)
        elif self._unwritten:
            self._lost(self._unwritten)
            _log.error("receipts were lost at the end", extra={"lines": self._unwritten})

    def _hand_over(self, written: asyncio.Future[None] | None = None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._handed.put(_Batch(self._pending, self._pending_bytes, written))
        self._pending, self._pending_bytes = [], 0

    def _fail(self, cause: str) -> None:
        if not self._failing:
            self._failing = True
            _log.error("receipts can't be written", extra={"cause": cause})

    def _done(self, batch: _Batch) -> None:
        self._backlog -= batch.size
        self._unwritten -= len(batch.lines)
        if batch.written is not None and not batch.written.done():
            batch.written.set_result(None)
        if self._failing and self._backlog <= self._max_bytes // 4:
            self._failing = False
            _log.warning("receipts are written again")

    def _begin(self) -> Chain:
        """Begin a chain, or go on with the file's."""
        if self._path is None or not stat.S_ISREG(os.fstat(self._fd).st_mode):
            return Chain()
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SinkError("another process writes to it, and a chain has one writer") from None
        last = last_line(self._path)
        if last is not None and not last.endswith(b"\n"):
            os.write(self._fd, b"\n")  # whoever wrote it was killed in the middle of it
            last += b"\n"
        return Chain(last)

    # From here on: the writing thread's. It shares nothing with the loop but the queue, the event and the file.

    def _write_all(self) -> None:
        limit = FILE_CHUNK if stat.S_ISREG(os.fstat(self._fd).st_mode) else select.PIPE_BUF
        try:
            while (batch := self._handed.get()) is not None:
                lines = batch.lines if self._chain is None else map(self._chain.link, batch.lines)
                if not all(self._write(chunk) for chunk in _chunks(lines, limit)):
                    return
                self._tell(self._done, batch)
        finally:
            os.close(self._fd)

    def _write(self, chunk: bytes) -> bool:
        rest = memoryview(chunk)
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except OSError as error:
                self._tell(self._fail, _name(error))
                if self._stop.wait(RETRY_SECONDS):
                    return False
        return True

    def _tell(self, function: Callable[[_T], None], argument: _T) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to hear it
            self._loop.call_soon_threadsafe(function, argument)


def _chunks(lines: Iterable[str], limit: int) -> Iterator[bytes]:
    """Join whole lines up to a limit: what goes into a pipe at once is not torn by other writers (POSIX write)."""
    chunk: list[str] = []
    size = 0
    for line in lines:
        if chunk and size + len(line) > limit:
            yield "".join(chunk).encode("ascii")
            chunk, size = [], 0
        chunk.append(line)
        size += len(line)
    if chunk:
        yield "".join(chunk).encode("ascii")


def _open(path: str | None) -> int:
    if path is None:
        fd = os.dup(1)
    else:
        # Without O_NONBLOCK, opening a named pipe would wait for a reader for as long as there is none.
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o640)
    os.set_blocking(fd, True)
    return fd


def _name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "unknown")
