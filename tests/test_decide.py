from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from sidecar.caller.take import Credential
from sidecar.decide import decide
from sidecar.exchange.plan import Plan
from sidecar.model.approval import Approval, ApprovalPolicy
from sidecar.model.clock import Clock
from sidecar.model.decision import CacheResult, Decision, Grant
from sidecar.model.listener import Direction, Listener
from sidecar.model.refusal import Kind, Oversize, Refusal, refuse
from sidecar.model.request import RequestHead
from sidecar.model.route import Cors, Match, Preflight, Route, SubjectPolicy
from sidecar.model.tokens import Subject
from sidecar.routing.table import Table
from sidecar.snapshot import Snapshot
from tests.support.values import NOW, exchange, issued, request, route, subject
from tests.support.websocket import KEY

TOKEN = "subject-token"
BEARER = (b"Authorization", b"Bearer " + TOKEN.encode())
GRANT = Grant(issued(), None, "exchange-1", 300.0, CacheResult.MISS)


@dataclass
class FakePlan:
    """As much of a plan as ``decide`` may know."""

    name: str
    subject: object = None

    async def next_actor(self, _: RequestHead) -> dict[str, str]:
        return {"iss": "https://issuer.example", "sub": "gateway"}


@dataclass
class Steps:
    """Fakes of what ``decide`` asks of others, and the order in which it did."""

    taken: list[str] = field(default_factory=list)
    subject: Subject = field(default_factory=subject)
    verification: Kind | None = None
    approval: Kind | None = None
    exchange: Kind | None = None
    grant: Grant | None = GRANT

    clock = Clock(wall=lambda: NOW)

    async def verify(self, credential: Credential, allowed: frozenset[str]) -> Subject:
        self.taken.append(f"verify {credential.token} for {', '.join(sorted(allowed))}")
        if self.verification is not None:
            raise refuse(self.verification, "Not verified.")
        return self.subject

    async def approve(self, policy: ApprovalPolicy, _: Plan, who: Subject | None, __: object, ___: object) -> Approval:
        self.taken.append(f"ask {policy.by} about {who.sub if who else 'nobody'}")
        refusal = Refusal(self.approval, "Not approved.") if self.approval is not None else None
        return Approval(policy.by, refusal, id="a-1", claimed_task="tidy up")

    async def obtain(
        self, plan: Plan, verified: Subject | None, head: RequestHead, approval: Approval | None
    ) -> Grant | None:
        who = verified.sub if verified is not None else "us"
        under = f" under {approval.id}" if approval is not None else ""
        self.taken.append(f"exchange by {cast(FakePlan, plan).name} for {who}{under}")
        if self.exchange is not None:
            raise refuse(self.exchange, "Not exchanged.", retry_after=7)
        return self.grant


ROUTES = (
    route(),
    route("public", match=Match(path_prefix="/public"), asks=None),
    route(
        "guarded",
        match=Match(path_prefix="/guarded"),
        subject=SubjectPolicy(frozenset({"corp"}), require_scope=("orders.admin",), clients=frozenset({"friend"})),
    ),
    route(
        "small",
        match=Match(path_prefix="/small"),
        upstream=replace(route().upstream, max_body_bytes=10, drop_cookies=True),
    ),
    route(
        "proxied",
        match=Match(path_prefix="/proxied"),
        subject=SubjectPolicy(frozenset({"corp", "partner"}), header="x-forwarded-access-token"),
    ),
    route("sockets", match=Match(path_prefix="/sockets"), upstream=replace(route().upstream, websocket=True)),
    route("forwarding", match=Match(path_prefix="/forwarding"), preflight=Preflight.FORWARD),
    route(
        "answering",
        match=Match(path_prefix="/answering"),
        preflight=Preflight.ANSWER,
        cors=Cors(frozenset({b"https://app.example"}), 600),
    ),
    route(
        "answering others",
        match=Match(path_prefix="/answering-others"),
        preflight=Preflight.ANSWER,
        cors=Cors(frozenset({b"https://other.example"}), 600),
    ),
    route(
        "fresh",
        match=Match(path_prefix="/fresh"),
        subject=SubjectPolicy(frozenset({"corp"}), max_age=60),
    ),
    route("payments", match=Match(path_prefix="/payments"), approval=ApprovalPolicy("desk")),
)


@dataclass
class Fake:
    """As much of a snapshot as ``decide`` may know."""

    listeners: dict[str, Listener]
    table: Table
    verifier: Steps
    plans: dict[str, FakePlan]
    trusted: str

    def trusts(self, peer: str | None) -> bool:
        return peer == self.trusted

    def plan(self, route: Route, _: Subject | None) -> FakePlan:
        return self.plans[route.name]

    async def approve(self, *question: Any) -> Approval:
        return await self.verifier.approve(*question)

    def borne(self, request: RequestHead) -> list[bytes]:
        return request.values(b"x-workload-token")


def snapshot(
    steps: Steps, *, direction: Direction = Direction.INGRESS, trusted: str = "", routes: Sequence[Route] = ROUTES
) -> Snapshot:
    compiled = [replace(each, exchange=None) if each.name == "public" else each for each in routes]
    fake = Fake(
        listeners={"default": Listener("default", direction, "http", max_header_bytes=65536)},
        table=Table(compiled),
        verifier=steps,
        plans={each.name: FakePlan(f"plan of {each.name}") for each in compiled if each.exchange is not None},
        trusted=trusted,
    )
    return cast(Snapshot, fake)


async def decided(head: RequestHead, steps: Steps, **settings: Any) -> Decision:
    return await decide(head, snapshot(steps, **settings), steps.obtain)


def refusal(decision: Decision) -> Refusal:
    assert decision.refusal is not None
    return decision.refusal


async def test_every_step_in_order() -> None:
    steps = Steps()
    decision = await decided(request(BEARER), steps)
    assert steps.taken == [f"verify {TOKEN} for corp", "exchange by plan of orders for alice"]
    assert (decision.route, decision.subject, decision.grant) == (ROUTES[0], steps.subject, GRANT)
    assert decision.refusal is None
    assert decision.left_behind == (TOKEN.encode(),)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (request(BEARER, path=b"/nothing"), Kind.NO_ROUTE),
        (request(BEARER, path=b"/orders/../x"), Kind.INVALID_REQUEST),
        (request(BEARER, path=b"/orders/%2fx"), Kind.INVALID_REQUEST),
    ],
)
async def test_without_a_route_nothing_is_looked_at(head: RequestHead, kind: Kind) -> None:
    steps = Steps()
    decision = await decided(head, steps)
    assert refusal(decision).kind is kind
    assert (decision.route, decision.subject, decision.grant, steps.taken) == (None, None, None, [])


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (request(), Kind.MISSING_TOKEN),
        (request((b"Authorization", b"Basic YTpi")), Kind.MISSING_TOKEN),
        (request(BEARER, BEARER), Kind.INVALID_REQUEST),
        (request(BEARER, (b"X-Any", TOKEN.encode())), Kind.INVALID_REQUEST),
        (request(BEARER, (b"Cookie", b"a=" + TOKEN.encode())), Kind.INVALID_REQUEST),
        (request(BEARER, query=b"access_token=x"), Kind.INVALID_REQUEST),
    ],
)
async def test_without_one_credential_nothing_is_verified(head: RequestHead, kind: Kind) -> None:
    steps = Steps()
    decision = await decided(head, steps)
    assert refusal(decision).kind is kind
    assert (decision.route, decision.subject, steps.taken) == (ROUTES[0], None, [])


@pytest.mark.parametrize("kind", [Kind.INVALID_TOKEN, Kind.ISSUER_UNAVAILABLE])
@pytest.mark.threat("S1")
async def test_without_a_verified_token_nothing_is_exchanged(kind: Kind) -> None:
    steps = Steps(verification=kind)
    decision = await decided(request(BEARER), steps)
    assert refusal(decision).kind is kind
    assert (decision.route, decision.subject, decision.grant) == (ROUTES[0], None, None)
    assert steps.taken == [f"verify {TOKEN} for corp"]


@pytest.mark.parametrize(
    ("verified", "kind"),
    [
        (subject(scope=frozenset({"orders.admin"})), Kind.POLICY_DENIED),
        (subject(client_id="friend"), Kind.INSUFFICIENT_SCOPE),
        (subject(), Kind.POLICY_DENIED),
    ],
)
async def test_what_policy_forbids_is_never_exchanged(verified: Subject, kind: Kind) -> None:
    steps = Steps(subject=verified)
    decision = await decided(request(BEARER, path=b"/guarded"), steps)
    assert refusal(decision).kind is kind
    assert steps.taken == [f"verify {TOKEN} for corp"]
    assert (decision.route, decision.subject, decision.grant) == (ROUTES[2], verified, None)  # for the receipt


@pytest.mark.parametrize(
    ("verified", "kind"),
    [
        (subject(auth_time=NOW - 60), None),
        (subject(auth_time=NOW - 61), Kind.STEP_UP_REQUIRED),
        (subject(auth_time=NOW, claims={"may_act": {"sub": "gateway"}}), None),
        (subject(auth_time=NOW, iss="https://other", claims={"may_act": {"sub": "gateway"}}), Kind.POLICY_DENIED),
        (subject(auth_time=NOW, claims={"may_act": []}), Kind.POLICY_DENIED),
    ],
)
async def test_time_and_who_acts_next_count(verified: Subject, kind: Kind | None) -> None:
    steps = Steps(subject=verified)
    decision = await decided(request(BEARER, path=b"/fresh"), steps)
    assert (decision.refusal and decision.refusal.kind) == kind
    assert len(steps.taken) == (1 if kind else 2)


async def test_what_policy_allows_goes_on() -> None:
    allowed = subject(scope=frozenset({"orders.admin"}), client_id="friend")
    decision = await decided(request(BEARER, path=b"/guarded"), Steps(subject=allowed))
    assert (decision.refusal, decision.grant) == (None, GRANT)


async def test_an_approver_is_asked_before_the_exchange() -> None:
    steps = Steps()
    decision = await decided(request(BEARER, path=b"/payments/1"), steps)
    assert steps.taken[1:] == ["ask desk about alice", "exchange by plan of payments for alice under a-1"]
    assert (decision.refusal, decision.grant) == (None, GRANT)
    assert decision.approval is not None
    assert decision.approval.id == "a-1"


@pytest.mark.parametrize("kind", [Kind.APPROVAL_DENIED, Kind.APPROVAL_UNAVAILABLE])
async def test_what_is_not_approved_is_never_exchanged(kind: Kind) -> None:
    steps = Steps(approval=kind)
    decision = await decided(request(BEARER, path=b"/payments/1"), steps)
    assert refusal(decision).kind is kind
    assert steps.taken[1:] == ["ask desk about alice"]
    assert decision.grant is None
    assert decision.approval is not None
    assert decision.approval.claimed_task == "tidy up"


async def test_what_policy_refuses_is_no_approvers_business() -> None:
    steps = Steps(subject=replace(subject(), auth_time=NOW - 61))
    strict = [replace(each, subject=replace(each.subject, max_age=60)) for each in ROUTES if each.name == "payments"]
    decision = await decided(request(BEARER, path=b"/payments/1"), steps, routes=strict)
    assert refusal(decision).kind is Kind.STEP_UP_REQUIRED
    assert len(steps.taken) == 1


async def test_a_failed_exchange_is_a_refusal() -> None:
    steps = Steps(exchange=Kind.EXCHANGE_UNAVAILABLE)
    decision = await decided(request(BEARER), steps)
    assert (refusal(decision).kind, refusal(decision).retry_after) == (Kind.EXCHANGE_UNAVAILABLE, 7)
    assert (decision.route, decision.subject, decision.grant) == (ROUTES[0], steps.subject, None)


async def test_a_dry_exchange_has_no_grant() -> None:
    """What ``explain`` does: every step but the last, and nothing that could be forwarded."""
    steps = Steps(grant=None)
    decision = await decided(request(BEARER), steps)
    assert (decision.route, decision.subject, decision.grant, decision.refusal) == (
        ROUTES[0],
        steps.subject,
        None,
        None,
    )


@pytest.mark.parametrize("fields", [(), (BEARER,), ((b"Authorization", b"Basic YTpi"),), (BEARER, BEARER)])
async def test_a_route_without_exchange_asks_for_nothing(fields: tuple[tuple[bytes, bytes], ...]) -> None:
    steps = Steps()
    decision = await decided(request(*fields, path=b"/public"), steps)
    assert (decision.refusal, decision.grant, decision.subject, steps.taken) == (None, None, None, [])
    assert decision.route is not None
    assert decision.route.name == "public"
    assert set(decision.left_behind) == ({TOKEN.encode()} if BEARER in fields else set())


@pytest.mark.parametrize(
    "head",
    [
        request(BEARER, path=b"/public/" + TOKEN.encode()),
        request(BEARER, (b"X-Any", TOKEN.encode()), path=b"/public"),
        request(path=b"/public", query=b"access_token=x"),
    ],
)
async def test_also_without_exchange_the_token_may_be_in_one_place_only(head: RequestHead) -> None:
    assert refusal(await decided(head, Steps())).kind is Kind.INVALID_REQUEST


@pytest.mark.parametrize(("length", "fits"), [(None, True), (0, True), (10, True), (11, False), (10**17, False)])
async def test_a_body_that_says_it_is_too_large_goes_no_further(length: int | None, fits: bool) -> None:
    steps = Steps()
    decision = await decided(request(BEARER, path=b"/small", method="PUT", content_length=length), steps)
    if fits:
        assert decision.refusal is None
    else:
        assert (refusal(decision).kind, refusal(decision).oversize) == (Kind.TOO_LARGE, Oversize.BODY)
        assert (steps.taken, decision.route) == ([], ROUTES[3])


async def test_cookies_that_are_dropped_may_hold_the_token() -> None:
    head = request(BEARER, (b"Cookie", b"a=" + TOKEN.encode()), path=b"/small")
    assert (await decided(head, Steps())).refusal is None


async def test_on_egress_a_foreign_access_token_may_be_in_the_query() -> None:
    head = request(BEARER, query=b"access_token=the-applications-own")
    assert (await decided(head, Steps(), direction=Direction.EGRESS)).refusal is None
    assert refusal(await decided(head, Steps())).kind is Kind.INVALID_REQUEST


@pytest.mark.parametrize(("trusted", "found"), [("127.0.0.1", True), ("10.0.0.1", False), ("", False)])
async def test_another_header_counts_only_from_trusted_peers(trusted: str, found: bool) -> None:
    steps = Steps()
    head = request((b"X-Forwarded-Access-Token", TOKEN.encode()), path=b"/proxied")
    decision = await decided(head, steps, trusted=trusted)
    if found:
        assert decision.refusal is None
        assert steps.taken[0] == f"verify {TOKEN} for corp, partner"
    else:
        assert refusal(decision).kind is Kind.MISSING_TOKEN
        assert steps.taken == []


async def test_what_to_search_for_is_the_tokens_signature() -> None:
    jwt = b"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJlLW9mLWEtdG9rZW4"
    decision = await decided(request((b"Authorization", b"Bearer " + jwt)), Steps())
    assert decision.left_behind == (b"c2lnbmF0dXJlLW9mLWEtdG9rZW4",)


@pytest.mark.parametrize(
    ("fields", "path", "found"),
    [
        ([(b"Authorization", b"Bearer " + b"w" * 20)], b"/nothing", {b"w" * 20}),
        ([(b"Authorization", b"Bearer " + b"w" * 20)] * 2, b"/orders", {b"w" * 20}),
        ([(b"Authorization", b"Bearer " + b"x" * 20 + b" malformed")], b"/orders", {b"x" * 20}),
        ([(b"Authorization", b"Basic " + b"y" * 20)], b"/orders", {b"y" * 20}),
        ([(b"X-Forwarded-Access-Token", b"z" * 20)], b"/proxied", {b"z" * 20}),
        ([(b"Authorization", b"Bearer short")], b"/nothing", set()),
        ([], b"/orders", set()),
    ],
)
async def test_a_refusal_too_knows_what_must_not_be_written_down(
    fields: list[tuple[bytes, bytes]], path: bytes, found: set[bytes]
) -> None:
    decision = await decided(request(*fields, path=path), Steps(verification=Kind.INVALID_TOKEN))
    assert decision.refusal is not None
    assert set(decision.left_behind) == found


async def test_an_error_that_is_no_refusal_is_not_hidden() -> None:
    async def broken(*_: object) -> Grant | None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await decide(request(BEARER), snapshot(Steps()), broken)


@pytest.mark.threat("S9")
async def test_no_decision_shows_a_token() -> None:
    decision = await decided(request(BEARER), Steps())
    assert TOKEN not in repr(decision)
    assert GRANT.token.token not in repr(decision)


# --- preflights

PREFLIGHT = ((b"Origin", b"https://app.example"), (b"Access-Control-Request-Method", b"GET"))


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (b"/orders", Kind.POLICY_DENIED),
        (b"/forwarding", None),
        (b"/answering", None),
        (b"/answering-others", Kind.POLICY_DENIED),
        (b"/public", Kind.POLICY_DENIED),
    ],
)
async def test_a_preflight_is_asked_for_no_token(path: bytes, kind: Kind | None) -> None:
    steps = Steps()
    decision = await decided(request(*PREFLIGHT, BEARER, path=path, method="OPTIONS"), steps)
    assert (decision.refusal.kind if decision.refusal is not None else None) == kind
    assert decision.preflight
    assert (decision.subject, decision.grant, steps.taken) == (None, None, [])
    if kind is None:
        assert decision.left_behind == (TOKEN.encode(),)


async def test_a_preflight_has_no_body_and_its_token_in_no_second_place() -> None:
    with_body = request(*PREFLIGHT, path=b"/forwarding", method="OPTIONS", content_length=1)
    elsewhere = request(*PREFLIGHT, BEARER, (b"X", TOKEN.encode()), path=b"/forwarding", method="OPTIONS")
    for head in (with_body, elsewhere):
        assert refusal(await decided(head, Steps())).kind is Kind.INVALID_REQUEST


WEBSOCKET = (
    (b"Upgrade", b"websocket"),
    (b"Connection", b"Upgrade"),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Sec-WebSocket-Key", KEY),
)


async def test_a_websocket_is_one_only_where_its_route_says_so() -> None:
    for path, one in ((b"/sockets/1", True), (b"/orders/1", False), (b"/public", False)):
        decision = await decided(request(*WEBSOCKET, BEARER, path=path), Steps())
        assert (decision.refusal, decision.websocket) == (None, one)
    assert not (await decided(request(BEARER, path=b"/sockets/1"), Steps())).websocket


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ((*WEBSOCKET[:2], BEARER), Kind.UPGRADE_REQUIRED),
        ((*WEBSOCKET, WEBSOCKET[0], BEARER), Kind.INVALID_REQUEST),
        ((*WEBSOCKET, (b"Origin", b"https://evil.example"), BEARER), Kind.POLICY_DENIED),
        ((*WEBSOCKET, (b"Sec-WebSocket-Protocol", TOKEN.encode()), BEARER), Kind.INVALID_REQUEST),
        (WEBSOCKET, Kind.MISSING_TOKEN),
    ],
)
async def test_a_websocket_that_is_not_allowed_is_never_exchanged_for(
    fields: tuple[tuple[bytes, bytes], ...], kind: Kind
) -> None:
    steps = Steps()
    decision = await decided(request(*fields, path=b"/sockets/1"), steps)
    assert decision.refusal is not None
    assert decision.refusal.kind is kind
    assert steps.taken == []


async def test_what_is_no_preflight_needs_a_token() -> None:
    for head in (
        request(*PREFLIGHT, path=b"/forwarding", method="GET"),
        request(PREFLIGHT[0], path=b"/forwarding", method="OPTIONS"),
        request(PREFLIGHT[1], path=b"/forwarding", method="OPTIONS"),
    ):
        decision = await decided(head, Steps())
        assert (refusal(decision).kind, decision.preflight) == (Kind.MISSING_TOKEN, False)


OURS = route("ours", match=Match(path_prefix="/ours"), asks=exchange(subject_token="self"))
OURS = replace(OURS, subject=SubjectPolicy(frozenset()))


async def test_a_token_of_ours_is_exchanged_where_none_is_asked_for() -> None:
    steps = Steps()
    carried = (b"Authorization", b"Bearer a-token-that-nobody-asked-for"), (b"X-Workload-Token", b"borne-token")
    shot = snapshot(steps, routes=[OURS], direction=Direction.EGRESS)
    decision = await decide(request(*carried, path=b"/ours"), shot, steps.obtain)
    assert (decision.refusal, decision.subject, decision.grant) == (None, None, GRANT)
    assert steps.taken == ["exchange by plan of ours for us"]
    assert decision.left_behind == (b"a-token-that-nobody-asked-for", b"borne-token")


async def test_a_caller_is_verified_also_where_a_token_of_ours_is_exchanged() -> None:
    steps = Steps(verification=Kind.INVALID_TOKEN)
    asking = replace(OURS, subject=SubjectPolicy(frozenset({"corp"})))
    decision = await decide(request(path=b"/ours"), snapshot(steps, routes=[asking]), steps.obtain)
    assert (refusal(decision).kind, steps.taken) == (Kind.MISSING_TOKEN, [])
    head = request((b"Authorization", b"Bearer a-token"), path=b"/ours")
    decision = await decide(head, snapshot(steps, routes=[asking]), steps.obtain)
    assert (refusal(decision).kind, len(steps.taken)) == (Kind.INVALID_TOKEN, 1)
