"""What happened, told once to both books: the metrics and the receipts.

The layers above say what happened in their own values; which series and which lines that makes is decided here. Nothing
of a token is ever handed on, and of a path only what can hold none.
"""

from collections.abc import Sequence
from typing import Final

from sidecar.model.decision import CacheResult, Decision, Exchanged, Grant
from sidecar.model.operation import Operation
from sidecar.model.receipt import Occasion, Receipt, Standing
from sidecar.model.refusal import Kind, Refusal, refuse
from sidecar.model.request import RequestHead
from sidecar.model.route import Route
from sidecar.observe.metrics import Metrics
from sidecar.observe.receipts import ReceiptNotWritten, Receipts
from sidecar.wire.tokens import shown_path

#: An exchange that ends so says nothing good of the server's health.
_SERVER_DOWN: Final = frozenset({Kind.EXCHANGE_UNAVAILABLE, Kind.EXCHANGE_TIMEOUT})


#: Characters of a tool's name that are written down; the protocol wants no longer ones.
LONGEST_TOOL: Final = 128


class Journal:
    """Counts and writes down what the exchanger and the gateway report. Durations are seconds."""

    def __init__(self, metrics: Metrics, receipts: Receipts) -> None:
        self.metrics = metrics
        self.receipts = receipts

    def looked_up(self, route: str, result: CacheResult) -> None:
        """Count one question to the cache of issued tokens."""
        self.metrics.route(route).cache_lookup(result)

    async def exchanged(self, record: Exchanged) -> str:
        """Count an exchange and write its receipt; return what the receipts of its uses have in common.

        Refused (EXCHANGE_UNAVAILABLE): with ``on_failure: refuse``, the receipt can't be written.
        """
        server = record.exchange.authorization_server
        kind = record.refusal.kind if record.refusal is not None else None
        self.metrics.route(record.route.name).exchange(server, kind)
        if record.asked:
            self.metrics.exchange_duration.labels(server).observe(record.duration)
            self.metrics.authorization_server_available.labels(server).set(kind not in _SERVER_DOWN)
        fragment = self.receipts.fragment(
            Standing(
                subject=record.subject,
                exchange=record.exchange,
                exchange_id=record.exchange_id,
                actor_token=record.actor,
                issued_token=record.issued,
                lifetime=record.lifetime if record.issued is not None else None,
            )
        )
        receipt = Receipt(
            self._occasion(record.request, record.route),
            fragment,
            record.refusal,
            record.cache,
            duration=record.duration,
            approval=record.approval,
        )
        try:
            await self.receipts.exchange(receipt)
        except ReceiptNotWritten:
            raise refuse(Kind.EXCHANGE_UNAVAILABLE, "The exchange can't be put on record.", retry_after=1) from None
        return fragment

    def used(self, request: RequestHead, decision: Decision, status: int | None, duration: float) -> None:
        """Write the receipt of a request that was forwarded.

        status: what the caller was answered; None where a proxy forwards it, which does not tell.
        """
        grant = decision.grant
        # A head that was forwarded holds no token; of the body nobody has said so.
        tokens = decision.left_behind if decision.operation is not None else ()
        occasion = self._occasion(request, decision.route, tokens, decision.operation)
        if grant is None:
            self.receipts.use(Receipt(occasion, status=status, duration=duration))
        else:
            approval = decision.approval
            fragment = self._fragment(decision, grant)
            self.receipts.use(Receipt(occasion, fragment, None, grant.cache, status, duration, approval))

    def turned_away(self, refusal: Refusal) -> None:
        """Count the refusal of a request that was not read, or can't be: there is nothing to write down of it."""
        self.metrics.reject(None, refusal.kind)

    def not_accepted(self, request_id: str, method: str, refusal: Refusal, status: int, duration: float) -> None:
        """Count the refusal of a head that was read and not accepted, and write its receipt.

        Of the request it has the method alone: what a target or a field that is refused may hold, nobody has judged.
        """
        self.turned_away(refusal)
        self.receipts.refusal(Receipt(Occasion(request_id, method), refusal=refusal, status=status, duration=duration))

    def refused(self, request: RequestHead, decision: Decision, refusal: Refusal, status: int, duration: float) -> None:
        """Count a refusal and write its receipt."""
        route = decision.route
        self.metrics.reject(route.name if route is not None else None, refusal.kind)
        if refusal.kind is Kind.LEAK_GUARD and route is not None:
            self.metrics.route(route.name).leak_stopped()
        grant = decision.grant
        fragment = self._fragment(decision, grant) if grant is not None else ""
        if not fragment and decision.subject is not None:
            exchange = route.exchange_of(decision.subject.issuer) if route is not None else None
            fragment = self.receipts.fragment(Standing(subject=decision.subject, exchange=exchange))
        occasion = self._occasion(request, route, decision.left_behind, decision.operation)
        self.receipts.refusal(
            Receipt(occasion, fragment, refusal, status=status, duration=duration, approval=decision.approval)
        )

    def answered(self, route: Route | None, method: str, status: int, duration: float) -> None:
        """Count one answered request."""
        metrics = self.metrics.route(route.name if route is not None else None)
        metrics.request(method, status)
        metrics.request_duration.observe(duration)

    def _fragment(self, decision: Decision, grant: Grant) -> str:
        """What is known of a request's token; the caller too, where it was verified and a token of ours exchanged."""
        route, subject = decision.route, decision.subject
        if subject is None or route is None or route.exchange is None or route.exchange.subject_token is None:
            return grant.fragment
        return grant.fragment + self.receipts.caller(subject)

    def _occasion(
        self,
        request: RequestHead,
        route: Route | None,
        tokens: Sequence[bytes] = (),
        operation: Operation | None = None,
    ) -> Occasion:
        """tokens: what must not be shown of path and tool, beside what looks like a token."""
        tool = operation.tool if operation is not None else None
        traceparents = request.values(b"traceparent")
        return Occasion(
            request_id=request.request_id,
            method=request.method,
            path=shown_path(request.path, tokens),
            traceparent=traceparents[0] if len(traceparents) == 1 else None,
            route=route.name if route is not None else None,
            upstream=route.upstream.resource_server if route is not None else None,
            tool=shown_path(tool.encode(), tokens).decode("utf-8", "replace")[:LONGEST_TOOL]
            if tool is not None
            else None,
        )
