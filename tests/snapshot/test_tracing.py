"""The way to a collector: what is sent where, and what its answers mean."""

import pytest

from sidecar.oauth.http import PeerClient
from sidecar.observe.span_export import Delivery
from sidecar.observe.spans import Step
from sidecar.observe.tracing import Tracer
from sidecar.snapshot import Snapshot, build
from sidecar.snapshot.tracing import deliver
from tests.oauth.peers import close_after, never, raw_peer
from tests.snapshot.conftest import PEERS, ROUTE, Folder
from tests.support.canary import Canary, search
from tests.support.collector import collector
from tests.support.scripted import replied
from tests.support.values import request

TRACING = (
    "gateway: {tracing: {otlp_endpoint: 'http://127.0.0.1:PORT/tenant/', sample_ratio: RATIO, bearer_file: bearer}}\n"
)


def traced(port: int, ratio: float = 1.0) -> str:
    return PEERS + TRACING.replace("PORT", str(port)).replace("RATIO", str(ratio)) + ROUTE


def tracer_of(snapshot: Snapshot) -> Tracer:
    if snapshot.tracer is None:
        raise AssertionError("nothing is traced")
    return snapshot.tracer


def one_trace(snapshot: Snapshot) -> None:
    _, trace = tracer_of(snapshot).begin(request(), 0.0)
    if trace is None:
        raise AssertionError("it is not recorded")
    trace.step(Step.MATCH)
    trace._offer(trace._spans)


async def test_off_there_is_none(folder: Folder) -> None:
    snapshot = folder.build()
    assert snapshot.tracer is None
    await snapshot.close()


async def test_what_waits_is_sent_before_the_way_is_closed(folder: Folder) -> None:
    bearer = Canary.fresh("bearer")
    folder.file("bearer", bearer.text + "\n")
    async with collector() as sink:
        snapshot = folder.build(traced(sink.port))
        one_trace(snapshot)
        await snapshot.close()
        assert len(sink.spans) == 2
        assert sink.heads[0].startswith(b"POST /tenant/v1/traces HTTP/1.1\r\n")
        assert b"\r\nAuthorization: Bearer " + bearer.text.encode() + b"\r\n" in sink.heads[0]
        assert search(repr(snapshot).encode(), bearer) == []
        assert folder.metrics.spans.labels("exported")._value.get() == 2


async def test_a_reload_takes_over_a_way_that_did_not_change(folder: Folder) -> None:
    folder.file("bearer", "bearer-token")
    async with collector() as sink:
        first = folder.build(traced(sink.port))
        same = build(folder.load(traced(sink.port) + "# again\n"), folder.metrics, before=first)
        assert same.tracer is first.tracer
        other = build(folder.load(traced(sink.port, 0.5)), folder.metrics, before=same)
        assert other.tracer is not same.tracer
        one_trace(same)
        await first.close(same)
        await same.close(other)
        assert len(sink.spans) == 2  # sent by the one that goes
        await other.close()


def test_a_token_that_is_none_is_a_problem(folder: Folder) -> None:
    secret = Canary.fresh("bearer")
    folder.file("bearer", f"two {secret.text}")
    (problem,) = folder.complaints(traced(1))
    assert "gateway.tracing.bearer_file" in problem
    assert search(problem.encode(), secret) == []


def test_an_authority_that_is_none_is_a_problem(folder: Folder) -> None:
    folder.file("ca.pem", "no certificate")
    text = PEERS + "gateway: {tracing: {otlp_endpoint: 'https://collector.example', tls: {ca_file: ca.pem}}}\n" + ROUTE
    (problem,) = folder.complaints(text)
    assert "gateway.tracing.tls" in problem


@pytest.mark.parametrize(
    ("answer", "delivery"),
    [
        (replied({}), Delivery()),
        (replied({"partialSuccess": {"rejectedSpans": "3"}}), Delivery(rejected=3)),
        (replied(b"", content_type=b"text/plain"), Delivery()),
        (replied(b"not json"), Delivery()),
        (replied({}, status=b"429 Slow"), Delivery("the collector said 429", again=True)),
        (
            replied({}, b"Retry-After: 7", status=b"503 Busy"),
            Delivery("the collector said 503", again=True, retry_after=7.0),
        ),
        (replied({}, status=b"401 No"), Delivery("the collector said 401")),
        (replied({}, status=b"500 No"), Delivery("the collector said 500")),
        (replied({}, b"Location: http://127.0.0.1:1/", status=b"307 There"), Delivery("the reply is a redirect")),
    ],
)
async def test_what_an_answer_means(answer: bytes, delivery: Delivery) -> None:
    async with collector() as sink:
        sink.reply = answer
        client = PeerClient(timeout=5.0, max_in_flight=1)
        assert await deliver(client, f"http://127.0.0.1:{sink.port}/v1/traces", b'{"resourceSpans":[]}') == delivery
        await client.close()


async def test_nobody_there_is_worth_another_try() -> None:
    async with raw_peer(close_after(b"")) as gone, raw_peer(never()) as silent:
        for peer, timeout in ((gone, 5.0), (silent, 0.05)):
            client = PeerClient(timeout=timeout, max_in_flight=1)
            delivery = await deliver(client, peer.url, b"{}")
            assert delivery.again
            assert delivery.failure
            await client.close()
