"""Where one WebSocket frame ends and the next begins, and Close frames of our own (RFC 6455 §5.2, §5.5.1, §7.4).

Pure. A relay passes bytes; it follows the heads of frames alone, so that what it says itself never stands in the middle
of somebody else's frame. What is in a frame is never read, nor whether it is allowed.
"""

from dataclasses import dataclass
from typing import Final

_CLOSE: Final = 0x8
_FINAL: Final = 0x80
_MASKED: Final = 0x80
_LENGTH_FIELD: Final = {126: 2, 127: 8}  # bytes of the length, by what stands in its place
_MASK_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Closing:
    """Why we end a connection. code: RFC 6455 §7.4.1; reason: constant ASCII text of at most 123 bytes."""

    code: int
    reason: str


class Frames:
    """Follows the frames that go one way, however the bytes come in pieces.

    closed: a whole Close frame went by, after which its sender has nothing more to say.
    """

    __slots__ = ("_head", "_is_close", "_left", "closed")

    def __init__(self) -> None:
        self.closed = False
        self._head = bytearray()  # of the next frame, as far as it came
        self._left = 0  # bytes of the frame under way that are still to come
        self._is_close = False

    @property
    def at_boundary(self) -> bool:
        """Whether no frame is under way."""
        return not self._left and not self._head

    def feed(self, data: bytes) -> None:
        """Take bytes."""
        position, end = 0, len(data)
        while position < end:
            position = self._step(data, position, end)

    def feed_to_boundary(self, data: bytes) -> int:
        """Take the rest of the frame that is under way, and return how many bytes that was."""
        position, end = 0, len(data)
        while position < end and not self.at_boundary:
            position = self._step(data, position, end)
        return position

    def _step(self, data: bytes, position: int, end: int) -> int:
        """Take as much as belongs together, and return where it ends."""
        if self._left:
            step = min(self._left, end - position)
            self._left -= step
            if not self._left:
                self._end_frame()
            return position + step
        head = self._head
        step = min(_head_length(head) - len(head), end - position)
        head += data[position : position + step]
        if len(head) == _head_length(head):
            self._begin_frame(head)
        return position + step

    def _begin_frame(self, head: bytearray) -> None:
        length = head[1] & 0x7F
        if length in _LENGTH_FIELD:
            length = int.from_bytes(head[2:])
        self._left = length + (_MASK_BYTES if head[1] & _MASKED else 0)
        self._is_close = head[0] & 0x0F == _CLOSE
        head.clear()
        if not self._left:
            self._end_frame()

    def _end_frame(self) -> None:
        self.closed = self.closed or self._is_close


def close_frame(closing: Closing, mask: bytes | None) -> bytes:
    """Return a Close frame; mask: four random bytes where it goes to a server, None where it goes to a client."""
    payload = closing.code.to_bytes(2) + closing.reason.encode("ascii")
    if mask is None:
        return bytes((_FINAL | _CLOSE, len(payload))) + payload
    masked = bytes(byte ^ mask[index % _MASK_BYTES] for index, byte in enumerate(payload))
    return bytes((_FINAL | _CLOSE, _MASKED | len(payload))) + mask + masked


def _head_length(head: bytearray) -> int:
    """How long a head is, but for the mask, which counts with the payload; 2 while that can't be told."""
    return 2 + _LENGTH_FIELD.get(head[1] & 0x7F, 0) if len(head) > 1 else 2
