"""Whoever is silent or slow is cut off, and nobody else notices."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final

import pytest

from tests.faces.conftest import CONFIG, MakeWorld
from tests.support.gateway import BOUND, get, recording_upstream

LIMITS: Final = "gateway: {listen: '127.0.0.1:0', header_timeout: 500ms, keepalive_timeout: 500ms}"
Slow = Callable[[asyncio.StreamWriter, str], Awaitable[None]]


async def says_nothing(writer: asyncio.StreamWriter, token: str) -> None:
    pass


async def dribbles_its_head(writer: asyncio.StreamWriter, token: str) -> None:
    for byte in get(token=token):
        writer.write(bytes([byte]))
        await asyncio.sleep(0.02)


async def dribbles_fields_without_end(writer: asyncio.StreamWriter, token: str) -> None:
    writer.write(get(token=token)[:-2])
    while True:
        writer.write(b"X: y\r\n")
        await asyncio.sleep(0.05)


async def stalls_within_its_body(writer: asyncio.StreamWriter, token: str) -> None:
    writer.write(get("/orders/1", b"Content-Length: 100", token=token, method="PUT") + b"x")


async def stalls_within_a_chunk(writer: asyncio.StreamWriter, token: str) -> None:
    writer.write(get("/orders/1", b"Transfer-Encoding: chunked", token=token, method="PUT") + b"5\r\nhe")


async def stays_when_it_was_answered(writer: asyncio.StreamWriter, token: str) -> None:
    writer.write(get("/orders/1", token=token).replace(b": close", b": keep-alive"))


async def stays_when_it_was_refused(writer: asyncio.StreamWriter, token: str) -> None:
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n")


SLOW: Final[Mapping[str, Slow]] = {
    each.__name__: each
    for each in (
        *(says_nothing, dribbles_its_head, dribbles_fields_without_end, stalls_within_its_body, stalls_within_a_chunk),
        *(stays_when_it_was_answered, stays_when_it_was_refused),
    )
}


@pytest.mark.threat("S41")
async def test_slow_callers_are_cut_off_and_nobody_else_notices(
    world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sidecar.inbound.incoming.LINGERING", 0.5)
    async with recording_upstream() as upstream:
        settings = f"{upstream.port}', send_idle: 500ms"
        config = CONFIG.replace("gateway: {listen: '127.0.0.1:0'}", LIMITS).replace("PORT'", settings)
        here = await world(config)
        token = here.sts.mint()
        port = here.gateway.port()

        async def slow(kind: Slow) -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            acting = asyncio.ensure_future(kind(writer, token))
            with suppress(ConnectionError):
                async with asyncio.timeout(BOUND):
                    while await reader.read(65536):
                        pass
            acting.cancel()
            with suppress(ConnectionError, asyncio.CancelledError):
                await acting
            writer.close()

        attackers = [asyncio.create_task(slow(kind)) for kind in SLOW.values() for _ in range(20)]
        await asyncio.sleep(0.1)
        for _ in range(100):
            assert (await here.gateway.ask(get(token=token))).status == 200
        await asyncio.gather(*attackers)  # each is ended by the gateway, or its wait is over
