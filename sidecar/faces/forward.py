"""Heads on their way through: what of the caller's goes upstream, what of the upstream's comes back.

Pure. The caller's hop-by-hop fields and credentials are taken out before anything of ours is put in, so that nothing
the caller names can remove it (RFC 9110 §7.6.1). The finished head is searched for the caller's token once more.
"""

import re
from functools import lru_cache
from typing import Final

from sidecar.faces.challenges import CHALLENGE, passed_on
from sidecar.model.decision import Decision, Grant
from sidecar.model.listener import Direction, Listener
from sidecar.model.refusal import Kind, refuse
from sidecar.model.request import Fields, Named, RequestHead
from sidecar.model.route import Route
from sidecar.upstream.response import Response
from sidecar.wire.fields import CREDENTIALS, FORWARDING, forwardable, serialize_head
from sidecar.wire.framing import request_framing

#: Credentials in every form, and fields that we make ourselves.
_NEVER_FORWARDED: Final = (
    CREDENTIALS | FORWARDING | {b"content-length", b"host", b"http2-settings", b"via", b"x-request-id"}
)
#: What names the protocol to go on with, on either way (RFC 6455 §4.1): hop-by-hop, so that nobody else's goes on.
SWITCHING: Final = ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"))
_NEVER_RETURNED: Final = frozenset({b"content-length", b"x-request-id"})
#: What an upstream says of who may read a response; where the gateway answers preflights it speaks for both.
_OPENING: Final = frozenset(
    {
        b"access-control-allow-credentials",
        b"access-control-allow-headers",
        b"access-control-allow-methods",
        b"access-control-allow-origin",
        b"access-control-max-age",
    }
)
_AUTHORIZATION: Final = b"authorization"
_MAX_FORWARDS: Final = b"max-forwards"
_HOPS: Final = re.compile(rb"[0-9]{1,9}")


def upstream_head(
    request: RequestHead,
    decision: Decision,
    route: Route,
    listener: Listener,
    *,
    credentials: frozenset[bytes],
    trusted_peer: bool,
    own_via: bytes,
) -> bytes:
    """Return the complete head of the request that goes upstream.

    credentials: lower-case names of fields that carry a token on any route; what a caller sends in one stops here on
    all of them. trusted_peer: what the peer says of earlier hops is passed on, with ours added.
    Refused (LEAK_GUARD): the caller's token is in it, by whatever way it came there.
    """
    upstream = route.upstream
    dropped = _dropped(credentials, upstream.drop_cookies or decision.preflight)
    if route.approval is not None and route.approval.reason_header is not None:
        dropped |= {route.approval.reason_header.encode()}
    host = request.authority if upstream.preserve_host and request.authority else upstream.host_header
    fields = [(b"Host", host), *forwardable(request.fields, dropped)]
    if (left := hops_left(request)) is not None:
        fields = [field for field in fields if field[0].lower() != _MAX_FORWARDS]
        fields.append((b"Max-Forwards", b"%d" % (left - 1)))
    if listener.direction is Direction.INGRESS:
        hop = (request.peer, request.scheme, request.authority)
        fields += _forwarding_fields(*hop, request.named) if trusted_peer else _first_hop(*hop)
    if request.chunked or request.content_length is not None:
        fields.append(request_framing(request.content_length))
    if decision.websocket:
        fields += SWITCHING
    hops = [*request.values(b"via"), b"%d.%d %b" % (*request.version, own_via)]
    fields += [(b"Via", b", ".join(hops)), (b"X-Request-ID", request.request_id.encode())]
    if decision.grant is not None:
        fields.append(credential_field(route, decision.grant))
    try:
        head = serialize_head(request.method.encode() + b" " + upstream_target(request, route) + b" HTTP/1.1", fields)
    except ValueError:
        raise refuse(Kind.INVALID_REQUEST, "The request's head is malformed.", close=True) from None
    for needle in decision.left_behind:
        if needle in head:
            raise refuse(Kind.LEAK_GUARD, "The caller's token was about to leave.")
    return head


def credential_field(route: Route, grant: Grant) -> tuple[bytes, bytes]:
    """Return the field by which a route's upstream is given the issued token."""
    name, token = route.upstream.token_header, grant.token.token.encode()
    return name, b"Bearer " + token if name.lower() == _AUTHORIZATION else token


def hops_left(request: RequestHead) -> int | None:
    """Return over how many more gateways an OPTIONS request may go; None where it does not say (RFC 9110 §7.6.2)."""
    if request.method != "OPTIONS":
        return None
    given = request.values(_MAX_FORWARDS)
    return int(given[0]) if len(given) == 1 and _HOPS.fullmatch(given[0]) else None


def upstream_target(request: RequestHead, route: Route) -> bytes:
    """Return the target for the upstream: the path's own bytes, without the prefix if the route says so."""
    path = request.path
    prefix = route.upstream.strip_prefix
    if prefix:
        path = _strip(path, prefix)
    target = route.upstream.base_path + path
    return target if request.query is None else target + b"?" + request.query


def response_head(
    response: Response,
    request: RequestHead,
    *,
    issued: bytes | None,
    keep_open: bool,
    opened: Fields | None = None,
    resource_metadata: str = "",
) -> tuple[bytes, bool]:
    """Return the head of the caller's response, and whether its body is to be chunked.

    issued: the issued token; what repeats it is left out, since the caller must never see it.
    opened: which pages may read it, where that is for the gateway to say and not for the upstream.
    resource_metadata: see ``passed_on``.
    """
    fields = returned_fields(response.fields, issued, resource_metadata)
    if opened is not None:
        fields = [*(field for field in fields if field[0].lower() not in _OPENING), *opened]
    chunked = False
    if response.content_length is not None:
        fields.append((b"Content-Length", b"%d" % response.content_length))
    elif response.has_body and request.version == (1, 1):
        fields.append((b"Transfer-Encoding", b"chunked"))
        chunked = True
    fields.append((b"X-Request-ID", request.request_id.encode()))
    fields += connection_field(request.version, keep_open=keep_open)
    reason = response.reason.encode("latin-1", "replace")
    if issued is not None and issued in reason:
        reason = b""
    return serialize_head(b"HTTP/1.1 %d %b" % (response.status, reason), fields), chunked


def returned_fields(fields: Fields, issued: bytes | None, resource_metadata: str = "") -> list[tuple[bytes, bytes]]:
    """Return the fields of a response, final or interim, that go on to the caller; see ``response_head``."""
    kept = forwardable(fields, _NEVER_RETURNED)
    if issued is not None:
        shortest = len(issued)  # so that hardly any field is searched
        kept = [
            field
            for field in kept
            if (len(field[1]) < shortest or issued not in field[1])
            and (len(field[0]) < shortest or issued not in field[0])
        ]
    if CHALLENGE not in [field[0].lower() for field in kept]:
        return kept
    returned: list[tuple[bytes, bytes]] = []
    for field in kept:
        name, value = field
        if name.lower() != CHALLENGE:
            returned.append(field)
        elif (passed := passed_on(value, resource_metadata)) is not None:
            returned.append((name, passed))
    return returned


def connection_field(version: tuple[int, int], *, keep_open: bool) -> list[tuple[bytes, bytes]]:
    """Return the ``Connection`` field that a response needs, if any (RFC 9112 §9.3)."""
    if not keep_open:
        return [(b"Connection", b"close")]
    return [(b"Connection", b"keep-alive")] if version == (1, 0) else []


def _strip(path: bytes, prefix: bytes) -> bytes:
    """Remove as many whole segments as the prefix has: the path may spell them with percent signs."""
    segments = path.split(b"/")[1 + prefix.count(b"/") :]
    return b"/" + b"/".join(segments)


@lru_cache(maxsize=64)
def _dropped(credentials: frozenset[bytes], drop_cookies: bool) -> frozenset[bytes]:
    return _NEVER_FORWARDED | credentials | ({b"cookie"} if drop_cookies else set())


@lru_cache(maxsize=1024)
def _first_hop(peer: str | None, scheme: str, authority: bytes) -> Fields:
    """The forwarding fields where nobody is believed about earlier hops: the same for many requests."""
    return tuple(_forwarding_fields(peer, scheme, authority, {}))


def _forwarding_fields(peer_name: str | None, scheme: str, authority: bytes, named: Named) -> list[tuple[bytes, bytes]]:
    """Who called, as applications behind a proxy read it (RFC 7239, and the fields that came before it).

    named: what the peer says of earlier hops, by the names of fields.
    """
    peer = peer_name.encode() if peer_name is not None else None
    fields: list[tuple[bytes, bytes]] = []

    def said(name: bytes) -> list[bytes]:
        return named.get(name, [])

    chain = [*said(b"x-forwarded-for"), *([peer] if peer is not None else [])]
    if chain:
        fields.append((b"X-Forwarded-For", b", ".join(chain)))
    if host := b", ".join(said(b"x-forwarded-host")) or authority:
        fields.append((b"X-Forwarded-Host", host))
    fields.append((b"X-Forwarded-Proto", b", ".join(said(b"x-forwarded-proto")) or scheme.encode()))
    if ports := said(b"x-forwarded-port"):
        fields.append((b"X-Forwarded-Port", b", ".join(ports)))
    if (real := b", ".join(said(b"x-real-ip")) or peer) is not None:
        fields.append((b"X-Real-IP", real))
    ours = [b"for=" + _node(peer), b"proto=" + scheme.encode()]
    if authority:  # HTTP/1.0 may name none
        ours.insert(1, b'host="%b"' % authority)
    fields.append((b"Forwarded", b", ".join([*said(b"forwarded"), b";".join(ours)])))
    return fields


def _node(peer: bytes | None) -> bytes:
    """RFC 7239 §6: an IPv6 address in brackets and quotes, ``unknown`` for a unix socket."""
    if peer is None:
        return b"unknown"
    return b'"[%b]"' % peer if b":" in peer else peer
