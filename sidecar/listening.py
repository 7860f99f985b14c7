"""The sockets that requests come in by: bound, served, handed on to another server, and given up.

A socket outlives whoever serves it, so that a listener can change while it runs without refusing one connection. What
a request is answered is never decided here.
"""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from sidecar.config.addresses import Address
from sidecar.inbound.server import GatewayServer

BACKLOG: Final = 1024  # connections that the kernel holds while we are busy
ACCEPTED_AT_ONCE: Final = 16  # before any of them is counted, see ``inbound.room``
AT_ONCE: Final = 0.001  # seconds; aiohttp takes 0 for "however long it takes"


class BindError(Exception):
    """An address can't be had; the message says which and why, for operators."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a listener is to be.

    make: returns a server for its connections. settings: what that server is made of; two listeners that want equal
    ones, equal addresses and the same context are one.
    """

    address: Address
    context: ssl.SSLContext | None
    settings: object
    make: Callable[[], GatewayServer] = field(compare=False)


class _Socket:
    """One address that is listened on. address: the one that was really bound."""

    def __init__(self, address: Address, sockets: list[socket.socket]) -> None:
        self.address = address
        self._sockets = sockets
        self._servers: list[asyncio.Server] = []

    def pause(self) -> None:
        """Accept nothing for now; who connects waits in the kernel's queue."""
        servers, self._servers = self._servers, []
        for server in servers:
            server.close()

    async def serve(self, connections: GatewayServer, context: ssl.SSLContext | None) -> None:
        """Accept for this server from now on; connections that are open stay where they are."""
        self.pause()
        loop = asyncio.get_running_loop()
        handshake = connections.header_timeout if context is not None else None
        for one in self._sockets:
            server = await loop.create_server(
                connections,
                sock=one.dup(),  # a server closes its socket with itself
                ssl=context,
                ssl_handshake_timeout=handshake,
                backlog=ACCEPTED_AT_ONCE,
            )
            # For asyncio that is also how many the kernel holds. Accepting as many at once would open a file for each
            # of a thousand connections before it is known that there is no room for them.
            one.listen(BACKLOG)
            self._servers.append(server)

    def close(self) -> None:
        """Accept no more. A socket's path goes at once: the next process may make its own at any time."""
        self.pause()
        sockets, self._sockets = self._sockets, []
        for one in sockets:
            one.close()
        if sockets and self.address.unix_path is not None:
            Path(self.address.unix_path).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _Up:
    wanted: Wanted
    socket: _Socket
    connections: GatewayServer


@dataclass(frozen=True, slots=True)
class Prepared:
    """Listeners that can be taken: every address is bound, and nothing is accepted on the new ones yet."""

    wanted: Mapping[str, Wanted]
    sockets: Mapping[str, _Socket]
    fresh: tuple[_Socket, ...]

    def drop(self) -> None:
        """Give up what was bound for it."""
        for one in self.fresh:
            one.close()


class Listeners:
    """Listeners by name: as they are wanted, which may change while they are up."""

    def __init__(self) -> None:
        self._up: dict[str, _Up] = {}
        self._leaving: set[GatewayServer] = set()

    @property
    def addresses(self) -> dict[str, Address]:
        """Where each listener listens; the system chose the port where the file says 0."""
        return {name: up.socket.address for name, up in self._up.items()}

    async def prepare(self, wanted: Mapping[str, Wanted]) -> Prepared:
        """Bind what has to be bound for these listeners, and change nothing.

        BindError: an address can't be had; nothing of this stays bound then.
        """
        sockets = {
            name: self._up[name].socket
            for name, each in wanted.items()
            if name in self._up and self._up[name].wanted.address == each.address
        }
        free = {up.wanted.address: up.socket for name, up in self._up.items() if name not in sockets}
        fresh: list[_Socket] = []
        try:
            for name, each in wanted.items():
                if name not in sockets:
                    kept = free.pop(each.address, None)
                    sockets[name] = kept or await _bind(each.address)
                    fresh += [] if kept else [sockets[name]]
        except BindError:
            for one in fresh:
                one.close()
            raise
        return Prepared(wanted, sockets, tuple(fresh))

    def retire(self, prepared: Prepared) -> Mapping[GatewayServer, bool]:
        """Accept nothing more by what is no longer wanted so, and return who served it.

        With each of them, whether its listener is gone: then it may take no request any more.
        """
        leaving: dict[GatewayServer, bool] = {}
        for name, up in list(self._up.items()):
            if prepared.wanted.get(name) == up.wanted:
                continue
            del self._up[name]
            if up.socket in prepared.sockets.values():
                up.socket.pause()
            else:
                up.socket.close()
            up.connections.going.set()
            leaving[up.connections] = name not in prepared.wanted
        self._leaving.update(leaving)
        return leaving

    async def take(self, prepared: Prepared) -> None:
        """Serve the listeners that were prepared."""
        for name, wanted in prepared.wanted.items():
            if name not in self._up:
                connections = wanted.make()
                self._up[name] = _Up(wanted, prepared.sockets[name], connections)
                await prepared.sockets[name].serve(connections, wanted.context)

    def going(self) -> None:
        """Tell every connection that its next response is the last."""
        for up in self._up.values():
            up.connections.going.set()

    def stop(self) -> None:
        """Accept no more connections."""
        for up in self._up.values():
            up.socket.close()

    async def finish(self, grace: float) -> None:
        """End all connections: those at rest at once, the others with their response, and after ``grace`` seconds."""
        every = [*(up.connections for up in self._up.values()), *self._leaving]
        await finish(every, grace)

    async def leave(self, leaving: Mapping[GatewayServer, bool], delay: float, grace: float) -> None:
        """See off who was retired: after ``delay`` seconds, or at once where the listener is gone, then as `finish`."""
        gone = [connections for connections, is_gone in leaving.items() if is_gone]
        changed = [connections for connections, is_gone in leaving.items() if not is_gone]
        try:
            await asyncio.gather(finish(gone, delay + grace), _finish_later(changed, delay, grace))
        finally:
            self._leaving.difference_update(leaving)


async def finish(servers: Iterable[GatewayServer], grace: float) -> None:
    """End the connections of some servers; see `Listeners.finish`."""
    servers = list(servers)
    for connections in servers:
        connections.pre_shutdown()
    with suppress(TimeoutError):
        async with asyncio.timeout(grace):
            await asyncio.gather(*(connections.shutdown(None) for connections in servers))
    await asyncio.gather(*(connections.shutdown(AT_ONCE) for connections in servers))


async def _finish_later(servers: Iterable[GatewayServer], delay: float, grace: float) -> None:
    if servers := list(servers):
        await asyncio.sleep(delay)
        await finish(servers, grace)


def shown(address: Address) -> str:
    """Write an address as the configuration does."""
    return f"unix:{address.unix_path}" if address.unix_path is not None else f"{address.host}:{address.port}"


async def _bind(address: Address) -> _Socket:
    """Listen. BindError: the address can't be had."""
    try:
        if address.unix_path is not None:
            return _Socket(address, [_unix_socket(address.unix_path)])
        sockets = await _tcp_sockets(address)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else "no such address"
        raise BindError(f"can't listen on {shown(address)}: {why}") from None
    return _Socket(replace(address, port=sockets[0].getsockname()[1]), sockets)


async def _tcp_sockets(address: Address) -> list[socket.socket]:
    """A socket for every address that the host's name stands for; those that this machine does not have are left out,
    as long as there is one that it has.
    """
    host = address.host.strip("[]") if address.host is not None else None
    found = await asyncio.get_running_loop().getaddrinfo(
        host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, place in dict.fromkeys((each[0], each[4]) for each in found):
            try:
                sockets.append(socket.create_server(place, family=family, backlog=BACKLOG))
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                missing = error
        if missing is not None and not sockets:
            raise missing
    except OSError:
        for one in sockets:
            one.close()
        raise
    for one in sockets:
        one.setblocking(False)
    return sockets


def _unix_socket(path: str) -> socket.socket:
    """A socket at a path. OSError: another process listens there, or something else lies there.

    One that a process left behind is made anew.
    """
    if Path(path).is_socket():
        _check_left(path)
        Path(path).unlink(missing_ok=True)
    one = socket.socket(socket.AF_UNIX)
    try:
        one.setblocking(False)
        one.bind(path)
        one.listen(BACKLOG)
    except OSError:
        one.close()
        raise
    return one


def _check_left(path: str) -> None:
    """Raise OSError where a process listens on a socket: taking its path away would leave it with callers of ours."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return
        except BlockingIOError:  # it listens, and is busy
            pass
    raise OSError(errno.EADDRINUSE, "in use")
