"""Compiles ``gateway.tracing``: a tracer, and its way to the collector. Nothing is connected to before a span is there.

A batch of spans and its reply are OTLP over HTTP (opentelemetry-proto, docs/specification.md); what a span says is
``observe.spans``'.
"""

from dataclasses import dataclass
from functools import partial
from typing import Final
from uuid import uuid4

import sidecar
from sidecar.config.loaded import Loaded
from sidecar.config.problems import ConfigProblem
from sidecar.config.schema import Tracing
from sidecar.model.clock import Clock
from sidecar.oauth.http import Flaw, PeerClient, PeerReplyUnusable, PeerTimeout, PeerUnreachable
from sidecar.observe.metrics import Metrics
from sidecar.observe.span_export import Delivery, SpanExporter
from sidecar.observe.spans import rejected, resource
from sidecar.observe.tracing import Tracer
from sidecar.rotation import Rotation
from sidecar.snapshot.parts import Parts
from sidecar.snapshot.routes import peer_tls
from sidecar.snapshot.ways import NoProof, Way, Ways, watched_tls
from sidecar.tls import TLSError

PATH: Final = ("gateway", "tracing")
TIMEOUT: Final = 5.0  # seconds for one batch
LAST_SPANS: Final = 2.0  # seconds for what waits when the gateway ends
#: Come back later (OTLP specification, failures that may be retried).
_BUSY: Final = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class _Tracing:
    """A tracer, and what it holds open."""

    tracer: Tracer
    exporter: SpanExporter
    client: PeerClient

    async def close(self) -> None:
        await self.exporter.close(LAST_SPANS)
        await self.client.close()


def compile_tracing(
    loaded: Loaded,
    metrics: Metrics,
    rotation: Rotation,
    parts: Parts,
    problems: list[ConfigProblem],
    clock: Clock,
) -> Tracer | None:
    """Return the tracer, None where tracing is off or can't be had; the problem is added then."""
    section = loaded.config.gateway.tracing
    if section is None:
        return None
    try:
        way = Ways(clock, rotation, parts).way(PATH, section, peer_tls(section.tls), [section.otlp_endpoint])
        made = parts.keep(
            ("tracing",), (section, way), partial(_make, section, way, metrics, rotation, clock), _Tracing.close
        )
    except NoProof as error:
        problems.append(loaded.problem(error.path, str(error)))
        return None
    except TLSError as error:
        problems.append(loaded.problem((*PATH, "tls"), str(error)))
        return None
    return made.tracer


def _make(section: Tracing, way: Way, metrics: Metrics, rotation: Rotation, clock: Clock) -> _Tracing:
    client = PeerClient(
        timeout=TIMEOUT,
        max_in_flight=1,
        tls=way.tls,
        clock=clock,
        contexts=partial(watched_tls, rotation),
        proxy=way.proxy,
        bearer=way.bearer,
    )
    url = f"{section.otlp_endpoint.rstrip('/')}/v1/traces"
    exporter = SpanExporter(
        partial(deliver, client, url),
        resource(sidecar.__version__, uuid4().hex),
        lambda outcome, number: metrics.spans.labels(outcome).inc(number),
    )
    return _Tracing(Tracer(section.sample_ratio, exporter.offer, clock), exporter, client)


async def deliver(client: PeerClient, url: str, body: bytes) -> Delivery:
    """Send one batch, and say what came of it."""
    try:
        reply = await client.post_json(url, body)
        if reply.status in _BUSY:
            return Delivery(f"the collector said {reply.status}", again=True, retry_after=reply.retry_after)
        if reply.status >= 400:
            return Delivery(f"the collector said {reply.status}")
        return Delivery(rejected=rejected(reply.json_object()))
    except (PeerUnreachable, PeerTimeout) as error:
        return Delivery(error.reason, again=True)
    except PeerReplyUnusable as error:
        # A reply that has no JSON to read was one nevertheless; only a redirect says that nobody took it.
        return Delivery(error.reason if error.reason in (Flaw.REDIRECT, Flaw.NOT_HTTP) else None)
