"""Reading files of receipts line by line, however large they are; a name that ends in ``.gz`` is decompressed.

What cannot be read as a receipt is told with its place and passed over. Nothing here judges what a receipt says.
"""

import gzip
import json
import sys
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final, cast

#: A receipt is a few kilobytes; a longer line than this is none, and is not held in memory.
LONGEST: Final = 1024 * 1024


class Unreadable(Exception):
    """A file can't be opened or read; the message says which, and why."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line, with its line feed where it has one. raw: None where it is longer than any receipt."""

    file: str
    number: int
    raw: bytes | None

    @property
    def place(self) -> str:
        """Where it stands, as ``file:line``."""
        return f"{self.file}:{self.number}"


@dataclass(slots=True)
class Source:
    """The files, in the order in which they were written. bad: how many lines were passed over so far."""

    files: list[str]
    bad: int = field(default=0, init=False)
    _told: set[str] = field(default_factory=set, init=False)

    def lines(self) -> Iterator[Line]:
        """Yield all lines. Unreadable: a file can't be opened or read on."""
        for name in self.files:
            try:
                with _open(name) as file:
                    yield from (Line(name, number, raw) for number, raw in enumerate(_whole(file), 1))
            except (OSError, EOFError, zlib.error) as error:
                reason = (error.strerror if isinstance(error, OSError) else None) or "it is damaged"
                raise Unreadable(f"{name}: can't be read: {reason}") from None

    def receipts(self) -> Iterator[tuple[bytes, dict[str, Any]]]:
        """Yield all receipts, raw and parsed; other lines are named on standard error, once. Unreadable: as above."""
        for line in self.lines():
            receipt = parse(line.raw)
            if line.raw is not None and receipt is not None:
                yield line.raw, receipt
            elif line.place not in self._told:
                self._told.add(line.place)
                self.bad += 1
                print(f"{line.place}: not a receipt", file=sys.stderr)


def parse(raw: bytes | None) -> dict[str, Any] | None:
    """Return a receipt's members, or None where the line is none."""
    try:
        value = json.loads((raw or b"").decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    texts = (value.get(name) for name in ("time", "event", "request_id"))
    if all(isinstance(text, str) for text in texts):
        return value
    return value if isinstance(value.get("time"), str) and lost(value) else None


def lost(receipt: dict[str, Any]) -> int:
    """Return how many receipts a line says were never written; 0 for a receipt."""
    count = receipt.get("count")
    return count if receipt.get("event") == "dropped" and type(count) is int and count > 0 else 0


def _open(name: str) -> BinaryIO:
    if name.endswith(".gz"):
        return cast("BinaryIO", gzip.open(name, "rb"))
    return open(name, "rb")


def _whole(file: BinaryIO) -> Iterable[bytes | None]:
    while raw := file.readline(LONGEST):
        if len(raw) < LONGEST or raw.endswith(b"\n"):
            yield raw
            continue
        while (rest := file.readline(LONGEST)) and not rest.endswith(b"\n"):
            pass
        yield None
