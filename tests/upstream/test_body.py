import pytest

from sidecar.upstream.body import Body, send_body
from sidecar.upstream.errors import RequestBodyMismatch
from tests.support.upstreams import body_of


class Recorder:
    def __init__(self) -> None:
        self.sent: list[tuple[bytes, bool]] = []

    async def send(self, data: bytes, *, last: bool) -> None:
        self.sent.append((data, last))


async def sent(body: Body) -> list[tuple[bytes, bool]]:
    sink = Recorder()
    await send_body(body, sink)
    return sink.sent


async def test_a_body_with_a_length_goes_out_as_it_is() -> None:
    assert await sent(body_of(b"abc", b"de", length=5)) == [(b"abc", False), (b"de", True)]


async def test_a_body_without_a_length_is_chunked() -> None:
    pieces = [(b"3\r\nabc\r\n", False), (b"10\r\n0123456789abcdef\r\n", False), (b"0\r\n\r\n", True)]
    assert await sent(body_of(b"abc", b"0123456789abcdef")) == pieces


async def test_an_empty_body_without_a_length_still_ends() -> None:
    assert await sent(body_of()) == [(b"0\r\n\r\n", True)]


async def test_nothing_goes_out_for_a_length_of_zero() -> None:
    assert await sent(body_of(length=0)) == []


async def test_too_few_bytes_never_look_complete() -> None:
    sink = Recorder()
    with pytest.raises(RequestBodyMismatch, match="shorter"):
        await send_body(body_of(b"abc", length=5), sink)
    assert sink.sent == [(b"abc", False)]


@pytest.mark.parametrize("pieces", [(b"abcdef",), (b"abcde", b"f"), (b"abc", b"def")])
async def test_not_one_byte_more_than_promised_goes_out(pieces: tuple[bytes, ...]) -> None:
    sink = Recorder()
    with pytest.raises(RequestBodyMismatch, match="longer"):
        await send_body(body_of(*pieces, length=5), sink)
    assert len(b"".join(data for data, _ in sink.sent)) <= 5


async def test_what_the_source_raises_passes_through() -> None:
    async def read() -> bytes:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await sent(Body(read, None))
