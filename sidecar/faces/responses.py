"""Responses that the gateway makes itself, as values and as bytes (RFC 9112 §4)."""

from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus

from sidecar.faces.forward import connection_field
from sidecar.model.request import RequestHead
from sidecar.wire.fields import serialize_head

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class OwnResponse:
    """A response of ours; its framing, date and request id are added when it is written."""

    status: int
    headers: Headers
    body: bytes


def written(response: OwnResponse, request: RequestHead | None, *, keep_open: bool) -> bytes:
    """Return a response as bytes: the head and, but for HEAD, the body. request: None where none could be read."""
    fields = [
        *response.headers,
        *([(b"Content-Length", b"%d" % len(response.body))] if response.status != 204 else []),  # RFC 9110 §8.6
        (b"Date", formatdate(usegmt=True).encode()),
    ]
    version = (1, 1)
    if request is not None:
        version = request.version
        fields.append((b"X-Request-ID", request.request_id.encode()))
    fields += connection_field(version, keep_open=keep_open)
    start = b"HTTP/1.1 %d %b" % (response.status, HTTPStatus(response.status).phrase.encode())
    head = serialize_head(start, fields)
    return head if request is not None and request.method == "HEAD" else head + response.body
