"""One connection to an upstream, one request at a time on it (RFC 9112 §9).

It writes what it is given, hands bytes to the head reader and a decoder, and decides one thing itself: whether another
request may follow. It may when the last one ended without a doubt: request sent, response complete, both sides willing,
not one byte since. Where connections come from and rest is ``dial``'s and ``pool``'s.
"""

import asyncio
import select
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Final, Protocol, cast

from sidecar.model.clock import Clock
from sidecar.model.request import by_name
from sidecar.model.route import Upstream
from sidecar.tls import ended_properly
from sidecar.tunnel import End
from sidecar.upstream.body import Body, Outgoing
from sidecar.upstream.decoders import Decoder, decoder_for
from sidecar.upstream.errors import Phase, UpstreamError, UpstreamTimeout, UpstreamTruncated, UpstreamUnavailable
from sidecar.upstream.head import Fields, HeadReader, ResponseHead
from sidecar.upstream.interim import Interim
from sidecar.upstream.response import Response
from sidecar.upstream.watch import Watch
from sidecar.wire.framing import Delimiter, FramingError, response_framing
from sidecar.wire.grammar import GrammarError
from sidecar.wire.handshake import Offer, check_answer

WRITE_HIGH_WATER: Final = 64 * 1024

OnInformational = Callable[[int, Fields], Awaitable[None]]


class Stage(Enum):
    """What the bytes that come next would be."""

    IDLE = "idle"  # nothing was asked: whatever comes is an attack or an end
    HEAD = "head"
    BODY = "body"
    SWITCHED = "switched"  # none of ours any more: a WebSocket's
    ENDED = "ended"  # the response is complete, but has not been handed over yet


class Owner(Protocol):
    """Whom a connection reports to."""

    def free(self, connection: "Connection") -> None:
        """The response has ended, well or not. Called once for every ``request`` that returned."""

    def lost(self, connection: "Connection") -> None:
        """It is closed. Called once for every connection that ``connect`` returned."""


class Connection(asyncio.Protocol):
    """A connection, from being made to being ``closed``, or about to be. heard: see ``request``. full: see ``Sink``."""

    def __init__(self, limits: Upstream, clock: Clock, owner: Owner) -> None:
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        self._owner = owner
        self._watch = Watch(self._loop, clock, self._silence)
        self._poll = select.poll()
        self._transport: asyncio.Transport
        self._head_reader = HeadReader()
        self._stage = Stage.IDLE
        self.closed = False
        self._phase: Phase | None = None  # what the watch is on; None: resting
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None  # of ``request``, for a head
        self._drained: asyncio.Future[None] | None = None  # of the upload, for room to write
        self.full = False
        self._unsent = 0
        self._method = ""
        self._sent = False
        self._sending = False
        self._delivered = False
        self._persistent = False
        self._interim: Interim | None = None  # most requests have none
        self._offer: Offer | None = None
        self._response: Response | None = None
        self._decoder: Decoder | None = None
        self.keep_alive: int | None = None
        self.heard = False
        self.born = clock.monotonic()

    # What a pool does with it.

    async def request(
        self,
        head: bytes,
        *,
        method: str,
        body: Body | None,
        on_informational: OnInformational | None,
        offer: Offer | None = None,
    ) -> Response:
        """Send a request and return when the head of its final response is there; see ``Pool.request`` for offer.

        UpstreamUnavailable, UpstreamTimeout, RequestBodyMismatch, and whatever the body's source or
        ``on_informational`` raise. When it raises, also when cancelled, the connection is closed; ``heard`` tells
        whether a byte of an answer came.
        """
        if self.closed or self._transport.is_closing():
            raise UpstreamUnavailable("the upstream closed the connection before a request")
        self._method = method
        self._stage = Stage.HEAD
        self._sent = body is None or body.length == 0
        self._interim, self._offer = None, offer
        self.heard = self._delivered = False
        self._transport.write(head)
        self._expect_response()
        try:
            outgoing = Outgoing(body, self) if body is not None else None
            if outgoing is None or outgoing.send_ready():
                response = await self._final_response(on_informational)
            else:
                self._sending = True
                upload = self._loop.create_task(self._upload(outgoing))
                try:
                    response = await self._final_response(on_informational)
                finally:
                    await self._stop(upload)
        except BaseException:
            self.abort()
            raise
        self._delivered = True
        if self._stage is Stage.ENDED:
            self._free()
        return response

    @property
    def fit(self) -> bool:
        """Whether a request may be sent on it now: open, and not a byte waiting to be received.

        The socket itself is asked, since bytes may have come that the loop has not seen yet; whatever they are, they
        can't be the answer to a request that was not sent.
        """
        return not self.closed and not self._transport.is_closing() and not self._poll.poll(0)

    @property
    def reusable(self) -> bool:
        """Whether its last response left it in a state for another request."""
        return self._stage is Stage.IDLE and not self.closed

    def rest(self, seconds: float) -> None:
        """Be idle for at most so long; then, or at the first byte or end that comes, close."""
        self._phase = None
        self._watch.start(seconds)

    def abort(self) -> None:
        """Close at once, dropping what was not sent. May be called at any time."""
        if not self.closed:
            self.closed = True
            self._watch.cancel()
            self._transport.abort()

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        if self.closed:
            return
        self.heard = True
        try:
            if self._stage is Stage.BODY:
                self._receive_body(data)
            elif self._stage is Stage.HEAD:
                self._receive_head(data)
            else:
                self.abort()
        except UpstreamError as error:
            self._fail(error)
        except FramingError:
            in_body = self._stage is Stage.BODY
            self._fail(
                UpstreamTruncated("the response body is malformed")
                if in_body
                else UpstreamUnavailable("the response's framing is ambiguous")
            )

    def eof_received(self) -> None:
        if self._decoder is not None and ended_properly(self._transport) and self._decoder.feed_eof():
            self._end_body(excess=False)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._stage is Stage.HEAD:
            how = "closed the connection without a response" if exc is None else "reset the connection"
            self._fail(UpstreamUnavailable(f"the upstream {how}"))
        elif self._stage is Stage.BODY:
            self._fail(UpstreamTruncated("the connection ended within the response body"))
        self.abort()
        if self._stage is Stage.SWITCHED:
            self._end(None)
        self._owner.lost(self)

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        _wake(self._drained)

    # What a response asks for.

    def pause(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def expect_body(self) -> None:
        self._expect(Phase.READ, self._limits.read_idle)

    def stop_expecting(self) -> None:
        self._watch.stop()

    def cut(self) -> None:
        self._fail(UpstreamTruncated("the response was closed before its end"))

    # What the upload asks for.

    def put(self, data: bytes, *, last: bool) -> None:
        if self._stage is not Stage.HEAD or self._transport.is_closing():
            raise UpstreamUnavailable("the upstream takes no more of the request body")
        self._transport.write(data)
        self._sent = last
        if last:
            self._expect_response()

    async def send(self, data: bytes, *, last: bool) -> None:
        self.put(data, last=last)
        if self.full:
            self._unsent = self._transport.get_write_buffer_size()
            self._drained = self._loop.create_future()
            self._expect(Phase.SEND, self._limits.send_idle)
            try:
                await self._drained
            finally:
                self._drained = None
        if self._stage is Stage.HEAD:
            self._expect_response()

    # Inside.

    async def _final_response(self, on_informational: OnInformational | None) -> Response:
        """Wait for heads, passing on the informational ones that matter, until the final one is there."""
        while True:
            while self._interim:
                status, fields = self._interim.next()
                if on_informational is not None:
                    await on_informational(status, fields)
            if self._response is not None:
                return self._response
            if self._error is not None:
                raise self._error
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    async def _upload(self, outgoing: Outgoing) -> None:
        try:
            await outgoing.send()
        except BaseException as error:  # noqa: BLE001  # raised again by request, if it still wants the body sent
            if self._sending and self._response is None:  # an early response wins
                self._fail(error)

    async def _stop(self, upload: asyncio.Task[None]) -> None:
        """End the upload, and come back only when nobody reads from the body's source any more."""
        self._sending = False
        if not upload.done():
            upload.cancel()
            await asyncio.wait((upload,))

    def _receive_head(self, data: bytes) -> None:
        while (found := self._head_reader.feed(data)) is not None:
            head, data = found
            if head.status >= 200:
                self._begin_response(head, data)
                return
            if self._interim is None:
                self._interim = Interim()
            self._interim.take(self._method, head)
            if head.status == 101:
                self._switch(head, data)
                return
            if self._interim:
                _wake(self._waiter)
            if not data:
                return

    def _switch(self, head: ResponseHead, data: bytes) -> None:
        """Give the connection up to the protocol that was asked for, with the bytes that came already."""
        if self._offer is None:
            raise UpstreamUnavailable("the upstream switched protocols unasked")
        try:
            check_answer(self._offer, by_name(head.fields))
        except GrammarError as error:
            raise UpstreamUnavailable(f"the WebSocket handshake failed: {error}") from None
        self._watch.stop()
        self._stage = Stage.SWITCHED
        end = End(self._transport, self, data, is_server=True)
        self._response = Response(head, None, has_body=False, source=self, tunnel=end)
        _wake(self._waiter)

    def _begin_response(self, head: ResponseHead, data: bytes) -> None:
        framing = response_framing(self._method, head.status, head.version, head.fields)
        self._watch.stop()
        self._persistent = framing.persistent
        self.keep_alive = framing.keep_alive
        has_body = framing.delimiter is not Delimiter.NONE
        self._response = Response(head, framing.content_length, has_body, self)
        if has_body:
            self._stage = Stage.BODY
            self._decoder = decoder_for(framing)
            if data:
                self._receive_body(data)
        else:
            self._end_body(excess=bool(data))
        _wake(self._waiter)

    def _receive_body(self, data: bytes) -> None:
        decoder, response = self._decoder, self._response
        if decoder is None or response is None:
            return
        piece = decoder.feed(data)
        if piece:
            response.feed(piece)
        if decoder.complete:
            self._end_body(excess=decoder.excess)

    def _end_body(self, *, excess: bool) -> None:
        """The response is complete. Keep the connection only where the whole exchange of messages was clean."""
        if self._persistent and self._sent and not excess and not self._transport.get_write_buffer_size():
            self.resume()
        else:
            self.abort()
        self._end(None)

    def _fail(self, error: BaseException) -> None:
        """The connection is of no use any more, for this reason; whoever waits for it is told."""
        if self._error is None:
            self._error = error
        self.abort()
        if self._stage is Stage.BODY:
            self._end(error if isinstance(error, UpstreamError) else UpstreamTruncated("the connection was given up"))
        _wake(self._drained)
        _wake(self._waiter)

    def _end(self, error: UpstreamError | None) -> None:
        self._stage = Stage.ENDED
        self._decoder = None
        if self._response is not None:
            self._response.end(error)
        if self._delivered:
            self._free()

    def _free(self) -> None:
        self._stage = Stage.IDLE
        self._response = None
        self._owner.free(self)

    def _expect_response(self) -> None:
        """Watch for the response once the request is sent; before that it is the body's source that is slow, if any."""
        if self._sent:
            self._expect(Phase.RESPONSE, self._limits.response_timeout)
        else:
            self._watch.stop()

    def _expect(self, phase: Phase, seconds: float) -> None:
        self._phase = phase
        self._watch.start(seconds)

    def _silence(self) -> None:
        """The watch's deadline passed."""
        if self._phase is Phase.SEND:
            unsent = self._transport.get_write_buffer_size()
            if unsent < self._unsent:  # slow, but not silent
                self._unsent = unsent
                self._watch.start(self._limits.send_idle)
                return
        if self._phase is None:
            self.abort()
        else:
            self._fail(UpstreamTimeout(self._phase))


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
