"""What ``/status`` shows, put together from those who know; nothing is counted or decided here."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from prometheus_client import Gauge

import sidecar
from sidecar.config.loaded import Included
from sidecar.config.problems import ConfigProblem
from sidecar.config.schema import Config
from sidecar.exchange.cache import TokenCache
from sidecar.faces.admin import CacheStatus, ConfigStatus, RouteStatus, ServerStatus, Status
from sidecar.observe.metrics import Metrics
from sidecar.snapshot import Snapshot


def config_status(
    file: str, taken_at: float, refused: Iterable[ConfigProblem], included: Iterable[Included]
) -> ConfigStatus:
    """Return how the configuration is. taken_at: wall-clock seconds. refused: what is wrong with a later one."""
    return ConfigStatus(
        file=file,
        last_reload=datetime.fromtimestamp(taken_at, UTC).isoformat("T", "seconds"),
        errors=tuple(map(str, refused)),
        includes={include.name: tuple(map(str, include.problems)) for include in included},
    )


def status(
    config: Config,
    config_status: ConfigStatus,
    snapshot: Snapshot,
    metrics: Metrics,
    cache: TokenCache,
    uptime: float,
    ready: bool,
) -> Status:
    """Return the whole status, as of now. uptime: seconds."""
    return Status(
        version=sidecar.__version__,
        uptime_seconds=round(uptime, 1),
        ready=ready,
        config=config_status,
        routes=tuple(_routes(snapshot, metrics)),
        authorization_servers=dict(_servers(snapshot, metrics)),
        trusted_issuers=_availability(metrics.trusted_issuer_available, config.trusted_issuers),
        cache=CacheStatus(len(cache), cache.size),
        recent_refusals={kind.value: count for kind, count in metrics.recent_refusals().items()},
    )


def _routes(snapshot: Snapshot, metrics: Metrics) -> Iterator[RouteStatus]:
    for route in snapshot.routes.values():
        counts = metrics.route(route.name)
        yield RouteStatus(
            route.name,
            route.listener,
            route.upstream.resource_server,
            sum(counts.requests.values()),
            sum(counts.rejections.values()),
        )


def _servers(snapshot: Snapshot, metrics: Metrics) -> Iterator[tuple[str, ServerStatus]]:
    for name, available in _availability(metrics.authorization_server_available, snapshot.servers).items():
        server = snapshot.servers[name]
        yield name, ServerStatus(available, server.breaker.word, server.in_flight, server.queued)


def _availability(gauge: Gauge, names: Iterable[str]) -> dict[str, bool | None]:
    """What a gauge by name says; None for those nobody asked yet."""
    known = {next(iter(sample.labels.values())): sample.value > 0 for sample in next(iter(gauge.collect())).samples}
    return {name: known.get(name) for name in names}
