"""The gateway's server protocol: aiohttp's, with its way of serving, answering and logging replaced.

aiohttp parses, bounds what waits, and cancels a handler whose client left. All requests of a connection are served by
one task, where it would make one for each. What it would say to a malformed request, or log about one, echoes the
request's bytes; here it says what ``refuse`` returns, and logs a class name.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, cast

from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import ERROR, PayloadAccessError, RequestHandler, RequestPayloadError, _ErrInfo
from aiohttp.web_server import Server

from sidecar.inbound.incoming import ClientGone, Incoming
from sidecar.inbound.room import Room, TurnedAway
from sidecar.model.refusal import Kind, Oversize, Refusal
from sidecar.tunnel import End

__all__ = ["MAX_FIELDS", "ClientGone", "GatewayServer", "Incoming"]

log = logging.getLogger("sidecar.inbound")

MAX_FIELDS: Final = 128
#: How aiohttp says that there are more.
_TOO_MANY_FIELDS: Final = "Too many headers received"
_NO_ROOM: Final = Refusal(Kind.OVERLOADED, "There are too many connections.", retry_after=1, close=True)
_LATE_HEAD: Final = Refusal(Kind.REQUEST_TIMEOUT, "The request's head took too long.", close=True)


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

    async def start(self) -> None:
        """Serve one request after another, in the order they came, until the connection is to end."""
        server, messages = cast(GatewayServer, self._manager), self._messages
        while not self._force_close:
            if not messages:
                self._waiter = self._loop.create_future()
                try:
                    await self._waiter
                finally:
                    self._waiter = None
            message, content = messages.popleft()
            if self._parser is not None:
                self._parser.message_consumed()
            if self._buffer_paused and len(messages) <= self._msg_queue_resume_size:
                self._resume_reading_if_drained()
            failed = message if isinstance(message, _ErrInfo) else None
            request = Incoming(ERROR if failed else message, content, self, going=server.going)  # type: ignore[arg-type]
            await self._serve(server, request, failed)
            if not request.keep_open or self._close or self._force_close:
                break
            self._next_keepalive_close_time = until = self._loop.time() + self._keepalive_timeout
            if self._keepalive_handle is None:
                self._keepalive_handle = self._loop.call_at(until, self._process_keepalive)
        if not self._force_close:
            self._task_handler = None
            if self.transport is not None:
                self.transport.close()

    async def _serve(self, server: "GatewayServer", request: Incoming, failed: _ErrInfo | None) -> None:
        """Have one request handled, or say what was wrong with it, and see the rest of it off."""
        self._request_in_progress = True
        self._current_request = request  # type: ignore[assignment]
        try:
            try:
                if failed is None:
                    await server.handle(request)
                else:
                    self.handle_error(request, failed.status, failed.exc)
            except Exception as error:  # noqa: BLE001 - whatever broke, the caller is told that it did
                self.handle_error(request, 500, error)
            finally:
                self._current_request = None
            if request.lingering:
                await request.linger()
            if not request.complete:
                await request.see_off()
            if request.content is not EMPTY_PAYLOAD:
                request.content.set_exception(PayloadAccessError())
        except asyncio.CancelledError:
            self.force_close()
            raise
        finally:
            self._request_in_progress = False
            if self._handler_waiter is not None and not self._handler_waiter.done():
                self._handler_waiter.set_result(None)

    async def drained(self) -> None:
        """Return when what was written is taken, but for as much as may lie. ConnectionError: the caller left."""
        await self._drain_helper()

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
            handle,  # type: ignore[arg-type]  # an Incoming, and no request of aiohttp's
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=keepalive_timeout,
            max_line_size=max_header_bytes,
            max_field_size=max_header_bytes + 1,  # told from the target's by its limit, see _refusal
            max_headers=MAX_FIELDS,
        )
        self.handle = handle
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
