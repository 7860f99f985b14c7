"""Sockets that outlive their servers: what stays, what is handed on, and what is given up."""

import asyncio
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.config.addresses import Address, listen_address
from sidecar.inbound.room import Room
from sidecar.inbound.server import GatewayServer, Incoming
from sidecar.listening import BindError, Listeners, Wanted
from sidecar.model.refusal import Refusal
from tests.support.gateway import Answer, get
from tests.support.held import Connection, ended, exchange, keep, once, refused

ANYWHERE = listen_address("127.0.0.1:0")


def wanted(says: str, address: Address = ANYWHERE) -> Wanted:
    """A listener whose answers name it."""

    async def serve(incoming: Incoming) -> Incoming:
        if incoming.going.is_set():
            incoming.keep_open = False
        connection = b"" if incoming.keep_open else b"Connection: close\r\n"
        incoming.write(b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (connection, len(says), says.encode()))
        return incoming

    def refuse(_: Refusal) -> bytes:
        return b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"

    def server() -> GatewayServer:
        return GatewayServer(
            serve, refuse, keepalive_timeout=75, header_timeout=10, max_header_bytes=8192, room=Room(64)
        )

    return Wanted(address, None, says, server)


@pytest.fixture
async def listeners() -> AsyncIterator[Listeners]:
    """Listeners that are down at the end of the test."""
    made = Listeners()
    yield made
    made.stop()
    await made.finish(0)


async def change(listeners: Listeners, **to: Wanted) -> None:
    """Have them as they are wanted now; who has to leave is seen off at once."""
    prepared = await listeners.prepare(to)
    leaving = listeners.retire(prepared)
    await listeners.take(prepared)
    await listeners.leave(leaving, 0, 0)


def port(listeners: Listeners, name: str) -> int:
    return listeners.addresses[name].port


def connect(number: int) -> "asyncio.Future[Connection]":
    return asyncio.ensure_future(asyncio.open_connection("127.0.0.1", number))


async def asked(number: int) -> str:
    return (await once(connect(number), get())).body.decode()


def closing(answer: Answer) -> bool:
    return answer.value("connection") == "close"


async def test_what_is_wanted_as_it_is_stays(listeners: Listeners) -> None:
    await change(listeners, a=wanted("one"))
    number = port(listeners, "a")
    connection = await connect(number)
    assert not closing(await exchange(connection, keep()))
    await change(listeners, a=wanted("one"), b=wanted("other"))
    assert not closing(await exchange(connection, keep()))
    assert (port(listeners, "a"), await asked(port(listeners, "b"))) == (number, "other")
    connection[1].close()


async def test_a_changed_listener_keeps_its_socket(listeners: Listeners) -> None:
    await change(listeners, a=wanted("one"))
    number = port(listeners, "a")
    connection = await connect(number)
    await exchange(connection, keep())
    prepared = await listeners.prepare({"a": wanted("two")})
    leaving = listeners.retire(prepared)
    waiting = await connect(number)  # nobody accepts now, and nobody is refused
    await listeners.take(prepared)
    assert (await exchange(waiting, get())).body == b"two"
    last = await exchange(connection, keep())  # still served by whom it came to, and told to go
    assert (last.body, closing(last)) == (b"one", True)
    assert await ended(connection)
    assert await asked(number) == "two"
    await listeners.leave(leaving, 0, 0)
    for _, writer in (connection, waiting):
        writer.close()


async def test_who_leaves_has_a_while_for_its_connections_at_rest(listeners: Listeners) -> None:
    await change(listeners, a=wanted("one"))
    connection = await connect(port(listeners, "a"))
    await exchange(connection, keep())
    prepared = await listeners.prepare({"a": wanted("two")})
    leaving = listeners.retire(prepared)
    await listeners.take(prepared)
    seeing_off = asyncio.create_task(listeners.leave(leaving, 600, 0))
    await asyncio.sleep(0.05)
    assert closing(await exchange(connection, keep()))
    seeing_off.cancel()
    connection[1].close()


async def test_a_listener_that_is_gone_closes_its_connections_at_rest(listeners: Listeners) -> None:
    await change(listeners, a=wanted("one"), b=wanted("two"))
    number = port(listeners, "b")
    connection = await connect(number)
    await exchange(connection, keep())
    prepared = await listeners.prepare({"a": wanted("one")})
    leaving = listeners.retire(prepared)
    await listeners.take(prepared)
    await listeners.leave(leaving, 600, 600)  # not waited for: nothing runs
    assert await ended(connection)
    assert await refused(number)
    assert set(listeners.addresses) == {"a"}
    connection[1].close()


async def test_an_address_may_go_to_a_listener_of_another_name(listeners: Listeners) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = listen_address(f"127.0.0.1:{free.getsockname()[1]}")
    await change(listeners, a=wanted("one", address))
    await change(listeners, b=wanted("two", address))
    assert await asked(address.port) == "two"


async def test_what_can_not_be_bound_changes_nothing(listeners: Listeners) -> None:
    await change(listeners, a=wanted("one"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = listen_address(f"127.0.0.1:{taken.getsockname()[1]}")
        before = set(os.listdir("/dev/fd"))
        with pytest.raises(BindError, match=rf"can't listen on 127\.0\.0\.1:{address.port}: Address already in use"):
            await listeners.prepare({"a": wanted("two"), "b": wanted("new"), "c": wanted("never", address)})
        assert set(os.listdir("/dev/fd")) == before
    assert await asked(port(listeners, "a")) == "one"


async def test_what_was_prepared_can_be_dropped(listeners: Listeners) -> None:
    await change(listeners, a=wanted("one"))
    before = set(os.listdir("/dev/fd"))
    (await listeners.prepare({"a": wanted("one"), "b": wanted("two")})).drop()
    assert set(os.listdir("/dev/fd")) == before
    assert await asked(port(listeners, "a")) == "one"


async def test_a_name_with_several_addresses_listens_on_all_this_machine_has(listeners: Listeners) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = free.getsockname()[1]
    await change(listeners, a=wanted("one", listen_address(f"localhost:{number}")))
    assert await asked(number) == "one"
    with suppress(OSError):  # where there is IPv6
        assert (await once(asyncio.open_connection("::1", number), get())).body == b"one"


async def test_a_socket_in_the_file_system_is_handed_on_and_goes_with_its_listener(
    listeners: Listeners, tmp_path: Path
) -> None:
    path = Path("/tmp") / f"sidecar-{os.getpid()}-{os.urandom(4).hex()}.sock"
    address = listen_address(f"unix:{path}")
    await change(listeners, a=wanted("one", address))
    inode = path.stat().st_ino
    await change(listeners, a=wanted("two", address))
    assert path.stat().st_ino == inode
    assert (await once(asyncio.open_unix_connection(path), get())).body == b"two"
    await change(listeners)
    assert not path.exists()


async def test_handing_on_leaves_no_file_open(listeners: Listeners) -> None:
    await change(listeners, a=wanted("0"))
    before = len(os.listdir("/dev/fd"))
    for number in range(1, 20):
        await change(listeners, a=wanted(str(number)))
    assert await asked(port(listeners, "a")) == "19"
    assert len(os.listdir("/dev/fd")) <= before + 1  # the last connection may still be on its way out


async def test_a_private_socket_is_its_owners_alone_from_the_start(listeners: Listeners, tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    before = os.umask(0)
    try:
        await change(listeners, control=replace(wanted("one", listen_address(f"unix:{path}")), private=True))
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (await once(asyncio.open_unix_connection(path), get())).body == b"one"


async def test_a_private_socket_is_never_made_of_an_open_one(listeners: Listeners, tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    address = listen_address(f"unix:{path}")
    await change(listeners, admin=wanted("open", address))
    with pytest.raises(BindError, match="in use"):
        await listeners.prepare({"control": replace(wanted("private", address), private=True)})
    assert (await once(asyncio.open_unix_connection(path), get())).body == b"open"
