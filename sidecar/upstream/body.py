"""A request body on its way out: taken piece by piece from the caller's source and framed (RFC 9112 §6, §7.1).

The head that frames it is the caller's; this side keeps the promise made there. No socket is touched here.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from sidecar.upstream.errors import RequestBodyMismatch
from sidecar.wire.framing import LAST_CHUNK, encode_chunk


def nothing_ready() -> bytes | None:
    """The ``ready`` of a source of which every piece has to be waited for."""
    return None


@dataclass(frozen=True, slots=True)
class Body:
    """A request body.

    read: the next piece, or ``b""`` at the end. It may be cancelled; what it raises reaches whoever sent the request.
    length: bytes, as the head's ``Content-Length`` says; None: the head says ``Transfer-Encoding: chunked``.
    ready: the same as ``read`` for what is there already; None where it has to be waited for.
    """

    read: Callable[[], Awaitable[bytes]]
    length: int | None
    ready: Callable[[], bytes | None] = nothing_ready


class Sink(Protocol):
    """Takes framed bytes; with ``last`` the request is complete. ``send`` does so at the pace of the other end.

    full: the other end does not take what was put already.
    """

    @property
    def full(self) -> bool: ...
    def put(self, data: bytes, *, last: bool) -> None: ...
    async def send(self, data: bytes, *, last: bool) -> None: ...


class Outgoing:
    """One body on its way to one sink.

    A body with a length is read to its end even when all of it went out, so that a source with more is found out.

    RequestBodyMismatch, from both methods: the source gave fewer or more bytes than ``length``. Whatever the source or
    the sink raise.
    """

    __slots__ = ("_body", "_ended", "_left", "_sink")

    def __init__(self, body: Body, sink: Sink) -> None:
        self._body = body
        self._left = body.length
        self._sink = sink
        self._ended = False

    def send_ready(self) -> bool:
        """Send what is there already, as far as the sink has room; return whether that was the whole body."""
        while not self._ended and not self._sink.full and (piece := self._body.ready()) is not None:
            data, last = self._framed(piece)
            if data:
                self._sink.put(data, last=last)
        return self._ended and not self._sink.full

    async def send(self) -> None:
        """Send the rest."""
        if self._sink.full:
            await self._sink.send(b"", last=self._ended or self._left == 0)
        while not self._ended:
            data, last = self._framed(await self._body.read())
            if data:
                await self._sink.send(data, last=last)

    def _framed(self, piece: bytes) -> tuple[bytes, bool]:
        """Return the next piece as it is sent, and whether it is the last to be sent; an empty one is the end."""
        self._ended = not piece
        if self._left is None:
            return (encode_chunk(piece), False) if piece else (LAST_CHUNK, True)
        self._left -= len(piece)
        if self._left < 0:
            raise RequestBodyMismatch("the request body is longer than its Content-Length")
        if self._ended and self._left:
            raise RequestBodyMismatch("the request body is shorter than its Content-Length")
        return piece, self._left == 0
