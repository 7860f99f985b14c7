"""The sockets that requests come in by: bound, served, handed on to another server, and given up.

A socket outlives whoever serves it, so that a listener can change while it runs without refusing one connection. What
a request is answered is never decided here.
"""

import asyncio
import errno
import os
import socket
import ssl
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from sidecar.config.addresses import Address
from sidecar.inbound.server import GatewayServer

BACKLOG: Final = 1024  # connections that the kernel holds while we are busy
ACCEPTED_AT_ONCE: Final = 16  # before any of them is counted, see ``inbound.room``
PRIVATE: Final = 0o600
AT_ONCE: Final = 0.001  # seconds; aiohttp takes 0 for "however long it takes"


class BindError(Exception):
    """An address can't be had; the message says which and why, for operators. listener: the name of the listener."""

    def __init__(self, listener: str, message: str) -> None:
        super().__init__(message)
        self.listener = listener


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a listener is to be.

    make: returns a server for its connections. settings: what that server is made of; two listeners that want equal
    ones, equal addresses and the same context are one. private: a unix socket that nobody but its owner may open.
    """

    address: Address
    context: ssl.SSLContext | None
    settings: object
    make: Callable[[], GatewayServer] = field(compare=False)
    private: bool = False


class _Socket:
    """One address that is listened on. address: the one that was really bound."""

    def __init__(self, address: Address, sockets: list[socket.socket]) -> None:
        self.address = address
        self._sockets = sockets
        self._acceptors: Sequence[asyncio.Server] = ()

    async def acceptors(self, connections: GatewayServer, context: ssl.SSLContext | None) -> list[asyncio.Server]:
        """Return what can accept for a server, and does not yet. OSError: there are no more files to be had."""
        made: list[asyncio.Server] = []
        try:
            for one in self._sockets:
                copy = one.dup()  # an acceptor closes its socket with itself
                try:
                    made.append(
                        await asyncio.get_running_loop().create_server(
                            connections,
                            sock=copy,
                            ssl=context,
                            ssl_handshake_timeout=connections.header_timeout if context is not None else None,
                            backlog=ACCEPTED_AT_ONCE,
                            start_serving=False,
                        )
                    )
                except BaseException:
                    copy.close()
                    raise
        except BaseException:
            _close(made)
            raise
        return made

    def pause(self) -> None:
        """Accept nothing for now; who connects waits in the kernel's queue."""
        _close(self._acceptors)
        self._acceptors = ()

    async def accept(self, acceptors: Sequence[asyncio.Server]) -> None:
        """Accept by these from now on; connections that are open stay where they are."""
        self.pause()
        self._acceptors = acceptors
        for acceptor in acceptors:
            await acceptor.start_serving()
        for one in self._sockets:
            # For asyncio, how many it accepts at once is also how many the kernel holds. Accepting so many would open a
            # file for each of a thousand connections before it is known that there is no room for them.
            one.listen(BACKLOG)

    def close(self) -> None:
        """Accept no more. A socket's path goes at once: the next process may make its own at any time."""
        self.pause()
        sockets, self._sockets = self._sockets, []
        for one in sockets:
            one.close()
        if sockets and self.address.unix_path is not None:
            Path(self.address.unix_path).unlink(missing_ok=True)


def _close(acceptors: Iterable[asyncio.Server]) -> None:
    for acceptor in acceptors:
        acceptor.close()


@dataclass(frozen=True, slots=True)
class _Up:
    wanted: Wanted
    socket: _Socket
    connections: GatewayServer
    acceptors: Sequence[asyncio.Server]


@dataclass(slots=True)
class Prepared:
    """A change of listeners that can't fail any more: all is bound and made, and nothing is accepted yet.

    kept: those that stay as they are. fresh: sockets that were bound for it.
    """

    kept: set[str] = field(default_factory=set)
    ups: dict[str, _Up] = field(default_factory=dict)
    fresh: list[_Socket] = field(default_factory=list)

    def drop(self) -> None:
        """Give up what was made for it."""
        for up in self.ups.values():
            _close(up.acceptors)
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
        """Bind and make all that these listeners need, and change nothing.

        BindError: an address can't be had; nothing of this stays then. An address that a listener has now can be had
        by another one.
        """
        same = {name for name, each in wanted.items() if name in self._up and self._up[name].wanted == each}
        prepared = Prepared(kept=same)
        staying = {
            name: up.socket
            for name, up in self._up.items()
            if name in wanted and _place(up.wanted) == _place(wanted[name])
        }
        free = {_place(up.wanted): up.socket for name, up in self._up.items() if name not in staying}
        try:
            for name, each in wanted.items():
                if name in same:
                    continue
                place = staying.get(name) or free.pop(_place(each), None)
                if place is None:
                    place = await _bind(name, each)
                    prepared.fresh.append(place)
                connections = each.make()
                try:
                    acceptors = await place.acceptors(connections, each.context)
                except OSError as error:
                    raise _bind_error(name, each.address, error) from None
                prepared.ups[name] = _Up(each, place, connections, acceptors)
        except BaseException:
            prepared.drop()
            raise
        return prepared

    def retire(self, prepared: Prepared) -> Mapping[GatewayServer, bool]:
        """Accept nothing more by what is no longer wanted so, and return who served it.

        With each of them, whether it may take no request any more: its listener is gone, or has another TLS.
        """
        leaving: dict[GatewayServer, bool] = {}
        handed_on = [up.socket for up in prepared.ups.values()]
        for name in self._up.keys() - prepared.kept:
            up = self._up.pop(name)
            if up.socket in handed_on:
                up.socket.pause()
            else:
                up.socket.close()
            up.connections.going.set()
            after = prepared.ups.get(name)
            leaving[up.connections] = after is None or after.wanted.context is not up.wanted.context
        self._leaving.update(leaving)
        return leaving

    async def take(self, prepared: Prepared) -> None:
        """Serve what was prepared, after `retire`."""
        self._up.update(prepared.ups)
        for up in prepared.ups.values():
            await up.socket.accept(up.acceptors)

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
        """See off who was retired, as `finish` does: after ``delay`` seconds, or at once who may take no request."""
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


def _place(wanted: Wanted) -> tuple[Address, bool]:
    """What makes one socket as good as another."""
    return wanted.address, wanted.private


async def _bind(listener: str, wanted: Wanted) -> _Socket:
    """Listen. BindError: the address can't be had."""
    address = wanted.address
    try:
        if address.unix_path is not None:
            return _Socket(address, [_unix_socket(address.unix_path, private=wanted.private)])
        sockets = await _tcp_sockets(address)
    except OSError as error:
        raise _bind_error(listener, address, error) from None
    return _Socket(replace(address, port=sockets[0].getsockname()[1]), sockets)


def _bind_error(listener: str, address: Address, error: OSError) -> BindError:
    why = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else "no such address"
    return BindError(listener, f"can't listen on {shown(address)}: {why}")


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


def _unix_socket(path: str, *, private: bool) -> socket.socket:
    """A socket at a path. OSError: another process listens there, or something else lies there.

    One that a process left behind is made anew. A private one has its mode before it has a name, and nobody can connect
    to it before it listens.
    """
    if Path(path).is_socket():
        _check_left(path)
        Path(path).unlink(missing_ok=True)
    one = socket.socket(socket.AF_UNIX)
    try:
        one.setblocking(False)
        if private:
            os.fchmod(one.fileno(), PRIVATE)
        one.bind(path)
        if private and stat.S_IMODE(Path(path).lstat().st_mode) != PRIVATE:  # elsewhere than on Linux
            raise OSError(errno.EPERM, "its mode can't be set")
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
