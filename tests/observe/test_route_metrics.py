from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.model.decision import CacheResult
from sidecar.model.refusal import Kind
from sidecar.observe.route_metrics import DURATION_BUCKETS, Durations, RouteMetrics, TokenRefusal, families


def _samples(routes: dict[str, RouteMetrics]) -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in families(routes)
        for sample in family.samples
    }


def test_there_are_13_buckets_from_1_ms_to_10_s() -> None:
    assert len(DURATION_BUCKETS) == 13
    assert (DURATION_BUCKETS[0], DURATION_BUCKETS[-1]) == (0.001, 10.0)
    assert list(DURATION_BUCKETS) == sorted(DURATION_BUCKETS)


@given(st.lists(st.floats(0, 20)))
def test_a_bucket_holds_all_durations_up_to_its_bound(seconds: list[float]) -> None:
    durations = Durations()
    for value in seconds:
        durations.observe(value)
    buckets = durations.cumulative()
    assert [count for _, count in buckets[:-1]] == [sum(v <= bound for v in seconds) for bound in DURATION_BUCKETS]
    assert buckets[-1] == ("+Inf", len(seconds))
    assert durations.total == pytest.approx(sum(seconds))


def test_a_duration_on_a_bound_belongs_below_it() -> None:
    durations = Durations()
    durations.observe(0.005)
    assert durations.counts[bisect_left(DURATION_BUCKETS, 0.005)] == 1
    assert dict(durations.cumulative())["0.005"] == 1


@given(st.lists(st.text()))
@pytest.mark.threat("S63")
def test_methods_nobody_registered_share_one_series(methods: list[str]) -> None:
    route = RouteMetrics()
    for method in [*methods, "get", "GET", "PROPFIND"]:
        route.request(method, 200)
    assert {method for method, _ in route.requests} <= {"GET", "POST", "PUT", "HEAD", "PATCH", "DELETE", "OPTIONS",
                                                        "CONNECT", "TRACE", "other"}  # fmt: skip
    assert route.requests["GET", 200] == 1 + methods.count("GET")
    assert sum(route.requests.values()) == len(methods) + 3


def test_every_family_carries_its_labels_and_numbers() -> None:
    route = RouteMetrics()
    route.request("GET", 200)
    route.request("GET", 200)
    route.request("BREW", 418)
    route.rejections[Kind.INVALID_TOKEN] += 1
    route.exchange("corp")
    route.exchange("corp", Kind.EXCHANGE_TIMEOUT)
    route.cache_lookup(CacheResult.HIT)
    route.leak_stopped()
    route.issued_token_refused(TokenRefusal.REPLAYED)
    route.request_duration.observe(0.3)
    route.overhead.observe(0.0004)
    route.upstream_duration.observe(0.2)
    samples = _samples({"orders": route})
    assert samples["token_sidecar_requests_total", ("orders", "GET", "200")] == 2
    assert samples["token_sidecar_requests_total", ("orders", "other", "418")] == 1
    assert samples["token_sidecar_rejections_total", ("orders", "invalid-token")] == 1
    assert samples["token_sidecar_exchanges_total", ("corp", "orders", "success")] == 1
    assert samples["token_sidecar_exchanges_total", ("corp", "orders", "exchange-timeout")] == 1
    assert samples["token_sidecar_cache_lookups_total", ("orders", "hit")] == 1
    assert samples["token_sidecar_cache_lookups_total", ("orders", "negative")] == 0
    assert samples["token_sidecar_issued_token_refusals_total", ("orders", "replayed")] == 1
    assert samples["token_sidecar_issued_token_refusals_total", ("orders", "limited")] == 0
    assert samples["token_sidecar_leak_guard_total", ("orders",)] == 1
    assert samples["token_sidecar_request_duration_seconds_bucket", ("orders", "0.25")] == 0
    assert samples["token_sidecar_request_duration_seconds_bucket", ("orders", "0.5")] == 1
    assert samples["token_sidecar_overhead_seconds_bucket", ("orders", "0.001")] == 1
    assert samples["token_sidecar_upstream_duration_seconds_sum", ("orders",)] == 0.2
    assert samples["token_sidecar_upstream_duration_seconds_count", ("orders",)] == 1
