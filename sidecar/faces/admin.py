"""The admin listener: probes, metrics and the status, for reading only.

``/livez``, ``/readyz`` and ``/metrics`` answer whoever reaches the listener. ``/status`` and the page at ``/`` tell of
configuration, so they are for loopback, and guarded against a browser that was lured there: by ``Host`` (DNS rebinding)
and ``Origin``. No token and no subject is ever shown, and nothing can be changed.
"""

import ipaddress
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from typing import Final, Protocol

from sidecar.faces.problems import problem, status_problem
from sidecar.faces.responses import OwnResponse, written
from sidecar.faces.status_page import POLICY, SCRIPT, STYLE, page
from sidecar.inbound.accept import accept
from sidecar.inbound.server import ClientGone, Incoming
from sidecar.model.listener import Direction, Listener
from sidecar.model.refusal import Refusal, Refused
from sidecar.model.request import RequestHead
from sidecar.model.status import Status, as_json
from sidecar.observe.metrics import Metrics

READ: Final = frozenset({"GET", "HEAD"})
LISTENER: Final = Listener("admin", Direction.INGRESS, "http", max_header_bytes=16 * 1024)
#: Nothing here is for pages of another origin, to be framed, or to be kept.
_GUARDS: Final = (
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
    (b"Cross-Origin-Opener-Policy", b"same-origin"),
    (b"Referrer-Policy", b"no-referrer"),
)
_POLICY: Final = b"Content-Security-Policy"
_TEXT: Final = b"text/plain; charset=utf-8"


class StatusSource(Protocol):
    """Who knows how the gateway is."""

    def ready(self) -> bool:
        """Whether the configuration is loaded, the listeners are bound and nothing drains; nothing else."""

    def status(self) -> Status:
        """The whole status, as of now."""


class Admin:
    """Answers on the admin listener; it changes nothing.

    listen_host: the host it was told to listen on, None for a unix socket. loopback_only: the page and ``/status`` are
    for peers on loopback and unix sockets; otherwise for all (``pages: any``).
    """

    def __init__(self, source: StatusSource, metrics: Metrics, *, listen_host: str | None, loopback_only: bool) -> None:
        self._source = source
        self._metrics = metrics
        self._listen_host = listen_host.strip("[]").lower() if listen_host else None
        self._loopback_only = loopback_only
        self._pages: Mapping[bytes, Callable[[RequestHead], OwnResponse]] = {
            b"/livez": self._live,
            b"/readyz": self._ready,
            b"/metrics": self._scrape,
            b"/": self._for_people(lambda: _page(page(source.status()), b"text/html; charset=utf-8", POLICY)),
            b"/status": self._for_people(lambda: _page(as_json(source.status()), b"application/json; charset=utf-8")),
            b"/status.css": self._for_people(lambda: _page(STYLE, b"text/css; charset=utf-8")),
            b"/status.js": self._for_people(lambda: _page(SCRIPT, b"text/javascript; charset=utf-8")),
        }

    async def serve(self, incoming: Incoming) -> Incoming:
        """Answer one request."""
        request: RequestHead | None = None
        try:
            request = accept(incoming.message, LISTENER, peer=incoming.peer, guarded=frozenset(), own_via=None)
            answer = self.answer(request)
        except Refused as refused:
            answer = problem(refused.refusal, "")
            incoming.keep_open = False
        with suppress(ClientGone):
            incoming.write(written(_guarded(answer), request, keep_open=incoming.keep_open))
        return incoming

    def malformed(self, refusal: Refusal) -> bytes:
        """Return the whole response for a request that could not be parsed."""
        return written(_guarded(problem(refusal, "")), None, keep_open=False)

    def answer(self, request: RequestHead) -> OwnResponse:
        """Return what a request is answered."""
        make = self._pages.get(request.path)
        if make is None:
            return status_problem(HTTPStatus.NOT_FOUND, "There is nothing here.")
        if request.method not in READ:
            refused = status_problem(HTTPStatus.METHOD_NOT_ALLOWED, "The admin listener is for reading only.")
            return replace(refused, headers=(*refused.headers, (b"Allow", b"GET, HEAD")))
        return make(request)

    def _live(self, _: RequestHead) -> OwnResponse:
        return _page(b"live\n", _TEXT)

    def _ready(self, _: RequestHead) -> OwnResponse:
        if self._source.ready():
            return _page(b"ready\n", _TEXT)
        return status_problem(HTTPStatus.SERVICE_UNAVAILABLE, "Not ready, or draining.")

    def _scrape(self, request: RequestHead) -> OwnResponse:
        body, content_type = self._metrics.render(b", ".join(request.values(b"accept")).decode("latin-1"))
        return _page(body, content_type.encode())

    def _for_people(self, make: Callable[[], OwnResponse]) -> Callable[[RequestHead], OwnResponse]:
        """A page that is made for those alone who may see the status."""

        def answer(request: RequestHead) -> OwnResponse:
            refused = self._why_not(request)
            return make() if refused is None else status_problem(HTTPStatus.FORBIDDEN, refused)

        return answer

    def _why_not(self, request: RequestHead) -> str | None:
        """Why a request may not see the status, None where it may."""
        if self._loopback_only and not _is_loopback(request.peer):
            return "Only for loopback."
        if request.values(b"origin"):
            return "Not for pages of another origin."
        if not self._names_us(request.host):
            return "Host must be an IP address, localhost or the name listened on."
        return None

    def _names_us(self, host: str) -> bool:
        """Whether ``Host`` can't be a name that somebody else pointed at us."""
        return host in ("localhost", self._listen_host) or _address(host.strip("[]")) is not None


def _page(body: bytes, content_type: bytes, policy: bytes | None = None) -> OwnResponse:
    """An answer that nobody keeps. policy: what a document may ask for; nothing where there is none."""
    headers = [(b"Content-Type", content_type), (b"Cache-Control", b"no-store")]
    if policy is not None:
        headers.append((_POLICY, policy))
    return OwnResponse(200, tuple(headers), body)


def _guarded(answer: OwnResponse) -> OwnResponse:
    """An answer that pages elsewhere can't read, and that asks for nothing unless it says so."""
    policy = (_POLICY, b"default-src 'none'; frame-ancestors 'none'")
    own = any(name == _POLICY for name, _ in answer.headers)
    return replace(answer, headers=(*answer.headers, *(() if own else (policy,)), *_GUARDS))


def _is_loopback(peer: str | None) -> bool:
    if peer is None:
        return True  # a unix socket: whoever may open it is on this machine
    address = _address(peer)
    return address is not None and address.is_loopback


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An IP address, an IPv4-mapped one as IPv4; None where the text is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
