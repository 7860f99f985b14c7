"""WebSockets through a whole gateway, byte by byte: what passes, what ends them, and what is written down."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from aiohttp import ClientSession, WSMsgType, web
from aiohttp.test_utils import TestServer

import sidecar.tunnel as tunnel_module
from sidecar.faces.websocket import OPEN_FOR_LONG, TOKEN_EXPIRED, limits_of
from sidecar.model.decision import CacheResult, Grant
from tests.faces.conftest import CONFIG, MakeWorld, World
from tests.faces.test_gateway import metric
from tests.support.canary import search
from tests.support.gateway import BOUND, get, read_answer
from tests.support.raw_upstream import Peer, RawUpstream, response
from tests.support.sts import default_config
from tests.support.upstreams import upstream
from tests.support.values import issued
from tests.support.websocket import (
    BINARY,
    CLOSE,
    KEY,
    PING,
    TEXT,
    closing,
    frame,
    handshake,
    read_frame,
    read_head,
    read_rest,
    switching,
)

UPSTREAM = "upstream: {url: 'http://127.0.0.1:PORT'}"


def with_websockets(port: int, keys: str = "", gateway: str = "") -> str:
    """The configuration of a world, its first route one for WebSockets. keys: more of its upstream's."""
    config = CONFIG.replace(UPSTREAM, f"upstream: {{url: 'http://127.0.0.1:{port}', websocket: true{keys}}}", 1)
    return config.replace("listen: '127.0.0.1:0'", f"listen: '127.0.0.1:0'{gateway}", 1)


@dataclass(slots=True)
class Open:
    """A WebSocket through a gateway, both ends by the byte."""

    world: World
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    peer: Peer
    head: bytes  # as it came upstream
    answer: bytes  # as it came back
    token: str

    async def ended(self) -> None:
        """Wait until the gateway counts it as over."""
        async with asyncio.timeout(BOUND):
            while self.world.gateway.app._gateway.streams:  # noqa: ASYNC110 - a number, which tells nobody
                await asyncio.sleep(0.005)


@asynccontextmanager
async def opened(
    world: MakeWorld,
    *fields: bytes,
    answer: tuple[bytes, ...] = (),
    keys: str = "",
    gateway: str = "",
    early: bytes = b"",
    glued: bytes = b"",
    lifetime: int = 300,
) -> AsyncIterator[Open]:
    """Open one. fields, answer: more lines of either head; early, glued: bytes right behind them.
    lifetime: seconds of the issued token.
    """
    arrived: asyncio.Queue[tuple[Peer, bytes]] = asyncio.Queue()
    over = asyncio.Event()

    async def script(peer: Peer) -> None:
        head = await peer.head()
        await peer.send(switching(head, *answer) + glued)
        arrived.put_nowait((peer, head))
        await over.wait()

    async with RawUpstream(script) as server:
        here = await world(
            with_websockets(server.port, keys, gateway),
            server=lambda issuer: replace(default_config(issuer), lifetime=lifetime),
        )
        token = here.sts.mint()
        reader, writer = await asyncio.open_connection("127.0.0.1", here.gateway.port())
        try:
            writer.write(handshake("/orders/ws?x=1", *fields, token=token) + early)
            answered = await read_head(reader)
            async with asyncio.timeout(BOUND):
                peer, head = await arrived.get()
            yield Open(here, reader, writer, peer, head, answered, token)
        finally:
            over.set()
            writer.close()


def lines(head: bytes, name: bytes) -> list[bytes]:
    pairs = [line.split(b": ", 1) for line in head.rstrip(b"\r\n").split(b"\r\n")[1:]]
    return [value for key, value in pairs if key.lower() == name]


# --- the handshake


async def test_the_upstream_sees_the_issued_token_and_the_caller_its_answer(world: MakeWorld) -> None:
    fields = (b"Sec-WebSocket-Protocol: chat, other", b"Sec-WebSocket-Extensions: permessage-deflate", b"Cookie: a=b")
    answer = (b"Sec-WebSocket-Protocol: other", b"Sec-WebSocket-Extensions: permessage-deflate", b"X-Own: 1")
    async with opened(world, *fields, answer=answer) as it:
        assert it.head.startswith(b"GET /orders/ws?x=1 HTTP/1.1\r\n")
        assert lines(it.head, b"upgrade") == [b"websocket"]
        assert lines(it.head, b"connection") == [b"Upgrade"]
        assert lines(it.head, b"sec-websocket-key") == [KEY]
        assert lines(it.head, b"sec-websocket-protocol") == [b"chat, other"]
        assert lines(it.head, b"sec-websocket-extensions") == [b"permessage-deflate"]
        assert lines(it.head, b"cookie") == [b"a=b"]
        [authorization] = lines(it.head, b"authorization")
        assert authorization.startswith(b"Bearer ")
        assert it.token.encode() not in it.head
        assert it.answer.startswith(b"HTTP/1.1 101 ")
        assert lines(it.answer, b"sec-websocket-protocol") == [b"other"]
        assert lines(it.answer, b"sec-websocket-extensions") == [b"permessage-deflate"]
        assert lines(it.answer, b"x-own") == [b"1"]
        assert lines(it.answer, b"connection") == [b"Upgrade"]
        assert len(lines(it.answer, b"x-request-id")) == 1


async def test_bytes_pass_both_ways_as_they_are(world: MakeWorld) -> None:
    async with opened(world, early=frame(TEXT, b"early", masked=True), glued=frame(TEXT, b"glued")) as it:
        assert await read_frame(it.peer.reader) == (TEXT, b"early", True)
        assert await read_frame(it.reader) == (TEXT, b"glued", False)
        odd = b"\xff\x00 these are no frames that anybody knows" * 100
        it.writer.write(odd)
        assert await it.peer.exactly(len(odd)) == odd
        await it.peer.send(odd)
        assert await it.reader.readexactly(len(odd)) == odd


async def test_a_route_without_it_removes_upgrade_and_forwards(world: MakeWorld) -> None:
    here = await world()
    answer = await here.gateway.ask(
        handshake("/orders/1", token=here.sts.mint()).replace(b"Connection: Upgrade", b"Connection: Upgrade, close")
    )
    assert answer.status == 200
    assert not here.upstream.last.values(b"upgrade")
    assert not here.upstream.last.values(b"connection")


async def test_an_ordinary_answer_is_one(world: MakeWorld) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(response(b"no", b"X-Own: 1", status=b"403 Forbidden"))
        assert await peer.rest() == b""

    async with RawUpstream(script) as server:
        here = await world(with_websockets(server.port))
        answer = await here.gateway.ask(handshake(token=here.sts.mint()) + frame(TEXT, b"early", masked=True))
    assert (answer.status, answer.body, answer.value("x-own")) == (403, b"no", "1")
    assert answer.value("connection") == "close"


async def test_a_401_is_answered_with_a_newer_token(world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.faces.gateway.FRESH", -1.0)
    seen: list[bytes] = []
    over = asyncio.Event()

    async def script(peer: Peer) -> None:
        while True:
            head = await peer.head()
            seen.append(head)
            if len(seen) == 2:
                await peer.send(switching(head))
                await over.wait()
                return
            await peer.send(
                response(b"", b'WWW-Authenticate: Bearer error="invalid_token"', status=b"401 Unauthorized")
            )

    async with RawUpstream(script) as server:
        here = await world(with_websockets(server.port))
        reader, writer = await asyncio.open_connection("127.0.0.1", here.gateway.port())
        writer.write(handshake(token=here.sts.mint()))
        assert (await read_head(reader)).startswith(b"HTTP/1.1 101 ")
        assert lines(seen[0], b"authorization") != lines(seen[1], b"authorization")
        writer.close()
        over.set()


PAGES = {
    "another page": ("", b"https://evil.example", 403),
    "its own host": ("", b"https://api.example.com", 101),
    "a listed page": (
        "\n    preflight: answer\n    cors: {origins: ['https://app.example']}",
        b"https://app.example",
        101,
    ),
    "a page that is not listed": (
        "\n    preflight: answer\n    cors: {origins: ['https://app.example']}",
        b"https://evil.example",
        403,
    ),
    "no page in particular": ("", b"null", 403),
    "two": ("", b"https://api.example.com\r\nOrigin: https://api.example.com", 403),
    "left to the upstream": ("\n    preflight: forward", b"https://evil.example", 101),
}


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.threat("S51")
async def test_which_pages_may_open_one(name: str, world: MakeWorld) -> None:
    keys, origin, status = PAGES[name]

    async def script(peer: Peer) -> None:
        await peer.send(switching(await peer.head()))
        await peer.rest()

    async with RawUpstream(script) as server:
        config = with_websockets(server.port).replace("scope: [orders.read]}", "scope: [orders.read]}" + keys)
        here = await world(config)
        reader, writer = await asyncio.open_connection("127.0.0.1", here.gateway.port())
        writer.write(handshake("/orders/ws", b"Origin: " + origin, token=here.sts.mint()))
        assert (await read_head(reader)).split(b" ")[1] == b"%d" % status
        writer.close()


# --- its end


async def test_close_frames_pass_with_their_codes_and_the_use_is_written_down_once(world: MakeWorld) -> None:
    async with opened(world) as it:
        it.writer.write(closing(4001, b"enough", masked=True))
        assert await read_frame(it.peer.reader) == (CLOSE, b"\x0f\xa1enough", True)
        await it.peer.send(closing(4001, b"enough"))
        it.peer.close()
        assert await read_frame(it.reader) == (CLOSE, b"\x0f\xa1enough", False)
        assert await read_rest(it.reader) == b""
        await it.ended()
        uses = [line for line in await it.world.gateway.receipt_lines() if line["event"] == "use"]
        assert [(use["status"], use["decision"], use["path"]) for use in uses] == [(101, "allowed", "/orders/ws")]
        scrape = await it.world.gateway.metrics()
        assert metric(scrape, "token_sidecar_requests_total", route="orders", method="GET", code="101") == 1
        assert metric(scrape, "token_sidecar_upstream_connections", route="orders", state="active") == 0
        assert not search(scrape.encode() + it.world.gateway.receipts, it.token)


@pytest.mark.parametrize("who", ["caller", "upstream"])
@pytest.mark.parametrize("how", ["close", "reset"])
async def test_when_one_end_is_gone_so_is_the_other_with_what_was_sent_before(
    who: str, how: str, world: MakeWorld
) -> None:
    async with opened(world) as it:
        last = frame(BINARY, b"last" * 1000, masked=who == "caller")
        if who == "caller":
            it.writer.write(last)
            assert await it.peer.exactly(len(last)) == last
            it.writer.close() if how == "close" else Peer(0, it.reader, it.writer).reset()
            assert await it.peer.rest() == b""
        else:
            await it.peer.send(last)
            assert await it.reader.readexactly(len(last)) == last
            it.peer.close() if how == "close" else it.peer.reset()
            assert await read_rest(it.reader) == b""
            it.writer.close()
        it.peer.close()
        await it.ended()


async def test_half_of_a_connection_may_end_before_the_other(world: MakeWorld) -> None:
    async with opened(world) as it:
        it.writer.write_eof()
        assert await it.peer.rest() == b""
        await it.peer.send(frame(TEXT, b"still here"))
        assert await read_frame(it.reader) == (TEXT, b"still here", False)
        it.peer.close()
        assert await read_rest(it.reader) == b""
        await it.ended()


async def says(reader: asyncio.StreamReader, code: int, reason: str, *, masked: bool) -> None:
    """Check that a Close frame comes next."""
    assert await read_frame(reader) == (CLOSE, code.to_bytes(2) + reason.encode(), masked)


async def both_say(it: Open, code: int, reason: str) -> None:
    await says(it.reader, code, reason, masked=False)
    await says(it.peer.reader, code, reason, masked=True)
    it.writer.write(closing(code, masked=True))
    await it.peer.send(closing(code))
    assert await read_rest(it.reader) == b""
    assert await it.peer.rest() == b""
    await it.ended()


@pytest.mark.threat("S53")
async def test_it_ends_with_the_issued_token(world: MakeWorld) -> None:
    async with opened(world, lifetime=2) as it:
        await both_say(it, TOKEN_EXPIRED.code, TOKEN_EXPIRED.reason)


async def test_it_ends_after_the_time_that_its_route_allows(world: MakeWorld) -> None:
    async with opened(world, keys=", websocket_max_lifetime: 200ms") as it:
        await both_say(it, OPEN_FOR_LONG.code, OPEN_FOR_LONG.reason)


async def test_silence_of_both_ends_ends_it_and_bytes_from_one_are_enough(world: MakeWorld) -> None:
    async with opened(world, keys=", read_idle: 300ms") as it:
        for _ in range(8):
            await it.peer.send(frame(PING))
            assert await read_frame(it.reader) == (PING, b"", False)
            await asyncio.sleep(0.08)
        await both_say(it, 1001, "nothing was sent for too long")


async def test_a_drain_says_so_to_both_ends_and_never_within_a_frame(world: MakeWorld) -> None:
    async with opened(world, gateway=", drain: {delay: 0s, grace: 10s}") as it:
        whole = frame(BINARY, b"x" * 1000, masked=True)
        it.writer.write(whole[:500])
        assert await it.peer.exactly(500) == whole[:500]
        draining = asyncio.create_task(it.world.gateway.app.drain())
        await says(it.reader, 1001, "the gateway is going away", masked=False)
        it.writer.write(whole[500:] + frame(TEXT, b"too late", masked=True) + closing(1001, masked=True))
        assert await it.peer.exactly(len(whole) - 500) == whole[500:]
        await says(it.peer.reader, 1001, "the gateway is going away", masked=True)
        await it.peer.send(frame(TEXT, b"too late") + closing(1001))
        assert await it.peer.rest() == b""
        assert await read_rest(it.reader) == b""
        async with asyncio.timeout(BOUND):
            await draining


async def test_during_the_delay_of_a_drain_they_go_on(world: MakeWorld) -> None:
    async with opened(world, gateway=", drain: {delay: 300ms, grace: 10s}") as it:
        draining = asyncio.create_task(it.world.gateway.app.drain())
        await asyncio.sleep(0.05)
        await it.peer.send(frame(TEXT, b"still here"))
        assert await read_frame(it.reader) == (TEXT, b"still here", False)
        await both_say(it, 1001, "the gateway is going away")
        async with asyncio.timeout(BOUND):
            await draining


async def test_who_answers_nothing_is_cut_off(world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel_module, "CLOSING", 0.1)
    async with opened(world, keys=", websocket_max_lifetime: 50ms") as it:
        it.writer.write(frame(BINARY, bytes(100), masked=True)[:50])
        await says(it.reader, 1001, OPEN_FOR_LONG.reason, masked=False)
        assert await read_rest(it.reader) == b""
        assert len(await it.peer.rest()) == 50  # nothing of ours in the middle of a frame
        await it.ended()


async def test_a_drain_that_runs_out_of_grace_cuts(world: MakeWorld) -> None:
    async with opened(world, gateway=", drain: {delay: 0s, grace: 100ms}") as it:
        await it.world.gateway.app.drain()
        await says(it.reader, 1001, "the gateway is going away", masked=False)
        assert await read_rest(it.reader) == b""
        await it.ended()


# --- what it costs


@pytest.mark.threat("S52")
async def test_a_huge_frame_passes_in_bounded_memory_at_the_slower_ends_pace(world: MakeWorld) -> None:
    size = 64 << 20
    async with opened(world) as it:
        piece = bytes(range(256)) * 256
        sent = hashlib.sha256()
        written = 0
        header = b"\x82\x7f" + size.to_bytes(8)
        await it.peer.send(header)

        async def send() -> None:
            nonlocal written
            while written < size:
                it.peer.writer.write(piece)
                sent.update(piece)
                written += len(piece)
                await it.peer.writer.drain()

        sending = asyncio.create_task(send())
        before = -1
        async with asyncio.timeout(BOUND):
            while before != written:  # the caller reads nothing, so the upstream stops
                before = written
                await asyncio.sleep(0.1)
        assert written < size
        assert await it.reader.readexactly(len(header)) == header
        received = hashlib.sha256()
        left = size
        async with asyncio.timeout(60):
            while left:
                data = await it.reader.read(min(left, 1 << 20))
                received.update(data)
                left -= len(data)
            await sending
        assert received.digest() == sent.digest()


async def test_who_never_takes_what_is_sent_is_cut_off(world: MakeWorld) -> None:
    async with opened(world, keys=", send_idle: 200ms") as it:
        it.reader._transport.pause_reading()  # type: ignore[attr-defined]

        async def flood() -> None:
            while True:
                await it.peer.send(frame(BINARY, bytes(1 << 16)))

        with pytest.raises(ConnectionError):
            await asyncio.wait_for(flood(), BOUND)
        await it.ended()


async def test_it_counts_against_max_streams_and_keeps_its_upstream_connection(world: MakeWorld) -> None:
    async with opened(world, gateway=", max_streams: 1") as it:
        answer = await it.world.gateway.ask(get("/healthz"))
        assert (answer.status, answer.kind) == (503, "overloaded")
        pool = it.world.gateway.app.snapshot.pools["orders"]
        assert (pool.active, pool.idle) == (1, 0)
        it.writer.close()
        assert await it.peer.rest() == b""
        it.peer.close()
        await it.ended()
        assert (await it.world.gateway.ask(get("/healthz"))).status == 200
        assert (pool.active, pool.idle) == (0, 0)


async def test_an_earlier_request_of_the_connection_is_answered_first(world: MakeWorld) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(response(b"first"))
        await peer.send(switching(await peer.head()))
        assert await read_frame(peer.reader) == (TEXT, b"early", True)
        await peer.send(frame(TEXT, b"done"))
        await peer.rest()

    async with RawUpstream(script) as server:
        here = await world(with_websockets(server.port))
        token = here.sts.mint()
        first = get(token=token).replace(b"Connection: close\r\n", b"")
        reader, writer = await asyncio.open_connection("127.0.0.1", here.gateway.port())
        writer.write(first + handshake(token=token) + frame(TEXT, b"early", masked=True))
        async with asyncio.timeout(BOUND):
            assert (await read_answer(reader)).body == b"first"
            assert (await read_head(reader)).startswith(b"HTTP/1.1 101 ")
        assert await read_frame(reader) == (TEXT, b"done", False)
        writer.close()


# --- with other people's WebSockets


@pytest.mark.threat("S52")
async def test_with_a_real_client_and_a_real_server(world: MakeWorld) -> None:
    """Theirs negotiate compression and a subprotocol, fragment, ping and close."""

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=("chat",), max_msg_size=0)
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT and message.data == "bye":
                await socket.close(code=4000, message=b"as you wish")
            elif message.type is WSMsgType.TEXT:
                await socket.send_str(message.data)
            else:
                await socket.send_bytes(message.data)
        return socket

    application = web.Application()
    application.router.add_get("/orders/ws", serve)
    async with TestServer(application, host="127.0.0.1") as server, ClientSession() as session:
        here = await world(with_websockets(server.port or 0))
        url = f"http://127.0.0.1:{here.gateway.port()}/orders/ws"
        headers = {"Authorization": f"Bearer {here.sts.mint()}"}
        async with session.ws_connect(url, headers=headers, protocols=("x", "chat"), compress=15, max_msg_size=0) as it:
            assert (it.protocol, it.compress) == ("chat", 15)
            for size in (0, 1, 125, 126, 65535, 65536, 3_000_000):
                await it.send_str("ä" * size)
                assert await it.receive_str(timeout=BOUND) == "ä" * size
                await it.send_bytes(bytes(size))
                assert await it.receive_bytes(timeout=BOUND) == bytes(size)
            await it.ping()
            await it.send_str("bye")
            message = await it.receive(timeout=BOUND)
            assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 4000, "as you wish")


# --- limits


def granted(**changes: Any) -> Grant:
    return Grant(issued(), None, "e", changes.pop("lifetime", 300.0), CacheResult.HIT, sent=changes.pop("sent", 1000.0))


def test_how_long_one_may_last() -> None:
    assert limits_of(upstream(), granted(), 1100.0).until == 1300.0
    assert limits_of(upstream(), granted(), 1100.0).closing is TOKEN_EXPIRED
    assert limits_of(upstream(), None, 1100.0).until is None
    longer = upstream(websocket_max_lifetime=3600.0)
    for grant in (granted(), None):
        limits = limits_of(longer, grant, 1100.0)
        assert (limits.until, limits.closing) == (4700.0, OPEN_FOR_LONG)
    limits = limits_of(upstream(read_idle=7.0, send_idle=3.0), None, 0.0)
    assert (limits.silence, limits.stall) == (7.0, 3.0)
