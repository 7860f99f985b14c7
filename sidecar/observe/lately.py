"""What the counters rose by in about the last minute, for people who look at one gateway without Prometheus.

A copy of the plain numbers is kept every 15 seconds and taken away from what they are now: requests pay nothing for it.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from sidecar.model.clock import SYSTEM_CLOCK, Clock
from sidecar.model.decision import CacheResult
from sidecar.model.refusal import Kind
from sidecar.model.status import RouteLately, ServerLately
from sidecar.observe.metrics import Metrics
from sidecar.observe.route_metrics import DURATION_BUCKETS, RouteMetrics

WINDOW: Final = 60.0  # seconds; the oldest copy is this old, or up to EVERY more
EVERY: Final = 15.0  # seconds between two copies
SHORTEST: Final = 1.0  # seconds: no rate is told of less time than this
_FOUND: Final = (CacheResult.HIT, CacheResult.REFRESHED)


@dataclass(frozen=True, slots=True)
class _Copy:
    """A route's numbers at one moment. of: whose they are; a route that was defined anew counts from 0 again."""

    of: RouteMetrics | None
    requests: Mapping[tuple[str, int], int]
    rejections: Mapping[Kind, int]
    lookups: Mapping[CacheResult, int]
    exchanges: Mapping[tuple[str, str], int]
    durations: Sequence[int]


_NOTHING: Final = _Copy(None, {}, {}, {}, {}, (0,) * (len(DURATION_BUCKETS) + 1))


@dataclass(frozen=True, slots=True)
class _Took:
    """How long a server's exchanges took. buckets: each with all that is below it."""

    buckets: Sequence[float]
    count: float
    total: float


_NO_TIME: Final = _Took((0.0,) * (len(DURATION_BUCKETS) + 1), 0, 0)


@dataclass(frozen=True, slots=True)
class _Moment:
    at: float
    routes: Mapping[str, _Copy]
    servers: Mapping[str, _Took]


class Lately:
    """The last minute of one gateway's metrics. Only the event loop's thread may use this."""

    def __init__(self, metrics: Metrics, clock: Clock = SYSTEM_CLOCK) -> None:
        self._metrics = metrics
        self._monotonic = clock.monotonic
        self._moments = deque([self._now()])

    def sample(self) -> None:
        """Keep a copy of the numbers where one is due; to be called every few seconds."""
        now = self._monotonic()
        if now - self._moments[-1].at < EVERY:
            return
        self._moments.append(self._now())
        while now - self._moments[1].at >= WINDOW:
            self._moments.popleft()

    def since(self) -> "Since":
        """Return what happened since the oldest copy that is kept, as of now."""
        return Since(self._moments[0], self._now())

    def _now(self) -> _Moment:
        routes = {
            name: _Copy(
                of,
                dict(of.requests),
                dict(of.rejections),
                dict(of.cache_lookups),
                dict(of.exchanges),
                tuple(of.request_duration.counts),
            )
            for name, of in self._metrics.routes.items()
        }
        return _Moment(self._monotonic(), routes, _servers(self._metrics))


class Since:
    """What happened between two moments."""

    def __init__(self, before: _Moment, now: _Moment) -> None:
        self._now = now
        self._servers = before.servers
        self._elapsed = max(now.at - before.at, SHORTEST)
        self._before = {
            name: copy if (copy := before.routes.get(name)) is not None and copy.of is later.of else _NOTHING
            for name, later in now.routes.items()
        }

    def route(self, name: str) -> RouteLately:
        """Return what happened on a route; one that is unknown had nothing happen."""
        return self._of([name] if name in self._now.routes else [])

    def all(self) -> RouteLately:
        """Return what happened altogether, also to requests that no route matched."""
        return self._of(self._now.routes)

    def server(self, name: str) -> ServerLately:
        """Return what happened at an authorization server."""
        exchanges: Counter[str] = Counter()
        for route, now in self._now.routes.items():
            before = self._before[route].exchanges
            for (server, outcome), count in now.exchanges.items():
                if server == name:
                    exchanges[outcome] += count - before.get((server, outcome), 0)
        took, earlier = self._now.servers.get(name, _NO_TIME), self._servers.get(name, _NO_TIME)
        if took.count < earlier.count:
            earlier = _NO_TIME  # it was taken out of the configuration in between, and put back
        number = took.count - earlier.count
        return ServerLately(
            _risen(exchanges),
            (took.total - earlier.total) / number if number else None,
            _p95([now - then for now, then in zip(took.buckets, earlier.buckets, strict=True)]),
        )

    def _of(self, names: Iterable[str]) -> RouteLately:
        answers: Counter[str] = Counter()
        refusals: Counter[str] = Counter()
        lookups: Counter[CacheResult] = Counter()
        durations = [0] * len(_NOTHING.durations)
        for name in names:
            now, before = self._now.routes[name], self._before[name]
            for (method, code), count in now.requests.items():
                answers[f"{code // 100}xx"] += count - before.requests.get((method, code), 0)
            for kind, count in now.rejections.items():
                refusals[kind.value] += count - before.rejections.get(kind, 0)
            for result, count in now.lookups.items():
                lookups[result] += count - before.lookups.get(result, 0)
            for index, number in enumerate(now.durations):
                durations[index] += number - before.durations[index]
        asked = lookups.total()
        return RouteLately(
            requests_per_second=round(answers.total() / self._elapsed, 3),
            answers=dict(sorted(_risen(answers).items())),
            refusals=_risen(refusals),
            hit_ratio=sum(lookups[result] for result in _FOUND) / asked if asked else None,
            p95_seconds=_p95(list(accumulate(durations))),
        )


def _servers(metrics: Metrics) -> dict[str, _Took]:
    buckets: dict[str, list[float]] = {}
    totals: dict[str, float] = {}
    for family in metrics.exchange_duration.collect():
        for sample in family.samples:
            server = sample.labels["authorization_server"]
            if sample.name.endswith("_bucket"):
                buckets.setdefault(server, []).append(sample.value)
            elif sample.name.endswith("_sum"):
                totals[server] = sample.value
    return {server: _Took(values, values[-1], totals[server]) for server, values in buckets.items()}


def _risen(counts: Counter[str]) -> dict[str, int]:
    """What rose, the most frequent first."""
    return {name: count for name, count in counts.most_common() if count > 0}


def _p95(cumulative: Sequence[float]) -> float | None:
    """The bound of the bucket in which 95 of 100 are; None where there are none, or it has no bound."""
    wanted = 0.95 * cumulative[-1]
    if not wanted:
        return None
    return next((bound for bound, below in zip(DURATION_BUCKETS, cumulative, strict=False) if below >= wanted), None)
