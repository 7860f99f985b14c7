"""Where lines end up: a file, a named pipe or standard output, opened so that nothing has to wait for it.

A file that is moved away is left for the one that has its name next, which is how logs are rotated. What is written,
and when, is ``line_writer``'s business.
"""

import errno
import fcntl
import os
import select
import stat
from typing import Final

from sidecar.observe.chain import Chain, last_line

FILE_CHUNK: Final = 64 * 1024


class SinkError(Exception):
    """The file can't be appended to; the message is the operating system's name for the error, or says why."""


class Sink:
    """An open sink. path: None for standard output. limit: bytes that are written at once.

    chain: the links of its lines, from the last one of a regular file on; None where it has none.
    SinkError: it can't be opened, is a pipe that nobody reads, or has a chain that another process writes.
    """

    def __init__(self, path: str | None, *, chained: bool) -> None:
        self._path = path
        self._chained = chained
        self.chain: Chain | None = None
        try:
            self._fd = self._open()
        except OSError as error:
            raise SinkError(name_of(error)) from None
        self._is_file = stat.S_ISREG(os.fstat(self._fd).st_mode)
        self.limit = FILE_CHUNK if self._is_file else select.PIPE_BUF
        if chained:
            try:
                self.chain = self._begin()
            except OSError as error:
                os.close(self._fd)
                raise SinkError(name_of(error)) from None

    def write(self, data: memoryview) -> int:
        """Write what fits and return how much it was. OSError: as the operating system says."""
        return os.write(self._fd, data)

    def follow(self) -> None:
        """Go on in the file that has the name now, where another has or none; a chain goes on in it.

        SinkError: there can't be such a file, and the one at hand stays in use.
        """
        if self._path is None or not self._is_file or not self._moved(self._path):
            return
        try:
            fd = self._open()
        except OSError as error:
            raise SinkError(name_of(error)) from None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise SinkError("it is no file any more")
        os.close(self._fd)
        self._fd = fd

    def close(self) -> None:
        """Close it."""
        os.close(self._fd)

    def _moved(self, path: str) -> bool:
        try:
            now = os.stat(path)
        except OSError:
            return True
        here = os.fstat(self._fd)
        return (now.st_dev, now.st_ino) != (here.st_dev, here.st_ino)

    def _open(self) -> int:
        if self._path is None:
            fd = os.dup(1)
        else:
            # Without O_NONBLOCK, opening a named pipe would wait for a reader for as long as there is none.
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
            fd = os.open(self._path, flags, 0o640)
        os.set_blocking(fd, True)
        if self._chained and self._path is not None and stat.S_ISREG(os.fstat(fd).st_mode):
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                raise SinkError("another process writes to it, and a chain has one writer") from None
        return fd

    def _begin(self) -> Chain:
        """Begin a chain, or go on with the file's."""
        if self._path is None or not self._is_file:
            return Chain()
        last = last_line(self._path)
        if last is not None and not last.endswith(b"\n"):
            os.write(self._fd, b"\n")  # whoever wrote it was killed in the middle of it
            last += b"\n"
        return Chain(last)


def name_of(error: OSError) -> str:
    """Return the operating system's name for an error."""
    return errno.errorcode.get(error.errno or 0, "unknown")
