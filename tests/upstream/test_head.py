import pytest
from aiohttp.http_parser import HttpResponseParser
from hypothesis import assume, given
from hypothesis import strategies as st

from sidecar.upstream.errors import UpstreamUnavailable
from sidecar.upstream.head import MAX_FIELDS, MAX_HEAD_BYTES, HeadReader, ResponseHead, parse_head

HEAD = b"HTTP/1.1 200 OK\r\nA: 1\r\nb:2\t \r\n\r\n"


def test_a_head_comes_apart_as_it_was_written() -> None:
    head = parse_head(b"HTTP/1.0 404 Not Found\r\nSet-Cookie: a=\xff\r\nset-cookie:\t b \r\nEmpty:\r\n\r\n")
    fields = ((b"Set-Cookie", b"a=\xff"), (b"set-cookie", b"b"), (b"Empty", b""))
    assert head == ResponseHead(404, "Not Found", (1, 0), fields)


@pytest.mark.parametrize("status", [100, 204, 304, 599])
def test_every_status_of_the_protocol_is_read(status: int) -> None:
    assert parse_head(b"HTTP/1.1 %d X\r\n\r\n" % status).status == status


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 10",
        b"Transfer-Encoding: chunked",
        b"Connection: close",
        b"Upgrade: websocket\r\nConnection: upgrade",
        b"Content-Encoding: gzip",
        b"Trailer: x",
    ],
)
def test_no_field_makes_the_parser_wait_for_more(fields: bytes) -> None:
    assert len(parse_head(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\n").fields) == fields.count(b":")


@pytest.mark.parametrize(
    ("line", "reason"), [(b" ", ""), (b"", ""), (b" caf\xe9", ""), (b" a\tb", ""), (b" Fine", "Fine")]
)
def test_a_reason_is_printable_or_empty(line: bytes, reason: str) -> None:
    assert parse_head(b"HTTP/1.1 200" + line + b"\r\n\r\n").reason == reason


@pytest.mark.parametrize(
    "line",
    [
        b"HTTP/2.0 200 OK",
        b"HTTP/0.9 200 OK",
        b"HTTP/1.2 200 OK",
        b"http/1.1 200 OK",
        b"HTTP/1.1 099 X",
        b"HTTP/1.1 600 X",
        b"HTTP/1.1 999 X",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1 200 O\x01K",
        b"HTTP/1.1 200 O\x7fK",
        b"HTTP/1.1 200 OK\r",
        b" HTTP/1.1 200 OK",
        b"ICY 200 OK",
        b"",
    ],
)
@pytest.mark.threat("S39")
def test_other_status_lines_are_refused(line: bytes) -> None:
    with pytest.raises(UpstreamUnavailable):
        parse_head(line + b"\r\n\r\n")


@pytest.mark.parametrize(
    "lines",
    [
        b"A : 1",
        b": 1",
        b"A",
        b"A\x00: 1",
        b"A(: 1",
        b"\xc3\xa9: 1",
        b"A: 1\r\n folded",
        b"A: 1\r\n\tfolded",
        b" A: 1",
        b"A: 1\nB: 2",
        b"A: \r1",
        b"A: 1\r\r",
    ],
)
@pytest.mark.threat("S39")
def test_other_field_lines_are_refused(lines: bytes) -> None:
    with pytest.raises(UpstreamUnavailable):
        parse_head(b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n\r\n")


@pytest.mark.parametrize("byte", range(256))
@pytest.mark.threat("S33")
def test_which_bytes_a_value_may_hold(byte: int) -> None:
    head = b"HTTP/1.1 200 OK\r\nA: x%cx\r\n\r\n" % byte
    if byte == 0x09 or (byte >= 0x20 and byte != 0x7F):
        assert parse_head(head).fields == ((b"A", b"x%cx" % byte),)
    else:
        with pytest.raises(UpstreamUnavailable):
            parse_head(head)


def test_the_number_of_fields_is_bounded() -> None:
    start = b"HTTP/1.1 200 OK\r\n"
    assert len(parse_head(start + b"A: 1\r\n" * MAX_FIELDS + b"\r\n").fields) == MAX_FIELDS
    with pytest.raises(UpstreamUnavailable):
        parse_head(start + b"A: 1\r\n" * (MAX_FIELDS + 1) + b"\r\n")


def test_one_field_may_be_as_large_as_a_head() -> None:
    start, end = b"HTTP/1.1 200 OK\r\nA: ", b"\r\n\r\n"
    value = b"x" * (MAX_HEAD_BYTES - len(start) - len(end))
    assert parse_head(start + value + end).fields == ((b"A", value),)
    with pytest.raises(UpstreamUnavailable, match="too large"):
        parse_head(start + value + b"x" + end)


@pytest.mark.threat("S40")
def test_a_head_that_never_ends_is_given_up_at_the_limit() -> None:
    reader = HeadReader()
    assert reader.feed(b"HTTP/1.1 200 OK\r\nA: ") is None
    with pytest.raises(UpstreamUnavailable, match="too large"):
        reader.feed(b"x" * MAX_HEAD_BYTES)


@pytest.mark.parametrize(
    "start", [b"SSH-2.0-x\r\n", b"\r\n", b"HTTP/2", b"<html>", b"HTTP/1.1 200 OK\nA: 1\n\n", b"\n"]
)
def test_what_can_not_become_a_head_is_not_waited_for(start: bytes) -> None:
    with pytest.raises(UpstreamUnavailable):
        HeadReader().feed(start)


def test_a_bare_line_feed_is_seen_in_a_later_piece() -> None:
    reader = HeadReader()
    assert reader.feed(b"HTTP/1.1 200 OK\r") is None
    assert reader.feed(b"\nA: 1") is None
    with pytest.raises(UpstreamUnavailable):
        reader.feed(b"\n")


@given(st.lists(st.integers(0, len(HEAD + HEAD)), max_size=8), st.binary(max_size=9))
@pytest.mark.fuzz
def test_it_does_not_matter_how_the_bytes_arrive(cuts: list[int], rest: bytes) -> None:
    wire = HEAD + rest
    reader = HeadReader()
    found = None
    for at, to in zip([0, *sorted(cuts)], [*sorted(cuts), len(wire)], strict=True):
        piece = wire[at:to]
        found = reader.feed(piece) if found is None else (found[0], found[1] + piece)
    assert found == (ResponseHead(200, "OK", (1, 1), ((b"A", b"1"), (b"b", b"2"))), rest)


def test_one_head_after_another() -> None:
    reader = HeadReader()
    found = reader.feed(b"HTTP/1.1 103 Early\r\n\r\n" + HEAD + b"body")
    assert found is not None
    assert found[0].status == 103
    found = reader.feed(found[1])
    assert found is not None
    assert (found[0].status, found[1]) == (200, b"body")


_NAMES = st.text("!#$%&'*+-.^_`|~0123456789ABCXYZabcxyz", min_size=1).map(str.encode)
_WORDS = st.binary(max_size=9).map(lambda value: bytes(byte for byte in value if byte > 0x20 and byte != 0x7F))


@given(st.lists(st.tuples(_NAMES, _WORDS, st.sampled_from([b"", b" ", b"\t", b" : "]), _WORDS), max_size=9))
@pytest.mark.fuzz
def test_fields_come_apart_as_the_parser_of_the_way_in_takes_them(
    parts: list[tuple[bytes, bytes, bytes, bytes]],
) -> None:
    lines = [b"%b:\t %b%b%b \r\n" % part for part in parts]
    head = b"HTTP/1.1 200 OK\r\n%b\r\n" % b"".join(lines)
    theirs = HttpResponseParser(None, None, 1 << 16, response_with_body=False)
    names = {name.lower() for name, *_ in parts}
    assume(not names & {b"content-length", b"transfer-encoding", b"connection", b"upgrade"})
    messages, _, _ = theirs.feed_data(head)
    assert parse_head(head).fields == messages[0][0].raw_headers


def test_fields_are_not_shown() -> None:
    assert b"secret" not in repr(parse_head(b"HTTP/1.1 200 OK\r\nA: secret\r\n\r\n")).encode()
