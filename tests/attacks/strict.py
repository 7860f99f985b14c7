"""One strict reading of HTTP/1.1 messages (RFC 9112), written for tests and sharing nothing with what it judges.

Whatever the RFC leaves to the recipient (obs-fold, bare line feeds, lists of lengths) is no message here. Regular
expressions over the whole stream, where the gateway has state machines over pieces.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# §3 lets a reader take several spaces for one, and the gateway's parser takes RTSP/1.0 for HTTP/1.0; what goes on says
# neither, and nothing else differs.
_REQUEST_LINE: Final = re.compile(rb"(%b) +([\x21-\x7e]+) +(?:HTTP/1\.([01])|RTSP/1\.(0))" % _TOKEN)
# §4: the space before an empty reason is missing in practice.
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*))?")
_FIELD: Final = re.compile(rb"(%b):([\t\x20-\x7e\x80-\xff]*)" % _TOKEN)
# §7.1.1: extensions that nobody knows are ignored, whatever they look like; a line can't end within one.
_EXTENSIONS: Final = rb"(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?"
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]+)%b" % _EXTENSIONS)


class Rest(Enum):
    """What is behind the last whole message."""

    NOTHING = "nothing"
    PART = "part"  # more could make a message of it
    BAD = "bad"  # nothing could


@dataclass(frozen=True, slots=True)
class Message:
    """A request or a response. start: the parts of its first line. fields: names lower-case."""

    start: tuple[bytes, ...]
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes

    @property
    def status(self) -> int:
        """Of a response."""
        return int(self.start[1])

    @property
    def target(self) -> bytes:
        """Of a request."""
        return self.start[1]

    def values(self, name: bytes) -> list[bytes]:
        """The values of all fields of this lower-case name."""
        return [value for key, value in self.fields if key == name]


class _Bad(Exception):
    """No message can come of it."""


class _Part(Exception):
    """Perhaps with more behind it."""


def requests(data: bytes) -> tuple[list[Message], Rest]:
    """Read as many requests as there are."""

    def one(at: int) -> tuple[Message, int]:
        while data[at : at + 1] in (b"\r", b"\n"):  # empty lines, however they end (§2.2)
            at += 1
        if at == len(data):
            raise _Part
        start, fields, at = _head(data, at, _REQUEST_LINE)
        return _with_body(data, at, Message(start, fields, b""), chunks=start[2] == b"1", until_close=False)

    return _read(data, one)


def responses(data: bytes, *, to_head: bool = False) -> tuple[list[Message], Rest]:
    """Read as many responses as there are, interim ones too. to_head: they answer HEAD."""

    def one(at: int) -> tuple[Message, int]:
        start, fields, at = _head(data, at, _STATUS_LINE)
        message = Message(start, fields, b"")
        if message.status < 200 or message.status in (204, 304) or to_head:
            return message, at
        return _with_body(data, at, message, chunks=start[0] == b"1", until_close=True)

    return _read(data, one)


def _read(data: bytes, one: Callable[[int], tuple[Message, int]]) -> tuple[list[Message], Rest]:
    messages: list[Message] = []
    at = 0
    try:
        while at < len(data):
            message, at = one(at)
            messages.append(message)
    except _Bad:
        return messages, Rest.BAD
    except _Part:
        return messages, Rest.PART
    return messages, Rest.NOTHING


def _head(
    data: bytes, at: int, first: re.Pattern[bytes]
) -> tuple[tuple[bytes, ...], tuple[tuple[bytes, bytes], ...], int]:
    end = data.find(b"\r\n\r\n", at)
    if end < 0:
        raise _Part
    line, *lines = data[at:end].split(b"\r\n")
    if (start := first.fullmatch(line)) is None:
        raise _Bad
    fields = [_FIELD.fullmatch(each) for each in lines]
    if None in fields:
        raise _Bad
    pairs = tuple((field[1].lower(), field[2].strip(b" \t")) for field in fields if field is not None)
    return start.groups(b""), pairs, end + 4


def _with_body(data: bytes, at: int, message: Message, *, chunks: bool, until_close: bool) -> tuple[Message, int]:
    codings, lengths = message.values(b"transfer-encoding"), message.values(b"content-length")
    if codings:
        if lengths or not chunks or len(codings) > 1 or codings[0].lower() != b"chunked":
            raise _Bad
        body, at = _chunked(data, at)
    elif lengths:
        if len(lengths) > 1 or not re.fullmatch(rb"[0-9]+", lengths[0]):
            raise _Bad
        end = at + int(lengths[0])
        if end > len(data):
            raise _Part
        body, at = data[at:end], end
    elif until_close:
        body, at = data[at:], len(data)
    else:
        body = b""
    return Message(message.start, message.fields, body), at


def _chunked(data: bytes, at: int) -> tuple[bytes, int]:
    body = b""
    while True:
        line, at = _line(data, at)
        if (chunk := _CHUNK.fullmatch(line)) is None:
            raise _Bad
        size = int(chunk[1], 16)
        if size == 0:
            break
        if at + size + 2 > len(data):
            raise _Part
        if data[at + size : at + size + 2] != b"\r\n":
            raise _Bad
        body += data[at : at + size]
        at += size + 2
    while True:
        line, at = _line(data, at)
        if not line:
            return body, at
        if _FIELD.fullmatch(line) is None:
            raise _Bad


def _line(data: bytes, at: int) -> tuple[bytes, int]:
    end = data.find(b"\r\n", at)
    if end < 0:
        raise _Part
    return data[at:end], end + 2
