"""Traces end to end: what a collector gets of requests, what goes on upstream, and that nothing secret is in either."""

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from sidecar.observe.traceparent import read
from tests.faces.conftest import CONFIG, MakeWorld, World
from tests.oauth.peers import raw_peer, reply
from tests.support.canary import Canary, search
from tests.support.collector import Collector, collector, told
from tests.support.gateway import get
from tests.support.questions import ENVOY, FORWARDED, question

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"traceparent: 00-{TRACE}-{PARENT}-01".encode()
NOT_SAMPLED = f"traceparent: 00-{TRACE}-{PARENT}-00".encode()


async def traced(world: MakeWorld, sink: Collector, ratio: float = 0.0, config: str = CONFIG) -> World:
    tracing = f"tracing: {{otlp_endpoint: 'http://127.0.0.1:{sink.port}', sample_ratio: {ratio}}}"
    return await world(config.replace("'127.0.0.1:0'}", f"'127.0.0.1:0', {tracing}}}"))


def by_name(spans: list[Span]) -> dict[str, Span]:
    return {span.name: span for span in spans}


async def test_a_request_and_its_steps(world: MakeWorld) -> None:
    async with collector() as sink:
        it = await traced(world, sink)
        token = it.sts.mint()
        assert (await it.gateway.ask(get("/orders/1", SAMPLED, token=token))).status == 200
        spans = by_name(await sink.trace())
        assert spans.keys() == {"GET orders", "match", "verify", "exchange", "upstream"}
        root = spans["GET orders"]
        assert (root.trace_id.hex(), root.parent_span_id.hex()) == (TRACE, PARENT)
        assert told(root)["http.response.status_code"] == 200
        assert told(spans["exchange"])["sidecar.cache"] == "miss"
        assert told(spans["upstream"])["server.port"] == it.upstream.port
        for step in ("match", "verify", "exchange", "upstream"):
            assert spans[step].parent_span_id == root.span_id
            assert root.start_time_unix_nano <= spans[step].start_time_unix_nano
            assert spans[step].start_time_unix_nano <= spans[step].end_time_unix_nano <= root.end_time_unix_nano
        onward = read(it.upstream.last.values(b"traceparent"))
        assert onward is not None
        assert (onward.trace_id, onward.span_id) == (TRACE, spans["upstream"].span_id.hex())
        exchange, use = await it.gateway.receipt_lines()
        assert exchange["exchange_id"] == told(spans["exchange"])["sidecar.exchange_id"]
        assert use["traceparent"].split("-")[1] == TRACE
        assert 'token_sidecar_spans_total{outcome="exported"} 5.0' in await it.gateway.metrics()


async def test_nothing_of_a_caller_is_in_a_span(world: MakeWorld) -> None:
    async with collector() as sink:
        it = await traced(world, sink, ratio=1.0)
        secrets = {name: Canary.fresh(name) for name in ("claim", "path", "query", "header", "body", "cookie")}
        token = it.sts.mint(name=secrets["claim"].text)
        fields = (
            b"X-Request-ID: " + secrets["header"].text.encode(),
            b"tracestate: a=" + secrets["header"].text.encode(),
            b"Cookie: c=" + secrets["cookie"].text.encode(),
            b"baggage: b=" + secrets["header"].text.encode(),
            b"Content-Length: %d" % len(secrets["body"].text),
        )
        target = f"/orders/{secrets['path'].text}?q={secrets['query'].text}"
        body = secrets["body"].text.encode()
        assert (await it.gateway.ask(get(target, *fields, token=token, method="POST") + body)).status == 200
        assert (
            await it.gateway.ask(get(target, *fields, token=f"{token[:-4]}AAAA", method="POST") + body)
        ).status == 401
        await sink.trace(2)
        issued = it.upstream.last.values(b"authorization")[0].decode().removeprefix("Bearer ")
        assert search(bytes(sink.bytes), token, issued, *secrets.values()) == []


async def test_a_refusal_is_told_with_its_kind(world: MakeWorld) -> None:
    async with collector() as sink:
        it = await traced(world, sink, ratio=1.0)
        assert (await it.gateway.ask(get("/orders/1"))).status == 401
        assert (await it.gateway.ask(get("/nowhere"))).status == 404
        spans = await sink.trace(2)
        assert {span.name: told(span).get("error.type") for span in spans if span.kind == Span.SPAN_KIND_SERVER} == {
            "GET orders": "missing-token",
            "GET": "no-route",
        }
        assert not it.upstream.seen


async def test_who_is_not_recorded_is_left_alone(world: MakeWorld) -> None:
    async with collector() as sink:
        it = await traced(world, sink, ratio=0.0)
        token = it.sts.mint()
        assert (await it.gateway.ask(get("/orders/1", NOT_SAMPLED, b"tracestate: a=1", token=token))).status == 200
        assert it.upstream.last.values(b"traceparent") == [NOT_SAMPLED.split(b": ")[1]]
        assert it.upstream.last.values(b"tracestate") == [b"a=1"]
        assert (await it.gateway.ask(get("/orders/1", token=token))).status == 200
        begun = read(it.upstream.last.values(b"traceparent"))
        assert begun is not None
        assert not begun.sampled  # so that nobody after us records what we do not
        assert (await it.gateway.ask(get("/orders/1", SAMPLED, token=token))).status == 200
        assert {span.trace_id.hex() for span in await sink.trace()} == {TRACE}


@pytest.mark.parametrize("form", [FORWARDED, ENVOY])
async def test_a_proxy_that_asks_has_its_question_traced_and_sends_the_request_itself(
    world: MakeWorld, form: str
) -> None:
    async with collector() as sink:
        tracing = f"tracing: {{otlp_endpoint: 'http://127.0.0.1:{sink.port}'}}"
        it = await world(
            CONFIG.replace(
                "gateway: {listen: '127.0.0.1:0'}",
                "decision: {listen: '127.0.0.1:0', form: FORM}\ngateway: {TRACING, trusted_proxies: [127.0.0.1]}",
            )
            .replace("FORM", form)
            .replace("TRACING", tracing)
        )
        answer = await it.gateway.ask(question(form, "/orders/1", SAMPLED, token=it.sts.mint()), "decision")
        assert answer.status == 200
        assert answer.value("traceparent") is None
        spans = by_name(await sink.trace())
        assert spans.keys() == {"GET orders", "match", "verify", "exchange"}
        assert spans["GET orders"].parent_span_id.hex() == PARENT


async def test_a_collector_that_is_gone_or_slow_costs_requests_nothing(world: MakeWorld) -> None:
    async with collector() as sink:
        sink.hold.clear()
        it = await traced(world, sink, ratio=1.0)
        token = it.sts.mint()
        for _ in range(20):
            assert (await it.gateway.ask(get("/orders/1", token=token))).status == 200
        sink.hold.set()
        await sink.trace(20)


async def test_the_last_spans_are_sent_when_the_gateway_ends(world: MakeWorld) -> None:
    async with collector() as sink:
        it = await traced(world, sink, ratio=1.0)
        assert (await it.gateway.ask(get("/healthz"))).status == 200
        await it.gateway.app.close()
        assert {span.name for span in sink.spans} == {"GET health", "match", "upstream"}


async def test_an_approval_is_a_step(world: MakeWorld) -> None:
    async with collector() as sink, raw_peer(reply(200, {"result": True})) as peer:
        approvers = f"approvers: {{desk: {{opa: {{url: 'http://127.0.0.1:{peer.port}/v1/data/a'}}}}}}\n"
        config = approvers + CONFIG.replace("  - name: health", "    approval: {by: desk}\n  - name: health")
        it = await traced(world, sink, config=config)
        assert (await it.gateway.ask(get("/orders/1", SAMPLED, token=it.sts.mint()))).status == 200
        spans = by_name(await sink.trace())
        assert spans.keys() == {"GET orders", "match", "verify", "approve", "exchange", "upstream"}
        order = [spans[name].start_time_unix_nano for name in ("verify", "approve", "exchange", "upstream")]
        assert order == sorted(order)
        # Whom the request is traced by is no business of the approver's.
        assert peer.seen[0].value("traceparent") is None
