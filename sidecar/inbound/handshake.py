"""Which requests ask for a WebSocket, and whether they ask as they must (RFC 6455 §4.2.1, RFC 9110 §7.8).

Pure. It is asked only on routes that pass WebSockets on; elsewhere ``Upgrade`` ends here like any hop-by-hop field, and
the request goes on without it. What an upstream answers is held against the handshake in ``upstream``.
"""

from sidecar.model.refusal import Kind, refuse
from sidecar.model.request import RequestHead
from sidecar.wire.grammar import GrammarError
from sidecar.wire.handshake import UnknownVersion, offer_of, offers


def asks_for_websocket(request: RequestHead) -> bool:
    """Whether a request is a WebSocket handshake, be it a good one or not; HTTP/1.0 has none."""
    return request.version == (1, 1) and offers(request.named)


def check_handshake(request: RequestHead) -> None:
    """Refuse a handshake that another reader could take for something else.

    Refused: UPGRADE_REQUIRED for another version of the protocol; INVALID_REQUEST for anything else.
    """
    if request.method != "GET" or request.chunked or request.content_length:
        raise refuse(Kind.INVALID_REQUEST, "A WebSocket handshake is a GET without a body.", close=True)
    try:
        offer_of(request.named)
    except UnknownVersion:
        raise refuse(Kind.UPGRADE_REQUIRED, "Only version 13 of the WebSocket protocol is spoken here.") from None
    except GrammarError as error:
        raise refuse(Kind.INVALID_REQUEST, f"Bad request: {error}.", close=True) from None


def comes_from_elsewhere(request: RequestHead) -> bool:
    """Whether a page of another host opens it. Browsers ask no permission for that first, but name the page.

    The scheme is not compared: TLS may have ended before us.
    """
    origins = request.values(b"origin")
    return bool(origins) and [origin.lower().partition(b"://")[2] for origin in origins] != [request.authority.lower()]
