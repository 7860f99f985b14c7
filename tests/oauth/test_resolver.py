"""Names are looked up as the system does, and one that hangs is nobody else's trouble."""

import asyncio
import socket
import threading
from typing import Any

import pytest

from sidecar.oauth.resolver import AT_ONCE, Resolver


class Hanging:
    """A look-up that hangs until it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.asked: list[str] = []

    def __call__(self, host: str, *args: Any, **more: Any) -> Any:
        self.asked.append(host)
        if not self.go.wait(10):
            raise AssertionError("nobody let it go")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))]


async def test_a_name_is_its_addresses() -> None:
    found = await asyncio.wait_for(Resolver().resolve("localhost", 8443), 10)
    assert {one["host"] for one in found} <= {"127.0.0.1", "::1"}
    assert {(one["hostname"], one["port"]) for one in found} == {("localhost", 8443)}


@pytest.mark.parametrize("host", ["no-such-name.invalid", "", "a" * 64 + ".invalid", "a..b"])
async def test_what_is_no_name(host: str) -> None:
    resolver = Resolver()
    for _ in range(2 * AT_ONCE):  # a failure gives its place back
        with pytest.raises((OSError, UnicodeError)) as caught:
            await asyncio.wait_for(resolver.resolve(host or "\0", 80), 10)
        assert "hang" not in str(caught.value)


async def test_one_that_hangs_holds_up_no_other_peer_and_so_many_are_enough() -> None:
    hanging = Hanging()
    dead = Resolver(hanging)
    waiting = [asyncio.create_task(dead.resolve("dead.example", 443)) for _ in range(AT_ONCE)]
    await asyncio.sleep(0)
    with pytest.raises(OSError, match="hang"):
        await dead.resolve("dead.example", 443)
    assert await asyncio.wait_for(Resolver().resolve("localhost", 80), 10)
    assert not any(task.done() for task in waiting)
    hanging.go.set()
    for found in await asyncio.wait_for(asyncio.gather(*waiting), 10):
        assert [one["host"] for one in found] == ["127.0.0.1"]
    assert await dead.resolve("dead.example", 443)


async def test_whoever_leaves_gives_no_place_back_before_the_thread_does() -> None:
    hanging = Hanging()
    resolver = Resolver(hanging)
    for _ in range(AT_ONCE):
        task = asyncio.create_task(resolver.resolve("dead.example", 443))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    with pytest.raises(OSError, match="hang"):
        await resolver.resolve("dead.example", 443)
    hanging.go.set()
    async with asyncio.timeout(10):
        while resolver._under_way:  # noqa: ASYNC110 - a thread has no event for this
            await asyncio.sleep(0.01)
    assert len(hanging.asked) == AT_ONCE


def test_a_loop_that_is_gone_is_no_error() -> None:
    hanging = Hanging()

    async def leave() -> None:
        asyncio.get_running_loop().create_task(Resolver(hanging).resolve("dead.example", 443))
        await asyncio.sleep(0.01)

    before = set(threading.enumerate())
    asyncio.run(leave())
    [thread] = set(threading.enumerate()) - before
    assert thread.daemon
    hanging.go.set()
    thread.join(10)
    assert not thread.is_alive()


async def test_an_address_with_a_zone_keeps_it() -> None:
    index, name = socket.if_nameindex()[0]

    def lookup(*args: Any, **more: Any) -> Any:
        return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1", 80, 0, index))]

    [found] = await Resolver(lookup).resolve("here.example", 80)
    assert found["host"] == f"fe80::1%{name}"
