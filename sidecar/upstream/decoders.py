"""The three ways a response body comes to its end (RFC 9112 §6.3, §7.1): bytes of the connection in, body bytes out.

No content coding is ever undone. Chunk extensions and trailers are read and dropped. A decoder knows when the body is
complete and whether bytes came after it; what that means for the connection is the connection's to decide.
"""

import re
from typing import Final, Protocol

from sidecar.upstream.head import FIELD_LINE
from sidecar.wire.framing import Delimiter, FramingError, ResponseFraming

MAX_CHUNK_LINE: Final = 4 * 1024
MAX_TRAILERS: Final = 16 * 1024

_SIZE: Final = rb"([0-9A-Fa-f]{1,15})(?:[ \t]*+;[\t\x20-\x7e\x80-\xff]*+)?\r\n"
_FIRST_SIZE_LINE: Final = re.compile(_SIZE)
_NEXT_SIZE_LINE: Final = re.compile(rb"\r\n" + _SIZE)  # the line break ends the chunk before
_TRAILERS: Final = re.compile(rb"(?:" + FIELD_LINE + rb")*+\r\n")


class Decoder(Protocol):
    """Takes what the connection received until ``complete``; ``excess`` tells of bytes behind the body's end."""

    @property
    def complete(self) -> bool: ...
    @property
    def excess(self) -> bool: ...

    def feed(self, data: bytes) -> bytes:
        """Return the body bytes in data, possibly none. FramingError: this is no body of its kind."""
        ...

    def feed_eof(self) -> bool:
        """Tell whether the body is complete now that the connection has ended in an orderly way."""
        ...


def decoder_for(framing: ResponseFraming) -> Decoder:
    """Return a new decoder for a response that has a body."""
    match framing.delimiter:
        case Delimiter.CHUNKED:
            return ChunkedDecoder()
        case Delimiter.CLOSE:
            return CloseDecoder()
        case _:
            return LengthDecoder(framing.content_length or 0)


class LengthDecoder:
    """A body of so many bytes."""

    __slots__ = ("_left", "complete", "excess")

    def __init__(self, length: int) -> None:
        self._left = length
        self.complete = length == 0
        self.excess = False

    def feed(self, data: bytes) -> bytes:
        left = self._left - len(data)
        if left > 0:
            self._left = left
            return data
        self.complete = True
        if left < 0:
            self.excess = True
            data = data[:left]
        self._left = 0
        return data

    def feed_eof(self) -> bool:
        return self.complete


class CloseDecoder:
    """A body that lasts as long as the connection."""

    __slots__ = ("complete", "excess")

    def __init__(self) -> None:
        self.complete = False
        self.excess = False

    def feed(self, data: bytes) -> bytes:
        return data

    def feed_eof(self) -> bool:
        self.complete = True
        return True


class ChunkedDecoder:
    """A body in chunks. What one ``feed`` brings is joined, so that many tiny chunks don't become many tiny pieces."""

    __slots__ = ("_left", "_line", "_partial", "_trailing", "complete", "excess")

    def __init__(self) -> None:
        self._left = 0  # bytes missing of the chunk at hand
        self._line = _FIRST_SIZE_LINE
        self._partial = b""  # the begun size line, or the trailer section so far
        self._trailing = False
        self.complete = False
        self.excess = False

    def feed(self, data: bytes) -> bytes:
        pieces: list[bytes] = []
        if self._partial:
            data, self._partial = self._partial + data, b""
        at = 0
        while at < len(data) and not self._trailing:
            if self._left:
                piece = data[at : at + self._left]
                self._left -= len(piece)
                at += len(piece)
                pieces.append(piece)
                continue
            line = self._line.match(data, at)
            if line is None:
                self._keep_line(data[at:])
                break
            at = line.end()
            self._left = int(line[1], 16)
            self._line = _NEXT_SIZE_LINE
            self._trailing = self._left == 0
        if self._trailing:
            self._skip_trailers(data[at:])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def feed_eof(self) -> bool:
        return self.complete

    def _keep_line(self, begun: bytes) -> None:
        """Keep a size line's beginning; refuse what can't become one."""
        body = begun
        if self._line is _NEXT_SIZE_LINE:
            if not b"\r\n".startswith(begun[:2]):
                raise FramingError("a chunk does not end where it should")
            body = begun[2:]
        if b"\n" in body or len(body) > MAX_CHUNK_LINE:
            raise FramingError("not the size of a chunk")
        self._partial = begun

    def _skip_trailers(self, data: bytes) -> None:
        """Look for the empty line that ends the trailer section and with it the body."""
        end = 2 if data.startswith(b"\r\n") else data.find(b"\r\n\r\n") + 4
        if end >= 4 or data.startswith(b"\r\n"):
            if _TRAILERS.fullmatch(data, 0, end) is None:  # perhaps another response: then the last chunk was none
                raise FramingError("not the trailers of a body")
            self.complete = True
            self.excess = len(data) > end
        elif len(data) > MAX_TRAILERS:
            raise FramingError("the trailers are too large")
        else:
            self._partial = data
