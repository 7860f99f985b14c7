"""The gateway: accept → decide → forward → account.

What is decided is ``decide``'s; here a decision becomes bytes, upstream or back to the caller, and whatever came of it
is written down. Nothing leaves under a decision that has a refusal, or without the token that its route exchanges for.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from secrets import token_hex
from typing import Final, Protocol
from uuid import uuid4

from sidecar.caller.mcp import ReadBody
from sidecar.decide import decide
from sidecar.exchange.exchanger import Exchanger
from sidecar.faces.cors import opened, preflight_answer
from sidecar.faces.forward import hops_left, upstream_head
from sidecar.faces.once_more import FRESH, once_more
from sidecar.faces.problems import problem
from sidecar.faces.relay import return_response, send
from sidecar.faces.resource_metadata import resource_metadata, told_by
from sidecar.faces.responses import OwnResponse, written
from sidecar.faces.upload import Upload
from sidecar.faces.websocket import limits_of, switch
from sidecar.inbound.accept import accept
from sidecar.inbound.server import ClientGone, Incoming
from sidecar.model.clock import SYSTEM_CLOCK, Clock
from sidecar.model.decision import Decision, Grant
from sidecar.model.listener import Listener
from sidecar.model.refusal import Kind, Refusal, Refused, refuse
from sidecar.model.request import RequestHead
from sidecar.model.route import Preflight, Route
from sidecar.observe.journal import Journal
from sidecar.observe.spans import Step
from sidecar.observe.tracing import Trace
from sidecar.routing.conditions import methods_of
from sidecar.snapshot import Snapshot
from sidecar.upstream.response import Response
from sidecar.wire.handshake import offer_of

#: Counted where the caller left before it was answered; nobody is ever sent it.
CLIENT_LEFT: Final = 499

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

_NOTHING_DECIDED: Final = Decision()
_NO_LISTENER: Final = Refusal(Kind.OVERLOADED, "The listener is no longer served.", retry_after=1, close=True)


class State(Protocol):
    """What all listeners of a process share, and what changes while they run."""

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot in use."""
        ...


@dataclass(slots=True)
class Passage:
    """One request on its way, and how far it came; what is accounted at its end, whatever that is.

    read: its head was looked at, which an overloaded gateway does not do. request: the head, once it is accepted.
    question: the head that came in its place, where a proxy asks about it; the answer is to that one.
    upload: its body, where that was read before it was decided on.
    forwarded: something may have reached the upstream. status: what the caller was answered. trace: where it is traced.
    """

    incoming: Incoming
    listener: Listener
    snapshot: Snapshot
    began: float
    read: bool = False
    request: RequestHead | None = None
    question: RequestHead | None = None
    upload: Upload | None = None
    decision: Decision = _NOTHING_DECIDED
    refusal: Refusal | None = None
    forwarded: bool = False
    status: int = CLIENT_LEFT
    trace: Trace | None = None
    _own_id: str = ""

    @property
    def answered(self) -> RequestHead | None:
        """The head that came, and is answered; None where it was not accepted."""
        return self.question or self.request

    @property
    def request_id(self) -> str:
        """The request's id; one of ours where no head was accepted."""
        if (answered := self.answered) is not None:
            return answered.request_id
        self._own_id = self._own_id or uuid4().hex
        return self._own_id

    async def body(self, route: Route, most: int) -> bytes:
        """Return the whole body: see ``caller.mcp.ReadBody``. Who waits to be told to send it is told so."""
        request = self.request
        if request is None:
            return b""
        if request.expects_continue:
            self.incoming.write_interim(CONTINUE)
            self.request = replace(request, expects_continue=False)
        self.upload = Upload(self.incoming, request, route.upstream, keep=True)
        return await self.upload.whole_body(most)


class Gateway:
    """Serves the requests of all gateway listeners.

    max_in_flight: requests until their response's head is there; max_streams: responses after it. Over one of them
    requests are refused before anything is read of them; both may be changed at any time.
    """

    def __init__(
        self,
        state: State,
        exchanger: Exchanger,
        journal: Journal,
        *,
        max_in_flight: int,
        max_streams: int,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._state = state
        self._exchanger = exchanger
        self._journal = journal
        self.max_in_flight = max_in_flight
        self.max_streams = max_streams
        self._now = clock.monotonic
        self.in_flight = 0
        self.streams = 0
        # Random, so that a loop is told from a chain of gateways, and nobody can send us our own name.
        self._via = f"sidecar-{token_hex(8)}".encode()

    async def serve(self, listener: str, incoming: Incoming) -> Incoming:
        """Serve one request that came to a listener."""
        snapshot = self._state.snapshot
        found = snapshot.listeners.get(listener)
        if found is None:  # accepted in the moment in which the configuration lost it
            incoming.keep_open = False
            with suppress(ClientGone):
                incoming.write(self.malformed(_NO_LISTENER))
            return incoming
        passage = Passage(incoming, found, snapshot, self._now())
        try:
            response = await self._ask_upstream(passage)
            if isinstance(response, OwnResponse):
                self._write(passage, response)
            else:
                await self._return(passage, response)
        except Refused as refused:
            self._answer(passage, refused.refusal)
        except ClientGone:
            incoming.keep_open = False
        finally:
            self._account(passage)
        return incoming

    def malformed(self, refusal: Refusal) -> bytes:
        """Return the whole response for a request that could not even be parsed."""
        response = _unaccepted(refusal, uuid4().hex)
        self._journal.turned_away(refusal)
        self._journal.answered(None, "other", response.status, 0.0)
        return written(response, None, keep_open=False)

    async def _ask_upstream(self, passage: Passage) -> Response | OwnResponse:
        """Accept, decide, forward: return when the head of the upstream's response is there, or our own answer."""
        if self.in_flight >= self.max_in_flight or self.streams >= self.max_streams:
            raise refuse(Kind.OVERLOADED, "The gateway is busy.", retry_after=1)
        self.in_flight += 1
        passage.snapshot.in_use.enter()
        passage.read = True
        try:
            passage.request = request = self._accept(passage)
            if (tracer := passage.snapshot.tracer) is not None:
                passage.request, passage.trace = request, _ = tracer.begin(request, passage.began)
            if (document := resource_metadata(request, passage.snapshot)) is not None:
                return document
            obtain, body = self._exchanger.obtain, self._body(passage)
            passage.decision = await decide(request, passage.snapshot, obtain, body, trace=passage.trace)
            if passage.decision.refusal is not None:
                raise Refused(passage.decision.refusal)
            return await self._go_on(passage, passage.request, passage.decision)
        finally:
            passage.upload = None  # the response may stream for hours
            passage.snapshot.in_use.leave()
            self.in_flight -= 1

    def _accept(self, passage: Passage) -> RequestHead:
        """Return the request that is decided on."""
        return accept(
            passage.incoming.message,
            passage.listener,
            peer=passage.incoming.peer,
            guarded=passage.snapshot.guarded,
            own_via=self._via,
        )

    def _body(self, passage: Passage) -> ReadBody | None:
        """Return how the body of the request that is decided on is read; None where it is not here."""
        return passage.body

    async def _go_on(self, passage: Passage, request: RequestHead, decision: Decision) -> Response | OwnResponse:
        """Do what was decided, where nothing was refused."""
        if request.method == "OPTIONS" and (own := _answered_here(request, decision)) is not None:
            return own
        return await self._forward(passage, request, decision, self._authorized(decision))

    def _authorized(self, decision: Decision) -> Route:
        """Return the route by which a request may leave now. Refused: its token is missing, or it can't be recorded."""
        route = decision.route
        unauthorized = decision.grant is None and not decision.preflight
        if route is None or (route.exchange is not None and unauthorized):
            raise refuse(Kind.EXCHANGE_UNUSABLE, "There is no token for the upstream.")
        if not self._journal.receipts.accepting:
            raise refuse(Kind.EXCHANGE_UNAVAILABLE, "The request can't be put on record.", retry_after=1)
        return route

    async def _forward(self, passage: Passage, request: RequestHead, decision: Decision, route: Route) -> Response:
        grant = decision.grant
        if decision.websocket and not passage.incoming.may_switch:
            raise refuse(Kind.INVALID_REQUEST, "The WebSocket handshake is ambiguous.", close=True)
        head = self._head(passage, request, decision, route)
        waited = grant.waited if grant is not None else 0.0
        self._journal.metrics.route(route.name).overhead.observe(self._now() - passage.began - waited)
        passage.forwarded = True
        upload = passage.upload or Upload(passage.incoming, request, route.upstream, keep=grant is not None)
        response = await self._send(passage, request, route, upload, head)
        if response.status == 401 and grant is not None and self._now() - grant.sent > FRESH:
            return await self._once_more(passage, request, route, upload, response, grant)
        return response

    async def _once_more(
        self,
        passage: Passage,
        request: RequestHead,
        route: Route,
        upload: Upload,
        response: Response,
        grant: Grant,
    ) -> Response:
        """The upstream answered 401: see ``once_more`` for what becomes of that."""
        snapshot, subject, approval = passage.snapshot, passage.decision.subject, passage.decision.approval

        async def again(newer: Grant) -> Response:
            passage.decision = decision = replace(passage.decision, grant=newer)
            return await self._send(passage, request, route, upload, self._head(passage, request, decision, route))

        return await once_more(
            response,
            grant,
            self._exchanger,
            self._journal.metrics.route(route.name),
            replayable=upload.whole,
            newer=lambda: self._exchanger.obtain(snapshot.plan(route, subject), subject, request, approval),
            send=again,
        )

    async def _send(
        self, passage: Passage, request: RequestHead, route: Route, upload: Upload, head: bytes
    ) -> Response:
        sent = self._now()
        pool, issued = passage.snapshot.pools[route.name], _issued(passage.decision)
        offer = offer_of(request.named) if passage.decision.websocket else None
        if passage.trace is not None:
            passage.trace.step(Step.UPSTREAM)
        response = await send(passage.incoming, request, upload, pool, head, issued=issued, offer=offer)
        if passage.trace is not None:
            passage.trace.rest(response.status)
        self._journal.metrics.route(route.name).upstream_duration.observe(self._now() - sent)
        return response

    def _head(self, passage: Passage, request: RequestHead, decision: Decision, route: Route) -> bytes:
        snapshot = passage.snapshot
        return upstream_head(
            request,
            decision,
            route,
            passage.listener,
            credentials=snapshot.credentials,
            trusted_peer=snapshot.trusts(request.peer),
            own_via=self._via,
        )

    async def _return(self, passage: Passage, response: Response) -> None:
        passage.status = response.status
        request, route = passage.request, passage.decision.route
        if request is not None and route is not None:
            issued, idle = _issued(passage.decision), route.upstream.read_idle
            opened_to = opened(route.cors, request) if route.cors and route.preflight is Preflight.ANSWER else None
            _end_if_going(passage.incoming)
            self.streams += 1
            try:
                if response.tunnel is not None:
                    limits = limits_of(route.upstream, passage.decision.grant, self._now())
                    await switch(
                        passage.incoming, request, response, response.tunnel, limits, issued=issued, now=self._now
                    )
                    return
                await return_response(
                    passage.incoming,
                    request,
                    response,
                    issued=issued,
                    idle=idle,
                    opened=opened_to,
                    resource_metadata=told_by(route),
                )
            finally:
                self.streams -= 1

    def _answer(self, passage: Passage, refusal: Refusal) -> None:
        """Answer with a refusal; a response that has begun is cut instead."""
        passage.refusal = refusal
        incoming, request = passage.incoming, passage.request
        if refusal.close or passage.answered is None:
            incoming.keep_open = False  # what comes next may be the rest of a message that nobody waits for
        route = passage.decision.route
        if passage.answered is not None:
            response = problem(refusal, passage.request_id, told_by(route))
        else:
            response = _unaccepted(refusal, passage.request_id)
        if request is not None and route is not None and route.cors is not None:
            response = replace(response, headers=(*response.headers, *opened(route.cors, request)))
        self._write(passage, response)

    def _write(self, passage: Passage, response: OwnResponse) -> None:
        """Answer by ourselves; a response that has begun is cut instead."""
        incoming = passage.incoming
        passage.status = response.status
        if incoming.started:
            incoming.cut()
            return
        _end_if_going(incoming)
        if not incoming.complete:
            incoming.keep_open = False  # what comes next is the rest of a body that nobody waits for
        with suppress(ClientGone):
            incoming.write(written(response, passage.answered, keep_open=incoming.keep_open))

    def _account(self, passage: Passage) -> None:
        duration = self._now() - passage.began
        request, decision = passage.request, passage.decision
        method = request.method if request is not None else "other"
        self._journal.answered(decision.route or _route_of(passage), method, passage.status, duration)
        refusal = passage.refusal
        if refusal is not None and request is not None:
            self._journal.refused(request, decision, refusal, passage.status, duration)
        elif refusal is not None and passage.read:
            known = passage.incoming.message.method
            self._journal.not_accepted(passage.request_id, known, refusal, passage.status, duration)
        elif refusal is not None:
            self._journal.turned_away(refusal)
        elif passage.forwarded and request is not None:
            self._journal.used(request, decision, passage.status, duration)
        if passage.trace is not None:
            passage.trace.finish(method, decision, refusal, passage.status)


def _end_if_going(incoming: Incoming) -> None:
    """Say with the response's head that no other follows; a drain may have begun since the request did."""
    if incoming.going.is_set():
        incoming.keep_open = False


def _route_of(passage: Passage) -> Route | None:
    """The route of a request whose caller left while it was decided on, which tells nobody how far it came."""
    if passage.request is None or passage.refusal is not None:
        return None
    with suppress(Refused):
        return passage.snapshot.table.match(passage.request)
    return None


def _answered_here(request: RequestHead, decision: Decision) -> OwnResponse | None:
    """The answer to an OPTIONS request that goes no further; None for any other."""
    route = decision.route
    if route is None:
        return None
    if decision.preflight and route.preflight is Preflight.ANSWER and route.cors is not None:
        return preflight_answer(route, route.cors, request)
    if hops_left(request) == 0:
        methods = ", ".join(sorted(methods_of(route.match))).encode()
        return OwnResponse(204, ((b"Allow", methods),) if methods else (), b"")
    return None


def _issued(decision: Decision) -> bytes | None:
    return decision.grant.token.token.encode() if decision.grant is not None else None


def _unaccepted(refusal: Refusal, request_id: str) -> OwnResponse:
    """The answer to a request whose head was not accepted, with a request id of ours."""
    response = problem(refusal, request_id)
    return replace(response, headers=(*response.headers, (b"X-Request-ID", request_id.encode())))
