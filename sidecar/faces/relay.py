"""Bodies on their way through, both ways at once, in bounded memory; and what their failures are called.

Nothing is kept whole, nothing is decoded. A response that has begun is never given an error page: its connection is
cut, so that nobody takes it for complete.
"""

from sidecar.faces.forward import response_head, returned_fields
from sidecar.faces.upload import Upload
from sidecar.inbound.server import Incoming
from sidecar.model.refusal import Kind, Refused, refuse
from sidecar.model.request import Fields, RequestHead
from sidecar.upstream.errors import (
    RequestBodyMismatch,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamTimeout,
)
from sidecar.upstream.pool import Pool
from sidecar.upstream.response import Response
from sidecar.wire.fields import serialize_head
from sidecar.wire.framing import LAST_CHUNK, encode_chunk
from sidecar.wire.handshake import Offer

_PASSED_ON = {100: b"HTTP/1.1 100 Continue", 103: b"HTTP/1.1 103 Early Hints"}


async def send(
    incoming: Incoming,
    request: RequestHead,
    upload: Upload,
    pool: Pool,
    head: bytes,
    *,
    issued: bytes | None,
    offer: Offer | None = None,
) -> Response:
    """Send a request upstream, its body as it comes, and return when the response's head is there.

    issued: see ``forward.response_head``. offer: see ``Pool.request``.
    Refused: with the kind that the failure is called by. ClientGone: the caller left while its body was awaited.
    """

    async def interim(status: int, fields: tuple[tuple[bytes, bytes], ...]) -> None:
        # RFC 9110 §15.2: a 1xx is never sent to HTTP/1.0; 100 only answers an expectation.
        if request.version == (1, 1) and status in _PASSED_ON and (status != 100 or request.expects_continue):
            incoming.write_interim(serialize_head(_PASSED_ON[status], returned_fields(fields, issued)))

    try:
        return await pool.request(
            head, method=request.method, body=upload.body(), on_informational=interim, offer=offer
        )
    except UpstreamError as error:
        raise _refused(error) from None


async def return_response(
    incoming: Incoming,
    request: RequestHead,
    response: Response,
    *,
    issued: bytes | None,
    idle: float,
    opened: Fields | None = None,
    resource_metadata: str = "",
) -> None:
    """Write a response to the caller as it comes, and cut the connection where it breaks off.

    issued, opened, resource_metadata: see ``forward.response_head``. idle: seconds that the caller may leave what is
    written lying.
    ClientGone: it left, or did that.
    """
    if response.has_body and response.content_length is None and request.version == (1, 0):
        incoming.keep_open = False  # the end of the connection is the end of the body
    if not incoming.complete:
        incoming.keep_open = False  # what comes next is the rest of a body that nobody waits for
    head, chunked = response_head(
        response,
        request,
        issued=issued,
        keep_open=incoming.keep_open,
        opened=opened,
        resource_metadata=resource_metadata,
    )
    try:
        if not response.has_body:
            incoming.write(head)
            return
        if (body := response.whole()) is not None:  # as most are: nothing to wait for, nothing that piles up
            incoming.write(head, encode_chunk(body) + LAST_CHUNK if chunked else body)
            await incoming.drain(idle)
            return
        if not response.buffered:
            incoming.write(head)  # the body may be long in coming: an event stream's head must not wait for it
            head = b""
        while piece := await response.read():
            incoming.write(head, encode_chunk(piece) if chunked else piece)
            head = b""
            await incoming.drain(idle)
        if chunked or head:
            incoming.write(head + (LAST_CHUNK if chunked else b""))
    except UpstreamError:
        incoming.cut()
    finally:
        response.close()


def _refused(error: UpstreamError) -> Refused:
    """What a failure before the response's head is called to the caller; its reason is for operators."""
    match error:
        case UpstreamTimeout():
            return refuse(Kind.UPSTREAM_TIMEOUT, "The upstream did not answer in time.", finding=error.reason)
        case UpstreamOverloaded():
            return refuse(Kind.OVERLOADED, "All connections to the upstream are in use.", retry_after=1)
        case RequestBodyMismatch():
            return refuse(Kind.INVALID_REQUEST, "The request's body is not what its head says.", close=True)
        case _:
            return refuse(Kind.UPSTREAM_UNAVAILABLE, "The upstream can't be reached.", finding=error.reason)
