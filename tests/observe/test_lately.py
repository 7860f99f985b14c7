from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.model.decision import CacheResult
from sidecar.model.refusal import Kind
from sidecar.model.status import RouteLately, ServerLately
from sidecar.observe.lately import EVERY, WINDOW, Lately
from sidecar.observe.metrics import Metrics
from tests.support.clock import FakeClock

NOTHING = RouteLately(0.0, {}, {}, None, None)


class Gateway:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.metrics = Metrics("1", self.clock.clock)
        self.lately = Lately(self.metrics, self.clock.clock)

    def answered(self, route: str, *codes: int, seconds: float = 0.02) -> None:
        for code in codes:
            self.metrics.route(route).request("GET", code)
            self.metrics.route(route).request_duration.observe(seconds)

    def passed(self, seconds: float) -> None:
        """Let time pass with a look every five seconds, as the gateway takes them."""
        for _ in range(round(seconds / 5)):
            self.clock.advance(5)
            self.lately.sample()

    def exchanged(self, server: str, seconds: float, failure: Kind | None = None) -> None:
        self.metrics.route("orders").exchange(server, failure)
        self.metrics.exchange_duration.labels(server).observe(seconds)


def test_what_a_route_did_in_the_last_minute() -> None:
    it = Gateway()
    it.answered("orders", *[200] * 5)
    it.passed(120)
    it.answered("orders", *[200] * 95, 404, seconds=0.03)
    it.answered("orders", *[502] * 4, seconds=7)
    for result in (CacheResult.HIT, CacheResult.REFRESHED, CacheResult.MISS, CacheResult.NEGATIVE):
        it.metrics.route("orders").cache_lookup(result)
    it.metrics.reject("orders", Kind.UPSTREAM_UNAVAILABLE)
    it.clock.advance(5)
    told = it.lately.since().route("orders")
    assert told.answers == {"2xx": 95, "4xx": 1, "5xx": 4}
    assert list(told.answers) == sorted(told.answers)
    assert told.refusals == {"upstream-unavailable": 1}
    assert told.hit_ratio == 0.5
    assert told.p95_seconds == 0.05, "95 of 100 took less than this bucket's bound"
    assert 100 / (WINDOW + EVERY) <= told.requests_per_second <= 100 / WINDOW


def test_a_minute_later_it_is_forgotten() -> None:
    it = Gateway()
    it.answered("orders", 200)
    it.metrics.reject("orders", Kind.MISSING_TOKEN)
    it.exchanged("corp", 0.1)
    it.passed(WINDOW + EVERY + 5)
    assert it.lately.since().route("orders") == NOTHING
    assert it.lately.since().server("corp") == ServerLately({}, None, None)


def test_at_first_the_time_since_the_start_counts() -> None:
    it = Gateway()
    it.answered("orders", *[200] * 20)
    it.clock.advance(10)
    assert it.lately.since().route("orders").requests_per_second == 2


def test_no_rate_is_told_of_an_instant() -> None:
    it = Gateway()
    it.answered("orders", 200)
    assert it.lately.since().route("orders").requests_per_second == 1


def test_all_counts_what_no_route_matched() -> None:
    it = Gateway()
    it.answered("orders", 200)
    it.metrics.route(None).request("GET", 404)
    it.metrics.reject(None, Kind.NO_ROUTE)
    told = it.lately.since().all()
    assert (told.answers, told.refusals) == ({"2xx": 1, "4xx": 1}, {"no-route": 1})
    assert it.lately.since().route("unknown") == NOTHING


def test_a_route_that_is_defined_anew_counts_from_nothing() -> None:
    it = Gateway()
    it.answered("orders", *[200] * 50)
    it.passed(30)
    it.metrics.forget("orders")
    it.answered("orders", *[500] * 3)
    assert it.lately.since().route("orders").answers == {"5xx": 3}


def test_what_took_longer_than_all_buckets_has_no_bound() -> None:
    it = Gateway()
    it.answered("orders", 200, seconds=60)
    told = it.lately.since().route("orders")
    assert (told.answers, told.p95_seconds) == ({"2xx": 1}, None)


def test_what_a_server_did() -> None:
    it = Gateway()
    it.exchanged("corp", 5)
    it.passed(120)
    it.exchanged("corp", 0.2)
    it.exchanged("corp", 0.4, Kind.EXCHANGE_TIMEOUT)
    it.exchanged("other", 3)
    told = it.lately.since().server("corp")
    assert told.exchanges == {"success": 1, "exchange-timeout": 1}
    assert told.mean_seconds == pytest.approx(0.3)
    assert told.p95_seconds == 0.5


def test_a_server_that_was_taken_out_and_put_back_counts_from_nothing() -> None:
    it = Gateway()
    it.exchanged("corp", 5)
    it.exchanged("corp", 5)
    it.passed(15)
    define: dict[str, Any] = {"exchanges": {}, "trusted_issuers": ()}
    it.metrics.define(authorization_servers=(), **define)
    it.metrics.define(authorization_servers=("corp",), **define)
    it.exchanged("corp", 0.1)
    told = it.lately.since().server("corp")
    assert told.mean_seconds == pytest.approx(0.1)
    assert told.p95_seconds == 0.1


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5)), max_size=40))
def test_nothing_of_the_last_minute_is_missed_and_nothing_older_than_it_and_one_copy_is_told(
    steps: list[tuple[int, int]],
) -> None:
    it = Gateway()
    happened: list[tuple[float, int]] = []
    for pause, requests in steps:
        it.passed(5 * pause)
        it.answered("orders", *[200] * requests)
        happened.append((it.clock.monotonic, requests))
    now = it.clock.monotonic
    told = it.lately.since().route("orders").answers.get("2xx", 0)
    assert told >= sum(number for at, number in happened if at > now - WINDOW)
    assert told <= sum(number for at, number in happened if at >= now - WINDOW - EVERY)


def test_few_copies_are_kept() -> None:
    it = Gateway()
    it.passed(3600)
    assert len(it.lately._moments) <= WINDOW / EVERY + 2
