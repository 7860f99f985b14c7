import pytest

from sidecar.upstream.body import Body, Outgoing
from sidecar.upstream.errors import RequestBodyMismatch
from tests.support.upstreams import body_of


class Recorder:
    def __init__(self) -> None:
        self.sent: list[tuple[bytes, bool]] = []

    full = False

    def put(self, data: bytes, *, last: bool) -> None:
        self.sent.append((data, last))

    async def send(self, data: bytes, *, last: bool) -> None:
        self.put(data, last=last)


async def sent(body: Body) -> list[tuple[bytes, bool]]:
    sink = Recorder()
    await Outgoing(body, sink).send()
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
        await Outgoing(body_of(b"abc", length=5), sink).send()
    assert sink.sent == [(b"abc", False)]


@pytest.mark.parametrize("pieces", [(b"abcdef",), (b"abcde", b"f"), (b"abc", b"def")])
async def test_not_one_byte_more_than_promised_goes_out(pieces: tuple[bytes, ...]) -> None:
    sink = Recorder()
    with pytest.raises(RequestBodyMismatch, match="longer"):
        await Outgoing(body_of(*pieces, length=5), sink).send()
    assert len(b"".join(data for data, _ in sink.sent)) <= 5


async def test_what_the_source_raises_passes_through() -> None:
    async def read() -> bytes:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await sent(Body(read, None))


def ready(*pieces: bytes | None, length: int | None = None) -> Body:
    """A body of which these pieces are there already, b"" being its end; None has to be waited for."""
    source = list(pieces)

    async def read() -> bytes:
        while source[0] is None:
            source.pop(0)
        return source.pop(0) or b""

    return Body(read, length, lambda: source.pop(0) if source and source[0] is not None else None)


async def test_what_is_there_already_goes_out_at_once_and_framed_as_ever() -> None:
    for body in (ready(b"abc", b"de", b"", length=5), ready(b"abc", None, b"de", b"", length=5)):
        outgoing = Outgoing(body, sink := Recorder())
        if not outgoing.send_ready():
            await outgoing.send()
        assert sink.sent == [(b"abc", False), (b"de", True)]
    sink = Recorder()
    assert Outgoing(ready(b"abc", b""), sink).send_ready()
    assert sink.sent == [(b"3\r\nabc\r\n", False), (b"0\r\n\r\n", True)]


async def test_no_more_goes_out_than_there_is_room_for() -> None:
    sink = Recorder()
    sink.full = True
    outgoing = Outgoing(ready(b"abc", b"", length=3), sink)
    assert not outgoing.send_ready()
    assert sink.sent == []
    await outgoing.send()
    assert [piece for piece in sink.sent if piece[0]] == [(b"abc", True)]


@pytest.mark.parametrize(("pieces", "wrong"), [((b"abcd",), "longer"), ((b"ab", b""), "shorter")])
async def test_a_ready_body_is_held_against_its_length_too(pieces: tuple[bytes, ...], wrong: str) -> None:
    sink = Recorder()
    with pytest.raises(RequestBodyMismatch, match=wrong):
        Outgoing(ready(*pieces, length=3), sink).send_ready()
    assert len(b"".join(data for data, _ in sink.sent)) < 3
