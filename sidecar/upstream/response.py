"""A response as its reader sees it: the head, and the body piece by piece as it arrives.

It is also the only buffer between the connection and a slow reader: over its high-water mark the connection stops
reading, so the upstream is slowed down and memory stays bounded. It knows nothing of HTTP's framing.
"""

import asyncio
from collections import deque
from typing import Final, Protocol

from sidecar.tunnel import End
from sidecar.upstream.errors import UpstreamError, UpstreamTruncated
from sidecar.upstream.head import Fields, ResponseHead

#: Buffered bytes at which reading stops and starts again. One more receive of the loop (256 KiB) may come on top.
HIGH_WATER: Final = 64 * 1024
LOW_WATER: Final = 16 * 1024
#: Added for every piece, so that an upstream sending single bytes can't make a small count cost much memory.
PIECE_COST: Final = 64


class Source(Protocol):
    """What a response asks of its connection while its body is not complete."""

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def expect_body(self) -> None: ...
    def stop_expecting(self) -> None: ...
    def cut(self) -> None: ...


class Response:
    """A response head, and its body for one reader.

    It must be read to its end or closed: until then it holds a connection.

    content_length: bytes, as the head says; None where it says nothing. With ``has_body`` false none follow.
    tunnel: the connection itself, where it speaks WebSocket from here on; whoever takes it has nothing to close here.
    """

    __slots__ = (
        "_buffered",
        "_error",
        "_paused",
        "_pieces",
        "_source",
        "_waiter",
        "content_length",
        "fields",
        "has_body",
        "reason",
        "status",
        "tunnel",
    )

    def __init__(
        self,
        head: ResponseHead,
        content_length: int | None,
        has_body: bool,
        source: Source,
        tunnel: End | None = None,
    ) -> None:
        self.status: Final[int] = head.status
        self.reason: Final[str] = head.reason
        self.fields: Final[Fields] = head.fields
        self.content_length: Final[int | None] = content_length
        self.has_body: Final[bool] = has_body
        self.tunnel: Final[End | None] = tunnel
        self._source: Source | None = source  # None once the body has ended, well or not
        self._pieces: deque[bytes] = deque()
        self._buffered = 0
        self._paused = False
        self._error: UpstreamError | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def buffered(self) -> int:
        """Bytes received and not read yet, and what keeping them costs."""
        return self._buffered

    def whole(self) -> bytes | None:
        """Return all that is left of the body where its end has come already, None where there is more to wait for."""
        if self._source is not None or self._error is not None:
            return None
        pieces = self._pieces
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._buffered = 0
        return body

    async def read(self) -> bytes:
        """Return the next bytes of the body as soon as there are any, and ``b""`` at its end.

        UpstreamTruncated: the body was cut short, or closed on our side before its end. UpstreamTimeout: silence for
        longer than ``read_idle`` seconds. Cancelling it closes the response.
        """
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self._source is None:
                return b""
            await self._arrival(self._source)
        piece = self._pieces.popleft()
        self._buffered -= len(piece) + PIECE_COST
        if self._paused and self._buffered <= LOW_WATER and self._source is not None:
            self._paused = False
            self._source.resume()
        return piece

    def close(self) -> None:
        """Give up the rest of the body; before its end that closes the connection. May be called at any time."""
        if self._source is not None:
            self._source.cut()
        elif self._pieces and self._error is None:
            self._error = UpstreamTruncated("the response was closed before its end was read")
        self._pieces.clear()
        self._buffered = 0

    # The connection's side.

    def feed(self, piece: bytes) -> None:
        """Take bytes of the body."""
        self._pieces.append(piece)
        self._buffered += len(piece) + PIECE_COST
        if self._buffered > HIGH_WATER and not self._paused and self._source is not None:
            self._paused = True
            self._source.pause()
        self._wake()

    def end(self, error: UpstreamError | None) -> None:
        """Take note that no more comes: the body is complete, or there is a reason why it never will be."""
        self._source = None
        self._error = error
        self._wake()

    async def _arrival(self, source: Source) -> None:
        self._waiter = waiter = asyncio.get_running_loop().create_future()
        source.expect_body()
        try:
            await waiter
        except BaseException:
            self.close()
            raise
        finally:
            self._waiter = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            if self._source is not None:
                self._source.stop_expecting()
            waiter.set_result(None)
