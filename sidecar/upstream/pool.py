"""The connections to one upstream: how many, which one next, how long they rest.

Sending and receiving is the connection's work, making one the dialer's. Every request pays this module once, so it
makes no task and sets no timer.
"""

import asyncio
from typing import Final

from sidecar.model.clock import SYSTEM_CLOCK, Clock
from sidecar.model.route import Upstream
from sidecar.tls import Contexts, client_tls
from sidecar.upstream.body import Body
from sidecar.upstream.connection import Connection, OnInformational
from sidecar.upstream.dial import Dialer
from sidecar.upstream.errors import UpstreamUnavailable
from sidecar.upstream.response import Response
from sidecar.upstream.slots import Slots
from sidecar.wire.handshake import Offer

#: Seconds a request waits for a connection when all are in use.
PATIENCE: Final = 1.0
#: Seconds a connection rests before it is closed: below what servers commonly allow (some close after 5).
IDLE_TIMEOUT: Final = 4.0
#: A server that names its own limit is left a second before it.
KEEP_ALIVE_MARGIN: Final = 1.0

#: RFC 9110 §9.2.2: sending one of these twice means the same as sending it once.
IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})


class Pool:
    """Sends requests to one upstream over connections that are kept and used again.

    contexts: gives its TLS context; a connection that was made before it was renewed takes no further request.

    UpstreamConfigError, when made: its TLS settings can't be used.
    """

    def __init__(
        self,
        upstream: Upstream,
        *,
        clock: Clock = SYSTEM_CLOCK,
        patience: float = PATIENCE,
        contexts: Contexts = client_tls,
    ) -> None:
        self._upstream = upstream
        self._clock = clock
        self._dialer = Dialer(upstream, contexts)
        self._slots = Slots(upstream.max_connections, patience)
        self._open: dict[Connection, int] = {}  # with the dialer's generation when they were made
        self._idle: dict[Connection, float] = {}  # until when; the last one in is the first one out
        self._closing = False
        self._emptied: asyncio.Future[None] | None = None

    @property
    def active(self) -> int:
        """Requests that hold a connection, or are making one."""
        return self._slots.used

    @property
    def idle(self) -> int:
        """Connections at rest."""
        return len(self._idle)

    async def request(
        self,
        head: bytes,
        *,
        method: str,
        body: Body | None = None,
        on_informational: OnInformational | None = None,
        offer: Offer | None = None,
    ) -> Response:
        """Send a request and return when the head of its final response is there.

        head: complete, with its empty line; it frames the body as ``Body.length`` says, and no body otherwise.
        method: the head's own; it decides whether a body is awaited and whether the request may be sent again.
        offer: where the head asks for a WebSocket; only then may a 101 come, which is final and keeps its slot and its
        connection until that is closed.
        on_informational: awaited with the status and fields of every 100 and 103, in order, before this returns.

        A request is sent a second time only when nothing can have come of the first: it went out on a kept connection
        that ended without a byte of an answer, its method is idempotent and it has no body.

        UpstreamOverloaded: no connection became free within a second. UpstreamTimeout, UpstreamUnavailable: see there.
        RequestBodyMismatch; and whatever the body's source or ``on_informational`` raise. When it raises, also when
        cancelled, nothing of the request is left.
        """
        if not self._slots.take():
            await self._slots.acquire()
        try:
            kept = self._take_idle()
            if kept is not None:
                try:
                    return await kept.request(
                        head, method=method, body=body, on_informational=on_informational, offer=offer
                    )
                except UpstreamUnavailable:
                    if kept.heard or body is not None or method not in IDEMPOTENT:
                        raise
            generation = self._dialer.generation
            fresh = await self._dialer.connect(self._new_connection)
            if not fresh.closed:
                self._open[fresh] = generation
            return await fresh.request(head, method=method, body=body, on_informational=on_informational, offer=offer)
        except BaseException:
            self._slots.release()
            raise

    async def close(self) -> None:
        """Keep no connection any more, and return when none is left.

        Idle ones are closed at once, the others when their responses have ended; a request that still comes gets a
        connection for itself. Cancelled: closes what is left.
        """
        self._closing = True
        for connection in list(self._idle):
            connection.abort()
        try:
            while self._open:
                self._emptied = asyncio.get_running_loop().create_future()
                await self._emptied
        except BaseException:
            for connection in list(self._open):
                connection.abort()
            raise

    def _take_idle(self) -> Connection | None:
        """Return the connection that rested shortest and is fit for use; close those that are not."""
        while self._idle:
            connection, until = self._idle.popitem()
            if self._clock.monotonic() < until and connection.fit and self._current(connection):
                return connection
            connection.abort()
        return None

    def _new_connection(self) -> Connection:
        return Connection(self._upstream, self._clock, self)

    def _current(self, connection: Connection) -> bool:
        """Whether a connection was made with the certificates and authorities of now."""
        return self._open.get(connection) == self._dialer.generation

    def _rest_of(self, connection: Connection) -> float:
        """Return for how many seconds a connection may rest."""
        if self._closing or not connection.reusable or not self._current(connection):
            return 0.0
        rest = IDLE_TIMEOUT
        if connection.keep_alive is not None:
            rest = min(rest, connection.keep_alive - KEEP_ALIVE_MARGIN)
        return min(rest, connection.born + self._upstream.max_connection_age - self._clock.monotonic())

    # What connections report.

    def free(self, connection: Connection) -> None:
        """A response has ended: keep its connection if it may be kept, and let the next request have the slot."""
        rest = self._rest_of(connection)
        if rest > 0:
            self._idle[connection] = self._clock.monotonic() + rest
            connection.rest(rest)
        else:
            connection.abort()
        self._slots.release()

    def lost(self, connection: Connection) -> None:
        self._open.pop(connection, None)
        self._idle.pop(connection, None)
        if self._emptied is not None and not self._open and not self._emptied.done():
            self._emptied.set_result(None)
