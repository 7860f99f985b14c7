"""Traces of requests: which are recorded, and what becomes of their steps. Nothing here sends anything.

A parent that is recorded has us record, one that is not has us leave it (Trace Context §3.2.2.5.1); without one,
chance decides. Where tracing is off there is no ``Tracer``, and no request pays for it.
"""

from collections.abc import Callable
from dataclasses import replace
from secrets import token_hex
from typing import Final

from sidecar.model.clock import SYSTEM_CLOCK, Clock
from sidecar.model.decision import Decision
from sidecar.model.refusal import Refusal
from sidecar.model.request import RequestHead
from sidecar.observe import traceparent
from sidecar.observe.route_metrics import KNOWN_METHODS
from sidecar.observe.spans import Span, SpanKind, Step
from sidecar.observe.traceparent import TraceParent

_ABOUT_TRACES: Final = frozenset({b"traceparent", b"tracestate"})


class Trace:
    """One request's spans. One step is under way at a time: the next one ends it."""

    __slots__ = ("_monotonic", "_offer", "_offset", "_open", "_spans", "_upstream_id")

    def __init__(
        self,
        parent: TraceParent | None,
        here: TraceParent,
        began: float,
        clock: Clock,
        offer: Callable[[list[Span]], None],
    ) -> None:
        self._monotonic = clock.monotonic
        self._offset = clock.wall() - clock.monotonic()
        self._offer = offer
        # What goes on names the span of the way out as its parent, so that the upstream's is found beneath it.
        self._upstream_id = here.span_id
        parent_id = parent.span_id if parent is not None else None
        root = Span(here.trace_id, token_hex(8), parent_id, "", SpanKind.SERVER, self._instant(began))
        self._spans = [root]
        self._open: Span | None = None

    def step(self, step: Step) -> None:
        """Begin a step; the one under way ends."""
        self.rest()
        root = self._spans[0]
        kind, span_id = SpanKind.INTERNAL, token_hex(8)
        if step is Step.UPSTREAM:
            kind = SpanKind.CLIENT
            span_id, self._upstream_id = self._upstream_id, span_id  # what is sent once more is another span
        self._open = Span(root.trace_id, span_id, root.span_id, step.value, kind, self._instant(self._monotonic()))
        self._spans.append(self._open)

    def rest(self, status: int | None = None) -> None:
        """End the step under way, if any. status: what the upstream answered."""
        if (span := self._open) is None:
            return
        span.ended = self._instant(self._monotonic())
        if status is not None:
            span.attributes["http.response.status_code"] = status
            if status >= 400:
                span.error, span.failed = str(status), True
        self._open = None

    def finish(self, method: str, decision: Decision, refusal: Refusal | None, status: int) -> None:
        """End it, and hand its spans on. status: what the caller was answered."""
        root, route = self._spans[0], decision.route
        if refusal is not None:
            for span in (root, self._open or root):
                span.error, span.failed = refusal.kind.value, status >= 500
        self.rest()
        known = method if method in KNOWN_METHODS else "_OTHER"
        root.ended = self._instant(self._monotonic())
        root.name = known if route is None else f"{known} {route.name}"
        root.attributes = {"http.request.method": known, "http.response.status_code": status}
        if route is not None:
            root.attributes["sidecar.route"] = route.name
        for span in self._spans[1:]:
            _describe(span, known, decision)
        self._offer(self._spans)

    def _instant(self, monotonic: float) -> int:
        return int((monotonic + self._offset) * 1e9)


class Tracer:
    """Begins the traces of requests. ratio: of those without a parent, how many are recorded, 0 to 1.

    offer: takes the spans of a request that has ended.
    """

    def __init__(self, ratio: float, offer: Callable[[list[Span]], None], clock: Clock = SYSTEM_CLOCK) -> None:
        self._ratio = ratio
        self._offer = offer
        self._clock = clock

    def begin(self, request: RequestHead, began: float) -> tuple[RequestHead, Trace | None]:
        """Return the request as it goes on, naming us as the parent of what it causes; and its trace if it is recorded.

        began: the monotonic instant when it came. A parent that is not recorded stays the parent.
        """
        parent = traceparent.read(request.values(b"traceparent"))
        if parent is not None and not parent.sampled:
            return request, None
        trace_id = parent.trace_id if parent is not None else token_hex(16)
        sampled = parent is not None or int(trace_id[16:], 16) < self._ratio * 2**64
        here = TraceParent(trace_id, token_hex(8), sampled)
        # The state belongs to its parent; where there is none, or none that can be read, it goes too (§3.3, §4.3).
        gone = _ABOUT_TRACES if parent is None else {b"traceparent"}
        fields = tuple(pair for pair in request.fields if pair[0].lower() not in gone)
        onward = replace(request, fields=(*fields, (b"traceparent", bytes(here))), named={})
        return onward, Trace(parent, here, began, self._clock, self._offer) if sampled else None


def _describe(span: Span, method: str, decision: Decision) -> None:
    route, grant = decision.route, decision.grant
    if route is None:
        return
    if span.name == Step.UPSTREAM:
        upstream = route.upstream
        span.attributes |= {"http.request.method": method, "server.address": upstream.host or upstream.unix_path or ""}
        if upstream.unix_path is None:
            span.attributes["server.port"] = upstream.port
    elif span.name == Step.EXCHANGE and grant is not None:
        span.attributes |= {
            "sidecar.authorization_server": grant.token.authorization_server,
            "sidecar.cache": grant.cache.value,
            "sidecar.exchange_id": grant.exchange_id,
        }
