"""The hash chain of receipts: each line names the digest of the line before it, so that no line can change unseen.

What a link looks like, for those who write lines and those who verify them. Files are opened elsewhere, except to read
the end of one that is written on. Whoever can write a whole file can make a whole chain: only a digest that is kept
elsewhere tells that from the first one.
"""

import hashlib
import os
import re
from typing import Final

#: What the first line of a chain names: no line has this digest.
NONE: Final = "0" * 64
_LINK: Final = re.compile(rb'\{"prev":"([0-9a-f]{64})",')
_BLOCK: Final = 64 * 1024


def digest(line: bytes) -> str:
    """Return the SHA-256 of a line with its line feed, in hexadecimal: what ``tail -n 1 | sha256sum`` prints."""
    return hashlib.sha256(line).hexdigest()


def named(line: bytes) -> str | None:
    """Return the digest that a line names, or None where it was not written as part of a chain."""
    link = _LINK.match(line)
    return link[1].decode("ascii") if link is not None else None


class Chain:
    """Links lines, each to the one before. last: the line that the first one follows, None where there is none."""

    def __init__(self, last: bytes | None = None) -> None:
        self._head = NONE if last is None else digest(last)

    def link(self, line: str) -> str:
        """Return a line, a JSON object and its line feed, with its link; the next call's line will follow it."""
        linked = f'{{"prev":"{self._head}",{line[1:]}'
        self._head = digest(linked.encode("ascii"))
        return linked


def last_line(path: str) -> bytes | None:
    """Return the last line of a regular file as it stands, also where its line feed is missing; None without any.

    OSError: it can't be read.
    """
    with open(path, "rb") as file:
        end = file.seek(0, os.SEEK_END)
        tail = b""
        while end and b"\n" not in tail[:-1]:
            size = min(_BLOCK, end)
            end = file.seek(end - size)
            tail = file.read(size) + tail
    return tail[tail.rfind(b"\n", 0, -1) + 1 :] if tail else None
