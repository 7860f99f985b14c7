"""Everything that can happen to a WebSocket's handshake, and to what it opens."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from tests.leaks.stage import BOUND, Stage
from tests.support.gateway import Seen
from tests.support.websocket import CLOSE, TEXT, accept, frame, handshake, key_of, read_frame, read_head, switching

Scenario = Callable[[Stage], Awaitable[None]]
TARGET = "/sockets/1"


def echoing(seen: Seen) -> bytes:
    """An upstream that switches, and repeats the credential it got in the head."""
    [credential] = seen.values(b"authorization")
    bare = credential.removeprefix(b"Bearer ")
    return switching(seen.head, b"X-Echo: " + credential, b"X-" + bare + b": 1") + frame(TEXT, b"hello")


async def _opened(stage: Stage, *, leave: bool) -> None:
    stage.upstream.respond = echoing
    async with asyncio.timeout(BOUND):
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.gateway.port())
        writer.write(handshake(TARGET, token=stage.mint()))
        stage.answers.append(await read_head(reader))
        assert stage.answers[-1].startswith(b"HTTP/1.1 101 ")
        assert await read_frame(reader) == (TEXT, b"hello", False)
        if leave:
            writer.transport.abort()
        else:
            assert (await read_frame(reader))[0] == CLOSE  # its time is over
            writer.close()
        while stage.gateway.app._gateway.streams:  # noqa: ASYNC110 - a number, which tells nobody
            await asyncio.sleep(0.005)


async def opened(stage: Stage) -> None:
    await _opened(stage, leave=False)


async def left(stage: Stage) -> None:
    await _opened(stage, leave=True)


async def refused_here(stage: Stage) -> None:
    token = stage.mint()
    for wire in (
        handshake(TARGET, token=token).replace(b"Version: 13", b"Version: " + token.encode()),
        handshake(TARGET, b"Sec-WebSocket-Protocol: " + token.encode(), token=token),
        handshake(TARGET, b"Sec-WebSocket-Key: " + token.encode(), token=token),
        handshake(TARGET, b"Origin: https://" + token.encode()),
        handshake(TARGET, b"Upgrade: " + token.encode(), token=token),
    ):
        assert b"HTTP/1.1 4" in await stage.send(wire)


async def refused_there(stage: Stage) -> None:
    def wrong(seen: Seen) -> bytes:
        return echoing(seen).replace(accept(key_of(seen.head)), seen.values(b"authorization")[0])

    stage.upstream.respond = wrong
    assert b"upstream-unavailable" in await stage.send(handshake(TARGET, token=stage.mint()))
    assert b" 401 " in await stage.send(handshake(TARGET, token=stage.mint(lifetime=-60)))


SOCKETS: Mapping[str, Scenario] = {
    "a WebSocket": opened,
    "a WebSocket that its caller leaves": left,
    "a WebSocket that is refused": refused_here,
    "a WebSocket that the upstream refuses": refused_there,
}
