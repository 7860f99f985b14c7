"""Handshakes that one reader could take for something else than another, from either side; and what came of each."""

import asyncio
from collections.abc import Iterator, Mapping
from itertools import product

import pytest

from tests.faces.conftest import MakeWorld
from tests.faces.test_websocket import with_websockets
from tests.support.canary import Canary, search
from tests.support.gateway import BOUND, Seen, get, read_answer
from tests.support.raw_upstream import Peer, RawUpstream
from tests.support.websocket import KEY, TEXT, accept, frame, handshake, key_of, read_head, read_rest, switching

UPGRADES = (
    b"websocket",
    b"WEBSOCKET",
    b"websocket, h2c",
    b"h2c, websocket",
    b"h2c",
    b"websocket,",
    b"websocketx",
    None,
)
CONNECTIONS = (
    b"Upgrade",
    b"upgrade, authorization",
    b"keep-alive, UPGRADE, Authorization",
    b"upgrade, host, via, x-request-id",
    b"close",
    None,
)
FRAMINGS = (b"", b"Content-Length: 0\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n")
VERSIONS = (b"13", None)
METHODS = (b"GET", b"POST")


def heads() -> Iterator[tuple[bytes, bool, bool]]:
    """Heads without their last line; whether each is a good handshake, and whether it asks for a WebSocket at all."""
    for upgrade, connection, framing, version, method in product(UPGRADES, CONNECTIONS, FRAMINGS, VERSIONS, METHODS):
        head = (
            method + b" /orders/ws HTTP/1.1\r\nHost: api.example.com\r\nSec-WebSocket-Key: " + KEY + b"\r\n" + framing
        )
        head += b"Upgrade: " + upgrade + b"\r\n" if upgrade is not None else b""
        head += b"Connection: " + connection + b"\r\n" if connection is not None else b""
        head += b"Sec-WebSocket-Version: " + version + b"\r\n" if version is not None else b""
        asks = upgrade is not None and b"websocket" in upgrade.lower().replace(b" ", b"").split(b",")
        good = (
            upgrade in (b"websocket", b"WEBSOCKET")
            and connection is not None
            and b"upgrade" in connection.lower()
            and framing in (b"", b"Content-Length: 0\r\n")
            and version == b"13"
            and method == b"GET"
        )
        yield head, good, asks


def willing(seen: Seen) -> bytes:
    """An upstream that switches whenever it is asked to, and answers otherwise."""
    if seen.values(b"upgrade"):
        return switching(seen.head)
    return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.threat("S35")
async def test_no_variation_of_a_handshake_gets_more_than_it_should(world: MakeWorld) -> None:
    """What is no good handshake never asks the upstream for one; no byte behind it arrives; the token never does."""
    here = await world(with_websockets(0).replace(":0', websocket", ":PORT', websocket"), willing)
    token = here.sts.mint()
    behind = Canary.fresh("behind")
    smuggled = get(f"/orders/{behind.text}", token=token)
    checked = 0
    for head, good, asks in heads():
        before = len(here.upstream.seen)
        reader, writer = await asyncio.open_connection("127.0.0.1", here.gateway.port())
        body = b"hello" if b"Content-Length: 5" in head else b"0\r\n\r\n" if b"chunked" in head else b""
        writer.write(head + b"Authorization: Bearer " + token.encode() + b"\r\n\r\n" + body)
        if not good:
            writer.write(smuggled)
        status = int((await read_head(reader)).split(b" ")[1])
        if good:
            assert status == 101, head
        elif asks:
            assert status in (400, 426), head
            assert len(here.upstream.seen) == before, head
        else:
            # The parser refuses a request whole where more comes behind it although it said that nothing does.
            assert status == 200 or (status == 400 and b"Connection: close" in head), head
        for seen in here.upstream.seen[before:]:
            assert bool(seen.values(b"upgrade")) == good, head
            assert seen.values(b"connection") == ([b"Upgrade"] if good else []), head
            assert len(seen.values(b"authorization")) == 1, head
            assert len(seen.values(b"via")) == 1, head
        if not good:
            await read_rest(reader)  # what came behind it is answered too, or nobody's
        writer.close()
        checked += 1
    assert checked == len(UPGRADES) * len(CONNECTIONS) * len(FRAMINGS) * len(VERSIONS) * len(METHODS)
    # Behind a request that does not ask for a WebSocket another one may stand, as ever; it is one of its own then.
    assert all(seen.line.startswith(b"GET ") for seen in here.upstream.seen if behind.text.encode() in seen.head)
    assert not search(bytes(here.upstream.bytes), token)


@pytest.mark.threat("S35")
async def test_bytes_before_the_101_are_nobodys_unless_it_comes(world: MakeWorld) -> None:
    behind = Canary.fresh("behind")

    async def script(peer: Peer) -> None:
        await peer.head()
        await asyncio.sleep(0.05)
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno")
        received = await peer.rest()
        assert not search(received, behind)

    async with RawUpstream(script) as server:
        here = await world(with_websockets(server.port))
        token = here.sts.mint()
        reader, writer = await asyncio.open_connection("127.0.0.1", here.gateway.port())
        writer.write(handshake(token=token) + get(f"/orders/{behind.text}", token=token))
        await asyncio.sleep(0.01)
        writer.write(get(f"/orders/{behind.text}", token=token))
        async with asyncio.timeout(BOUND):
            assert (await read_answer(reader)).body == b"no"
        assert await read_rest(reader) == b""
        writer.close()


async def test_a_head_may_come_in_any_pieces(world: MakeWorld) -> None:
    here = await world(with_websockets(0).replace(":0', websocket", ":PORT', websocket"), willing)
    wire = handshake(token=here.sts.mint())
    for step in (1, 7, 100):
        reader, writer = await asyncio.open_connection("127.0.0.1", here.gateway.port())
        for at in range(0, len(wire), step):
            writer.write(wire[at : at + step])
            await asyncio.sleep(0)
        assert (await read_head(reader)).startswith(b"HTTP/1.1 101 ")
        writer.close()


SECOND_PLACES = (b"Sec-WebSocket-Protocol: bearer, TOKEN", b"Sec-WebSocket-Extensions: x; t=TOKEN", b"X: TOKEN")


@pytest.mark.parametrize("field", SECOND_PLACES)
@pytest.mark.threat("S3")
async def test_the_token_in_a_second_place_is_refused(field: bytes, world: MakeWorld) -> None:
    here = await world(with_websockets(0).replace(":0', websocket", ":PORT', websocket"), willing)
    token = here.sts.mint()
    answer = await here.gateway.ask(handshake("/orders/ws", field.replace(b"TOKEN", token.encode()), token=token))
    assert (answer.status, answer.kind) == (400, "invalid-request")
    assert not here.upstream.seen


async def test_another_version_is_told_which_one_is_spoken(world: MakeWorld) -> None:
    here = await world(with_websockets(0).replace(":0', websocket", ":PORT', websocket"), willing)
    answer = await here.gateway.ask(handshake(token=here.sts.mint()).replace(b"Version: 13", b"Version: 8"))
    assert (answer.status, answer.kind) == (426, "upgrade-required")
    assert (answer.value("sec-websocket-version"), answer.value("upgrade")) == ("13", "websocket")
    assert [value for name, value in answer.fields if name == "connection"] == ["Upgrade", "close"]


ACCEPT = b"Sec-WebSocket-Accept: " + accept(KEY)
UP, CON = b"Upgrade: websocket", b"Connection: Upgrade"
ANSWERS: Mapping[str, tuple[bytes, ...]] = {
    "no fields": (),
    "no accept": (UP, CON),
    "an accept for another key": (UP, CON, b"Sec-WebSocket-Accept: " + accept(b"x" * 22 + b"==")),
    "the key itself": (UP, CON, b"Sec-WebSocket-Accept: " + KEY),
    "two accepts": (UP, CON, ACCEPT, ACCEPT),
    "no upgrade": (CON, ACCEPT),
    "no connection": (UP, ACCEPT),
    "another protocol": (b"Upgrade: h2c", CON, ACCEPT),
    "another protocol too": (b"Upgrade: websocket, h2c", CON, ACCEPT),
    "a subprotocol that was not asked for": (UP, CON, ACCEPT, b"Sec-WebSocket-Protocol: other"),
    "an extension that was not asked for": (UP, CON, ACCEPT, b"Sec-WebSocket-Extensions: mux"),
    "a length": (UP, CON, ACCEPT, b"Content-Length: 5"),
    "a coding": (UP, CON, ACCEPT, b"Transfer-Encoding: chunked"),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_an_answer_to_something_else_reaches_nobody(name: str, world: MakeWorld) -> None:
    glued = Canary.fresh("glued")

    async def script(peer: Peer) -> None:
        assert key_of(await peer.head()) == KEY
        lines = [b"HTTP/1.1 101 Switching Protocols", *ANSWERS[name]]
        await peer.send(b"\r\n".join(lines) + b"\r\n\r\n" + frame(TEXT, glued.text.encode()))
        assert await peer.rest() == b""  # closed, and nothing more was said

    async with RawUpstream(script) as server:
        here = await world(with_websockets(server.port))
        token = here.sts.mint()
        wire = handshake("/orders/ws", b"Sec-WebSocket-Protocol: chat", token=token) + frame(
            TEXT, b"early", masked=True
        )
        answer = await here.gateway.ask(wire)
        assert (answer.status, answer.kind) == (502, "upstream-unavailable")
        assert not search(answer.raw, glued, token)
        assert here.gateway.app.snapshot.pools["orders"].idle == 0


@pytest.mark.threat("S35")
async def test_a_switch_that_nobody_asked_for_reaches_nobody(world: MakeWorld) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"\r\n".join([b"HTTP/1.1 101 Switching Protocols", UP, CON, ACCEPT]) + b"\r\n\r\n")
        assert await peer.rest() == b""

    async with RawUpstream(script) as server:
        here = await world(with_websockets(server.port))
        for request in (get(token=here.sts.mint()), handshake(token=here.sts.mint()).replace(b"websocket\r", b"h2c\r")):
            answer = await here.gateway.ask(request)
            assert (answer.status, answer.kind) == (502, "upstream-unavailable")
