"""Two connections joined once they speak WebSocket: bytes pass both ways, and the pair ends together (RFC 6455 §5, §7).

What comes in at one end is written to the other in the same turn of the loop; an end that does not take it stops the
other from being read, so nothing is held here. Why a pair is opened, and what its handshake says, is decided elsewhere.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from secrets import token_bytes
from typing import Final

from sidecar.wire.frames import Closing, Frames, close_frame

#: Seconds for both ends to answer our Close frame, and for what was written to be taken before a connection is cut.
CLOSING: Final = 5.0

GOING_AWAY: Final = Closing(1001, "the gateway is going away")
SILENT: Final = Closing(1001, "nothing was sent for too long")


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a pair may last. Seconds.

    silence: with nothing from either end. stall: with an end that takes nothing of what is written to it.
    until: the monotonic instant when it ends in any case, None for never; closing: what is said then.
    """

    silence: float
    stall: float
    until: float | None
    closing: Closing


class End(asyncio.Protocol):
    """One connection, taken over from the protocol that made it; nothing is read before ``Tunnel.run``.

    frames: those that come from here. mute: nothing more may be written here. over: no more comes from here.
    stuck_since: the monotonic instant since when it has not taken what was written, None while it does.
    """

    def __init__(
        self, transport: asyncio.Transport, before: asyncio.BaseProtocol, early: bytes, *, is_server: bool
    ) -> None:
        """before: is told when the connection is lost. early: what came behind the handshake. is_server: to which
        frames are masked (RFC 6455 §5.3).

        Whatever was written before must have been taken, but for what a transport holds without complaint.
        """
        self.frames = Frames()
        self.mute = self.over = self.lost = False
        self.stuck_since: float | None = None
        self.unsent = 0
        self.transport: Final = transport
        self._before = before
        self._early = early
        self._is_server = is_server
        self._going = False
        self._tunnel: Tunnel | None = None
        self._cutting: asyncio.TimerHandle | None = None
        transport.pause_reading()
        transport.set_protocol(self)

    def begin(self, tunnel: "Tunnel") -> None:
        """Be part of a pair from here on, and tell it what happened before."""
        self._tunnel = tunnel
        early, self._early = self._early, b""
        if self.lost:
            tunnel.end_was_lost()
            return
        if early:
            tunnel.received(self, early)
        if self.over:
            tunnel.ended(self)
        if self._going:
            tunnel.close(GOING_AWAY)
        self.resume()

    def go_away(self) -> None:
        """End the pair in order: the process, or a listener of it, is about to end. May be called at any time."""
        self._going = True
        if self._tunnel is not None:
            self._tunnel.close(GOING_AWAY)

    def write(self, data: bytes) -> None:
        """Write, unless there is nobody to write to."""
        if data and not self.transport.is_closing():
            self.transport.write(data)

    def say(self, closing: Closing) -> None:
        """Write a Close frame, the last thing that is written."""
        self.write(close_frame(closing, token_bytes(4) if self._is_server else None))
        self.mute = True

    def end_writing(self) -> None:
        """Have the other side see that nothing more comes; over TLS that ends the whole connection."""
        self.mute = True
        if not self.transport.can_write_eof():
            self.finish()
        elif not self.transport.is_closing():
            self.transport.write_eof()

    def finish(self) -> None:
        """Close once what was written is taken, or after ``CLOSING`` seconds."""
        if not self.lost and self._cutting is None:
            self.transport.close()
            self._cutting = asyncio.get_running_loop().call_later(CLOSING, self.transport.abort)

    def pause(self) -> None:
        """Read no more for now."""
        if not self.over and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if not self.over and not self.transport.is_closing():
            self.transport.resume_reading()

    # What the loop calls.

    def data_received(self, data: bytes) -> None:
        if self._tunnel is None:
            self._early += data
        else:
            self._tunnel.received(self, data)

    def eof_received(self) -> bool:
        self.over = True
        if self._tunnel is not None:
            self._tunnel.ended(self)
        return self.transport.can_write_eof()  # over TLS there is no half of a connection

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = self.over = self.mute = True
        if self._cutting is not None:
            self._cutting.cancel()
        if self._tunnel is not None:
            self._tunnel.end_was_lost()
        self._before.connection_lost(exc)

    def pause_writing(self) -> None:
        self.unsent = self.transport.get_write_buffer_size()
        if self._tunnel is not None:
            self._tunnel.stuck(self)

    def resume_writing(self) -> None:
        self.stuck_since = None
        if self._tunnel is not None:
            self._tunnel.other(self).resume()


class Tunnel:
    """A pair of ends, from the handshake to the end of one of them. now: the monotonic clock."""

    def __init__(self, caller: End, upstream: End, limits: Limits, now: Callable[[], float]) -> None:
        self._ends = (caller, upstream)
        self._limits = limits
        self._now = now
        self._heard = now()
        self._closing: Closing | None = None  # what we said, or say as soon as we may
        self._cut_at: float | None = None
        self._over = False
        self._change: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Return when the pair has ended; what was written last may still be on its way then.

        Cancelled: both ends are cut, unless one was lost before.
        """
        loop = asyncio.get_running_loop()
        try:
            for end in self._ends:
                end.begin(self)
            while not self._over:
                self._change = loop.create_future()
                try:
                    async with asyncio.timeout(self._next_look() - self._now()):
                        await self._change
                except TimeoutError:
                    self._look()
        except asyncio.CancelledError:
            if not self._over:
                for end in self._ends:
                    end.transport.abort()
            raise
        finally:
            for end in self._ends:
                end.finish()

    def close(self, closing: Closing) -> None:
        """End in order: say why to both ends, each as soon as no frame to it is under way, and await their answers."""
        if self._closing is None and not self._over:
            self._closing = closing
            self._cut_soon()
            for end in self._ends:
                if end.frames.at_boundary:
                    self._say_closing(end)
            self._check()

    # What the ends tell.

    def other(self, end: End) -> End:
        """The one that an end is joined to."""
        return self._ends[1] if end is self._ends[0] else self._ends[0]

    def received(self, source: End, data: bytes) -> None:
        """Pass bytes on."""
        self._heard = self._now()
        sink = self.other(source)
        if self._closing is None and not sink.mute:
            sink.write(data)
        elif not sink.mute:
            rest = source.frames.feed_to_boundary(data)
            sink.write(data[:rest])
            data = data[rest:]
            if source.frames.at_boundary:
                self._say_closing(source)
        source.frames.feed(data)
        if source.frames.closed:
            self._check()

    def ended(self, source: End) -> None:
        """Nothing more comes from an end: the other is to see that."""
        self._heard = self._now()
        sink = self.other(source)
        if not sink.mute:
            sink.end_writing()
        self._check()
        self._wake()  # silence is shorter from now on

    def end_was_lost(self) -> None:
        """One end is gone, and so goes the other."""
        self._finish()

    def stuck(self, sink: End) -> None:
        """An end does not take what is written: the other is not read for now."""
        sink.stuck_since = self._now()
        if not sink.mute:
            self.other(sink).pause()
        self._wake()

    # Inside.

    def _say_closing(self, source: End) -> None:
        """Between two frames of ``source``: say what we have to say to the other end, unless ``source`` said it."""
        sink = self.other(source)
        if self._closing is None or sink.mute:
            return
        if source.frames.closed:
            sink.mute = True
        else:
            sink.say(self._closing)
        source.resume()  # nobody waits for what it sends any more, but it may answer

    def _check(self) -> None:
        """See whether both ends have said their last word."""
        if all(end.over for end in self._ends):
            self._finish()
        elif all(end.over or end.frames.closed for end in self._ends):
            if self._closing is not None:
                self._finish()
            elif self._cut_at is None:
                self._cut_soon()  # the server is to close now (RFC 6455 §7.1.1)

    def _cut_soon(self) -> None:
        self._cut_at = self._now() + CLOSING
        self._wake()

    def _finish(self) -> None:
        self._over = True
        for end in self._ends:
            end.finish()
        self._wake()

    def _wake(self) -> None:
        if self._change is not None and not self._change.done():
            self._change.set_result(None)

    def _silence(self) -> float:
        return CLOSING if any(end.over for end in self._ends) else self._limits.silence

    def _next_look(self) -> float:
        """The monotonic instant when there may be something to do."""
        if self._cut_at is not None:
            return self._cut_at
        instants = [end.stuck_since + self._limits.stall for end in self._ends if end.stuck_since is not None]
        if self._limits.until is not None:
            instants.append(self._limits.until)
        return min([self._heard + self._silence(), *instants])

    def _look(self) -> None:
        now = self._now()
        if self._cut_at is not None:
            if now >= self._cut_at:
                self._finish()
        elif self._limits.until is not None and now >= self._limits.until:
            self.close(self._limits.closing)
        elif now >= self._heard + self._silence():
            if any(end.over for end in self._ends):
                self._finish()
            else:
                self.close(SILENT)
        elif any(self._is_stalled(end, now) for end in self._ends):
            for end in self._ends:
                end.transport.abort()

    def _is_stalled(self, end: End, now: float) -> bool:
        """Whether an end takes nothing; one that takes a little is given time again."""
        if end.stuck_since is None or now < end.stuck_since + self._limits.stall:
            return False
        unsent = end.transport.get_write_buffer_size()
        if unsent < end.unsent:
            end.unsent, end.stuck_since = unsent, now
            return False
        return True
