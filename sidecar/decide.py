"""The life of a request up to the upstream's door: match → take → verify → operation → allow → approve → exchange.

One function over plain values. The gateway forwards what it decides and ``sidecar explain`` tells it, so they can never
disagree. A step that is not visible here is in the wrong place.
"""

from collections.abc import Awaitable, Callable

from sidecar.caller.mcp import ReadBody, read_operation, refuse_page, rule_of
from sidecar.caller.take import needles, refuse_second_place, take
from sidecar.exchange.plan import Plan
from sidecar.inbound.handshake import asks_for_websocket, check_handshake, comes_from_elsewhere
from sidecar.model.approval import Approval, ApprovalPolicy
from sidecar.model.decision import Decision, Grant
from sidecar.model.listener import Direction
from sidecar.model.operation import Operation
from sidecar.model.refusal import Kind, Oversize, Refused, refuse
from sidecar.model.request import RequestHead
from sidecar.model.route import Preflight, Route
from sidecar.model.tokens import Subject
from sidecar.observe.spans import Step
from sidecar.observe.tracing import Trace
from sidecar.policy import allow, allow_actor
from sidecar.routing.conditions import preflight_method
from sidecar.snapshot import Snapshot

#: Comes by a token for the upstream; ``explain`` passes one that asks nobody and returns None.
Exchange = Callable[[Plan, Subject | None, RequestHead, Approval | None], Awaitable[Grant | None]]
#: Comes by what an approver says; ``explain`` passes one that asks nobody.
Approve = Callable[[ApprovalPolicy, Plan, Subject | None, RequestHead, Operation | None], Awaitable[Approval]]


async def decide(
    request: RequestHead,
    snapshot: Snapshot,
    exchange: Exchange,
    body: ReadBody | None = None,
    *,
    approve: Approve | None = None,
    trace: Trace | None = None,
) -> Decision:
    """Return what becomes of a request: a route and a token to forward it with, or a refusal and how far it came.

    body: reads the request's body, where its route decides by that; None refuses what comes to such a route.
    approve: None: the snapshot's approvers are asked. trace: told of each step that begins.
    It never raises but for cancellation, and what ``body`` raises beside Refused. Nothing may leave under a decision
    that has a refusal.
    """
    route: Route | None = None
    preflight = websocket = False
    subject: Subject | None = None
    approval: Approval | None = None
    operation: Operation | None = None
    ingress = snapshot.listeners[request.listener].direction is Direction.INGRESS
    try:
        if trace is not None:
            trace.step(Step.MATCH)
        route = snapshot.table.match(request)
        _fits(request, route)
        if preflight := request.method == "OPTIONS" and preflight_method(request) is not None:
            _allow_preflight(request, route)
        if websocket := route.upstream.websocket and asks_for_websocket(request):
            check_handshake(request)
            _allow_page(request, route)
        if route.mcp is not None and not preflight:
            refuse_page(request, route.mcp, route.cors)
        if preflight or not route.takes_token:
            # Nobody's token is asked for; one that came goes nowhere.
            drop_cookies = preflight or route.upstream.drop_cookies
            left_behind = refuse_second_place(request, ingress=ingress, drop_cookies=drop_cookies)
        else:
            credential = take(
                request,
                route.subject.header,
                trusted_peer=snapshot.trusts(request.peer),
                ingress=ingress,
                drop_cookies=route.upstream.drop_cookies,
            )
            left_behind = (credential.needle,)
            if trace is not None:
                trace.step(Step.VERIFY)
            subject = await snapshot.verifier.verify(credential, route.subject.issuers)
        if route.mcp is not None and not preflight:
            if trace is not None:
                trace.step(Step.OPERATION)
            operation = await read_operation(request, route, route.mcp, body, left_behind)
            route = snapshot.narrowed(route, rule_of(route.mcp, operation))
        if subject is not None:
            allow(route.subject, subject, snapshot.verifier.clock.wall())
        if preflight or route.exchange is None:
            return Decision(route, preflight=preflight, websocket=websocket, left_behind=left_behind)
        plan = snapshot.plan(route, subject)
        if subject is not None and plan.subject is None and "may_act" in subject.claims:
            allow_actor(subject, await plan.next_actor(request))
        if route.approval is not None:
            if trace is not None:
                trace.step(Step.APPROVE)
            approval = await (approve or snapshot.approve)(route.approval, plan, subject, request, operation)
            if approval.refusal is not None:
                raise Refused(approval.refusal)
        if trace is not None:
            trace.step(Step.EXCHANGE)
        grant = await exchange(plan, subject, request, approval)
        left_behind = (*left_behind, *snapshot.borne(request))
        return Decision(
            route,
            subject,
            grant,
            websocket=websocket,
            operation=operation,
            left_behind=left_behind,
            approval=approval,
        )
    except Refused as refused:
        header = route.subject.header if route is not None else "authorization"
        return Decision(
            route,
            subject,
            refusal=refused.refusal,
            preflight=preflight,
            operation=operation,
            left_behind=needles(request, header),
            approval=approval,
        )


def _fits(request: RequestHead, route: Route) -> None:
    """Refuse a body that says of itself that it is too large; one that does not say is counted while it passes."""
    most = route.upstream.max_body_bytes
    if most is not None and request.content_length is not None and request.content_length > most:
        raise refuse(Kind.TOO_LARGE, "The request's body is too large.", oversize=Oversize.BODY)


def _allow_preflight(request: RequestHead, route: Route) -> None:
    """Refuse a CORS preflight unless its route takes them: it comes without a token, so nothing else is asked of it."""
    if route.preflight is Preflight.REFUSE:
        raise refuse(
            Kind.POLICY_DENIED, "Pages of other origins may not call this route.", finding="preflight is refuse"
        )
    if request.chunked or request.content_length:
        raise refuse(Kind.INVALID_REQUEST, "A preflight has no body.")
    if route.preflight is Preflight.ANSWER and (route.cors is None or not route.cors.allows(request.values(b"origin"))):
        raise refuse(Kind.POLICY_DENIED, "Pages of this origin may not call this route.", finding="cors.origins")


def _allow_page(request: RequestHead, route: Route) -> None:
    """Refuse a WebSocket to pages that may not call the route: for this a browser asks nobody before.

    A page can't put a bearer token there. But what stands before the gateway may, for whoever has its cookie.
    """
    if route.preflight is Preflight.FORWARD or not comes_from_elsewhere(request):
        return
    if route.cors is None or not route.cors.allows(request.values(b"origin")):
        finding = "preflight is refuse" if route.preflight is Preflight.REFUSE else "cors.origins"
        raise refuse(Kind.POLICY_DENIED, "Pages of this origin may not open a WebSocket.", finding=finding)
