"""Where a message's body ends, decided from its head alone (RFC 9112 §6), and how we frame one that we send.

One reading for every message: whatever two recipients could read differently is refused. Decoding a body is the
connection's work; no body passes through here but the chunks we make.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from sidecar.wire.fields import connection_options

LAST_CHUNK: Final = b"0\r\n\r\n"

_LENGTH: Final = re.compile(rb"[0-9]{1,18}")  # fits 63 bits; leading zeros are digits like others
_KEEP_ALIVE_TIMEOUT: Final = re.compile(rb"(?:^|[,;])[ \t]*timeout[ \t]*=[ \t]*([0-9]{1,9})", re.IGNORECASE)


_READ_HERE: Final = frozenset({b"content-length", b"transfer-encoding", b"connection", b"keep-alive"})


class FramingError(ValueError):
    """A message whose end is in doubt; the text is constant and names nothing of the message."""


class Delimiter(Enum):
    """What ends a body: nothing (there is none), its length, its last chunk, or the end of the connection."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class ResponseFraming:
    """How a response ends, and what becomes of its connection.

    content_length: bytes that the head announces, also where there is no body (HEAD, 304); None where it says nothing.
    persistent: the server would take another request on this connection (RFC 9112 §9.3).
    keep_alive: seconds of ``Keep-Alive: timeout=``, after which an idle connection is closed; None where not said.
    """

    delimiter: Delimiter
    content_length: int | None
    persistent: bool
    keep_alive: int | None


def response_framing(
    method: str, status: int, version: tuple[int, int], fields: Iterable[tuple[bytes, bytes]]
) -> ResponseFraming:
    """Decide how the response to a request of this method ends (RFC 9112 §6.3).

    FramingError: a transfer coding other than exactly ``chunked`` or on HTTP/1.0, both ``Transfer-Encoding`` and
    ``Content-Length``, several lengths or one that is no number, or a body where none can be (1xx, 204).
    """
    codings: list[bytes] = []
    lengths: list[bytes] = []
    options: list[bytes] = []
    keep_alive: int | None = None
    for name, value in fields:
        lower = name.lower()
        if lower not in _READ_HERE:  # the way of nearly all
            continue
        if lower == b"content-length":
            lengths.append(value)
        elif lower == b"transfer-encoding":
            codings.append(value)
        elif lower == b"connection":
            options += connection_options(value)
        elif (found := _KEEP_ALIVE_TIMEOUT.search(value)) is not None:
            keep_alive = int(found[1])
    content_length = _content_length(lengths)
    chunked = _is_chunked(codings, version)
    if chunked and content_length is not None:
        raise FramingError("both Transfer-Encoding and Content-Length")
    bodiless = status < 200 or status == 204
    if bodiless and (chunked or content_length):
        raise FramingError("a body where there can be none")
    if bodiless or method == "HEAD" or status == 304 or content_length == 0:
        delimiter = Delimiter.NONE
    elif chunked:
        delimiter = Delimiter.CHUNKED
    elif content_length is not None:
        delimiter = Delimiter.LENGTH
    else:
        delimiter = Delimiter.CLOSE
    persistent = (
        delimiter is not Delimiter.CLOSE and b"close" not in options and (version >= (1, 1) or b"keep-alive" in options)
    )
    return ResponseFraming(delimiter, content_length, persistent, keep_alive)


def request_framing(length: int | None) -> tuple[bytes, bytes]:
    """Return the field that frames a request body of so many bytes; None: of unknown length, so we chunk."""
    return (b"Transfer-Encoding", b"chunked") if length is None else (b"Content-Length", b"%d" % length)


def encode_chunk(data: bytes) -> bytes:
    """Return data as one chunk; nothing for no data, since an empty chunk would end the body (RFC 9112 §7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def _content_length(values: list[bytes]) -> int | None:
    if not values:
        return None
    if len(values) > 1 or _LENGTH.fullmatch(values[0]) is None:
        raise FramingError("Content-Length is not one number")
    return int(values[0])


def _is_chunked(codings: list[bytes], version: tuple[int, int]) -> bool:
    if not codings:
        return False
    if version < (1, 1) or len(codings) > 1 or codings[0].lower() != b"chunked":
        raise FramingError("Transfer-Encoding is not exactly chunked")
    return True
