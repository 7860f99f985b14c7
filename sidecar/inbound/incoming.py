"""One request on a caller's connection, as a handler has it: what came, and a way to answer in bytes.

It takes the place of both of aiohttp's objects, request and response: an upstream's fields pass as they came. How the
connection goes on afterwards is ``server``'s.
"""

import asyncio
import os
import socket
import struct
from contextlib import suppress
from typing import Any, Final, Protocol

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import PayloadAccessError, RequestPayloadError

from sidecar.model.refusal import Kind, Refused, refuse
from sidecar.tunnel import End

#: After an answer that did not wait for the whole request, its rest is read for so long before the connection closes:
#: closing at once could destroy the answer on its way (RFC 9112 §9.6).
LINGERING: Final = 5.0
#: Bytes that are handed on as they are; to copy fewer behind a head is cheaper than another buffer to write.
LARGE: Final = 16 * 1024
#: Bytes of a body that are handed on at once. An event loop may have received much more, and a whole lot of it written
#: at once would be held a second time until an upstream has taken it.
PIECE: Final = 64 * 1024
_RESET: Final = struct.pack("ii", 1, 0)
_CREDENTIALS: Final = struct.Struct("iii")  # of a process: its own id, its user's, its group's
_BROKEN_BODIES: Final = (PayloadAccessError, ConnectionError, RequestPayloadError, HttpProcessingError)


class ClientGone(Exception):
    """The caller's connection is closed; there is nobody to answer."""


class Caller(Protocol):
    """The connection that a request came on."""

    @property
    def transport(self) -> asyncio.Transport | None: ...
    @property
    def peername(self) -> Any: ...
    @property
    def writing_paused(self) -> bool: ...
    @property
    def unread_behind(self) -> bool: ...
    async def drained(self) -> None: ...
    def hand_over(self) -> End: ...
    def close(self) -> None: ...


class Incoming:
    """One request on a connection: its parsed head, its body to read, and its response to write.

    started: true from the first byte of a final response on. keep_open: whether the connection may serve another
    request afterwards. lingering: after the response, what still comes is read and dropped for a while. going: set
    when the connection is to end soon: with its next response, or when whoever streams is ready to end.
    """

    __slots__ = ("_caller", "content", "going", "keep_open", "lingering", "message", "started")

    def __init__(
        self, message: RawRequestMessage, content: StreamReader, caller: Caller, *, going: asyncio.Event
    ) -> None:
        self.message = message
        self.content = content
        self.started = False
        # After a message that asks for another protocol the parser drops what came with it: the next request.
        self.keep_open = not (message.should_close or message.upgrade)
        self.lingering = False
        self.going = going
        self._caller = caller

    @property
    def peer(self) -> str | None:
        """The address of the connection's other end, None on a unix socket."""
        name = self._caller.peername
        return name[0] if isinstance(name, tuple) else None

    @property
    def peer_user(self) -> int | None:
        """The user id of the process at the other end of a unix socket, as the kernel noted it; None elsewhere."""
        transport = self._caller.transport
        if transport is None or (end := transport.get_extra_info("socket")) is None or end.family != socket.AF_UNIX:
            return None
        with socket.socket(fileno=os.dup(end.fileno())) as own:  # what uvloop hands out has no options to ask for
            credentials = own.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return int(_CREDENTIALS.unpack(credentials)[1])

    @property
    def may_switch(self) -> bool:
        """Whether what comes behind this request was left unread, since it may be another protocol's."""
        return self._caller.unread_behind

    @property
    def complete(self) -> bool:
        """Whether the request has arrived to its end, if not all of it was read yet."""
        return self.content.is_eof()

    def read_ready(self) -> bytes | None:
        """Return bytes of the body that are there, at most PIECE, ``b""`` at its end, None where none came yet.

        Raises as ``read`` does.
        """
        content = self.content
        try:
            piece: bytes = content.read_nowait(PIECE)
        except _BROKEN_BODIES as error:
            raise _broken(error) from None
        return piece if piece or content.is_eof() else None

    async def read(self, seconds: float) -> bytes:
        """Return the next bytes of the request's body, at most PIECE, ``b""`` at its end.

        TimeoutError: nothing came for so long. Refused (INVALID_REQUEST): its framing is broken. ClientGone: the caller
        left before its end.
        """
        if (ready := self.read_ready()) is not None:
            return ready  # what is there needs no timer
        try:
            async with asyncio.timeout(seconds):
                piece: bytes = await self.content.read(PIECE)
            # Where the end of a chunk woke this up and what follows it is malformed, there is an end and an error.
            if not piece and (failure := self.content.exception()) is not None:
                raise failure
            return piece
        except _BROKEN_BODIES as error:
            raise _broken(error) from None

    def write(self, data: bytes, more: bytes = b"") -> None:
        """Write bytes of the final response, ``more`` behind the others. ClientGone: there is nobody to write to."""
        transport = self._caller.transport
        if transport is None or transport.is_closing():
            raise ClientGone
        self.started = True
        if not data or len(more) < LARGE:
            transport.write(data + more)
        else:
            transport.writelines((data, more))

    def write_interim(self, data: bytes) -> None:
        """Write a 1xx response; the final one is still to come."""
        self.write(data)
        self.started = False

    async def switch(self, head: bytes, seconds: float) -> End:
        """Write the head of a 101, the last of HTTP, and hand the connection over as soon as it was taken.

        Only where it ``may_switch``. ClientGone: as for ``drain``.
        """
        self.keep_open = False
        self.write(head)
        await self.drain(seconds)
        return self._caller.hand_over()

    async def drain(self, seconds: float) -> None:
        """Wait until the caller has taken enough of what was written. ClientGone: it left, or did not in so long."""
        if not self._caller.writing_paused:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._caller.drained()
        except ConnectionError:
            raise ClientGone from None
        except TimeoutError:
            self.cut()
            raise ClientGone from None

    def cut(self) -> None:
        """Reset the connection, so that nobody takes what was written for a complete response."""
        self.keep_open = False
        transport = self._caller.transport
        if transport is None:
            return
        # Without this the kernel would end the stream in order, as if a body without a length were complete.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        transport.abort()

    async def linger(self) -> None:
        """Wait until the caller has seen a last response and leaves, or for ``LINGERING`` seconds."""
        if self._caller.transport is None:
            return
        self._caller.close()
        if self._caller.transport.can_write_eof():
            with suppress(OSError):  # the caller may have left a moment ago
                self._caller.transport.write_eof()
        await asyncio.sleep(LINGERING)  # ends early, by being cancelled, when the connection is closed

    async def see_off(self) -> None:
        """Read the rest of a request that was answered before its end, for a while; then the connection ends."""
        with suppress(TimeoutError, *_BROKEN_BODIES):
            async with asyncio.timeout(LINGERING):
                while not self.content.is_eof():
                    await self.content.readany()
        if not self.content.is_eof():
            self._caller.close()

    # What aiohttp's protocol asks of a request.

    def _cancel(self, exc: BaseException) -> None:
        self.content.set_exception(exc)


def _broken(error: Exception) -> ClientGone | Refused:
    """What a body that breaks off means: its sender is gone, or has sent what is none."""
    if isinstance(error, PayloadAccessError | ConnectionError):
        return ClientGone()
    return refuse(Kind.INVALID_REQUEST, "The request's body is malformed.", close=True)
