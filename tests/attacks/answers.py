"""Responses whose end two readers could see in different places, or that are none: generated, class by class."""

from typing import Final

from tests.attacks.framing import CHUNK_BODIES, CHUNKED, CODINGS, HIDDEN, LENGTHS, NAMES, ODD

#: What the next caller must never get.
SECOND: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhidden"
LAST: Final = b"0\r\n\r\n"


def answer(*fields: bytes, body: bytes = b"", status: bytes = b"HTTP/1.1 200 OK") -> bytes:
    """A response with this first line."""
    return b"\r\n".join([status, *fields, b"", b""]) + body


def cases() -> list[bytes]:
    """Everything that the upstream sends for one request, with a second response in it or behind it."""
    found: list[bytes] = []
    chunks = b"5\r\nhello\r\n" + LAST + SECOND
    for value in (pattern.replace(b"%d", b"5").replace(b"%x", b"5") for pattern in LENGTHS):
        length = b"Content-Length: " + value
        found.append(answer(length, body=b"hello" + SECOND))
        found.append(answer(length, b"Content-Length: 5", body=b"hello" + SECOND))
        found.append(answer(b"Content-Length: 5", length, body=b"hello" + SECOND))
        found.append(answer(length, CHUNKED, body=chunks))
    for value in CODINGS:
        coding = b"Transfer-Encoding: " + value
        found.append(answer(coding, body=chunks))
        found.append(answer(coding, b"Content-Length: %d" % len(chunks), body=chunks))
        found.append(answer(coding, CHUNKED, body=chunks))
        found.append(answer(CHUNKED, coding, body=chunks))
    for name, value in ((b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked")):
        body = b"hello" + SECOND if value == b"5" else chunks
        found += [answer(pattern % name + b": " + value, body=body) for pattern in NAMES]
        for byte in ODD:
            found.append(answer(name + b": " + value + byte, body=body))
            found.append(answer(name + byte + b": " + value, body=body))
    found += [answer(CHUNKED, body=body.replace(HIDDEN, SECOND)) for body in CHUNK_BODIES if len(body) < 1000]
    whole = answer(b"Content-Length: 5", body=b"hello")
    for status in (b"100 Continue", b"101 Switching Protocols", b"102 Processing", b"103 Early Hints", b"199 Odd"):
        for fields in ([], [b"Content-Length: 5"], [CHUNKED], [b"Connection: upgrade", b"Upgrade: websocket"]):
            found.append(answer(*fields, status=b"HTTP/1.1 " + status, body=whole))
            found.append(answer(*fields, status=b"HTTP/1.1 " + status) * 40 + whole)
    for status in (b"204 No Content", b"304 Not Modified", b"205 Reset Content"):
        found += [answer(*fields, status=b"HTTP/1.1 " + status, body=SECOND) for fields in ([], [b"Content-Length: 5"])]
    for line in (
        *(b"HTTP/1.0 200 OK", b"HTTP/2.0 200 OK", b"HTTP/1.1 2000 OK", b"HTTP/1.1 20 OK", b"HTTP/1.1 -200 OK", b"HTTP/1.1 999 X"),
        *(b"HTTP/1.1 099 X", b"HTTP/1.1 200", b"HTTP/1.1  200 OK", b"HTTP/1.1\t200 OK", b" HTTP/1.1 200 OK", b"http/1.1 200 OK"),
        *(b"HTTP/1.1 200 O\rK", b"HTTP/1.1 200 O\nX: y", b"HTTP/1.1 200 \x00", b"HTTP/1.1 200 \x1b[2J", b"HTTP/1.1 200 \xff", b""),
        *(b"ICY 200 OK", b"200 OK", b"HTTP/1.1 200 OK\r\n folded", b"HTTP/1.1 2\xb20 OK", b"HTTP/1.1 0x200 OK", b"GET / HTTP/1.1"),
    ):  # fmt: skip
        found.append(answer(b"Content-Length: 5", status=line, body=b"hello" + SECOND))
    for field in (
        *(b"X: a\r\n b", b"X: a\nSet-Cookie: b=c", b"X: a\rSet-Cookie: b=c", b"X\r\nY: z", b": y", b"X : y", b" X: y", b"X\x00: y"),
        *(b"X: \x00", b"X: \x0b", b"X: \x7f", b"X: \xff", b"X" * 300_000 + b": y", b"X: " + b"y" * 300_000, b"X: y\r\n" * 500 + b"Z: w"),
    ):  # fmt: skip
        found.append(answer(field, b"Content-Length: 5", body=b"hello"))
        found.append(answer(b"Content-Length: 5", field, body=b"hello"))
    return list(dict.fromkeys(found))
