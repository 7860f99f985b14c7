"""What becomes of a request that the upstream answered with 101: its connection is joined to the caller's.

Only the head of the answer is ours; bytes pass in ``tunnel``. How long they may is for the route, and by default for
the token that the upstream was shown: what it stands for is asked about in the handshake and never again.
"""

from collections.abc import Callable
from typing import Final

from sidecar.faces.forward import SWITCHING, returned_fields
from sidecar.inbound.server import Incoming
from sidecar.model.decision import Grant
from sidecar.model.request import RequestHead
from sidecar.model.route import Upstream
from sidecar.tunnel import End, Limits, Tunnel
from sidecar.upstream.response import Response
from sidecar.wire.fields import serialize_head
from sidecar.wire.frames import Closing

#: RFC 6455 §7.4.1: 1008 where what the tunnel was opened with is not good any more, 1001 where it only was enough.
TOKEN_EXPIRED: Final = Closing(1008, "the token has expired")
OPEN_FOR_LONG: Final = Closing(1001, "open for too long")


async def switch(
    incoming: Incoming,
    request: RequestHead,
    response: Response,
    tunnel: End,
    limits: Limits,
    *,
    issued: bytes | None,
    now: Callable[[], float],
) -> None:
    """Answer 101 to the caller and pass bytes both ways until one end is gone, or the limits are reached.

    tunnel: the response's. issued: see ``forward.response_head``. now: the monotonic clock.
    ClientGone: the caller left before.
    """
    fields = [*returned_fields(response.fields, issued), *SWITCHING, (b"X-Request-ID", request.request_id.encode())]
    try:
        caller = await incoming.switch(serialize_head(b"HTTP/1.1 101 Switching Protocols", fields), limits.stall)
    except BaseException:
        response.close()
        raise
    await Tunnel(caller, tunnel, limits, now).run()


def limits_of(upstream: Upstream, grant: Grant | None, now: float) -> Limits:
    """Return how long a WebSocket of a route may last. grant: what it was opened with, None where that was nothing."""
    most = upstream.websocket_max_lifetime
    if most is not None:
        return Limits(upstream.read_idle, upstream.send_idle, now + most, OPEN_FOR_LONG)
    until = grant.sent + grant.lifetime if grant is not None else None
    return Limits(upstream.read_idle, upstream.send_idle, until, TOKEN_EXPIRED)
