"""Which requests are recorded, how their spans hang together, and what they say."""

from itertools import pairwise

import pytest

from sidecar.model.decision import CacheResult, Decision, Grant
from sidecar.model.refusal import Kind, Refusal
from sidecar.model.request import RequestHead
from sidecar.observe import traceparent
from sidecar.observe.spans import Span, SpanKind, Step
from sidecar.observe.tracing import Trace, Tracer
from tests.support.clock import FakeClock
from tests.support.values import issued, request, route

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = (b"TraceParent", f"00-{TRACE}-{SPAN}-01".encode())
NOT_SAMPLED = (b"traceparent", f"00-{TRACE}-{SPAN}-00".encode())
STATE = (b"tracestate", b"vendor=1")


class Traced:
    """A tracer, and what it handed on."""

    def __init__(self, ratio: float) -> None:
        self.offered: list[list[Span]] = []
        self.time = FakeClock()
        self.tracer = Tracer(ratio, self.offered.append, self.time.clock)

    def begin(self, *fields: tuple[bytes, bytes]) -> tuple[RequestHead, Trace | None]:
        return self.tracer.begin(request(*fields), self.time.monotonic)

    def trace(self, *fields: tuple[bytes, bytes]) -> Trace:
        trace = self.begin(*fields)[1]
        if trace is None:
            raise AssertionError("it is not recorded")
        return trace


def test_a_recorded_parent_has_us_record() -> None:
    onward, trace = Traced(0.0).begin(STATE, SAMPLED)
    assert trace is not None
    here = traceparent.read(onward.values(b"traceparent"))
    assert here is not None
    assert (here.trace_id, here.sampled) == (TRACE, True)
    assert here.span_id != SPAN
    assert onward.values(b"tracestate") == [b"vendor=1"]
    assert [name for name, _ in onward.fields].count(b"traceparent") == 1


def test_a_parent_that_is_not_recorded_stays_the_parent() -> None:
    onward, trace = Traced(1.0).begin(NOT_SAMPLED, STATE)
    assert trace is None
    assert onward.fields == (NOT_SAMPLED, STATE)


@pytest.mark.parametrize("fields", [(), (SAMPLED, SAMPLED), ((b"traceparent", b"eyJhbGciOiJub25lIn0.e30."),)])
@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_without_one_that_can_be_read_chance_decides_and_everybody_after_us_heeds_it(
    fields: tuple[tuple[bytes, bytes], ...], ratio: float
) -> None:
    onward, trace = Traced(ratio).begin(*fields, STATE, (b"X-Other", b"stays"))
    assert (trace is not None) is (ratio == 1.0)
    here = traceparent.read(onward.values(b"traceparent"))
    assert here is not None
    assert here.sampled is (ratio == 1.0)
    assert here.trace_id != TRACE
    assert [name.lower() for name, _ in onward.fields] == [b"x-other", b"traceparent"]


def test_the_ratio_is_a_share_of_many() -> None:
    traced = Traced(0.25)
    recorded = sum(traced.begin()[1] is not None for _ in range(4000))
    assert 800 < recorded < 1200  # wrong less than once in 10 to the 12


def test_steps_follow_each_other_beneath_one_span() -> None:
    traced = Traced(1.0)
    onward, trace = traced.begin(SAMPLED)
    assert trace is not None
    for step in (Step.MATCH, Step.VERIFY, Step.EXCHANGE, Step.UPSTREAM):
        trace.step(step)
        traced.time.advance(0.25)
    trace.rest(200)
    traced.time.advance(1.0)
    trace.finish("GET", Decision(route()), None, 200)
    ((root, *steps),) = traced.offered
    assert (root.trace_id, root.parent_id, root.kind, root.name) == (TRACE, SPAN, SpanKind.SERVER, "GET orders")
    assert [span.name for span in steps] == ["match", "verify", "exchange", "upstream"]
    assert [(span.ended - span.began) / 1e9 for span in steps] == pytest.approx([0.25] * 4)
    assert all(one.ended == other.began for one, other in pairwise(steps))
    assert all((span.trace_id, span.parent_id) == (TRACE, root.span_id) for span in steps)
    assert (root.began / 1e9, root.ended / 1e9) == pytest.approx((1_700_000_000.0, 1_700_000_002.0))
    here = traceparent.read(onward.values(b"traceparent"))
    assert here is not None
    assert here.span_id == steps[3].span_id  # the upstream's own span is found beneath our way out
    assert steps[3].kind is SpanKind.CLIENT
    assert not any(span.failed or span.error for span in traced.offered[0])


def test_what_is_sent_once_more_is_another_span() -> None:
    traced = Traced(1.0)
    trace = traced.trace()
    trace.step(Step.UPSTREAM)
    trace.rest(401)
    trace.step(Step.UPSTREAM)
    trace.rest(200)
    trace.finish("GET", Decision(route()), None, 200)
    _, first, second = traced.offered[0]
    assert first.span_id != second.span_id
    assert (first.error, first.failed, second.error) == ("401", True, None)


@pytest.mark.parametrize(
    ("kind", "status", "failed"), [(Kind.INVALID_TOKEN, 401, False), (Kind.EXCHANGE_TIMEOUT, 504, True)]
)
def test_a_refusal_is_told_where_it_happened_and_whose_fault_it_is(kind: Kind, status: int, failed: bool) -> None:
    traced = Traced(1.0)
    trace = traced.trace()
    trace.step(Step.MATCH)
    trace.step(Step.VERIFY)
    trace.finish("GET", Decision(route()), Refusal(kind, "No.", finding="a claim"), status)
    root, match, verify = traced.offered[0]
    assert [(span.error, span.failed) for span in (root, match, verify)] == [
        (kind.value, failed),
        (None, False),
        (kind.value, failed),
    ]
    assert verify.ended >= verify.began > 0


def test_what_spans_say_comes_from_the_configuration() -> None:
    traced = Traced(1.0)
    trace = traced.trace()
    trace.step(Step.EXCHANGE)
    trace.step(Step.UPSTREAM)
    trace.rest(200)
    grant = Grant(issued(), None, "x-1", 300.0, CacheResult.HIT)
    trace.finish("BREW", Decision(route(), grant=grant), None, 200)
    root, exchange, upstream = traced.offered[0]
    assert root.name == "_OTHER orders"
    assert root.attributes == {
        "http.request.method": "_OTHER",
        "http.response.status_code": 200,
        "sidecar.route": "orders",
    }
    assert exchange.attributes == {
        "sidecar.authorization_server": "corp",
        "sidecar.cache": "hit",
        "sidecar.exchange_id": "x-1",
    }
    assert upstream.attributes == {
        "http.request.method": "_OTHER",
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "server.port": 9000,
    }


def test_without_a_route_there_is_little_to_say() -> None:
    traced = Traced(1.0)
    trace = traced.trace()
    trace.step(Step.MATCH)
    trace.finish("GET", Decision(), Refusal(Kind.NO_ROUTE, "No."), 404)
    root, match = traced.offered[0]
    assert (root.name, root.error, root.failed) == ("GET", "no-route", False)
    assert match.attributes == {}
