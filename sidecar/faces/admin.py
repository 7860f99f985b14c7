"""The admin listener: probes, metrics and the status, for reading only.

``/livez``, ``/readyz`` and ``/metrics`` answer whoever reaches the listener. ``/status`` tells of configuration, so it
is for loopback, and guarded against a browser that was lured there: by ``Host`` (DNS rebinding) and ``Origin``. No
token and no subject is ever shown, and nothing can be changed.
"""

import ipaddress
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from http import HTTPStatus
from typing import Any, Final, Protocol

from aiohttp import web

from sidecar.faces.problems import Problem, status_problem
from sidecar.observe.metrics import Metrics

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
#: ``host[:port]`` (RFC 9110 §7.2), an IPv6 literal without its brackets.
_AUTHORITY: Final = re.compile(r"(?:\[(?P<literal>[^\]]+)\]|(?P<name>[^:\[\]]+))(?::[0-9]*)?")
READ: Final = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class ConfigStatus:
    """The configuration in use. last_reload: RFC 3339; errors: of a later one that was not taken."""

    file: str
    last_reload: str
    errors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RouteStatus:
    """One route. requests and refusals are counted since it was defined."""

    name: str
    listener: str
    upstream: str
    requests: int
    refusals: int


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """What the cache of issued tokens holds."""

    entries: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Status:
    """What ``/status`` shows, member by member. Availability is None where nobody asked yet.

    recent_refusals: by kind, over the last 15 minutes.
    """

    version: str
    uptime_seconds: float
    ready: bool
    config: ConfigStatus
    routes: tuple[RouteStatus, ...]
    authorization_servers: Mapping[str, bool | None]
    trusted_issuers: Mapping[str, bool | None]
    cache: CacheStatus
    recent_refusals: Mapping[str, int]


class StatusSource(Protocol):
    """Who knows how the gateway is."""

    def ready(self) -> bool:
        """Whether the configuration is loaded, the listeners are bound and nothing drains; nothing else."""

    def status(self) -> Status:
        """The whole status, as of now."""


def admin_application(
    source: StatusSource, metrics: Metrics, *, listen_host: str | None, loopback_only: bool = True
) -> web.Application:
    """Return the application of the admin listener.

    listen_host: the host it was told to listen on, None for a unix socket. loopback_only: ``/status`` is for loopback
    and unix socket peers; otherwise for all (``pages: any``).
    """
    admin = _Admin(source, metrics, listen_host, loopback_only)
    application = web.Application(middlewares=[admin.answer], handler_args={"access_log": None})
    application.on_response_prepare.append(_finish_headers)
    return application


class _Admin:
    def __init__(self, source: StatusSource, metrics: Metrics, listen_host: str | None, loopback_only: bool) -> None:
        self._source = source
        self._metrics = metrics
        self._listen_host = listen_host.strip("[]").lower() if listen_host else None
        self._loopback_only = loopback_only
        self._pages: Mapping[str, Callable[[web.Request], web.Response]] = {
            "/livez": self._live,
            "/readyz": self._ready,
            "/metrics": self._scrape,
            "/status": self._status,
        }

    @web.middleware
    async def answer(self, request: web.Request, handler: Handler) -> web.Response:  # noqa: ARG002  # see below
        """Answer every request: the application has no routes of its own, whose error pages would be aiohttp's."""
        page = self._pages.get(request.rel_url.raw_path)
        if page is None:
            return _refuse(HTTPStatus.NOT_FOUND, "There is nothing here.")
        if request.method not in READ:
            response = _refuse(HTTPStatus.METHOD_NOT_ALLOWED, "The admin listener is for reading only.")
            response.headers["Allow"] = "GET, HEAD"
            return response
        return page(request)

    def _live(self, _: web.Request) -> web.Response:
        return web.Response(text="live\n")

    def _ready(self, _: web.Request) -> web.Response:
        if self._source.ready():
            return web.Response(text="ready\n")
        return _refuse(HTTPStatus.SERVICE_UNAVAILABLE, "Not ready, or draining.")

    def _scrape(self, request: web.Request) -> web.Response:
        body, content_type = self._metrics.render(", ".join(request.headers.getall("Accept", ())))
        return web.Response(body=body, headers={"Content-Type": content_type})

    def _status(self, request: web.Request) -> web.Response:
        if self._loopback_only and not _is_loopback_peer(request):
            return _refuse(HTTPStatus.FORBIDDEN, "Only for loopback.")
        if "Origin" in request.headers:
            return _refuse(HTTPStatus.FORBIDDEN, "Not for pages of another origin.")
        if not self._names_us(request.headers.getall("Host", ())):
            return _refuse(HTTPStatus.FORBIDDEN, "Host must be an IP address, localhost or the name listened on.")
        body = json.dumps(self._source.status(), indent=2, default=_members)
        return web.Response(text=f"{body}\n", content_type="application/json")

    def _names_us(self, hosts: tuple[str, ...] | list[str]) -> bool:
        """Whether ``Host`` can't be a name that somebody else pointed at us."""
        if len(hosts) != 1:
            return False
        match = _AUTHORITY.fullmatch(hosts[0].lower())
        if match is None:
            return False
        host = match["literal"] or match["name"]
        return host in ("localhost", self._listen_host) or _address(host) is not None


def _members(value: Any) -> dict[str, Any]:
    """A value of the status as JSON's members."""
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return dict(value)


def _refuse(status: HTTPStatus, detail: str) -> web.Response:
    return _response(status_problem(status, detail))


def _response(problem: Problem) -> web.Response:
    headers = [(name.decode("ascii"), value.decode("ascii")) for name, value in problem.headers]
    return web.Response(status=problem.status, headers=headers, body=problem.body)


async def _finish_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Make every answer unreadable to pages elsewhere, unkept, and silent about what serves it."""
    response.headers.popall("Server", None)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"


def _is_loopback_peer(request: web.Request) -> bool:
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    if not isinstance(peer, tuple):
        return request.transport is not None  # a unix socket: whoever may open it is on this machine
    address = _address(peer[0])
    return address is not None and address.is_loopback


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An IP address, an IPv4-mapped one as IPv4; None where the text is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
