"""Lines to a file or a pipe, in order, each whole, without ever making the event loop wait for a disk or a reader.

The event loop's thread queues lines, bounded in bytes; one thread of its own writes them. A write that fails is tried
again until it succeeds, so lines are lost only when the queue is full or time is up at the end. What the lines say is
no business of this module; a chain is made in the writing thread, so that nobody waits for digests. Where they go is
``sink``'s.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Final, TypeVar

from sidecar.observe.sink import Sink, SinkError, name_of

QUEUE_BYTES: Final = 8 * 1024 * 1024
GATHER_SECONDS: Final = 0.02  # lines wait this long for others, so that one write serves many
RETRY_SECONDS: Final = 1.0

_T = TypeVar("_T")

_log = logging.getLogger("sidecar.receipts")


@dataclass(frozen=True, slots=True)
class _Batch:
    lines: list[str]
    size: int
    written: asyncio.Future[None] | None


class LineWriter:
    """Appends lines to a file, or to standard output where ``path`` is None.

    lost: told how many lines were lost, as they are. gap: makes the line that takes the place of so many, as soon as
    there is room for it; what is lost at the very end has none. Several processes may append to one file. Lines are
    ASCII and end in a line feed. All methods belong to the event loop that ``start`` was called on.

    chained: lines, which are JSON objects then, are linked (``chain``), from the last one of a regular file on; such a
    file has one writer.
    """

    def __init__(
        self,
        path: str | None,
        lost: Callable[[int], None],
        *,
        gap: Callable[[int], str] | None = None,
        max_bytes: int = QUEUE_BYTES,
        chained: bool = False,
    ) -> None:
        self._path = path
        self._lost = lost
        self._gap = gap
        self._missing = 0  # lines that were lost, and that no line tells of yet
        self._max_bytes = max_bytes
        self._chained = chained
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
        self._sink = Sink(self._path, chained=self._chained)
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
        if self._backlog + len(line) > self._max_bytes:
            self._lost(1)
            self._missing += 1
            self._fail("queue full")
            return False
        self._queue(line)
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
        if flushed and self._pending:  # the line that tells of those that were lost
            flushed = await self.flush(timeout)
        self._stop.set()
        self._handed.put(None)
        if flushed:
            self._thread.join(timeout=RETRY_SECONDS)
        elif self._unwritten:
            self._lost(self._unwritten)
            _log.error("receipts were lost at the end", extra={"lines": self._unwritten})

    def _queue(self, line: str) -> None:
        self._backlog += len(line)
        self._unwritten += 1
        self._pending.append(line)
        self._pending_bytes += len(line)
        if self._timer is None:
            self._timer = self._loop.call_later(GATHER_SECONDS, self._hand_over)

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
        if self._missing and self._gap is not None:
            self._queue(self._gap(self._missing))
            self._missing = 0
        if batch.written is not None and not batch.written.done():
            batch.written.set_result(None)
        if self._failing and self._backlog <= self._max_bytes // 4:
            self._failing = False
            _log.warning("receipts are written again")

    def _stay(self, cause: str) -> None:
        _log.error("receipts go on in the file that was moved away", extra={"cause": cause})

    # From here on: the writing thread's. It shares nothing with the loop but the queue, the event and the file.

    def _write_all(self) -> None:
        sink, stays = self._sink, False
        try:
            while (batch := self._handed.get()) is not None:
                stays = self._follow(said=stays)
                lines = batch.lines if sink.chain is None else map(sink.chain.link, batch.lines)
                if not all(self._write(chunk) for chunk in _chunks(lines, sink.limit)):
                    return
                self._tell(self._done, batch)
        finally:
            sink.close()

    def _follow(self, *, said: bool) -> bool:
        """Go on in the file that has the name now; return whether that can't be. said: that it can't, already."""
        try:
            self._sink.follow()
        except SinkError as error:
            if not said:
                self._tell(self._stay, str(error))
            return True
        return False

    def _write(self, chunk: bytes) -> bool:
        rest = memoryview(chunk)
        while rest:
            try:
                rest = rest[self._sink.write(rest) :]
            except OSError as error:
                self._tell(self._fail, name_of(error))
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
