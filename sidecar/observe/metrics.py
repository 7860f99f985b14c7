"""All metrics, by the names and labels that dashboards rely on, and how they are rendered for a scrape.

What is counted per request lives in ``route_metrics``; here are the registry, everything that happens less often, and
the rule that a name which left the configuration takes its series along. Each gateway has a registry of its own.
"""

import platform
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from sidecar.model.clock import SYSTEM_CLOCK, Clock
from sidecar.model.refusal import Kind
from sidecar.observe.recent import RecentRefusals
from sidecar.observe.route_metrics import DURATION_BUCKETS, SUCCESS, RouteMetrics, families

NO_ROUTE: Final = "none"

#: Route, state (``active``, ``idle``) and number of connections.
UpstreamConnections = Iterable[tuple[str, str, int]]


@dataclass(frozen=True, slots=True)
class ServerLoad:
    """How one authorization server is used now. breaker: 0 closed, 1 half-open, 2 open."""

    name: str
    in_flight: int
    queued: int
    breaker: int


class Metrics:
    """The metrics of one gateway.

    Public attributes are metrics for whoever owns the fact; ``set_function`` on a gauge has it asked at the scrape.
    Durations are seconds. Only the event loop's thread may use this.
    """

    def __init__(self, version: str, clock: Clock = SYSTEM_CLOCK) -> None:
        # A creation time beside each counter would double the series; the library has only a global switch.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = registry = CollectorRegistry()
        self._routes: dict[str, RouteMetrics] = {}
        self._recent = RecentRefusals(clock)
        self._upstream_connections: Callable[[], UpstreamConnections] = tuple
        self._server_loads: Callable[[], Iterable[ServerLoad]] = tuple
        registry.register(_Live(self._collect))
        self.requests_in_flight = Gauge(
            "token_sidecar_requests_in_flight", "Requests that wait for the head of their answer.", registry=registry
        )
        self.exchange_duration = Histogram(
            "token_sidecar_exchange_duration_seconds",
            "Time one exchange took, with its retry.",
            ("authorization_server",),
            buckets=DURATION_BUCKETS,
            registry=registry,
        )
        self.approvals = Counter(
            "token_sidecar_approvals",
            "Questions to approvers, by success or kind of refusal; a yes that is used again is none.",
            ("approver", "route", "outcome"),
            registry=registry,
        )
        self.approval_duration = Histogram(
            "token_sidecar_approval_duration_seconds",
            "Time one question to an approver took.",
            ("approver",),
            buckets=DURATION_BUCKETS,
            registry=registry,
        )
        self.authorization_server_available = Gauge(
            "token_sidecar_authorization_server_available",
            "1 when it last answered, an exchange or a look at its metadata; 0 when it did not.",
            ("authorization_server",),
            registry=registry,
        )
        self.trusted_issuer_available = Gauge(
            "token_sidecar_trusted_issuer_available",
            "1 when its metadata or keys could last be read, 0 when not.",
            ("issuer",),
            registry=registry,
        )
        self.jwks_refreshes = Counter(
            "token_sidecar_jwks_refreshes",
            "Attempts to read an issuer's keys.",
            ("issuer", "outcome"),
            registry=registry,
        )
        self.cache_entries = Gauge("token_sidecar_cache_entries", "Issued tokens kept.", registry=registry)
        self.cache_bytes = Gauge("token_sidecar_cache_bytes", "Bytes of issued tokens kept.", registry=registry)
        self.cache_evictions = Counter(
            "token_sidecar_cache_evictions", "Issued tokens dropped, by reason.", ("reason",), registry=registry
        )
        self.config_last_reload_successful = Gauge(
            "token_sidecar_config_last_reload_successful", "1 when the last reload was taken.", registry=registry
        )
        self.config_last_reload_timestamp = Gauge(
            "token_sidecar_config_last_reload_timestamp_seconds",
            "When the configuration in use was loaded.",
            registry=registry,
        )
        self.config_include_successful = Gauge(
            "token_sidecar_config_include_successful",
            "1 when the include's present files are in use.",
            ("include",),
            registry=registry,
        )
        self.secret_reloads = Counter(
            "token_sidecar_secret_reloads", "Secret files read again.", ("secret", "outcome"), registry=registry
        )
        self.receipts_dropped = Counter(
            "token_sidecar_receipts_dropped", "Receipts that were never written.", registry=registry
        )
        self.spans = Counter(
            "token_sidecar_spans", "Spans of traces, by what became of them.", ("outcome",), registry=registry
        )
        self.event_loop_lag = Gauge(
            "token_sidecar_event_loop_lag_seconds", "Worst lag of the event loop, last 15 seconds.", registry=registry
        )
        Info("token_sidecar_build", "What runs here.", registry=registry).info(
            {"version": version, "python": platform.python_version(), "aiohttp": aiohttp.__version__}
        )
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self.route(None)

    def route(self, name: str | None) -> RouteMetrics:
        """Return the numbers of a route, or of the requests that no route matched."""
        key = NO_ROUTE if name is None else name
        try:
            return self._routes[key]
        except KeyError:
            return self._routes.setdefault(key, RouteMetrics())

    @property
    def routes(self) -> Mapping[str, RouteMetrics]:
        """The numbers of all routes by name, those of requests that no route matched as ``none``; for reading."""
        return self._routes

    def reject(self, name: str | None, kind: Kind) -> None:
        """Count one refusal on a route, also among the recent ones."""
        self.route(name).rejections[kind] += 1
        self._recent.note(kind)

    def recent_refusals(self) -> Mapping[Kind, int]:
        """Return the refusals of the last 15 minutes by kind, the most frequent first."""
        return self._recent.counts()

    def watch_upstream_connections(self, count: Callable[[], UpstreamConnections]) -> None:
        """Have open upstream connections counted by ``count`` at each scrape."""
        self._upstream_connections = count

    def watch_authorization_servers(self, loads: Callable[[], Iterable[ServerLoad]]) -> None:
        """Have ``loads`` tell at each scrape how each authorization server is used."""
        self._server_loads = loads

    def define(
        self,
        *,
        exchanges: Mapping[str, Collection[str]],
        authorization_servers: Collection[str],
        trusted_issuers: Collection[str],
    ) -> None:
        """Make the series of what the configuration defines exist, at 0, and forget those of what it no longer does.

        exchanges: each route's name and its authorization servers, none where it exchanges nothing. Availability gets
        its series with the first look: what nobody asked yet is neither up nor down.
        """
        for gone in self._routes.keys() - exchanges.keys() - {NO_ROUTE}:
            self.forget(gone)
        for name, servers in exchanges.items():
            route = self.route(name)
            for server in servers:
                route.exchanges[server, SUCCESS] += 0
        for server in authorization_servers:
            self.exchange_duration.labels(server)
        _forget_others(self.exchange_duration, "authorization_server", authorization_servers)
        _forget_others(self.authorization_server_available, "authorization_server", authorization_servers)
        _forget_others(self.trusted_issuer_available, "issuer", trusted_issuers)
        _forget_others(self.jwks_refreshes, "issuer", trusted_issuers)

    def define_approvals(self, asked: Collection[tuple[str, str]], approvers: Collection[str]) -> None:
        """The same for approvals. asked: approver and route, as the configuration joins them."""
        for approver, route in asked:
            self.approvals.labels(approver, route, SUCCESS)
        for approver in approvers:
            self.approval_duration.labels(approver)
        _forget_others(self.approvals, "approver", approvers)
        _forget_others(self.approvals, "route", {route for _, route in asked})
        _forget_others(self.approval_duration, "approver", approvers)

    def approval(self, approver: str, route: str, failure: Kind | None, seconds: float) -> None:
        """Count one question to an approver; without a failure it was a yes."""
        self.approvals.labels(approver, route, SUCCESS if failure is None else failure.value).inc()
        self.approval_duration.labels(approver).observe(seconds)

    def define_includes(self, successful: Mapping[str, bool]) -> None:
        """Say of each include whether its present files are in use, and forget those that are no longer defined."""
        _forget_others(self.config_include_successful, "include", successful.keys())
        for name, taken in successful.items():
            self.config_include_successful.labels(name).set(taken)

    def define_secrets(self, names: Collection[str]) -> None:
        """Make the series of the files in use exist, at 0, and forget those of files that no longer are.

        names: what ``secret`` says of each: its path, or that of the certificate where several belong together.
        """
        for name in names:
            for outcome in (SUCCESS, "failure"):
                self.secret_reloads.labels(name, outcome)
        _forget_others(self.secret_reloads, "secret", names)

    def forget(self, route: str) -> None:
        """Drop all series of a route; requests still under way may go on counting into their own ``RouteMetrics``."""
        self._routes.pop(route, None)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Return all metrics and their content type: OpenMetrics where ``accept`` asks for it, else Prometheus text."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def _collect(self) -> Iterator[Metric]:
        connections = GaugeMetricFamily(
            "token_sidecar_upstream_connections", "Open connections to upstreams.", labels=("route", "state")
        )
        for route, state, number in self._upstream_connections():
            connections.add_metric((route, state), number)
        yield connections
        yield from self._of_servers()
        yield from families(self._routes)

    def _of_servers(self) -> Iterator[Metric]:
        names = ("authorization_server",)
        in_flight = GaugeMetricFamily("token_sidecar_exchanges_in_flight", "Exchanges under way.", labels=names)
        queued = GaugeMetricFamily(
            "token_sidecar_exchanges_queued", "Exchanges that wait for their turn.", labels=names
        )
        breaker = GaugeMetricFamily(
            "token_sidecar_breaker_state",
            "0 closed: exchanges go on. 1 half-open: the next one decides. 2 open: none is sent, or one that decides.",
            labels=names,
        )
        for load in self._server_loads():
            in_flight.add_metric((load.name,), load.in_flight)
            queued.add_metric((load.name,), load.queued)
            breaker.add_metric((load.name,), load.breaker)
        yield from (in_flight, queued, breaker)


class _Live(Collector):
    """Metrics that are made at the scrape."""

    def __init__(self, collect: Callable[[], Iterator[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterator[Metric]:
        return self._collect()


def _forget_others(metric: Counter | Gauge | Histogram, label: str, names: Collection[str]) -> None:
    """Remove the series of a metric whose label names none of these."""
    known = {sample.labels[label] for family in metric.collect() for sample in family.samples}
    for name in known.difference(names):
        metric.remove_by_labels({label: name})
