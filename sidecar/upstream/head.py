"""Response heads out of a connection's bytes (RFC 9112 §2, §4, §5): one grammar, and nothing that departs from it.

A head is held against the whole grammar first, and only then taken apart. Where the body ends is ``wire.framing``'s
decision, decoding it ``decoders``'s.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from sidecar.upstream.errors import UpstreamUnavailable
from sidecar.wire.grammar import TOKEN

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_FIELDS: Final = 200

Fields = tuple[tuple[bytes, bytes], ...]

_TEXT: Final = rb"[\t\x20-\x7e\x80-\xff]*+"
_STATUS_LINE: Final = rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: (" + _TEXT + rb"))?\r\n"
#: Of heads and of trailers.
FIELD_LINE: Final = rb"(?>" + TOKEN.pattern + rb"):" + _TEXT + rb"\r\n"
_HEAD: Final = re.compile(_STATUS_LINE + rb"(?:" + FIELD_LINE + rb")*+\r\n")
#: A field's two parts, in what is a head; white space behind the value is still there.
_PARTS: Final = re.compile(rb"\r\n([^:\r]+):[ \t]*+([^\r]*+)")
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
_START: Final = b"HTTP/1."
_END: Final = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """A head as it came, every byte of it held against the grammar.

    reason: printable ASCII; empty where the upstream gave none or another (it has no meaning, RFC 9112 §4).
    """

    status: int
    reason: str
    version: tuple[int, int]
    fields: Fields = field(repr=False)


class HeadReader:
    """Gathers one head after another."""

    __slots__ = ("_partial",)

    def __init__(self) -> None:
        self._partial = bytearray()

    def feed(self, data: bytes) -> tuple[ResponseHead, bytes] | None:
        """Take bytes; return a head and the bytes after it, or None while it is incomplete.

        UpstreamUnavailable: this is no HTTP/1.1 response, or its head is over 64 KiB or 200 fields.
        """
        partial = self._partial
        if partial:
            seen = len(partial)
            partial += data
            end = partial.find(_END, max(seen - 3, 0))
        else:
            seen = 0
            end = data.find(_END)
        if end < 0:
            if not partial:
                partial += data
            self._refuse_hopeless(seen)
            return None
        if partial:
            data = bytes(partial)
            partial.clear()
        end += len(_END)
        return parse_head(data[:end]), data[end:]

    def _refuse_hopeless(self, seen: int) -> None:
        """Say no to what can't become a head any more, rather than wait for its end."""
        partial = self._partial
        if len(partial) > MAX_HEAD_BYTES:
            raise UpstreamUnavailable("the response head is too large")
        if not _START.startswith(partial[: len(_START)]) or _BARE_LF.search(partial, seen) is not None:
            raise UpstreamUnavailable("not an HTTP/1.1 response")


def parse_head(head: bytes) -> ResponseHead:
    """Read one complete head.

    UpstreamUnavailable: it is over the limits or departs from the grammar anywhere: another version, a status outside
    100 to 599, a name that is no token, control bytes, folded lines, bare line feeds.
    """
    if len(head) > MAX_HEAD_BYTES:
        raise UpstreamUnavailable("the response head is too large")
    found = _HEAD.fullmatch(head)
    if found is None:
        raise UpstreamUnavailable("not an HTTP/1.1 response head")
    fields = tuple(_PARTS.findall(head))
    if len(fields) > MAX_FIELDS:
        raise UpstreamUnavailable("the response head has too many fields")
    if b" \r\n" in head or b"\t\r\n" in head:
        fields = tuple([(name, value.rstrip(b" \t")) for name, value in fields])
    minor, status, reason = found.groups(b"")
    return ResponseHead(
        int(status),
        reason.decode("ascii") if reason.isascii() and b"\t" not in reason else "",
        (1, 1) if minor == b"1" else (1, 0),
        fields,
    )
