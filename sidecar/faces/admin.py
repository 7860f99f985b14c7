"""The admin listener: probes, metrics and the status, for reading only.

``/livez``, ``/readyz`` and ``/metrics`` answer whoever reaches the listener. ``/status`` tells of configuration, so it
is for loopback, and guarded against a browser that was lured there: by ``Host`` (DNS rebinding) and ``Origin``. No
token and no subject is ever shown, and nothing can be changed.
"""

import ipaddress
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass, replace
from http import HTTPStatus
from typing import Any, Final, Protocol

from sidecar.faces.problems import problem, status_problem
from sidecar.faces.responses import OwnResponse, written
from sidecar.inbound.accept import accept
from sidecar.inbound.server import ClientGone, Incoming
from sidecar.model.listener import Direction, Listener
from sidecar.model.refusal import Refusal, Refused
from sidecar.model.request import RequestHead
from sidecar.observe.metrics import Metrics

READ: Final = frozenset({"GET", "HEAD"})
LISTENER: Final = Listener("admin", Direction.INGRESS, "http", max_header_bytes=16 * 1024)
#: Nothing here is for pages of another origin, to be framed, or to be kept.
_GUARDS: Final = (
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Content-Security-Policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
)


@dataclass(frozen=True, slots=True)
class ConfigStatus:
    """The configuration in use.

    last_reload: RFC 3339. errors: why a later one was not taken; none where the files' present one is in use.
    includes: by name, why the present files of an include are not in use; none where they are.
    """

    file: str
    last_reload: str
    errors: tuple[str, ...]
    includes: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class RouteStatus:
    """One route. requests and refusals are counted since it was defined."""

    name: str
    listener: str
    upstream: str
    requests: int
    refusals: int


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One authorization server. available: None where nobody asked yet; in_flight, queued: exchanges.

    breaker: ``closed``, ``half-open`` or ``open``.
    """

    available: bool | None
    breaker: str
    in_flight: int
    queued: int


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """What the cache of issued tokens holds."""

    entries: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Status:
    """What ``/status`` shows, member by member. trusted_issuers: None where nobody asked yet.

    recent_refusals: by kind, over the last 15 minutes.
    """

    version: str
    uptime_seconds: float
    ready: bool
    config: ConfigStatus
    routes: tuple[RouteStatus, ...]
    authorization_servers: Mapping[str, ServerStatus]
    trusted_issuers: Mapping[str, bool | None]
    cache: CacheStatus
    recent_refusals: Mapping[str, int]


class StatusSource(Protocol):
    """Who knows how the gateway is."""

    def ready(self) -> bool:
        """Whether the configuration is loaded, the listeners are bound and nothing drains; nothing else."""

    def status(self) -> Status:
        """The whole status, as of now."""


class Admin:
    """Answers on the admin listener; it changes nothing.

    listen_host: the host it was told to listen on, None for a unix socket. loopback_only: ``/status`` is for peers on
    loopback and unix sockets; otherwise for all (``pages: any``).
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
            b"/status": self._status,
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
        page = self._pages.get(request.path)
        if page is None:
            return status_problem(HTTPStatus.NOT_FOUND, "There is nothing here.")
        if request.method not in READ:
            refused = status_problem(HTTPStatus.METHOD_NOT_ALLOWED, "The admin listener is for reading only.")
            return replace(refused, headers=(*refused.headers, (b"Allow", b"GET, HEAD")))
        return page(request)

    def _live(self, _: RequestHead) -> OwnResponse:
        return _page(b"live\n", b"text/plain; charset=utf-8")

    def _ready(self, _: RequestHead) -> OwnResponse:
        if self._source.ready():
            return _page(b"ready\n", b"text/plain; charset=utf-8")
        return status_problem(HTTPStatus.SERVICE_UNAVAILABLE, "Not ready, or draining.")

    def _scrape(self, request: RequestHead) -> OwnResponse:
        body, content_type = self._metrics.render(b", ".join(request.values(b"accept")).decode("latin-1"))
        return _page(body, content_type.encode())

    def _status(self, request: RequestHead) -> OwnResponse:
        if self._loopback_only and not _is_loopback(request.peer):
            return status_problem(HTTPStatus.FORBIDDEN, "Only for loopback.")
        if request.values(b"origin"):
            return status_problem(HTTPStatus.FORBIDDEN, "Not for pages of another origin.")
        if not self._names_us(request.host):
            return status_problem(
                HTTPStatus.FORBIDDEN, "Host must be an IP address, localhost or the name listened on."
            )
        body = json.dumps(self._source.status(), indent=2, default=_members)
        return _page(f"{body}\n".encode(), b"application/json; charset=utf-8")

    def _names_us(self, host: str) -> bool:
        """Whether ``Host`` can't be a name that somebody else pointed at us."""
        return host in ("localhost", self._listen_host) or _address(host.strip("[]")) is not None


def _members(value: Any) -> dict[str, Any]:
    """A value of the status as JSON's members."""
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return dict(value)


def _page(body: bytes, content_type: bytes) -> OwnResponse:
    return OwnResponse(200, ((b"Content-Type", content_type), (b"Cache-Control", b"no-store")), body)


def _guarded(answer: OwnResponse) -> OwnResponse:
    """An answer that pages elsewhere can't read and nobody keeps."""
    return replace(answer, headers=(*answer.headers, *_GUARDS))


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
