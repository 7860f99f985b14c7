"""A request body on its way out: taken piece by piece from the caller's source and framed (RFC 9112 §6, §7.1).

The head that frames it is the caller's; this side keeps the promise made there. No socket is touched here.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from sidecar.upstream.errors import RequestBodyMismatch
from sidecar.wire.framing import LAST_CHUNK, encode_chunk


@dataclass(frozen=True, slots=True)
class Body:
    """A request body.

    read: the next piece, or ``b""`` at the end. It may be cancelled; what it raises reaches whoever sent the request.
    length: bytes, as the head's ``Content-Length`` says; None: the head says ``Transfer-Encoding: chunked``.
    """

    read: Callable[[], Awaitable[bytes]]
    length: int | None


class Sink(Protocol):
    """Takes framed bytes at the pace of the other end; with ``last`` the request is complete."""

    async def send(self, data: bytes, *, last: bool) -> None: ...


async def send_body(body: Body, sink: Sink) -> None:
    """Send a whole body.

    A body with a length is read to its end even when all of it went out, so that a source with more is found out.

    RequestBodyMismatch: the source gave fewer or more bytes than ``length``. Whatever the source or the sink raise.
    """
    left = body.length
    while piece := await body.read():
        if left is None:
            await sink.send(encode_chunk(piece), last=False)
            continue
        left -= len(piece)
        if left < 0:
            raise RequestBodyMismatch("the request body is longer than its Content-Length")
        await sink.send(piece, last=left == 0)
    if left is None:
        await sink.send(LAST_CHUNK, last=True)
    elif left:
        raise RequestBodyMismatch("the request body is shorter than its Content-Length")
