import asyncio

import pytest

from sidecar.upstream.errors import UpstreamError, UpstreamTruncated
from sidecar.upstream.head import ResponseHead
from sidecar.upstream.response import HIGH_WATER, LOW_WATER, PIECE_COST, Response


class FakeSource:
    """Notes what is asked of it; like a connection, it ends the response when it is cut."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.response = Response(ResponseHead(200, "OK", (1, 1), ((b"A", b"1"),)), None, True, self)

    def pause(self) -> None:
        self.asked.append("pause")

    def resume(self) -> None:
        self.asked.append("resume")

    def expect_body(self) -> None:
        self.asked.append("expect")

    def stop_expecting(self) -> None:
        self.asked.append("stop")

    def cut(self) -> None:
        self.asked.append("cut")
        self.response.end(UpstreamTruncated("cut"))


async def test_pieces_come_as_they_were_fed_and_then_the_end() -> None:
    response = FakeSource().response
    first, second = b"abc", b"def"
    response.feed(first)
    response.feed(second)
    response.end(None)
    assert await response.read() is first
    assert await response.read() is second
    assert await response.read() == b""
    assert await response.read() == b""
    assert (response.status, response.reason, response.fields, response.has_body) == (200, "OK", ((b"A", b"1"),), True)


async def test_what_arrived_before_an_error_is_read_before_it_is_raised() -> None:
    response = FakeSource().response
    response.feed(b"abc")
    response.end(UpstreamTruncated("the connection ended"))
    assert await response.read() == b"abc"
    for _ in range(2):
        with pytest.raises(UpstreamTruncated):
            await response.read()


@pytest.mark.parametrize("error", [None, UpstreamTruncated("x")])
async def test_a_waiting_reader_learns_of_the_end(error: UpstreamError | None) -> None:
    source = FakeSource()
    reading = asyncio.create_task(source.response.read())
    await asyncio.sleep(0)
    source.response.end(error)
    outcome = (await asyncio.gather(reading, return_exceptions=True))[0]
    assert outcome == (b"" if error is None else error)


async def test_silence_is_only_watched_while_someone_reads() -> None:
    source = FakeSource()
    reading = asyncio.create_task(source.response.read())
    await asyncio.sleep(0)
    assert source.asked == ["expect"]
    source.response.feed(b"x")
    assert source.asked == ["expect", "stop"]
    assert await reading == b"x"
    source.response.feed(b"y")
    assert source.asked == ["expect", "stop"]


async def test_a_slow_reader_stops_the_source_and_starts_it_again() -> None:
    source = FakeSource()
    piece = bytes(8 * 1024)
    while not source.asked:
        source.response.feed(piece)
    assert source.asked == ["pause"]
    assert HIGH_WATER < source.response.buffered <= HIGH_WATER + len(piece) + PIECE_COST
    source.response.feed(piece)
    assert source.asked == ["pause"]
    while source.response.buffered > LOW_WATER:
        assert source.asked == ["pause"]
        await source.response.read()
    assert source.asked == ["pause", "resume"]


async def test_tiny_pieces_count_for_what_they_cost() -> None:
    source = FakeSource()
    fed = 0
    while not source.asked:
        source.response.feed(b"x")
        fed += 1
    assert fed <= HIGH_WATER // PIECE_COST


async def test_closing_before_the_end_cuts_and_is_never_the_end() -> None:
    source = FakeSource()
    source.response.feed(b"abc")
    source.response.close()
    source.response.close()
    assert source.asked == ["cut"]
    assert source.response.buffered == 0
    with pytest.raises(UpstreamTruncated):
        await source.response.read()


async def test_closing_with_unread_bytes_of_a_complete_body_is_not_its_end_either() -> None:
    source = FakeSource()
    source.response.feed(b"abc")
    source.response.end(None)
    source.response.close()
    assert source.asked == []
    with pytest.raises(UpstreamTruncated):
        await source.response.read()


async def test_closing_after_the_end_changes_nothing() -> None:
    source = FakeSource()
    source.response.end(None)
    source.response.close()
    assert await source.response.read() == b""
    assert source.asked == []


async def test_a_cancelled_read_closes() -> None:
    source = FakeSource()
    reading = asyncio.create_task(source.response.read())
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait((reading,))
    assert reading.cancelled()
    assert source.asked == ["expect", "cut"]


async def test_a_whole_body_is_taken_at_once_and_only_a_whole_one() -> None:
    response = FakeSource().response
    response.feed(b"abc")
    assert response.whole() is None
    response.feed(b"de")
    response.end(None)
    assert response.whole() == b"abcde"
    assert (response.buffered, await response.read()) == (0, b"")
    cut = FakeSource().response
    cut.feed(b"abc")
    cut.end(UpstreamTruncated("cut"))
    assert cut.whole() is None
