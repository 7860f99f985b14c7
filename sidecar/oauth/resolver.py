"""Looks names up for one peer, in threads that are nobody else's.

The system's resolver may hang for as long as it likes, and asyncio's threads for it are few and everybody's: the name
of one dead peer would hold up all others.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult

AT_ONCE: Final = 2
_FLAGS: Final = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV

#: What ``socket.getaddrinfo`` returns.
Addresses = list[tuple[socket.AddressFamily, int, int, str, tuple[Any, ...]]]


class Resolver(AbstractResolver):
    """Looks names up as the system does: hosts file, search domains, name servers.

    OSError, at once: two look-ups hang already. OSError, UnicodeError: there is no such name, or it can't be one.
    """

    def __init__(self, lookup: Callable[..., Any] = socket.getaddrinfo) -> None:
        self._lookup = lookup
        self._under_way = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a name. Cancelling leaves the thread to end when it likes."""
        if self._under_way >= AT_ONCE:
            raise OSError("too many look-ups hang")
        loop = asyncio.get_running_loop()
        found: asyncio.Future[Addresses] = loop.create_future()
        look = partial(self._lookup, host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        self._under_way += 1
        # A daemon, so that one that hangs does not keep the process from ending.
        Thread(target=self._look, args=(loop, found, look), name="look-up", daemon=True).start()
        return [
            ResolveResult(
                hostname=host, host=_numeric(address), port=port, family=found_family, proto=proto, flags=_FLAGS
            )
            for found_family, _, proto, _, address in await found
        ]

    async def close(self) -> None:
        """There is nothing to close."""

    def _look(
        self, loop: asyncio.AbstractEventLoop, found: asyncio.Future[Addresses], look: Callable[[], Addresses]
    ) -> None:
        """Runs in the thread."""
        addresses: Addresses = []
        failure: Exception | None = None
        try:
            addresses = look()
        except Exception as error:  # noqa: BLE001 - it is raised where somebody waits, or else they would for ever
            failure = error
        with suppress(RuntimeError):  # the loop was closed meanwhile, and nobody waits
            loop.call_soon_threadsafe(self._looked, found, addresses, failure)

    def _looked(self, found: asyncio.Future[Addresses], addresses: Addresses, failure: Exception | None) -> None:
        self._under_way -= 1
        if found.done():  # whoever waited has left
            return
        if failure is not None:
            found.set_exception(failure)
        else:
            found.set_result(addresses)


def _numeric(address: tuple[Any, ...]) -> str:
    """An address as text; a link-local one with its zone."""
    if len(address) == 4 and address[3]:
        return socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
    return str(address[0])
