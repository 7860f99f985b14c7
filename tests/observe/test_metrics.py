import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from sidecar.model.clock import Clock
from sidecar.model.refusal import Kind
from sidecar.observe.metrics import Metrics, ServerLoad
from tests.support.metrics import touched

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]

CONTRACT = {
    "requests_total": {"route", "method", "code"},
    "request_duration_seconds_bucket": {"route", "le"},
    "overhead_seconds_bucket": {"route", "le"},
    "requests_in_flight": set(),
    "upstream_duration_seconds_bucket": {"route", "le"},
    "upstream_connections": {"route", "state"},
    "rejections_total": {"route", "reason"},
    "exchanges_total": {"authorization_server", "route", "outcome"},
    "exchange_duration_seconds_bucket": {"authorization_server", "le"},
    "exchanges_in_flight": {"authorization_server"},
    "exchanges_queued": {"authorization_server"},
    "breaker_state": {"authorization_server"},
    "cache_lookups_total": {"route", "result"},
    "cache_entries": set(),
    "cache_bytes": set(),
    "cache_evictions_total": {"reason"},
    "issued_token_refusals_total": {"route", "result"},
    "leak_guard_total": {"route"},
    "approvals_total": {"approver", "route", "outcome"},
    "approval_duration_seconds_bucket": {"approver", "le"},
    "authorization_server_available": {"authorization_server"},
    "trusted_issuer_available": {"issuer"},
    "jwks_refreshes_total": {"issuer", "outcome"},
    "config_last_reload_successful": set(),
    "config_last_reload_timestamp_seconds": set(),
    "config_include_successful": {"include"},
    "secret_reloads_total": {"secret", "outcome"},
    "receipts_dropped_total": set(),
    "spans_total": {"outcome"},
    "event_loop_lag_seconds": set(),
    "build_info": {"version", "python", "aiohttp"},
}


def _samples(metrics: Metrics) -> Samples:
    text = metrics.render()[0].decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse_text(text)
        for sample in family.samples
    }


def _value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return _samples(metrics).get((f"token_sidecar_{name}", frozenset(labels.items())))


def test_names_and_labels_are_the_contract() -> None:
    metrics = touched()
    found: dict[str, set[str]] = {}
    for name, labels in _samples(metrics):
        found.setdefault(name, set()).update(label for label, _ in labels)
    ours = {name.removeprefix("token_sidecar_"): labels for name, labels in found.items() if "token_sidecar_" in name}
    derived = {
        f"{name.removesuffix('_bucket')}_{part}": labels - {"le"}
        for name, labels in CONTRACT.items()
        if name.endswith("_bucket")
        for part in ("sum", "count")
    }
    assert ours == CONTRACT | derived
    assert "process_resident_memory_bytes" in found
    assert "python_info" in found


def test_exchange_durations_use_the_same_buckets() -> None:
    metrics = touched()
    bounds: dict[str, set[str]] = {}
    for name, labels in _samples(metrics):
        if "le" in dict(labels):
            bounds.setdefault(name, set()).add(dict(labels)["le"])
    assert len(bounds) == 5
    assert all(len(found) == 14 for found in bounds.values())
    assert len(set(map(frozenset, bounds.values()))) == 1


def test_two_gateways_in_one_process_count_apart() -> None:
    one, other = Metrics("1"), Metrics("1")
    one.route("orders").request("GET", 200)
    one.receipts_dropped.inc()
    assert _value(one, "requests_total", route="orders", method="GET", code="200") == 1
    assert _value(other, "requests_total", route="orders", method="GET", code="200") is None
    assert _value(other, "receipts_dropped_total") == 0


def test_openmetrics_where_it_is_asked_for() -> None:
    metrics = touched()
    body, content_type = metrics.render("application/openmetrics-text; version=1.0.0, text/plain;q=0.5")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    families = parse_openmetrics(body.decode())  # type: ignore[no-untyped-call]
    names = {family.name for family in families}
    assert {"token_sidecar_requests", "token_sidecar_build"} <= names


@pytest.mark.parametrize("accept", ["", "*/*", "text/html", "text/plain"])
def test_prometheus_text_otherwise(accept: str) -> None:
    body, content_type = Metrics("1").render(accept)
    assert content_type.startswith("text/plain; version=0.0.4")
    assert b"# EOF" not in body


@pytest.mark.threat("S63")
def test_requests_without_a_route_are_counted_as_none() -> None:
    metrics = Metrics("1")
    metrics.route(None).request("GET", 404)
    assert metrics.route(None) is metrics.route("none")
    assert _value(metrics, "requests_total", route="none", method="GET", code="404") == 1


def test_what_is_defined_has_series_at_zero_but_nothing_is_up_or_down_yet() -> None:
    metrics = Metrics("1")
    metrics.define(exchanges={"orders": ["corp"], "health": []}, authorization_servers=["corp"], trusted_issuers=["c"])
    assert _value(metrics, "exchanges_total", authorization_server="corp", route="orders", outcome="success") == 0
    assert _value(metrics, "request_duration_seconds_count", route="health") == 0
    assert _value(metrics, "cache_lookups_total", route="orders", result="hit") == 0
    assert _value(metrics, "exchange_duration_seconds_count", authorization_server="corp") == 0
    assert _value(metrics, "authorization_server_available", authorization_server="corp") is None
    assert _value(metrics, "trusted_issuer_available", issuer="c") is None


def test_how_servers_are_used_is_asked_at_the_scrape() -> None:
    metrics, loads = Metrics("1"), [ServerLoad("corp", in_flight=64, queued=7, breaker=2)]
    metrics.watch_authorization_servers(lambda: loads)
    names = ("exchanges_in_flight", "exchanges_queued", "breaker_state")
    assert [_value(metrics, name, authorization_server="corp") for name in names] == [64, 7, 2]
    loads[0] = ServerLoad("partner", in_flight=0, queued=0, breaker=0)
    assert [_value(metrics, name, authorization_server="partner") for name in names] == [0, 0, 0]
    assert _value(metrics, "breaker_state", authorization_server="corp") is None


def test_what_left_the_configuration_takes_its_series_along() -> None:
    metrics = touched()
    metrics.define(exchanges={"carts": ["other"]}, authorization_servers=["other"], trusted_issuers=["other"])
    metrics.define_approvals([], [])
    metrics.watch_upstream_connections(tuple)
    metrics.watch_authorization_servers(tuple)
    left = {label for _, labels in _samples(metrics) for label in labels}
    assert ("route", "carts") in left
    assert ("route", "none") in left
    gone = {("route", "orders"), ("authorization_server", "corp"), ("issuer", "corp"), ("approver", "desk")}
    assert not gone & left


def test_defining_again_keeps_what_was_counted() -> None:
    metrics = touched()
    metrics.exchange_duration.labels("corp").observe(0.1)
    before = _samples(metrics)
    metrics.define(exchanges={"orders": ["corp"]}, authorization_servers=["corp"], trusted_issuers=["corp"])
    after = _samples(metrics)
    ours = {key for key in before if key[0].startswith("token_sidecar_")}
    assert {key: before[key] for key in ours} == {key: after[key] for key in ours}


def test_a_request_under_way_outlives_its_route() -> None:
    metrics = Metrics("1")
    route = metrics.route("orders")
    metrics.forget("orders")
    metrics.forget("orders")
    route.request("GET", 200)
    assert _value(metrics, "requests_total", route="orders", method="GET", code="200") is None
    assert metrics.route("orders") is not route


def test_refusals_are_counted_by_route_and_remembered_for_a_while() -> None:
    now = [60.0]
    metrics = Metrics("1", Clock(monotonic=lambda: now[0]))
    metrics.reject("orders", Kind.MISSING_TOKEN)
    metrics.reject(None, Kind.NO_ROUTE)
    assert _value(metrics, "rejections_total", route="orders", reason="missing-token") == 1
    assert _value(metrics, "rejections_total", route="none", reason="no-route") == 1
    assert metrics.recent_refusals() == {Kind.MISSING_TOKEN: 1, Kind.NO_ROUTE: 1}
    now[0] += 3600
    assert metrics.recent_refusals() == {}
    assert _value(metrics, "rejections_total", route="orders", reason="missing-token") == 1


def test_build_info_names_the_version() -> None:
    metrics = Metrics("1.2.3")
    found = [dict(labels) for name, labels in _samples(metrics) if name == "token_sidecar_build_info"]
    assert [labels["version"] for labels in found] == ["1.2.3"]


def test_files_that_are_no_longer_used_are_forgotten() -> None:
    metrics = Metrics("1.2.3")

    def series() -> dict[str, float]:
        return {
            f"{labels['secret']} {labels['outcome']}": value
            for (name, pairs), value in _samples(metrics).items()
            if name == "token_sidecar_secret_reloads_total" and (labels := dict(pairs))
        }

    metrics.define_secrets(["/a", "/b"])
    metrics.secret_reloads.labels("/b", "failure").inc()
    assert series() == {"/a success": 0, "/a failure": 0, "/b success": 0, "/b failure": 1}
    metrics.define_secrets(["/b"])
    assert series() == {"/b success": 0, "/b failure": 1}
