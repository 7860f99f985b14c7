import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.wire.framing import (
    LAST_CHUNK,
    Delimiter,
    FramingError,
    ResponseFraming,
    encode_chunk,
    request_framing,
    response_framing,
)

Fields = list[tuple[bytes, bytes]]

CHUNKED = (b"Transfer-Encoding", b"chunked")
FIVE = (b"Content-Length", b"5")


def framing(
    *fields: tuple[bytes, bytes], method: str = "GET", status: int = 200, version: tuple[int, int] = (1, 1)
) -> ResponseFraming:
    return response_framing(method, status, version, fields)


@pytest.mark.parametrize(
    ("fields", "delimiter", "length"),
    [
        ([FIVE], Delimiter.LENGTH, 5),
        ([(b"content-LENGTH", b"0005")], Delimiter.LENGTH, 5),
        ([(b"Content-Length", b"0")], Delimiter.NONE, 0),
        ([CHUNKED], Delimiter.CHUNKED, None),
        ([(b"transfer-encoding", b"Chunked")], Delimiter.CHUNKED, None),
        ([], Delimiter.CLOSE, None),
    ],
)
def test_what_ends_a_body(fields: Fields, delimiter: Delimiter, length: int | None) -> None:
    found = framing(*fields)
    assert (found.delimiter, found.content_length) == (delimiter, length)


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("HEAD", 404), ("GET", 304), ("HEAD", 304)])
@pytest.mark.parametrize(("field", "length"), [(FIVE, 5), (CHUNKED, None), ((b"X", b""), None)])
def test_a_head_alone_keeps_what_it_says_of_length(
    method: str, status: int, field: tuple[bytes, bytes], length: int | None
) -> None:
    found = framing(field, method=method, status=status)
    assert (found.delimiter, found.content_length, found.persistent) == (Delimiter.NONE, length, True)


@pytest.mark.parametrize("status", [100, 103, 199, 204])
def test_a_status_without_a_body_must_not_claim_one(status: int) -> None:
    assert framing(status=status).delimiter is Delimiter.NONE
    assert framing((b"Content-Length", b"0"), status=status).delimiter is Delimiter.NONE
    for field in (FIVE, CHUNKED):
        with pytest.raises(FramingError):
            framing(field, status=status)


@pytest.mark.parametrize(
    "fields",
    [
        [CHUNKED, FIVE],
        [FIVE, CHUNKED],
        [CHUNKED, (b"Content-Length", b"0")],
        [FIVE, FIVE],
        [FIVE, (b"Content-Length", b"6")],
        [CHUNKED, CHUNKED],
        *[
            [(b"Content-Length", value)]
            for value in (b"", b"-1", b"+5", b"5,5", b"5, 6", b"0x5", b"5 ", b"5.0", b"5_0", b"\xb25", b"9" * 19)
        ],
        *[
            [(b"Transfer-Encoding", value)]
            for value in (
                b"",
                b"gzip",
                b"gzip, chunked",
                b"chunked, identity",
                b"xchunked",
                b"chunked,",
                b"chunked\t",
                b"identity",
            )
        ],
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.threat("S31")
def test_whatever_could_be_read_two_ways_is_refused(fields: Fields, method: str) -> None:
    with pytest.raises(FramingError):
        framing(*fields, method=method)


def test_http_1_0_knows_no_chunks() -> None:
    with pytest.raises(FramingError):
        framing(CHUNKED, version=(1, 0))


@pytest.mark.parametrize(
    ("connection", "version", "persistent"),
    [
        (None, (1, 1), True),
        (b"close", (1, 1), False),
        (b"CLOSE", (1, 1), False),
        (b"x, Close", (1, 1), False),
        (b"keep-alive, close", (1, 1), False),
        (b"closed", (1, 1), True),
        (None, (1, 0), False),
        (b"Keep-Alive", (1, 0), True),
        (b"keep-alive, close", (1, 0), False),
    ],
)
def test_who_keeps_the_connection(connection: bytes | None, version: tuple[int, int], persistent: bool) -> None:
    options = [] if connection is None else [(b"Connection", connection)]
    assert framing(FIVE, *options, version=version).persistent is persistent


def test_a_body_that_lasts_as_long_as_the_connection_ends_it() -> None:
    assert not framing((b"Connection", b"keep-alive")).persistent


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"timeout=5", 5),
        (b"timeout=5, max=100", 5),
        (b"max=100, Timeout = 7", 7),
        (b"max=100", None),
        (b"timeout=x", None),
        (b"mytimeout=5", None),
        (b"", None),
    ],
)
def test_the_servers_own_limit_of_idleness(value: bytes, seconds: int | None) -> None:
    assert framing(FIVE, (b"Keep-Alive", value)).keep_alive == seconds


LENGTHS = st.sampled_from([b"0", b"1", b"5", b"05", b"", b"-1", b"+1", b"5,5", b"1e1", b" 5", b"\xd9\xa3"])
CODINGS = st.sampled_from([b"chunked", b"CHUNKED", b"gzip", b"chunked, chunked", b"identity", b""])
LINES = st.one_of(
    st.tuples(st.sampled_from([b"Content-Length", b"content-length"]), LENGTHS),
    st.tuples(st.sampled_from([b"Transfer-Encoding", b"TRANSFER-ENCODING"]), CODINGS),
    st.just((b"Content_Length", b"9")),
)


@given(st.lists(LINES, max_size=4), st.sampled_from([200, 204, 304, 404]), st.sampled_from([(1, 0), (1, 1)]))
@pytest.mark.fuzz
def test_a_framing_is_only_taken_from_one_clear_field(fields: Fields, status: int, version: tuple[int, int]) -> None:
    lengths = [value for name, value in fields if name.lower() == b"content-length"]
    codings = [value for name, value in fields if name.lower() == b"transfer-encoding"]
    try:
        found = framing(*fields, status=status, version=version)
    except FramingError:
        clear = len(lengths) + len(codings) == 0 or (
            (len(lengths) == 1 and not codings and lengths[0].isdigit())
            or (len(codings) == 1 and not lengths and codings[0].lower() == b"chunked" and version == (1, 1))
        )
        assert not clear or status == 204
        return
    assert len(lengths) + len(codings) <= 1
    assert found.content_length == (int(lengths[0]) if lengths else None)
    assert (found.delimiter is Delimiter.CHUNKED) == (bool(codings) and status not in (204, 304))


@given(st.binary(max_size=300))
def test_a_chunk_is_size_and_data(data: bytes) -> None:
    size, _, rest = encode_chunk(data).partition(b"\r\n")
    assert (not data and not size) or (int(size, 16) == len(data) and rest == data + b"\r\n")


def test_no_data_never_makes_the_last_chunk() -> None:
    assert encode_chunk(b"") == b""
    assert LAST_CHUNK == b"0\r\n\r\n"


def test_a_request_body_is_framed_by_its_length_or_by_chunks() -> None:
    assert request_framing(0) == (b"Content-Length", b"0")
    assert request_framing(12) == (b"Content-Length", b"12")
    assert request_framing(None) == CHUNKED
