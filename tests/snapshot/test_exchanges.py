"""What a route asks for and expects, from YAML to the values that requests are decided by."""

import pytest

from sidecar.model.route import Expect, Expected
from sidecar.model.tokens import TOKEN_TYPES, Semantics
from tests.snapshot.conftest import PEERS, Folder, one


@pytest.mark.parametrize(
    ("expect", "audience", "scope"),
    [
        ("{}", (["a"], ["a"]), ([], ["s"])),
        ("{audience: asked, scope: asked}", (["a"], ["a"]), ([], ["s"])),
        ("{extra_audience: [b], extra_scope: [t]}", (["a"], ["a", "b"]), ([], ["s", "t"])),
        ("{audience: any, scope: any}", None, None),
        ("{audience: any, extra_audience: [b], scope: asked}", None, ([], ["s"])),
        ("{audience: [x, y], scope: [z]}", (["x", "y"], ["x", "y"]), (["z"], ["z"])),
        ("{audience: [x], extra_audience: [y]}", (["x"], ["x", "y"]), ([], ["s"])),
        ("{audience: [], scope: []}", ([], []), ([], [])),
    ],
)
def test_what_is_expected(
    folder: Folder, expect: str, audience: tuple[list[str], list[str]] | None, scope: tuple[list[str], list[str]] | None
) -> None:
    route = one(
        folder, "{audience: [orders-api], scope: [orders.read]}", f"{{audience: [a], scope: [s], expect: {expect}}}"
    )
    assert route.exchange is not None
    assert (route.exchange.expect.audience, route.exchange.expect.scope) == (expected(audience), expected(scope))


def expected(pair: tuple[list[str], list[str]] | None) -> Expected:
    return Expected() if pair is None else Expected(frozenset(pair[0]), frozenset(pair[1]))


def test_nothing_asked_is_nothing_checked(folder: Folder) -> None:
    route = one(folder, "{audience: [orders-api], scope: [orders.read]}", "{resource: ['https://x.example/']}")
    assert route.exchange is not None
    assert route.exchange.expect == Expect()


def test_the_dialect_says_what_may_be_there_unless_the_route_does(folder: Folder) -> None:
    peers = PEERS.replace("client_auth", "dialect: keycloak, client_auth")
    stock = one(folder, "9000'", "9000'", peers).exchange
    assert stock is not None
    assert stock.expect.scope.allowed == frozenset({"orders.read", "openid", "profile", "email"})
    own = one(folder, "[orders.read]}", "[orders.read], expect: {extra_scope: []}}", peers).exchange
    assert own is not None
    assert own.expect.scope.allowed == frozenset({"orders.read"})
    peers = peers.replace("client_auth", "dialect_overrides: {extra_audience: [account]}, client_auth")
    overridden = one(folder, "9000'", "9000'", peers).exchange
    assert overridden is not None
    assert overridden.expect.audience == Expected(frozenset({"orders-api"}), frozenset({"orders-api", "account"}))


@pytest.mark.parametrize(
    ("keys", "semantics"),
    [
        ("", None),
        (", actor_token: self", Semantics.DELEGATION),
        (", actor_token: self, semantics: any", None),
        (", semantics: delegation", Semantics.DELEGATION),
        (", semantics: impersonation", Semantics.IMPERSONATION),
    ],
)
def test_an_actor_is_expected_where_one_is_sent(folder: Folder, keys: str, semantics: Semantics | None) -> None:
    folder.file("token", "a-token")
    peers = PEERS + "workload_tokens: {self: {file: token, type: jwt}}\n"
    route = one(folder, "[orders.read]}", f"[orders.read]{keys}}}", peers)
    assert route.exchange is not None
    assert route.exchange.expect.semantics is semantics


@pytest.mark.parametrize(
    ("server", "exchange", "audience", "scope"),
    [
        # Stock Spring writes our own name into aud; a customized one is held against what was asked.
        ("dialect: spring", "{audience: [a], scope: [s]}", ({"gateway"}, {"gateway"}), {"s"}),
        ("dialect: spring", "{audience: [a], expect: {audience: asked}}", ({"a"}, {"a"}), None),
        ("dialect: entra-obo", "{scope: ['api://a/R'], expect: {audience: [a]}}", ({"a"}, {"a"}), {"R"}),
        ("dialect: entra-obo", "{scope: ['api://a/.default'], expect: {audience: [a]}}", ({"a"}, {"a"}), None),
        ("dialect: entra-obo", "{scope: ['a/.default'], expect: {audience: any, scope: [R]}}", None, {"R"}),
    ],
)
def test_what_a_dialect_expects(
    folder: Folder, server: str, exchange: str, audience: tuple[set[str], set[str]] | None, scope: set[str] | None
) -> None:
    peers = PEERS.replace("client_auth", f"{server}, client_auth")
    compiled = one(folder, "{audience: [orders-api], scope: [orders.read]}", exchange, peers).exchange
    assert compiled is not None
    expected_audience = Expected() if audience is None else Expected(*map(frozenset, audience))
    assert compiled.expect.audience == expected_audience
    assert compiled.expect.scope.allowed == (None if scope is None else frozenset(scope))
    assert compiled.expect.subject_claim == ("oid" if "entra" in server else "sub")


def test_a_dialect_may_want_a_type_to_be_requested(folder: Folder) -> None:
    peers = PEERS.replace("client_auth", "dialect: auth0, client_auth")
    stock, own = (
        one(folder, "[orders.read]}", f"[orders.read]{keys}}}", peers).exchange
        for keys in ("", ", requested_token_type: jwt")
    )
    assert stock is not None
    assert own is not None
    assert (stock.requested_token_type, own.requested_token_type) == (TOKEN_TYPES["access_token"], TOKEN_TYPES["jwt"])
