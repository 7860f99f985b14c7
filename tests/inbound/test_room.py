import asyncio
import resource
from contextlib import suppress

import pytest

from sidecar.inbound import room as room_module
from sidecar.inbound.room import RESERVE, TURNED_AWAY, Room, affordable
from tests.inbound.test_server import BOUND, connected, echo, is_refusal, serving
from tests.support.gateway import read_answer

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """A process's limit of open files, which the test sets; the last one is the one in force."""
    history: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: history[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, limit: history.append(limit))
    return history


@pytest.mark.parametrize(
    ("limit", "wanted", "connections", "soft"),
    [
        ((100_000, 100_000), 4096, 4096, 100_000),
        ((1024, 100_000), 4096, 4096, 2 * 4096 + RESERVE),
        ((1024, resource.RLIM_INFINITY), 4096, 4096, 2 * 4096 + RESERVE),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), 4096, 4096, resource.RLIM_INFINITY),
        ((1024, 4096), 4096, (4096 - RESERVE) // 2, 4096),
        ((256, 256), 4096, (256 - RESERVE) // 2, 256),
        ((64, 64), 4096, 1, 64),
    ],
)
def test_how_many_connections_the_limit_of_open_files_allows(
    limits: list[tuple[int, int]], limit: tuple[int, int], wanted: int, connections: int, soft: int
) -> None:
    limits.append(limit)
    assert affordable(wanted) == connections
    assert limits[-1] == (soft, limit[1])


def test_places_are_given_back() -> None:
    room = Room(2)
    assert [room.enter(), room.enter(), room.enter()] == [True, True, False]
    room.leave()
    assert [room.enter(), room.enter()] == [True, False]
    assert room.used == 2


async def test_a_connection_over_the_limit_is_told_so_and_the_next_one_served() -> None:
    room = Room(1)
    async with serving(echo, room=room) as (port, refusals):
        async with connected(port) as (reader, writer):
            writer.write(GET)
            assert (await read_answer(reader)).status == 200
            async with connected(port) as (other, others):
                others.write(GET)
                raw = await other.read()
                assert is_refusal(raw, 503)
                assert b"\r\nRetry-After: 1\r\n" in raw
            assert [refusal.kind.value for refusal in refusals] == ["overloaded"]
            writer.write(GET)
            assert (await read_answer(reader)).status == 200
        async with asyncio.timeout(BOUND):
            while room.used:  # noqa: ASYNC110  # it tells nobody
                await asyncio.sleep(0.01)
        async with connected(port) as (reader, writer):
            writer.write(GET)
            assert (await read_answer(reader)).status == 200


async def test_one_that_asks_nothing_is_closed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_module, "PATIENCE", 0.01)
    async with serving(echo, room=Room(0)) as (port, _), connected(port) as (reader, _):
        assert is_refusal(await reader.read(), 503)


@pytest.mark.threat("S41")
async def test_a_crowd_over_the_limit_is_bounded_and_leaves_nothing_behind() -> None:
    room = Room(1)
    async with serving(echo, room=room) as (port, _):
        crowd = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(4 * TURNED_AWAY)))
        async with asyncio.timeout(BOUND):
            ends = await asyncio.gather(*(_closed(reader) for reader, _ in crowd[1:]))
            assert len(room.turned_away) <= TURNED_AWAY
            assert ends.count(True) >= TURNED_AWAY  # told so; the others were cut
            for _, writer in crowd:
                writer.close()
            while room.used or room.turned_away:  # noqa: ASYNC110  # it tells nobody
                await asyncio.sleep(0.01)


async def _closed(reader: asyncio.StreamReader) -> bool:
    with suppress(ConnectionError):
        return is_refusal(await reader.read(), 503)
    return False


async def test_a_server_that_ends_waits_for_none_of_them() -> None:
    room = Room(0)
    async with serving(echo, room=room) as (port, _):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(BOUND):
            while not room.turned_away:  # noqa: ASYNC110  # it tells nobody
                await asyncio.sleep(0.01)
    writer.close()
    await asyncio.sleep(0)
    assert not room.turned_away
