import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar.model.route import TLS
from sidecar.tls import client_tls
from sidecar.upstream.body import Body
from sidecar.upstream.errors import (
    Phase,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnavailable,
)
from sidecar.upstream.pool import IDLE_TIMEOUT, Pool
from sidecar.upstream.response import Response
from sidecar.wire.framing import LAST_CHUNK, encode_chunk
from tests.support.certificates import Authority
from tests.support.clock import FakeClock
from tests.support.raw_upstream import Peer, RawUpstream, Script, response
from tests.support.upstreams import all_of, body_of, endless, head, upstream

BOUND = 5.0
SOON = 0.005


async def numbering(peer: Peer) -> None:
    """Answer every request with the number of its connection."""
    while True:
        await peer.head()
        await peer.send(response(b"%d" % peer.number))


async def get(pool: Pool, method: str = "GET", body: Body | None = None) -> bytes:
    return await all_of(await pool.request(head(method), method=method, body=body))


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(BOUND):
        while not true():  # noqa: ASYNC110  # most of what is waited for has no event
            await asyncio.sleep(0)


# Keeping connections.


async def test_a_connection_is_used_again() -> None:
    async with RawUpstream(numbering) as server:
        pool = Pool(upstream(server.port))
        assert [await get(pool) for _ in range(3)] == [b"1"] * 3
        assert (pool.active, pool.idle, server.accepted) == (0, 1, 1)
        await pool.close()
        assert pool.idle == 0


async def test_what_is_counted_as_active_and_idle() -> None:
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
        await go.wait()
        await peer.send(b"def")
        await peer.rest()

    async with RawUpstream(script) as server:
        pool = Pool(upstream(server.port))
        answers = [await pool.request(head(), method="GET") for _ in range(2)]
        assert (pool.active, pool.idle) == (2, 0)
        go.set()
        for answer in answers:
            await all_of(answer)
        assert (pool.active, pool.idle) == (0, 2)
        await pool.close()


async def test_the_last_one_in_is_the_first_one_out() -> None:
    gates = {number: asyncio.Event() for number in (1, 2, 3)}

    async def script(peer: Peer) -> None:
        await peer.head()
        await gates[peer.number].wait()
        await peer.send(response(b"%d" % peer.number))
        await numbering(peer)

    async with RawUpstream(script) as server:
        pool = Pool(upstream(server.port))
        tasks = []
        for number in (1, 2, 3):
            tasks.append(asyncio.create_task(get(pool)))
            await until(lambda number=number: server.accepted == number)  # type: ignore[misc]
        for number in (2, 3, 1):
            gates[number].set()
            await until(lambda: pool.idle > 0)
            await tasks[number - 1]
        assert pool.idle == 3
        assert await get(pool) == b"1"
        await pool.close()


@pytest.mark.parametrize(
    ("waited", "field", "connection"),
    [
        (IDLE_TIMEOUT - 0.1, b"X: 1", b"1"),
        (IDLE_TIMEOUT + 0.1, b"X: 1", b"2"),
        (0.9, b"Keep-Alive: timeout=2", b"1"),
        (1.1, b"Keep-Alive: timeout=2", b"2"),
        (0.0, b"Keep-Alive: timeout=1", b"2"),
        (IDLE_TIMEOUT + 0.1, b"Keep-Alive: timeout=60", b"2"),
    ],
)
async def test_a_connection_rests_less_long_than_its_server_allows(
    waited: float, field: bytes, connection: bytes
) -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.head()
            await peer.send(response(b"%d" % peer.number, field))

    time = FakeClock()
    async with RawUpstream(script) as server:
        pool = Pool(upstream(server.port), clock=time.clock)
        assert await get(pool) == b"1"
        time.advance(waited)
        assert await get(pool) == connection
        await pool.close()


async def test_a_connection_is_not_used_beyond_its_age() -> None:
    time = FakeClock()
    async with RawUpstream(numbering) as server:
        pool = Pool(upstream(server.port, max_connection_age=10.0), clock=time.clock)
        seen = []
        for _ in range(12):
            seen.append(await get(pool))
            time.advance(1)
        assert seen == [b"1"] * 10 + [b"2"] * 2
        await pool.close()


async def test_a_resting_connection_closes_by_itself() -> None:
    left = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(response())
        await peer.rest()
        left.set()

    async with RawUpstream(script) as server:
        pool = Pool(upstream(server.port, max_connection_age=SOON))
        await get(pool)
        await asyncio.wait_for(left.wait(), BOUND)
        assert pool.idle == 0


# An idle connection that speaks (the poisoned pool).


@pytest.mark.parametrize("evil", [response(b"evil"), b"x", b"\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
@pytest.mark.parametrize("seen_by_the_loop", [True, False])
@pytest.mark.threat("S37")
async def test_what_an_idle_connection_sends_is_never_the_next_answer(evil: bytes, seen_by_the_loop: bool) -> None:
    first: list[Peer] = []

    async def script(peer: Peer) -> None:
        first.append(peer)
        await numbering(peer)

    async with RawUpstream(script) as server:
        pool = Pool(upstream(server.port))
        assert await get(pool) == b"1"
        assert pool.idle == 1
        first[0].writer.write(evil)  # in the kernel at once
        if seen_by_the_loop:
            await until(lambda: pool.idle == 0)
        assert await get(pool) == b"2"
        await pool.close()


@pytest.mark.parametrize("seen_by_the_loop", [True, False])
async def test_an_idle_connection_that_ended_is_not_used_not_even_for_a_post(seen_by_the_loop: bool) -> None:
    first: list[Peer] = []

    async def script(peer: Peer) -> None:
        first.append(peer)
        await numbering(peer)

    async with RawUpstream(script) as server:
        pool = Pool(upstream(server.port))
        assert await get(pool, "POST") == b"1"
        first[0].cut()
        await asyncio.sleep(0)  # the server's turn to close
        if seen_by_the_loop:
            await until(lambda: pool.idle == 0)
        assert await get(pool, "POST") == b"2"
        await pool.close()


async def test_a_renewed_certificate_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    """Connections of the old one take no further request, whether they rest or are in use meanwhile."""
    authority = Authority(tmp_path)
    cert, key = tmp_path / "tls.crt", tmp_path / "tls.key"

    def put(name: str) -> None:
        ours = authority.issue(name)
        cert.write_bytes(Path(ours.cert_file).read_bytes())
        key.write_bytes(Path(ours.key_file).read_bytes())

    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        name = peer.writer.get_extra_info("peercert")["subjectAltName"][0][1].encode()
        while True:
            if b"POST" in await peer.head():
                await go.wait()
            await peer.send(response(name))

    put("old")
    settings = TLS(ca_file=authority.ca_file, cert_file=str(cert), key_file=str(key))
    tls = client_tls(settings)
    context = authority.issue("127.0.0.1").server_context(authority.ca_file)
    async with RawUpstream(script, tls=context) as server:
        pool = Pool(upstream(server.port, tls=settings), contexts=lambda _: tls)
        assert await get(pool) == b"old"
        busy = asyncio.create_task(get(pool, "POST"))
        await until(lambda: pool.active == 1 and pool.idle == 0)
        assert await get(pool) == b"old"
        assert server.accepted == 2
        put("new")
        tls.reread()
        assert await get(pool) == b"new"
        go.set()
        assert await busy == b"old"  # what was under way ends as it began
        assert [await get(pool) for _ in range(2)] == [b"new"] * 2
        assert (server.accepted, pool.idle) == (3, 1)
        await pool.close()


@pytest.mark.threat("S37")
async def test_two_responses_to_one_request_close_the_connection() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(response(b"%d" % peer.number) + response(b"evil"))
        await peer.rest()

    async with RawUpstream(script) as server:
        pool = Pool(upstream(server.port))
        assert [await get(pool) for _ in range(3)] == [b"1", b"2", b"3"]
        assert pool.idle == 0
        await pool.close()


# Sending again.


def answers_once(then: Callable[[Peer], Any], hits: list[bytes]) -> Script:
    """The first connection answers one request, and does something else with the next; others answer."""

    async def script(peer: Peer) -> None:
        served = 0
        while True:
            hits.append((await peer.head()).split(b" ")[0])
            if peer.number == 1 and served == 1:
                then(peer)
                await peer.rest()
                return
            await peer.send(response(b"%d" % peer.number))
            served += 1

    return script


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "PUT", "DELETE"])
@pytest.mark.parametrize("then", [Peer.close, Peer.reset])
async def test_an_idempotent_request_is_sent_again_on_a_connection_of_its_own(
    method: str, then: Callable[[Peer], None]
) -> None:
    hits: list[bytes] = []
    async with RawUpstream(answers_once(then, hits)) as server:
        pool = Pool(upstream(server.port))
        assert await get(pool) == b"1"
        assert await get(pool, method) == b"2"
        assert hits[1:] == [method.encode()] * 2
        assert (pool.active, pool.idle) == (0, 1)
        await pool.close()


@pytest.mark.parametrize(("method", "body"), [("POST", None), ("PATCH", None), ("M-SEARCH", None), ("PUT", b"x")])
async def test_any_other_request_is_sent_once(method: str, body: bytes | None) -> None:
    hits: list[bytes] = []
    async with RawUpstream(answers_once(Peer.close, hits)) as server:
        pool = Pool(upstream(server.port))
        await get(pool)
        with pytest.raises(UpstreamUnavailable):
            await get(pool, method, None if body is None else body_of(body, length=1))
        assert hits[1:] == [method.encode()]
        assert (pool.active, pool.idle) == (0, 0)
        await pool.close()


async def test_a_request_that_was_answered_in_part_is_not_sent_again() -> None:
    hits: list[bytes] = []

    def half(peer: Peer) -> None:
        peer.writer.write(b"HTTP/1.1 ")
        peer.close()

    async with RawUpstream(answers_once(half, hits)) as server:
        pool = Pool(upstream(server.port))
        await get(pool)
        with pytest.raises(UpstreamUnavailable):
            await get(pool)
        assert len(hits) == 2
        await pool.close()


async def test_a_fresh_connection_is_not_tried_twice() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        peer.close()

    async with RawUpstream(script) as server:
        pool = Pool(upstream(server.port))
        with pytest.raises(UpstreamUnavailable):
            await get(pool)
        assert server.accepted == 1
        await pool.close()


async def test_a_second_failure_is_the_last() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        if peer.number == 1:
            await peer.send(response())
            await peer.head()
        peer.close()

    async with RawUpstream(script) as server:
        pool = Pool(upstream(server.port))
        await get(pool)
        with pytest.raises(UpstreamUnavailable):
            await get(pool)
        assert server.accepted == 2
        assert pool.active == 0
        await pool.close()


async def test_silence_is_not_tried_again() -> None:
    hits: list[bytes] = []
    async with RawUpstream(answers_once(lambda _: None, hits)) as server:
        pool = Pool(upstream(server.port, response_timeout=0.05))
        await get(pool)
        with pytest.raises(UpstreamTimeout) as caught:
            await get(pool)
        assert caught.value.phase is Phase.RESPONSE
        assert len(hits) == 2
        await pool.close()


# How many at a time.


async def test_connections_are_bounded_and_the_rest_waits_its_turn() -> None:
    at_once = most = 0

    async def script(peer: Peer) -> None:
        nonlocal at_once, most
        while True:
            await peer.head()
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.001)
            at_once -= 1
            await peer.send(response(b"ok"))

    async with RawUpstream(script) as server:
        pool = Pool(upstream(server.port, max_connections=3))
        assert await asyncio.gather(*(get(pool) for _ in range(30))) == [b"ok"] * 30
        assert most == 3
        assert server.accepted == 3
        assert (pool.active, pool.idle) == (0, 3)
        await pool.close()


async def test_whoever_waits_too_long_is_told_so() -> None:
    async with RawUpstream(Peer.rest) as server:
        pool = Pool(upstream(server.port, max_connections=1), patience=SOON)
        holding = asyncio.create_task(get(pool))
        await until(lambda: server.accepted == 1)
        with pytest.raises(UpstreamOverloaded):
            await get(pool)
        assert pool.active == 1
        holding.cancel()
        await asyncio.wait((holding,))
        assert pool.active == 0
        await pool.close()


@pytest.mark.parametrize(
    "settings", [{"port": 1}, {"host": None, "unix_path": "/nowhere/x.sock"}, {"connect_timeout": 0.0}]
)
async def test_a_connection_that_can_not_be_made_takes_no_slot(settings: dict[str, Any]) -> None:
    pool = Pool(upstream(**{"port": 1, "max_connections": 1, **settings}))
    for _ in range(3):
        with pytest.raises((UpstreamUnavailable, UpstreamTimeout)):
            await get(pool)
    assert pool.active == 0
    await pool.close()


async def test_a_response_holds_its_slot_until_it_is_read_or_closed() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        await peer.rest()

    async with RawUpstream(script) as server:
        pool = Pool(upstream(server.port, max_connections=1), patience=SOON)
        held = await pool.request(head(), method="GET")
        with pytest.raises(UpstreamOverloaded):
            await get(pool)
        held.close()
        assert pool.active == 0
        (await pool.request(head(), method="GET")).close()
        await pool.close()


# Closing.


async def test_closing_waits_for_responses_and_keeps_no_connection() -> None:
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
        await go.wait()
        await peer.send(b"def")
        await peer.rest()

    async with RawUpstream(script) as server:
        pool = Pool(upstream(server.port))
        answer = await pool.request(head(), method="GET")
        closing = asyncio.create_task(pool.close())
        await asyncio.sleep(SOON)
        assert not closing.done()
        go.set()
        assert await all_of(answer) == b"abcdef"
        await asyncio.wait_for(closing, BOUND)
        assert (pool.active, pool.idle) == (0, 0)


async def test_a_request_after_closing_has_a_connection_for_itself() -> None:
    async with RawUpstream(numbering) as server:
        pool = Pool(upstream(server.port))
        assert await get(pool) == b"1"
        await pool.close()
        assert [await get(pool), await get(pool)] == [b"2", b"3"]
        assert pool.idle == 0
        await pool.close()


async def test_closing_that_is_cancelled_cuts_what_is_left() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
        await peer.rest()

    async with RawUpstream(script) as server:
        pool = Pool(upstream(server.port))
        answer = await pool.request(head(), method="GET")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pool.close(), SOON)
        assert await answer.read() == b"abc"
        with pytest.raises(UpstreamTruncated):
            await answer.read()
        assert pool.active == 0


# All of it at once.


class Chaos:
    """An upstream that answers with the request's own name, or does one of many bad things."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    async def __call__(self, peer: Peer) -> None:
        while True:
            request = await peer.head()
            name = request.split(b" ")[1]
            if request.startswith(b"POST"):
                await peer.until(LAST_CHUNK)
            text = name * self.chance.choice((1, 50, 20_000))
            start = b"HTTP/1.1 200 OK\r\n"
            sized = start + b"Content-Length: %d\r\n\r\n" % len(text) + text
            match self.chance.randrange(10):
                case 0:
                    peer.reset()
                    return
                case 1:
                    peer.close()
                    return
                case 2:
                    await peer.send(sized[: -self.chance.randrange(1, len(text))])
                    (peer.reset if self.chance.random() < 0.5 else peer.close)()
                    return
                case 3:
                    await peer.send(sized + response(b"/poison"))
                case 4:
                    await peer.send(sized)
                    await asyncio.sleep(0)
                    await peer.send(response(b"/poison"))
                case 5:
                    await peer.send(b"HTTP/1.1 103 Early\r\n\r\n" + sized)
                case 6:
                    await peer.send(start + b"\r\n" + text)
                    peer.close()
                    return
                case 7:
                    chunks = b"".join(encode_chunk(text[at : at + 999]) for at in range(0, len(text), 999))
                    await peer.send(start + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + LAST_CHUNK)
                case _:
                    await peer.send(sized)


@pytest.mark.parametrize("seed", range(3))
async def test_every_response_belongs_to_its_request_whatever_happens(
    seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(seed)
    complete = failed = given_up = 0

    async def one(pool: Pool, number: int) -> None:
        nonlocal complete, failed
        path = f"/{number:08d}"
        post = chance.random() < 0.3
        body = body_of(*[b"x" * chance.randrange(1, 3000)] * chance.randrange(4)) if post else None
        method = "POST" if post else "GET"
        answer: Response | None = None
        try:
            answer = await pool.request(head(method, path), method=method, body=body)
            received = b""
            while piece := await answer.read():
                received += piece
                if chance.random() < 0.02:
                    answer.close()
            assert received == path.encode() * (len(received) // len(path))
            assert received
            complete += 1
        except UpstreamError:
            failed += 1

    async def worker(pool: Pool, numbers: range) -> None:
        nonlocal given_up
        for number in numbers:
            task = asyncio.create_task(one(pool, number))
            if chance.random() < 0.15:
                for _ in range(chance.randrange(8)):
                    await asyncio.sleep(0)
                task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                given_up += 1

    async with RawUpstream(Chaos(seed)) as server:
        pool = Pool(upstream(server.port, max_connections=4))
        await asyncio.gather(*(worker(pool, range(at, 1000, 8)) for at in range(8)))
        assert complete + failed + given_up == 1000
        assert min(complete, failed, given_up) > 30
        assert pool.active == 0
        await asyncio.wait_for(pool.close(), BOUND)
        assert pool.idle == 0
    assert not caplog.records


async def test_cancelling_at_any_moment_frees_the_slot() -> None:
    async def script(peer: Peer) -> None:
        request = await peer.head()
        await peer.send(response(b"ok"))
        await (peer.rest() if request.startswith(b"POST") else script(peer))

    async with RawUpstream(script) as server:
        pool = Pool(upstream(server.port, max_connections=1))
        for turns in range(25):
            for body in (None, Body(endless(bytes(4096)), None)):
                task = asyncio.create_task(get(pool, "GET" if body is None else "POST", body))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait((task,))
                assert pool.active == 0
        assert await get(pool) != b""
        await pool.close()
