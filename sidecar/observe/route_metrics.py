"""What is counted for every request, by route: plain numbers on the hot path, metric families at the scrape.

Nothing here knows a route's configuration, and no label is made of anything a caller wrote: route names come from the
configuration, methods are known ones or ``other``. All of it belongs to the event loop's thread, which is why no lock
is taken; a library histogram would cost five times as much.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.utils import floatToGoString

from sidecar.model.decision import CacheResult
from sidecar.model.refusal import Kind

#: Upper bounds in seconds, for every duration that is measured.
DURATION_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
KNOWN_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"})
SUCCESS: Final = "success"

_BUCKET_LABELS: Final = (*map(floatToGoString, DURATION_BUCKETS), "+Inf")


class TokenRefusal(StrEnum):
    """What came of an upstream's refusal of an issued token; the values of the metric's ``result``."""

    REPLAYED = "replayed"  # a newer token was accepted
    REFUSED = "refused"  # the newer one was not either
    LIMITED = "limited"  # a newer one was got less than 10 seconds ago
    NOT_REPLAYABLE = "not-replayable"  # given up, but the request could not be sent again
    EXCHANGE_FAILED = "exchange-failed"


class Durations:
    """A histogram of seconds."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * len(_BUCKET_LABELS)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(DURATION_BUCKETS, seconds)] += 1
        self.total += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        """Return the buckets as Prometheus wants them: each with all that is below it."""
        running, buckets = 0, []
        for label, count in zip(_BUCKET_LABELS, self.counts, strict=True):
            running += count
            buckets.append((label, float(running)))
        return buckets


class RouteMetrics:
    """The numbers of one route. The first three are observed in seconds.

    overhead: what the gateway itself took, without upstream and authorization server.
    """

    __slots__ = (
        "cache_lookups",
        "exchanges",
        "issued_token_refusals",
        "leaks_stopped",
        "overhead",
        "rejections",
        "request_duration",
        "requests",
        "upstream_duration",
    )

    def __init__(self) -> None:
        self.request_duration = Durations()
        self.overhead = Durations()
        self.upstream_duration = Durations()
        self.requests: defaultdict[tuple[str, int], int] = defaultdict(int)
        self.rejections: defaultdict[Kind, int] = defaultdict(int)
        self.exchanges: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.cache_lookups = dict.fromkeys(CacheResult, 0)
        self.issued_token_refusals = dict.fromkeys(TokenRefusal, 0)
        self.leaks_stopped = 0

    def request(self, method: str, code: int) -> None:
        """Count one answered request; ``code`` is the exact status."""
        self.requests[method if method in KNOWN_METHODS else "other", code] += 1

    def cache_lookup(self, result: CacheResult) -> None:
        """Count one question to the cache of issued tokens."""
        self.cache_lookups[result] += 1

    def exchange(self, authorization_server: str, failure: Kind | None = None) -> None:
        """Count one exchange; without a failure it was a success."""
        self.exchanges[authorization_server, SUCCESS if failure is None else failure.value] += 1

    def issued_token_refused(self, result: TokenRefusal) -> None:
        """Count one refusal of an issued token by the upstream."""
        self.issued_token_refusals[result] += 1

    def leak_stopped(self) -> None:
        """Count one request that the leak guard kept from leaving."""
        self.leaks_stopped += 1


def families(routes: Mapping[str, RouteMetrics]) -> Iterator[Metric]:
    """Return the metric families of all routes."""
    requests = CounterMetricFamily("token_sidecar_requests", "Requests answered.", labels=("route", "method", "code"))
    rejections = CounterMetricFamily(
        "token_sidecar_rejections", "Requests refused by the gateway, by kind.", labels=("route", "reason")
    )
    exchanges = CounterMetricFamily(
        "token_sidecar_exchanges",
        "Token exchanges, by success or kind of failure.",
        labels=("authorization_server", "route", "outcome"),
    )
    lookups = CounterMetricFamily(
        "token_sidecar_cache_lookups", "How issued tokens were come by.", labels=("route", "result")
    )
    refusals = CounterMetricFamily(
        "token_sidecar_issued_token_refusals",
        "Issued tokens that the upstream did not accept, by what came of it.",
        labels=("route", "result"),
    )
    leaks = CounterMetricFamily(
        "token_sidecar_leak_guard", "Requests stopped because the caller's token was about to leave.", labels=("route",)
    )
    duration = _histogram("request_duration", "From the request's head to the end of the answer.")
    overhead = _histogram(
        "overhead", "The gateway's own share of a request, without upstream and authorization server."
    )
    upstream = _histogram("upstream_duration", "From the request sent upstream to the head of its answer.")
    for name, route in routes.items():
        for (method, code), count in route.requests.items():
            requests.add_metric((name, method, str(code)), count)
        for kind, count in route.rejections.items():
            rejections.add_metric((name, kind.value), count)
        for (server, outcome), count in route.exchanges.items():
            exchanges.add_metric((server, name, outcome), count)
        for result, count in route.cache_lookups.items():
            lookups.add_metric((name, result.value), count)
        for came, count in route.issued_token_refusals.items():
            refusals.add_metric((name, came.value), count)
        leaks.add_metric((name,), route.leaks_stopped)
        for family, durations in (
            (duration, route.request_duration),
            (overhead, route.overhead),
            (upstream, route.upstream_duration),
        ):
            family.add_metric((name,), durations.cumulative(), durations.total)
    yield from (requests, duration, overhead, upstream, rejections, exchanges, lookups, refusals, leaks)


def _histogram(name: str, documentation: str) -> HistogramMetricFamily:
    return HistogramMetricFamily(f"token_sidecar_{name}_seconds", documentation, labels=("route",))
