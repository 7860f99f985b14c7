"""That nothing which matters can change unsaid, and what is called stricter or laxer."""

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import pytest

from sidecar.model.actors import ActorPattern
from sidecar.model.approval import ApprovalPolicy
from sidecar.model.mcp import MCP, Rule
from sidecar.model.resource_metadata import ResourceMetadata
from sidecar.model.route import (
    TLS,
    Cors,
    Exchange,
    Expect,
    Expected,
    Match,
    PathRelaxation,
    Preflight,
    Route,
    SubjectPolicy,
    Upstream,
)
from sidecar.model.tokens import Semantics
from sidecar.routing.changes import AT_LEAST_AS_STRICT, OPERATIONAL, Change, changes
from tests.support.values import exchange, route

ORDERS = route()
OPEN = replace(ORDERS, exchange=None)


def with_subject(**changed: Any) -> Route:
    return replace(ORDERS, subject=replace(ORDERS.subject, **changed))


def with_upstream(**changed: Any) -> Route:
    return replace(ORDERS, upstream=replace(ORDERS.upstream, **changed))


def with_exchange(**changed: Any) -> Route:
    return replace(ORDERS, exchange=exchange(**changed))


def with_approval(**changed: Any) -> Route:
    return replace(ORDERS, approval=ApprovalPolicy(**{"by": "desk", **changed}))


def with_expect(**changed: Any) -> Route:
    return with_exchange(expect=Expect(**changed))


def with_mcp(**changed: Any) -> Route:
    return replace(ORDERS, mcp=MCP(**changed))


#: For each field, a value that it does not have there.
OTHERS: dict[type, dict[str, Any]] = {
    Upstream: {
        "host": "10.0.0.1",
        "port": 1,
        "unix_path": "/run/a",
        "base_path": b"/v2",
        "host_header": b"other",
        "tls": TLS(),
        "strip_prefix": b"/orders",
        "preserve_host": True,
        "max_body_bytes": 5,
        "token_header": b"X-Token",
        "drop_cookies": True,
        "websocket": True,
    },
    SubjectPolicy: {
        "issuers": frozenset({"other"}),
        "header": "x-token",
        "require_scope": ("a",),
        "require_claims": (("level", (1,)),),
        "clients": frozenset({"a"}),
        "acr_values": ("a",),
        "max_age": 60,
        "require_actor": True,
        "allowed_actors": frozenset({ActorPattern(None, "a")}),
        "max_actor_depth": 1,
    },
    Exchange: {
        "authorization_server": "other",
        "audience": ("other",),
        "resource": ("https://other",),
        "scope": ("other",),
        "requested_token_type": "urn:other",
        "subject_token": "self",
        "actor_token": "self",
        "authorization_details": ('{"type":"a"}',),
        "expect": Expect(same_subject=False),
    },
    MCP: {
        "default": True,
        "get": False,
        "delete": False,
        "responses": False,
        "notifications": False,
        "allowed_origins": frozenset({b"https://a"}),
        "tools": (Rule(("mcp", "tools", "a")),),
        "methods": (Rule(("mcp", "methods", "a")),),
    },
    Expect: {
        "audience": Expected(frozenset({"a"}), frozenset({"a"})),
        "scope": Expected(frozenset({"a"}), frozenset({"a"})),
        "same_subject": False,
        "subject_claim": "oid",
        "semantics": Semantics.DELEGATION,
    },
}
MAKE = {
    Upstream: with_upstream,
    SubjectPolicy: with_subject,
    Exchange: with_exchange,
    Expect: with_expect,
    MCP: with_mcp,
}


def every_field() -> Iterator[tuple[type, str]]:
    for kind in OTHERS:
        named = (each.name for each in fields(kind) if each.init)
        # How long a tunnel lives counts only where there are any; it is tried below.
        yield from ((kind, name) for name in named if name not in {*OPERATIONAL, "websocket_max_lifetime"})


@pytest.mark.parametrize(("kind", "name"), list(every_field()))
def test_no_field_can_change_unsaid(kind: type, name: str) -> None:
    before = {Expect: with_expect(), MCP: with_mcp()}.get(kind, ORDERS)
    found = changes(before, MAKE[kind](**{name: OTHERS[kind][name]}))
    assert len(found) == 1
    assert found[0].old != found[0].new


@pytest.mark.parametrize("name", [each.name for each in fields(TLS)])
def test_what_tls_needs_is_compared(name: str) -> None:
    found = changes(with_upstream(tls=TLS()), with_upstream(tls=TLS(**{name: "a"})))
    assert found == [Change(f"upstream.tls.{name}", None, "a")]


def test_how_long_a_tunnel_lives_counts_where_there_are_any() -> None:
    by_token, long = with_upstream(websocket=True), with_upstream(websocket=True, websocket_max_lifetime=60.0)
    assert changes(by_token, long) == [Change("upstream.websocket_max_lifetime", "token", 60.0)]
    assert changes(ORDERS, with_upstream(websocket_max_lifetime=60.0)) == []


def test_what_is_bounded_in_time_and_number_is_not() -> None:
    assert changes(ORDERS, with_upstream(**dict.fromkeys(OPERATIONAL, 7))) == []
    assert {each.name for each in fields(Upstream)} >= OPERATIONAL
    assert changes(ORDERS, replace(ORDERS, match=Match(path="/a"), listener="out", place="x:1")) == []


def test_no_route() -> None:
    assert changes(None, None) == []
    assert changes(None, ORDERS) == [Change("route", None, "orders", "laxer")]
    assert changes(ORDERS, None) == [Change("route", "orders", None, "stricter")]


def test_another_route_for_another_place() -> None:
    new = replace(with_exchange(scope=("w", "r"), audience=()), name="v2")
    assert changes(ORDERS, replace(new, upstream=replace(new.upstream, tls=TLS(), port=443, host_header=b"x"))) == [
        Change("route", "orders", "v2"),
        Change("upstream", "http://127.0.0.1:9000", "https://127.0.0.1:443"),
        Change("audience", ("orders-api",), ()),
        Change("scope", ("orders.read",), ("r", "w")),
    ]


def test_another_approver_is_neither_stricter_nor_laxer() -> None:
    assert changes(with_approval(), with_approval(by="opa")) == [Change("approval", "desk", "opa")]
    asking = with_approval(reason_header="x-task")
    assert changes(with_approval(), asking) == [Change("approval.reason_header", None, "x-task")]


def test_what_callers_are_told_counts() -> None:
    one, other = (
        replace(ORDERS, resource_metadata=ResourceMetadata("https://a.example/orders", ("https://i",), scopes))
        for scopes in (("a", "b"), ("b", "c"))
    )
    assert changes(ORDERS, one) == [
        Change("resource_metadata", None, "https://a.example/orders"),
        Change("resource_metadata.scopes_supported", (), ("a", "b")),
    ]
    assert changes(one, other) == [Change("resource_metadata.scopes_supported", ("a", "b"), ("b", "c"))]


def test_an_order_that_means_nothing_is_no_change() -> None:
    assert changes(with_exchange(scope=("a", "b")), with_exchange(scope=("b", "a"))) == []
    assert changes(with_subject(acr_values=("a", "b")), with_subject(acr_values=("b", "a"))) == []
    assert changes(with_subject(require_claims=(("l", (1, 2)),)), with_subject(require_claims=(("l", (2, 1)),))) == []


def test_no_exchange_any_more() -> None:
    assert changes(ORDERS, OPEN) == [
        Change("exchange", "some", "none", "laxer"),
        Change("authorization_server", "corp", None),
        Change("audience", ("orders-api",), ()),
        Change("scope", ("orders.read",), ()),
    ]
    assert changes(OPEN, ORDERS)[0] == Change("exchange", "none", "some", "stricter")
    assert changes(OPEN, OPEN) == []


def expected(*required: str, more: tuple[str, ...] = ()) -> Expected:
    return Expected(frozenset(required), frozenset([*required, *more]))


#: For each that has an order: a value, a stricter one, and one that is neither.
ORDERED: dict[str, tuple[Route, Route, Route | None]] = {
    "upstream.max_body_bytes": (ORDERS, with_upstream(max_body_bytes=5), None),
    "upstream.websocket": (with_upstream(websocket=True), ORDERS, None),
    "mcp": (ORDERS, with_mcp(), None),
    **{
        f"mcp.{key}": (with_mcp(**{key: True}), with_mcp(**{key: False}), None)
        for key in ("default", "get", "delete", "responses", "notifications")
    },
    "mcp.allowed_origins": (
        with_mcp(allowed_origins=frozenset({b"https://a", b"https://b"})),
        with_mcp(allowed_origins=frozenset({b"https://a"})),
        with_mcp(allowed_origins=frozenset({b"https://c"})),
    ),
    "match.allow": (
        replace(ORDERS, match=Match(path="/", allow=frozenset({PathRelaxation.ENCODED_SLASH}))),
        replace(ORDERS, match=Match(path="/")),
        replace(ORDERS, match=Match(path="/", allow=frozenset({PathRelaxation.EMPTY_SEGMENT}))),
    ),
    "preflight": (replace(ORDERS, preflight=Preflight.FORWARD), ORDERS, None),
    "cors.origins": (
        replace(ORDERS, cors=Cors(frozenset({b"https://a", b"https://b"}), 1)),
        replace(ORDERS, cors=Cors(frozenset({b"https://a"}), 1)),
        replace(ORDERS, cors=Cors(frozenset({b"https://c"}), 1)),
    ),
    "exchange": (OPEN, ORDERS, None),
    "approval": (ORDERS, with_approval(by="desk"), None),
    "approval.max_age": (with_approval(max_age=60.0), with_approval(max_age=30.0), None),
    "approval.bind_path": (with_approval(bind_path=False), with_approval(bind_path=True), None),
    "issuers": (with_subject(issuers=frozenset("ab")), with_subject(issuers=frozenset("a")), None),
    "require_scope": (
        with_subject(require_scope=("a",)),
        with_subject(require_scope=("b", "a")),
        with_subject(require_scope=("b",)),
    ),
    "require_claims": (
        with_subject(require_claims=(("l", (1, 2)),)),
        with_subject(require_claims=(("l", (1,)), ("m", ("x",)))),
        with_subject(require_claims=(("l", (True, 2)),)),
    ),
    "clients": (with_subject(clients=frozenset("ab")), with_subject(clients=frozenset("a")), None),
    "acr_values": (with_subject(acr_values=("a", "b")), with_subject(acr_values=("a",)), None),
    "max_age": (with_subject(max_age=60), with_subject(max_age=30), None),
    "require_actor": (ORDERS, with_subject(require_actor=True), None),
    "allowed_actors": (
        with_subject(allowed_actors=frozenset({ActorPattern(None, "a*")})),
        with_subject(allowed_actors=frozenset({ActorPattern(None, "ab"), ActorPattern(None, "ac*")})),
        with_subject(allowed_actors=frozenset({ActorPattern("https://other", "ab")})),
    ),
    "max_actor_depth": (ORDERS, with_subject(max_actor_depth=2), None),
    "expect.audience": (
        with_expect(audience=expected("a", more=("b",))),
        with_expect(audience=expected("a", "b")),
        with_expect(audience=expected("c")),
    ),
    "expect.scope": (with_expect(), with_expect(scope=expected("a")), None),
    "expect.same_subject": (with_expect(same_subject=False), with_expect(), None),
    "expect.semantics": (with_expect(), with_expect(semantics=Semantics.DELEGATION), None),
}


def test_all_that_has_an_order_is_tried() -> None:
    assert ORDERED.keys() == AT_LEAST_AS_STRICT.keys()


@pytest.mark.parametrize("what", ORDERED)
def test_stricter_and_laxer(what: str) -> None:
    one, stricter, other = ORDERED[what]
    assert next((each.what, each.note) for each in changes(one, stricter)) == (what, "stricter")
    assert next((each.what, each.note) for each in changes(stricter, one)) == (what, "laxer")
    if other is not None:
        assert [(each.what, each.note) for each in changes(one, other)] == [(what, "")]


def test_anything_is_laxer_than_some() -> None:
    for some in (
        with_subject(clients=frozenset("a")),
        with_subject(acr_values=("a",)),
        with_subject(max_age=60),
        with_subject(allowed_actors=frozenset({ActorPattern(None, "*")})),
    ):
        assert [each.note for each in changes(some, ORDERS)] == ["laxer"]
        assert [each.note for each in changes(ORDERS, some)] == ["stricter"]
    some = with_subject(clients=frozenset("a"))
    assert [each.note for each in changes(some, with_subject(clients=frozenset("b")))] == [""]


def test_one_meaning_for_another_is_neither() -> None:
    delegation, impersonation = (
        with_expect(semantics=each) for each in (Semantics.DELEGATION, Semantics.IMPERSONATION)
    )
    assert changes(delegation, impersonation) == [Change("expect.semantics", "delegation", "impersonation")]


def test_how_values_are_shown() -> None:
    old = with_expect(audience=expected("a", more=("b", "c")))
    assert changes(with_expect(), old) == [Change("expect.audience", "any", ("a", "[b]", "[c]"), "stricter")]
    claims = with_subject(require_claims=(("z", (True, "é")), ("a.b", (1,))))
    (change,) = changes(ORDERS, claims)
    assert (change.old, change.new) == ((), ("a.b=1", 'z="é"|true'))
    actors = with_subject(allowed_actors=frozenset({ActorPattern(None, "b*"), ActorPattern("https://a", "a")}))
    assert changes(ORDERS, actors) == [Change("allowed_actors", (), ("a of https://a", "b*"), "stricter")]
    (change,) = changes(ORDERS, with_upstream(token_header=b"X-Token"))
    assert (change.old, change.new) == ("Authorization", "X-Token")


@pytest.mark.parametrize(
    "changed",
    [
        {"scope": ("b",)},
        {"acr_values": ("b",)},
        {"max_age": 2},
        {"approval": ApprovalPolicy("desk")},
        {"approval": ApprovalPolicy("desk"), "arguments": ("path",)},
    ],
)
def test_what_an_operation_asks_for(changed: dict[str, Any]) -> None:
    rule = Rule(("mcp", "tools", "delete_*"), ("a",), ("x",), 1)
    old, other = with_mcp(tools=(rule,)), with_mcp(tools=(replace(rule, **changed),))
    (change,) = changes(old, other)
    assert (change.what, change.old) == ("mcp.tools", ("delete_*=acr x|max_age 1|scope a",))
    assert change.new != change.old
    assert changes(with_mcp(), with_mcp(tools=(Rule(("mcp", "tools", "a")),))) == [Change("mcp.tools", (), ("a=",))]


def by_issuer(**servers: str) -> Route:
    made = tuple((name, exchange(authorization_server=server)) for name, server in servers.items())
    return replace(with_subject(issuers=frozenset(servers)), exchange=made[0][1], by_issuer=made)


def test_another_server_for_one_issuer() -> None:
    old, new = by_issuer(corp="corp", partner="partner"), by_issuer(corp="corp", partner="elsewhere")
    assert changes(old, old) == []
    assert changes(old, new) == [Change("authorization_server of partner", "partner", "elsewhere")]


def test_the_issuer_chooses_from_now_on() -> None:
    one = with_subject(issuers=frozenset({"corp", "partner"}))
    assert changes(one, by_issuer(corp="corp", partner="corp")) == []
    assert changes(one, by_issuer(corp="corp", partner="partner")) == [
        Change("authorization_server of partner", "corp", "partner")
    ]


def test_what_one_servers_dialect_lets_pass() -> None:
    old = by_issuer(corp="corp", partner="partner")
    stricter = Expected(frozenset({"a"}), frozenset({"a"}))
    made = (old.by_issuer[0], ("partner", replace(old.by_issuer[1][1], expect=Expect(scope=stricter))))
    [change] = changes(old, replace(old, by_issuer=made))
    assert (change.what, change.note) == ("expect.scope of partner", "stricter")
