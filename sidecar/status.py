"""The status, put together from those who know; nothing is counted or decided here."""

import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from prometheus_client import Counter, Gauge

import sidecar
from sidecar.config.loaded import Included
from sidecar.config.problems import ConfigProblem
from sidecar.config.schema import Config
from sidecar.exchange.cache import TokenCache
from sidecar.model.status import CacheStatus, ConfigStatus, IssuerStatus, RouteStatus, ServerStatus, Status
from sidecar.observe.lately import Lately, Since
from sidecar.observe.metrics import Metrics
from sidecar.snapshot import Snapshot


def config_status(
    file: str, taken_at: float, refused: Iterable[ConfigProblem], included: Iterable[Included]
) -> ConfigStatus:
    """Return how the configuration is. taken_at: wall-clock seconds. refused: what is wrong with a later one."""
    return ConfigStatus(
        file=file,
        last_reload=_rfc3339(taken_at),
        errors=tuple(map(str, refused)),
        includes={include.name: tuple(map(str, include.problems)) for include in included},
    )


def status(
    config: Config,
    config_status: ConfigStatus,
    snapshot: Snapshot,
    metrics: Metrics,
    lately: Lately,
    cache: TokenCache,
    *,
    uptime: float,
    ready: bool,
) -> Status:
    """Return the whole status, as of now. uptime: seconds."""
    since = lately.since()
    return Status(
        version=sidecar.__version__,
        time=_rfc3339(time.time()),
        uptime_seconds=round(uptime, 1),
        ready=ready,
        requests_in_flight=int(_value(metrics.requests_in_flight)),
        event_loop_lag_seconds=round(_value(metrics.event_loop_lag), 4),
        receipts_dropped=int(_value(metrics.receipts_dropped)),
        last_minute=since.all(),
        config=config_status,
        routes=tuple(_routes(snapshot, metrics, since)),
        authorization_servers=dict(_servers(snapshot, metrics, since)),
        trusted_issuers=dict(_issuers(snapshot, metrics)),
        cache=_cache(config, cache),
        recent_refusals={kind.value: count for kind, count in metrics.recent_refusals().items()},
    )


def _routes(snapshot: Snapshot, metrics: Metrics, since: Since) -> Iterator[RouteStatus]:
    for route in snapshot.routes.values():
        counts = metrics.route(route.name)
        yield RouteStatus(
            route.name,
            route.listener,
            route.upstream.resource_server,
            sum(counts.requests.values()),
            sum(counts.rejections.values()),
            since.route(route.name),
        )


def _servers(snapshot: Snapshot, metrics: Metrics, since: Since) -> Iterator[tuple[str, ServerStatus]]:
    available = _availability(metrics.authorization_server_available)
    for name, server in snapshot.servers.items():
        yield (
            name,
            ServerStatus(
                available.get(name),
                server.breaker.word,
                round(server.pause_left, 1),
                server.in_flight,
                server.queued,
                since.server(name),
            ),
        )


def _issuers(snapshot: Snapshot, metrics: Metrics) -> Iterator[tuple[str, IssuerStatus]]:
    available = _availability(metrics.trusted_issuer_available)
    for issuer in snapshot.verifier.issuers:
        age, serve = (issuer.keys.age, issuer.keys.serve) if issuer.keys is not None else (None, None)
        yield issuer.name, IssuerStatus(available.get(issuer.name), _rounded(age), _rounded(serve))


def _cache(config: Config, cache: TokenCache) -> CacheStatus:
    bounds, oldest = config.cache, cache.oldest
    age = None if oldest is None else time.monotonic() - oldest
    return CacheStatus(len(cache), cache.size, bounds.max_entries, bounds.max_bytes, _rounded(age))


def _availability(gauge: Gauge) -> dict[str, bool]:
    """What a gauge by name says; those whom nobody asked yet are missing."""
    return {next(iter(sample.labels.values())): sample.value > 0 for sample in next(iter(gauge.collect())).samples}


def _value(metric: Gauge | Counter) -> float:
    """What a metric without labels says now."""
    return float(next(iter(metric.collect())).samples[0].value)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def _rfc3339(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).isoformat("T", "seconds")
