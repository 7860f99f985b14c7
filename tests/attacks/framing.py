"""Requests whose end two readers could see in different places: generated, class by class.

Each is one request as a smuggler would send it. MARK is replaced by something unique; where a class hides a second
request in the first one's body, its target begins with ``/hidden``.
"""

from collections.abc import Iterator
from itertools import product
from typing import Final

MARK: Final = b"MARK"
HIDDEN: Final = b"GET /hidden/MARK HTTP/1.1\r\nHost: a\r\nX: "
#: As chunks: one that ends the body, with the hidden request behind it.
ENDED: Final = b"0\r\n\r\n" + HIDDEN
CHUNKED: Final = b"Transfer-Encoding: chunked"

#: Bytes that some reader takes for space, for an end, or for nothing.
ODD: Final = tuple(
    bytes([byte]) for byte in (*range(0x21), *b"\"'(),/:;<=>?@[\\]{}", 0x7F, 0x80, 0x85, 0xA0, 0xAD, 0xFF)
)

LENGTHS: Final = (
    *(
        b"",
        b"+%d",
        b"-%d",
        b"0%d",
        b"00000000000000000000%d",
        b"0x%x",
        b"0X%x",
        b"%x",
        b"0b1",
        b"0o7",
        b"%d.0",
        b"%de0",
        b"%d_0",
    ),
    *(
        b"%d,",
        b",%d",
        b"%d, %d",
        b"%d,%d",
        b"%d;%d",
        b"%d %d",
        b"%d\t0",
        b'"%d"',
        b"'%d'",
        b"(%d)",
        b"%d;a=b",
        b"%d\x00",
        b"\x00%d",
    ),
    *(
        b"%d\x0b",
        b"\x0b%d",
        b"%d\x0c",
        b"%d\xa0",
        b"%d\x85",
        b"\xef\xbc\x95",
        b"\xd9\xa5",
        b"\xc2\xb2",
        b"%%d",
        b"NaN",
        b"inf",
        b"five",
    ),
    *(
        b"18446744073709551616",
        b"18446744073709551615",
        b"9223372036854775808",
        b"9" * 18,
        b"9" * 19,
        b"9" * 40,
        b"4294967296",
    ),
    *(
        b"%d\r",
        b"\r%d",
        b"%d\n",
        b"\n%d",
        b"%d\r\n ",
        b"%d\r\n\t%d",
        b"1e1",
        b"~%d",
        b"%d-%d",
        b"%d/%d",
        b"^%d",
        b"$%d",
    ),
)
CODINGS: Final = (
    *(
        b"",
        b"chunked",
        b"Chunked",
        b"CHUNKED",
        b"chunKed",
        b"xchunked",
        b"chunkedx",
        b"chunked-x",
        b"x-chunked",
        b"c hunked",
        b"chunke",
    ),
    *(
        b"chunked, chunked",
        b"chunked,chunked",
        b",chunked",
        b"chunked,",
        b", chunked",
        b"chunked ,",
        b"chunked, identity",
    ),
    *(
        b"identity, chunked",
        b"identity",
        b"gzip",
        b"gzip, chunked",
        b"chunked, gzip",
        b"deflate",
        b"compress, chunked",
        b"trailers",
    ),
    *(
        b"chunked;q=1",
        b"chunked; a=b",
        b"chunked;",
        b";chunked",
        b'"chunked"',
        b"'chunked'",
        b"(chunked)",
        b"chunked (x)",
        b"x: chunked",
    ),
    *(
        b"chunked\r\n ",
        b"\r\n chunked",
        b"\r\n\tchunked",
        b"chunked\r",
        b"\rchunked",
        b"chunked\n",
        b"\nchunked",
        b"chunked\r\nX:y",
    ),
    *(
        b"chunked\x00",
        b"\x00chunked",
        b"chun\x00ked",
        b"chunked\\",
        b"%63hunked",
        b"\xef\xbb\xbfchunked",
        b"chun\xc4\xb7ed",
        b"chunked chunked",
    ),
)
NAMES: Final = (
    *(
        b"%b ",
        b" %b",
        b"\t%b",
        b"%b\t",
        b"%b\x00",
        b"\x00%b",
        b"%b\x0b",
        b"\x0b%b",
        b"%b\xa0",
        b"\xa0%b",
        b"%b\x85",
        b"X\r%b",
        b"X\n%b",
    ),
    *(
        b"%b\r",
        b"%b\n",
        b"\r\n %b",
        b"X:\r\n%b",
        b"X: y\n%b",
        b"X: y\r%b",
        b"\xef\xbb\xbf%b",
        b"%b\\",
        b'"%b"',
        b"X %b",
        b"%b X",
    ),
)
CHUNK_BODIES: Final = (
    # sizes
    *(b"%b\r\nhello\r\n0\r\n\r\n" % size for size in (b"+5", b"-5", b"0x5", b"5.", b"5_", b"5h", b" 5", b"5 ", b"\t5", b"5\t", b"5\x00", b"5\x0b", b"\x0b5", b"5,5", b"", b"g", b"\xb5", b"5\xa0", b'"5"', b"05", b"0005", b"5\r", b"\r5", b"5\n", b"\n5", b"%35")),
    *(b"%b\r\nhello\r\n0\r\n\r\n" % size for size in (b"10000000000000005", b"FFFFFFFFFFFFFFFF", b"8000000000000005", b"100000005", b"0" * 17 + b"5", b"0" * 300 + b"5", b"fffffffffffffffb")),
    # extensions
    *(b"5%b\r\nhello\r\n0\r\n\r\n" % extension for extension in (b";", b";a", b";a=b", b';a="b"', b" ;a", b";a=b;c=d", b";a b", b";\n", b";a\n", b";a\r", b";a\rb", b";a=\rX", b";\x00", b";a=\x00", b";\xff", b';a="\n"', b';a="\r\n', b";a=\x0b", b";" + b"x" * 70_000)),
    b"5;a\nhello\r\n0\r\n\r\n",
    b"2;\nxx\r\n45\r\n0\r\n\r\n" + HIDDEN,
    b"2;\n\nxx\r\n0\r\n\r\n",
    # line ends
    *(b"5%bhello%b0%b%b" % ends for ends in product((b"\r\n", b"\n", b"\r"), repeat=4) if ends != (b"\r\n",) * 4),
    *(b"5\r\nhello%b0\r\n\r\n" % end for end in (b"", b"x\r\n", b"\r\n\r\n", b"XX", b"\r\r\n", b"\n\r\n", b" \r\n", b"\r\n ", b"\r ")),
    b"5\r\nhell\r\n0\r\n\r\n",
    b"5\r\nhello!\r\n0\r\n\r\n",
    b"5\r\n0\r\n\r\n\r\n0\r\n\r\n" + HIDDEN,
    # the last chunk and trailers
    *(b"5\r\nhello\r\n%b\r\n\r\n" % last for last in (b"00", b"0000000000000000", b"-0", b"+0", b"0x0", b"0;a=b", b"0 ", b" 0", b"0\t", b"0\x00", b"0.")),
    *(b"5\r\nhello\r\n0\r\n%b\r\n\r\n" % trailer for trailer in (b"X: y", b"X: y\r\nZ: w", b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Host: b", b"Authorization: Bearer x", b"X : y", b" X: y", b"X", b":", b"X: \x00", b"X: a\rb", b"X: a\nb", b"X: y\r\n folded", b"X" * 70_000 + b": y", b"GET /hidden/MARK HTTP/1.1\r\nHost: a")),
    b"0\r\n\n",
    b"0\n\r\n",
    b"0\r\n\r\n",
    b"0\r\n\r\r\n",
    b"\r\n0\r\n\r\n",
    ENDED,
)  # fmt: skip
LINES: Final = (
    *(b"POST%b/MARK HTTP/1.1" % space for space in (b"  ", b"\t", b" \t", b"\x0b", b"\x0c", b"\xa0", b"\r", b"\x00")),
    *(b"POST /MARK%bHTTP/1.1" % space for space in (b"  ", b"\t", b" \t", b"\x0b", b"\x0c", b"\xa0", b"\r", b"\x00", b"")),
    *(b"POST /MARK %b" % version for version in (b"HTTP/1.2", b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.10", b"HTTP/01.1", b"HTTP/1", b"http/1.1", b"HTTP /1.1", b"HTTP/ 1.1", b"HTTP/1.1 ", b"HTTP/1.1\t", b"HTTP/1.1\x00", b"HTTP/1.1x", b"HTTPS/1.1", b"ICY/1.1", b"RTSP/1.0", b"HTTP/1.1 HTTP/1.1", b"HTTP/1,1", b"HTTP/-1.1", b"")),
    *(b"%bPOST /MARK HTTP/1.1" % start for start in (b" ", b"\t", b"\x00", b"\xef\xbb\xbf", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"X\r\n", b"\r\n ")),
    *(b"%b /MARK HTTP/1.1" % method for method in (b"post", b"P\x00ST", b"P(ST", b'"POST"', b"", b"POST,GET", b"POST:", b"\xffOST", b"P" * 100)),
)  # fmt: skip


def cases() -> Iterator[tuple[str, bytes]]:
    """Each class' name, and a whole request."""
    smuggled = b"5\r\nhello\r\n" + ENDED
    for value in (pattern.replace(b"%d", b"5").replace(b"%x", b"5") for pattern in LENGTHS):
        yield f"length {value!r}", _post([b"Content-Length: " + value], b"hello")
        yield f"length {value!r} and 5", _post([b"Content-Length: " + value, b"Content-Length: 5"], b"hello")
        yield f"length 5 and {value!r}", _post([b"Content-Length: 5", b"Content-Length: " + value], b"hello")
        yield f"length {value!r} and chunks", _post([b"Content-Length: " + value, CHUNKED], smuggled)
    for value in CODINGS:
        coding = b"Transfer-Encoding: " + value
        length = b"Content-Length: %d" % len(smuggled)
        yield f"coding {value!r}", _post([coding], smuggled)
        for version in (b"1.1", b"1.0"):
            yield f"coding {value!r} and length, {version!r}", _post([coding, length], smuggled, version=version)
            yield f"length and coding {value!r}, {version!r}", _post([length, coding], smuggled, version=version)
        yield f"coding {value!r} and chunked", _post([coding, CHUNKED], smuggled)
        yield f"chunked and coding {value!r}", _post([CHUNKED, coding], smuggled)
        yield f"coding {value!r} in HTTP/1.0", _post([coding], smuggled, version=b"1.0")
        yield f"coding {value!r} of a GET", _post([coding], smuggled, method=b"GET")
    for name, value in ((b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked")):
        body = b"hello" if value == b"5" else smuggled
        for pattern in (
            *NAMES,
            name.replace(b"-", b"_"),
            name.replace(b"-", b" "),
            name.replace(b"-", b""),
            name.replace(b"n", b"\xc3\xb1"),
        ):
            odd = (pattern % name if b"%b" in pattern else pattern) + b": " + value
            for others in ([], [b"Content-Length: %d" % len(body)], [CHUNKED]):
                yield f"name {odd!r} beside {others}", _post([odd, *others], body)
                yield f"name {odd!r} behind {others}", _post([*others, odd], body)
        yield f"no colon of {name!r}", _post([name + b" " + value], body)
        yield f"no space in {name!r}", _post([name + b":" + value], body)
        for byte in ODD:
            yield f"{byte!r} before the value of {name!r}", _post([name + b": " + byte + value], body)
            yield f"{byte!r} behind the value of {name!r}", _post([name + b": " + value + byte], body)
            yield f"{byte!r} behind {name!r}", _post([name + byte + b": " + value], body)
            yield f"{byte!r} before {name!r}", _post([byte + name + b": " + value], body)
    for body in CHUNK_BODIES:
        yield f"chunks {body[:40]!r}", _post([CHUNKED], body)
    for line in LINES:
        yield f"line {line!r}", _post([b"Content-Length: 5"], b"hello", line=line)
        yield f"line {line!r} with chunks", _post([CHUNKED], smuggled, line=line)
    for ends in product((b"\r\n", b"\n", b"\r"), repeat=3):
        head = b"POST /MARK HTTP/1.1%bHost: a%bContent-Length: 5%b%b" % (*ends, ends[2])
        yield f"line ends {ends!r}", head + b"hello"
    for method in (b"GET", b"PATCH", b"OPTIONS", b"DELETE", b"PUT", b"CONNECT", b"TRACE"):
        yield f"{method!r} with a body", _post([b"Content-Length: %d" % len(HIDDEN)], HIDDEN, method=method)
        yield f"{method!r} with chunks", _post([CHUNKED], smuggled, method=method)
    for connection, upgrade in product(
        (b"Upgrade", b"close, Upgrade", b"keep-alive"), (b"h2c", b"websocket", b"TLS/1.0")
    ):
        fields = [b"Connection: " + connection, b"Upgrade: " + upgrade]
        yield f"{connection!r} to {upgrade!r}", _post([*fields, b"Content-Length: %d" % len(HIDDEN)], HIDDEN)
        yield f"{connection!r} to {upgrade!r} with chunks", _post([*fields, CHUNKED], smuggled)
        yield f"{connection!r} to {upgrade!r} without a body", _post(fields, b"", method=b"GET")
    for named in (b"Content-Length", b"Transfer-Encoding", b"Host", b"close, content-length"):
        yield f"Connection names {named!r}", _post([b"Connection: " + named, b"Content-Length: 5"], b"hello")
        yield f"Connection names {named!r} with chunks", _post([b"Connection: " + named, CHUNKED], smuggled)
    for expectation in (b"100-continue", b"200-ok", b"100-continue, x", b""):
        yield f"Expect {expectation!r}", _post([b"Expect: " + expectation, b"Content-Length: 5"], b"hello")


def _post(
    fields: list[bytes], body: bytes, *, method: bytes = b"POST", version: bytes = b"1.1", line: bytes | None = None
) -> bytes:
    first = method + b" /MARK HTTP/" + version if line is None else line
    return b"\r\n".join([first, b"Host: a", *fields, b"", b""]) + body
