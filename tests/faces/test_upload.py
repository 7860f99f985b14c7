import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.faces.upload import KEPT, Upload
from sidecar.inbound.server import Incoming
from sidecar.model.refusal import Kind, Oversize, Refused
from tests.support.upstreams import upstream
from tests.support.values import request


class Pieces:
    """An incoming request whose body comes in pieces; None: nothing ever comes again."""

    def __init__(self, *pieces: bytes | None) -> None:
        self._left = list(pieces)

    async def read(self, seconds: float) -> bytes:
        piece = self._left.pop(0) if self._left else b""
        if piece is None:
            await asyncio.sleep(seconds)
            raise TimeoutError
        return piece

    def read_ready(self) -> bytes | None:
        return None


def upload(*pieces: bytes | None, keep: bool = True, length: int | None = 5, **limits: Any) -> Upload:
    incoming = cast(Incoming, Pieces(*pieces))
    return Upload(incoming, request(content_length=length), upstream(**limits), keep=keep)


async def read(body: Upload, count: int | None = None) -> bytes:
    """Read a body from its beginning: so many pieces, or all."""
    sent = body.body()
    assert sent is not None
    received = b""
    while (count is None or count > 0) and (piece := await sent.read()):
        received += piece
        count = None if count is None else count - 1
    return received


@given(st.lists(st.binary(min_size=1), min_size=1), st.integers(0, 10))
async def test_what_is_kept_is_sent_again_from_its_beginning(pieces: Sequence[bytes], first: int) -> None:
    body = upload(*pieces)
    assert await read(body, first) == b"".join(pieces[:first])
    assert body.whole
    assert await read(body) == b"".join(pieces)


async def test_as_much_is_kept_as_is_said() -> None:
    body = upload(b"x" * (KEPT - 1), b"y", b"z")
    await read(body, 2)
    assert body.whole
    await read(body)
    assert not body.whole


async def test_nothing_is_kept_unasked() -> None:
    body = upload(b"hello", keep=False)
    assert body.whole  # nothing was read yet
    assert await read(body) == b"hello"
    assert not body.whole


@pytest.mark.parametrize("length", [None, 0])
def test_no_body(length: int | None) -> None:
    body = upload(length=length)
    assert body.body() is None
    assert body.whole


async def test_its_length_is_the_heads() -> None:
    body = upload(b"hello").body()
    assert body is not None
    assert body.length == 5


async def test_one_that_is_too_large() -> None:
    with pytest.raises(Refused) as caught:
        await read(upload(b"12345", b"6", max_body_bytes=5))
    refusal = caught.value.refusal
    assert (refusal.kind, refusal.oversize, refusal.close) == (Kind.TOO_LARGE, Oversize.BODY, True)
    assert await read(upload(b"12345", max_body_bytes=5)) == b"12345"


async def test_one_that_stalls() -> None:
    with pytest.raises(Refused) as caught:
        await read(upload(b"12", None, send_idle=0.01))
    assert (caught.value.refusal.kind, caught.value.refusal.close) == (Kind.REQUEST_TIMEOUT, True)


class Ready(Pieces):
    """All pieces are there already; None is one that has to be waited for."""

    def read_ready(self) -> bytes | None:
        return self._left.pop(0) if self._left else b""


async def test_what_is_there_already_is_kept_and_bounded_as_what_is_waited_for() -> None:
    body = Upload(cast(Incoming, Ready(b"abc", b"de")), request(content_length=5), upstream(), keep=True)
    for _ in range(2):  # the second time it is what was kept
        sent = body.body()
        assert sent is not None
        assert [sent.ready(), sent.ready(), sent.ready()] == [b"abc", b"de", b""]
        assert body.whole
    limited = Upload(cast(Incoming, Ready(b"x" * 6)), request(content_length=6), upstream(max_body_bytes=5), keep=True)
    sent = limited.body()
    assert sent is not None
    with pytest.raises(Refused) as caught:
        sent.ready()
    assert (caught.value.refusal.kind, caught.value.refusal.oversize) == (Kind.TOO_LARGE, Oversize.BODY)


@given(st.lists(st.binary(min_size=1), max_size=5))
async def test_a_body_that_is_read_first_is_sent_from_its_beginning_as_often_as_wanted(pieces: Sequence[bytes]) -> None:
    body, whole = upload(*pieces), b"".join(pieces)
    assert await body.whole_body(len(whole)) == whole
    for _ in range(2):
        assert body.whole
        assert await read(body) == whole


async def test_all_of_it_is_kept_whatever_is_kept_of_others() -> None:
    body = upload(b"x" * KEPT, b"y")
    await body.whole_body(2 * KEPT)
    assert len(await read(body)) == KEPT + 1
    assert body.whole


async def test_more_than_may_be_read_first() -> None:
    body = upload(b"12345", b"6", b"7")
    with pytest.raises(Refused) as caught:
        await body.whole_body(5)
    refusal = caught.value.refusal
    assert (refusal.kind, refusal.oversize, refusal.close) == (Kind.TOO_LARGE, Oversize.BODY, True)
    assert not body.whole
