"""A request's body on its way to the upstream: read as it comes, within its route's limits, and kept while it is small.

What is kept is for one purpose: to send the same request again under a newer token; or else it was read whole, since
its route decides by it. Nothing is decoded.
"""

from typing import Final

from sidecar.inbound.server import Incoming
from sidecar.model.refusal import Kind, Oversize, refuse
from sidecar.model.request import RequestHead
from sidecar.model.route import Upstream
from sidecar.upstream.body import Body

#: Bytes of a body that are kept.
KEPT: Final = 64 * 1024


class Upload:
    """The body of one request; ``body`` is None where it has none. keep: whether it may have to be sent again."""

    __slots__ = ("_begin", "_incoming", "_kept", "_length", "_most_kept", "_taken", "_upstream", "present")

    def __init__(self, incoming: Incoming, request: RequestHead, upstream: Upstream, *, keep: bool) -> None:
        self.present = bool(request.chunked or request.content_length)
        self._incoming = incoming
        self._length = request.content_length
        self._upstream = upstream
        self._taken = 0
        self._kept: list[bytes] | None = [] if keep else None
        self._begin = 0
        self._most_kept = KEPT

    async def whole_body(self, most: int) -> bytes:
        """Read all of the body now and keep it, whatever it is kept for; ``body`` sends it from there.

        most: bytes. Refused: it is larger, or as when it is read for the upstream. ClientGone: the caller left.
        """
        self._kept, received = None, bytearray()
        while piece := await self._read():
            received += piece
            if len(received) > most:
                raise refuse(Kind.TOO_LARGE, "The request's body is too large.", oversize=Oversize.BODY, close=True)
        whole = bytes(received)
        self._kept, self._most_kept = [whole] if whole else [], max(most, KEPT)
        return whole

    @property
    def whole(self) -> bool:
        """Whether nothing is lost of what was read, so that ``body`` can be sent again."""
        return self._kept is not None or not self._taken

    def body(self) -> Body | None:
        """Return the body from its beginning, None where there is none. Only one may be read at a time.

        The second time only where it is ``whole``.
        """
        if not self.present:
            return None
        self._begin = 0
        return Body(self._read, self._length, self._ready)

    def _ready(self) -> bytes | None:
        """Return what ``_read`` would, where it is there already."""
        if (again := self._kept_piece()) is not None:
            return again
        piece = self._incoming.read_ready()
        return None if piece is None else self._passed(piece)

    async def _read(self) -> bytes:
        """Return the next bytes: what was kept, then what comes.

        Refused: it stalled (REQUEST_TIMEOUT), is too large, or is malformed. ClientGone: the caller left.
        """
        if (again := self._kept_piece()) is not None:
            return again
        try:
            piece = await self._incoming.read(self._upstream.send_idle)
        except TimeoutError:
            raise refuse(Kind.REQUEST_TIMEOUT, "The request's body stalled.", close=True) from None
        return self._passed(piece)

    def _kept_piece(self) -> bytes | None:
        """The next of what was kept, when the body is sent again."""
        if self._kept is None or self._begin >= len(self._kept):
            return None
        self._begin += 1
        return self._kept[self._begin - 1]

    def _passed(self, piece: bytes) -> bytes:
        """Hold a piece that came against the limit, keep it where it may be needed again, and return it."""
        self._taken += len(piece)
        most = self._upstream.max_body_bytes
        if most is not None and self._taken > most:
            raise refuse(Kind.TOO_LARGE, "The request's body is too large.", oversize=Oversize.BODY, close=True)
        if self._kept is not None:
            if self._taken > self._most_kept:
                self._kept = None
            elif piece:
                self._kept.append(piece)
                self._begin += 1
        return piece
