import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.upstream.decoders import (
    MAX_CHUNK_LINE,
    MAX_TRAILERS,
    ChunkedDecoder,
    CloseDecoder,
    Decoder,
    LengthDecoder,
    decoder_for,
)
from sidecar.wire.framing import LAST_CHUNK, Delimiter, FramingError, ResponseFraming, encode_chunk


def fed(decoder: Decoder, *pieces: bytes) -> bytes:
    return b"".join(decoder.feed(piece) for piece in pieces)


@pytest.mark.parametrize(
    ("delimiter", "kind"),
    [(Delimiter.LENGTH, LengthDecoder), (Delimiter.CHUNKED, ChunkedDecoder), (Delimiter.CLOSE, CloseDecoder)],
)
def test_each_framing_has_its_decoder(delimiter: Delimiter, kind: type) -> None:
    assert type(decoder_for(ResponseFraming(delimiter, 3, True, None))) is kind


def test_a_length_ends_exactly_there() -> None:
    decoder = LengthDecoder(5)
    assert fed(decoder, b"abc") == b"abc"
    assert not decoder.complete
    assert not decoder.feed_eof()
    assert fed(decoder, b"de") == b"de"
    assert decoder.complete
    assert decoder.feed_eof()
    assert not decoder.excess


def test_bytes_after_a_length_are_not_the_bodys() -> None:
    decoder = LengthDecoder(3)
    assert fed(decoder, b"abcHTTP/1.1") == b"abc"
    assert decoder.complete
    assert decoder.excess


def test_a_body_until_close_ends_there_only() -> None:
    decoder = CloseDecoder()
    assert fed(decoder, b"abc", b"def") == b"abcdef"
    assert not decoder.complete
    assert decoder.feed_eof()
    assert decoder.complete


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        (b"0\r\n\r\n", b""),
        (b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
        (b"0000a\r\n0123456789\r\n1\r\nx\r\n000\r\n\r\n", b"0123456789x"),
        (b'A;name=value;q="x"\r\n0123456789\r\n0;last\r\n\r\n', b"0123456789"),
        (b"1 \t;ext\r\nx\r\n0\r\n\r\n", b"x"),
        (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n"),
        (b"1\r\nx\r\n0\r\nTrailer: secret\r\nOther: 2\r\n\r\n", b"x"),
    ],
)
def test_chunks_give_their_data_alone(wire: bytes, body: bytes) -> None:
    whole = ChunkedDecoder()
    assert fed(whole, wire) == body
    assert whole.complete
    assert not whole.excess
    single = ChunkedDecoder()
    assert fed(single, *(wire[at : at + 1] for at in range(len(wire)))) == body
    assert single.complete
    assert not single.excess


@pytest.mark.parametrize(
    "wire",
    [
        b"\r\n",
        b"\n",
        b"x\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x1\r\n",
        b" 1\r\n",
        b"1 \r\nx",
        b"1\nx",
        b"1\r\nxy",
        b"1\r\nx\n0\r\n\r\n",
        b"1\r\nx\r0",
        b"1;\x00\r\nx",
        b"1;a\rb\r\n",
        b"1_0\r\n",
        b"1000000000000000\r\n",
        b"fffffffffffffffff\r\n",
        b"\xef\xbc\x91\r\n",
        b"1\r\nx\r\n;\r\n",
        b"1;" + b"x" * MAX_CHUNK_LINE,
        b"0\r\nA: " + b"x" * MAX_TRAILERS,
        b"0\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"0\r\nA: x\ny\r\n\r\n",
        b"0\r\nA: x\r\n y\r\n\r\n",
        b"0\r\nA : x\r\n\r\n",
        b"0\r\nA: \x00\r\n\r\n",
        b"0\r\nA\r\n\r\n",
    ],
)
@pytest.mark.threat("S32")
def test_what_is_no_chunk_is_refused(wire: bytes) -> None:
    decoder = ChunkedDecoder()
    with pytest.raises(FramingError):
        decoder.feed(wire)
    assert not decoder.complete


@pytest.mark.parametrize("end", [b"HTTP/1.1 200 OK\r\n\r\n", b"x", b"0\r\n\r\n", b"\r\n"])
@pytest.mark.parametrize("trailer", [b"", b"A: 1\r\n"])
def test_bytes_after_the_last_chunk_are_seen(trailer: bytes, end: bytes) -> None:
    decoder = ChunkedDecoder()
    assert fed(decoder, b"1\r\nx\r\n0\r\n" + trailer + b"\r\n" + end) == b"x"
    assert decoder.complete
    assert decoder.excess


@given(st.lists(st.binary(min_size=1, max_size=40)), st.data())
def test_what_was_encoded_is_decoded_however_it_arrives(chunks: list[bytes], data: st.DataObject) -> None:
    wire = b"".join(encode_chunk(chunk) for chunk in chunks) + LAST_CHUNK
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=12)))
    decoder = ChunkedDecoder()
    assert fed(decoder, *(wire[at:to] for at, to in zip([0, *cuts], [*cuts, len(wire)], strict=True))) == b"".join(
        chunks
    )
    assert decoder.complete
    assert not decoder.excess


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1), st.data())
@pytest.mark.fuzz
def test_a_cut_body_is_never_complete(chunks: list[bytes], data: st.DataObject) -> None:
    wire = b"".join(encode_chunk(chunk) for chunk in chunks) + LAST_CHUNK
    decoder = ChunkedDecoder()
    received = decoder.feed(wire[: data.draw(st.integers(0, len(wire) - 1))])
    assert not decoder.complete
    assert not decoder.feed_eof()
    assert b"".join(chunks).startswith(received)


@given(st.binary(max_size=60), st.integers(0, 60))
@pytest.mark.fuzz
def test_any_bytes_either_fail_or_read_the_same_in_two_pieces(wire: bytes, cut: int) -> None:
    def outcome(*pieces: bytes) -> tuple[bytes, bool] | None:
        decoder = ChunkedDecoder()
        try:
            body = b"".join(decoder.feed(piece) for piece in pieces if not decoder.complete)
        except FramingError:
            return None
        return body, decoder.complete

    assert outcome(wire) == outcome(wire[:cut], wire[cut:])
