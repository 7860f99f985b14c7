"""The gateway's server protocol: aiohttp's, with its way of answering and logging replaced.

aiohttp parses, keeps connections alive and cancels a handler whose client left. What it would say to a malformed
request, or log about one, echoes the request's bytes; here it says what ``refuse`` returns, and logs a class name.
Responses are written as bytes, so that an upstream's fields pass as they came.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final, cast

from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError, LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import PayloadAccessError, RequestHandler, RequestPayloadError, _ErrInfo
from aiohttp.web_server import Server

from sidecar.inbound.room import Room, TurnedAway
from sidecar.model.refusal import Kind, Oversize, Refusal, refuse
from sidecar.tunnel import End

log = logging.getLogger("sidecar.inbound")

#: After an answer that did not wait for the whole request, its rest is read for so long before the connection closes:
#: closing at once could destroy the answer on its way (RFC 9112 §9.6).
LINGERING: Final = 5.0
MAX_FIELDS: Final = 128
_RESET: Final = struct.pack("ii", 1, 0)
#: How aiohttp says that there are more.
_TOO_MANY_FIELDS: Final = "Too many headers received"
_NO_ROOM: Final = Refusal(Kind.OVERLOADED, "There are too many connections.", retry_after=1, close=True)
_LATE_HEAD: Final = Refusal(Kind.REQUEST_TIMEOUT, "The request's head took too long.", close=True)


class ClientGone(Exception):
    """The caller's connection is closed; there is nobody to answer."""


class Incoming:
    """One request on a connection: its parsed head, its body to read, and its response to write.

    It takes the place of both of aiohttp's objects, request and response.

    started: true from the first byte of a final response on. keep_open: whether the connection may serve another
    request afterwards. lingering: after the response, what still comes is read and dropped for a while. going: set
    when the connection is to end soon: with its next response, or when whoever streams is ready to end.
    """

    __slots__ = ("_protocol", "_task", "content", "going", "keep_open", "lingering", "message", "started", "writer")

    def __init__(
        self,
        message: RawRequestMessage,
        content: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None] | None",
        *,
        going: asyncio.Event,
    ) -> None:
        self.message = message
        self.content = content
        self.writer = writer
        self.started = False
        # After a message that asks for another protocol the parser drops what came with it: the next request.
        self.keep_open = not (message.should_close or message.upgrade)
        self.lingering = False
        self.going = going
        self._protocol = protocol
        self._task = task

    @property
    def peer(self) -> str | None:
        """The address of the connection's other end, None on a unix socket."""
        name = self._protocol.peername
        return name[0] if isinstance(name, tuple) else None

    @property
    def may_switch(self) -> bool:
        """Whether what comes behind this request was left unread, since it may be another protocol's."""
        return cast(Connection, self._protocol).unread_behind

    @property
    def complete(self) -> bool:
        """Whether the request has arrived to its end, if not all of it was read yet."""
        return self.content.is_eof()

    async def read(self, seconds: float) -> bytes:
        """Return the next bytes of the request's body, ``b""`` at its end.

        TimeoutError: nothing came for so long. Refused (INVALID_REQUEST): its framing is broken. ClientGone: the caller
        left before its end.
        """
        content = self.content
        try:
            if (piece := content.read_nowait()) or content.is_eof():
                return piece  # what is there needs no timer
            async with asyncio.timeout(seconds):
                return await content.readany()
        except (PayloadAccessError, ConnectionError):
            raise ClientGone from None
        except (RequestPayloadError, HttpProcessingError):
            raise refuse(Kind.INVALID_REQUEST, "The request's body is malformed.", close=True) from None

    def write(self, data: bytes) -> None:
        """Write bytes of the final response. ClientGone: there is nobody to write to."""
        transport = self._protocol.transport
        if transport is None or transport.is_closing():
            raise ClientGone
        self.started = True
        transport.write(data)

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
        return cast(Connection, self._protocol).hand_over()

    async def drain(self, seconds: float) -> None:
        """Wait until the caller has taken enough of what was written. ClientGone: it left, or did not in so long."""
        if not self._protocol.writing_paused:
            return
        try:
            async with asyncio.timeout(seconds):
                await self.writer.drain()
        except ConnectionError:
            raise ClientGone from None
        except TimeoutError:
            self.cut()
            raise ClientGone from None

    def cut(self) -> None:
        """Reset the connection, so that nobody takes what was written for a complete response."""
        self.keep_open = False
        transport = self._protocol.transport
        if transport is None:
            return
        # Without this the kernel would end the stream in order, as if a body without a length were complete.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        transport.abort()

    # What aiohttp's protocol asks of a request.

    def _finish(self) -> None:
        """Nothing is left over: no form was parsed."""

    def _cancel(self, exc: BaseException) -> None:
        self.content.set_exception(exc)

    # What aiohttp's protocol asks of a response; it was written already.

    async def prepare(self, request: "Incoming") -> None:
        """Nothing: the head is written with the rest."""

    async def write_eof(self) -> None:
        """Nothing: the body is complete. While lingering, wait until the caller has seen that and leaves."""
        if self.lingering and self._protocol.transport is not None:
            self._protocol.close()
            if self._protocol.transport.can_write_eof():
                with suppress(OSError):  # the caller may have left a moment ago
                    self._protocol.transport.write_eof()
            await asyncio.sleep(LINGERING)  # ends early, by being cancelled, when the connection is closed

    @property
    def keep_alive(self) -> bool:
        """Whether the connection stays open."""
        return self.keep_open


class Connection(RequestHandler):
    """One caller's connection."""

    __slots__ = ("_body", "_head_begun", "_head_timer", "_tunnel")

    def __init__(self, manager: "GatewayServer", **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._body: StreamReader = EMPTY_PAYLOAD  # of the message that came last
        self._head_begun = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._tunnel: End | None = None

    @property
    def unread_behind(self) -> bool:
        """Whether the request under way is the last that is parsed, and all bytes behind it are kept as they are."""
        return self._upgraded and not self._messages

    def hand_over(self) -> End:
        """Give the transport, and what came behind the last request, to another protocol. ClientGone: it is closed."""
        if self.transport is None or self.transport.is_closing():
            raise ClientGone
        early, self._message_tail = self._message_tail, b""
        self._tunnel = End(self.transport, self, early, is_server=False)
        if self._close:
            self._tunnel.go_away()
        return self._tunnel

    def close(self) -> None:
        """Serve no more requests; a connection that was handed over is told to end."""
        super().close()
        if self._tunnel is not None:
            self._tunnel.go_away()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or leave the connection to a protocol that turns it away."""
        server = cast(GatewayServer, self._manager)
        if not server.room.enter():
            away = TurnedAway(server.room, server.refuse(_NO_ROOM))
            cast(asyncio.Transport, transport).set_protocol(away)
            away.connection_made(transport)
            return
        super().connection_made(transport)
        self._head_timer = self._loop.call_later(server.header_timeout, self._head_is_late)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Leave."""
        if self._manager is not None:
            cast(GatewayServer, self._manager).room.leave()
        self._end_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, and have a head that only began be complete in time.

        A body whose framing breaks is given an error: the parser forgets whoever waits for it.
        """
        before, in_body = self._request_count, not self._body.is_eof()
        super().data_received(data)
        if self._request_count == before:
            # Neither a head nor of a body: it is the beginning of the next head, unless it waits behind others.
            if data and not (in_body or self._messages or self._upgraded or self._close):
                self._head_begun = True
                if self._head_timer is None and self._manager is not None:
                    server = cast(GatewayServer, self._manager)
                    self._head_timer = self._loop.call_later(server.header_timeout, self._head_is_late)
            return
        self._end_head_timer()
        message, self._body = self._messages[-1]
        if isinstance(message, _ErrInfo):
            bodies = [content for _, content in self._messages]
            if self._current_request is not None:
                bodies.append(self._current_request.content)
            for body in bodies:
                if not body.is_eof():
                    body.set_exception(RequestPayloadError())
                    body.feed_eof()

    def _head_is_late(self) -> None:
        """Close: with an answer where a head began, and after those to earlier requests."""
        self._head_timer = None
        if self._current_request is not None or self._messages:
            self.close()
        elif not self._close and self.transport is not None and self._manager is not None:
            if self._head_begun:
                self.transport.write(cast(GatewayServer, self._manager).refuse(_LATE_HEAD))
            self.force_close()

    def _end_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def handle_error(
        self,
        request: Any,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it may quote the request
    ) -> Any:
        """Answer a message that the parser refuses, or a handler that broke; nothing of the request is repeated."""
        if self._manager is None:
            return request  # the caller left
        server = cast(GatewayServer, self._manager)
        if exc is not None and status != 400:
            log.error("a request broke off: %s", type(exc).__name__)
        if request.started:
            request.cut()
        else:
            request.keep_open = False
            request.lingering = status == 400
            with suppress(ClientGone):
                request.write(server.refuse(_refusal(status, exc, self.max_line_size)))
        return request

    def log_exception(self, *args: Any, **kw: Any) -> None:  # noqa: ARG002 - a format of theirs
        """Log what broke by its class alone: a traceback may hold a request's bytes."""
        exc = kw.get("exc_info")
        log.error("a connection broke off: %s", type(exc).__name__)


class GatewayServer(Server):
    """Makes connections that hand their requests to one handler."""

    def __init__(
        self,
        handle: Callable[[Incoming], Awaitable[Incoming]],
        refuse: Callable[[Refusal], bytes],
        *,
        keepalive_timeout: float,
        header_timeout: float,
        max_header_bytes: int,
        room: Room,
    ) -> None:
        """refuse: returns the whole response, head and body, for a request that could not be parsed.

        keepalive_timeout, header_timeout: seconds without a request, and for a whole head from its first byte or, on a
        new connection, from that being made. room: where the connections are counted.
        """
        #: Set when this server takes its leave: each connection's next response is its last.
        self.going = asyncio.Event()
        super().__init__(
            handle,  # type: ignore[arg-type]  # an Incoming is its own response
            request_factory=partial(Incoming, going=self.going),  # type: ignore[arg-type]  # and takes the place of aiohttp's request
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=keepalive_timeout,
            lingering_time=LINGERING,
            max_line_size=max_header_bytes,
            max_field_size=max_header_bytes + 1,  # told from the target's by its limit, see _refusal
            max_headers=MAX_FIELDS,
        )
        self.refuse = refuse
        self.header_timeout = header_timeout
        self.room = room

    async def shutdown(self, timeout: float | None = None) -> None:
        """End all connections; a request that runs may do so for ``timeout`` seconds more."""
        for turned_away in list(self.room.turned_away):
            turned_away.abort()
        await super().shutdown(timeout)

    def __call__(self) -> RequestHandler:
        """Return the protocol of a new connection."""
        return Connection(self, loop=self._loop, **self._kwargs)


def _refusal(status: int, exc: BaseException | None, target_limit: int) -> Refusal:
    if isinstance(exc, LineTooLong) and exc.args[1] == target_limit:
        return Refusal(Kind.TOO_LARGE, "The request target is too long.", oversize=Oversize.TARGET, close=True)
    if isinstance(exc, LineTooLong) or (isinstance(exc, BadHttpMessage) and exc.message == _TOO_MANY_FIELDS):
        return Refusal(Kind.TOO_LARGE, "The request's head is too large.", oversize=Oversize.HEADERS, close=True)
    if status == 400:
        return Refusal(Kind.INVALID_REQUEST, "The request is malformed.", close=True)
    return Refusal(Kind.OVERLOADED, "The gateway could not handle the request.", retry_after=1, close=True)
