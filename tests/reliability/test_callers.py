"""Whoever calls notices what may not be: an answer that is not theirs, and a piece that looks whole."""

import asyncio
from pathlib import Path

import pytest

from tests.reliability import callers
from tests.reliability.answers import answer_body
from tests.reliability.callers import Caller, Issuer, Tally, Way, steadily
from tests.support.gateway import BOUND, Seen, recording_upstream
from tests.support.raw_upstream import Peer, RawUpstream, answering, response

ALICE = Caller("alice", "token-of-alice")
SIZE = 500


def name_of(seen: Seen) -> str:
    return seen.values(b"x-id")[0].decode()


@pytest.mark.parametrize(
    ("sub", "size", "is_whole"), [("alice", SIZE, True), ("bob", SIZE, False), ("alice", SIZE - 1, False)]
)
async def test_an_answer_is_ones_own_and_whole_or_is_kept_apart(sub: str, size: int, is_whole: bool) -> None:
    async with recording_upstream(lambda seen: response(answer_body(sub, name_of(seen), size))) as upstream:
        way = Way(upstream.port, "/", size=SIZE)
        assert await way.ask(ALICE) == 200
        way.close()
    assert way.tally.failed == 0
    assert (way.tally.never == []) == is_whole


async def test_an_answer_to_another_request_of_the_same_person_is_none() -> None:
    async with recording_upstream(lambda _: response(answer_body("alice", "GET-of-before", SIZE))) as upstream:
        way = Way(upstream.port, "/", size=SIZE)
        await way.ask(ALICE)
        way.close()
    assert len(way.tally.never) == 1


async def test_what_breaks_off_failed_and_is_no_answer() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(response(b"x" * SIZE)[:-1])
        peer.close()

    async with RawUpstream(script) as upstream:
        way = Way(upstream.port, "/", size=SIZE)
        assert await way.ask(ALICE) == 0
    assert (way.tally.failed, way.tally.broken.total(), way.tally.never) == (1, 1, [])


async def test_a_connection_that_rested_too_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the gateway might close it in just that moment, and a request would fail by the caller's own fault."""
    async with RawUpstream(answering(*[response(b"no", status=b"404 Not Found")] * 3)) as upstream:
        way = Way(upstream.port, "/")
        await way.ask(ALICE)
        await way.ask(ALICE)
        assert upstream.accepted == 1
        monkeypatch.setattr(callers, "REST", 0.0)
        await way.ask(ALICE)
        assert upstream.accepted == 2
        way.close()
    assert way.tally.statuses == {404: 3}


async def test_refusals_are_no_violation_but_failed() -> None:
    async with recording_upstream(lambda _: response(b"no", status=b"503 Service Unavailable")) as upstream:
        way = Way(upstream.port, "/")
        assert await way.ask(ALICE) == 503
        way.close()
    assert (way.tally.failed, way.tally.never) == (1, [])
    assert way.tally.percentile(0.5, 503) > 0
    assert way.tally.percentile(0.5) == 0


async def test_a_load_goes_on_while_answers_are_late_and_ends_when_all_are_there(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await gate.wait()
        await peer.send(response(b"late", b"Connection: close", status=b"503 Service Unavailable"))

    async with (
        RawUpstream(script) as upstream,
        steadily(Way(upstream.port, "/"), 1000, Issuer(tmp_path).strangers()) as tally,
    ):
        async with asyncio.timeout(BOUND):
            while upstream.accepted < 5:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.001)
        assert tally.sent == 0
        gate.set()
    assert tally.statuses == {503: upstream.accepted}


def test_tallies_add_up() -> None:
    one, other = Tally(), Tally()
    for tally, seconds in ((one, 0.1), (other, 0.3)):
        tally.statuses[200] += 1
        tally.broken["EOFError"] += 1
        tally.seconds[200] = [seconds]
    one.add(other)
    assert (one.sent, one.failed, one.seconds[200]) == (4, 2, [0.1, 0.3])
    assert one.percentile(0.99) == 300
