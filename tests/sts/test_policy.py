from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.model.tokens import Actor, Semantics
from sidecar.sts.config import ANYONE, Pattern, Policy
from sidecar.sts.errors import Code, TokenError
from sidecar.sts.policy import acting, decide, permit_actor
from sidecar.sts.tokens import VerifiedToken

ISS = "https://sts.example"
ALICE = VerifiedToken(ISS, "alice", ())
BOB = VerifiedToken(ISS, "bob", ())
AGENT = VerifiedToken(ISS, "agent-7", (), {"iss": ISS, "sub": "agent-7"})

ORDERS = Policy(
    "gw",
    (Pattern(ISS, "alice"),),
    ("orders", "invoices"),
    ("o.read", "o.write"),
    actors=(Pattern(ISS, "agent-*"),),
)
BILLING = Policy("gw", (Pattern(ISS, "alice"),), ("billing",), ("b.read",), semantics=Semantics.IMPERSONATION)
AGENTLESS = Policy("other", (ANYONE,), ("orders",), actors=(), semantics=None)
POLICIES = (ORDERS, BILLING, AGENTLESS)


def test_what_is_written_is_allowed() -> None:
    assert decide(POLICIES, "gw", ALICE, None, ["orders"], ["o.read"]) is ORDERS
    assert decide(POLICIES, "gw", ALICE, AGENT, ["invoices", "orders"], ["o.write", "o.read"]) is ORDERS
    assert decide(POLICIES, "gw", ALICE, None, ["billing"], []) is BILLING
    assert decide(POLICIES, "other", BOB, None, ["orders"], []) is AGENTLESS


@pytest.mark.parametrize(
    ("client", "subject", "actor", "targets", "scope", "code"),
    [
        ("nobody", ALICE, None, ["orders"], [], Code.UNAUTHORIZED_CLIENT),
        ("gw", BOB, None, ["orders"], [], Code.ACCESS_DENIED),
        ("gw", VerifiedToken("https://other.example", "alice", ()), None, ["orders"], [], Code.ACCESS_DENIED),
        ("gw", ALICE, BOB, ["orders"], [], Code.ACCESS_DENIED),
        ("other", ALICE, AGENT, ["orders"], [], Code.ACCESS_DENIED),
        ("gw", ALICE, AGENT, ["billing"], [], Code.INVALID_TARGET),
        ("gw", ALICE, None, [], ["o.read"], Code.INVALID_TARGET),
        ("gw", ALICE, None, ["unknown"], [], Code.INVALID_TARGET),
        ("gw", ALICE, None, ["orders", "billing"], [], Code.INVALID_TARGET),
        ("gw", ALICE, None, ["orders"], ["b.read"], Code.INVALID_SCOPE),
        ("gw", ALICE, None, ["orders"], ["o.read", "admin"], Code.INVALID_SCOPE),
        ("other", ALICE, None, ["orders"], ["o.read"], Code.INVALID_SCOPE),
    ],
)
def test_everything_else_is_refused(
    client: str, subject: VerifiedToken, actor: VerifiedToken | None, targets: list[str], scope: list[str], code: Code
) -> None:
    with pytest.raises(TokenError) as caught:
        decide(POLICIES, client, subject, actor, targets, scope)
    assert caught.value.code is code


def test_impersonation_takes_no_actor_token_even_if_one_is_listed() -> None:
    policy = Policy("gw", (ANYONE,), ("a",), actors=(ANYONE,), semantics=Semantics.IMPERSONATION)
    with pytest.raises(TokenError):
        decide([policy], "gw", ALICE, AGENT, ["a"], [])


names = st.lists(st.sampled_from(["a", "b", "c"]), max_size=3, unique=True)


@given(st.lists(st.tuples(names, names), max_size=3), names, names)
def test_no_pair_of_target_and_scope_is_allowed_that_no_policy_allows(
    written: list[tuple[list[str], list[str]]], targets: list[str], scope: list[str]
) -> None:
    policies = [Policy("gw", (ANYONE,), tuple(audience), tuple(scopes)) for audience, scopes in written]
    covered = any(set(targets) <= set(audience) and set(scope) <= set(scopes) for audience, scopes in written)
    try:
        policy = decide(policies, "gw", ALICE, None, targets, scope)
    except TokenError:
        assert not (targets and covered)
    else:
        assert targets
        assert set(targets) <= set(policy.audience)
        assert set(scope) <= set(policy.scope)


CHAIN = (Actor(ISS, "first"), Actor("https://other.example", "zeroth"))


@pytest.mark.parametrize(
    ("semantics", "actor", "chain"),
    [
        (Semantics.DELEGATION, None, (Actor(ISS, "gw"), *CHAIN)),
        (Semantics.DELEGATION, AGENT, (Actor(ISS, "agent-7"), *CHAIN)),
        (None, None, CHAIN),
        (None, AGENT, (Actor(ISS, "agent-7"), *CHAIN)),
        (Semantics.IMPERSONATION, None, CHAIN),
    ],
)
def test_who_acts(semantics: Semantics | None, actor: VerifiedToken | None, chain: tuple[Actor, ...]) -> None:
    policy = Policy("gw", (ANYONE,), ("a",), semantics=semantics)
    assert acting(policy, ISS, "gw", VerifiedToken(ISS, "alice", CHAIN), actor) == chain


EXCHANGED = VerifiedToken(ISS, "alice", (), {"exchanged": True})


@pytest.mark.parametrize("subject", [EXCHANGED, VerifiedToken(ISS, "alice", CHAIN)])
def test_what_came_of_an_exchange_is_exchanged_again_only_where_that_is_written(subject: VerifiedToken) -> None:
    once = Policy("gw", (ANYONE,), ("a",), ("s",))
    again = replace(once, further_exchange=True)
    assert decide([once], "gw", ALICE, None, ["a"], []) is once
    with pytest.raises(TokenError) as caught:
        decide([once], "gw", subject, None, ["a"], [])
    assert caught.value.code is Code.ACCESS_DENIED
    assert decide([once, again], "gw", subject, None, ["a"], []) is again


@pytest.mark.parametrize(
    ("semantics", "actor", "depth"),
    [
        (Semantics.DELEGATION, None, 3),
        (Semantics.DELEGATION, AGENT, 3),
        (None, AGENT, 3),
        (None, None, 2),
        (Semantics.IMPERSONATION, None, 2),
    ],
)
def test_so_many_actors_and_no_more(semantics: Semantics | None, actor: VerifiedToken | None, depth: int) -> None:
    policy = Policy("gw", (ANYONE,), ("a",), actors=(ANYONE,), semantics=semantics, further_exchange=True)
    subject = VerifiedToken(ISS, "alice", CHAIN)
    for most in range(5):
        limited = replace(policy, max_depth=most)
        if most >= depth:
            assert decide([limited], "gw", subject, actor, ["a"], []) is limited
            continue
        with pytest.raises(TokenError) as caught:
            decide([limited], "gw", subject, actor, ["a"], [])
        assert caught.value.code is Code.ACCESS_DENIED


@pytest.mark.parametrize(
    ("said", "actor", "code"),
    [
        ({"sub": "gw"}, None, None),
        ({"client_id": "gw", "iss": ISS}, None, None),
        ({"sub": "gw"}, AGENT, Code.ACCESS_DENIED),
        ({"sub": "agent-7"}, AGENT, None),
        ({"sub": "agent-7"}, None, Code.ACCESS_DENIED),
        ({"sub": "agent-7", "iss": "https://other.example"}, AGENT, Code.ACCESS_DENIED),
        ({"sub": "agent-7", "email": "a@example.com"}, AGENT, Code.ACCESS_DENIED),
        ({}, AGENT, Code.INVALID_REQUEST),
        (None, AGENT, Code.INVALID_REQUEST),
        (["agent-7"], AGENT, Code.INVALID_REQUEST),
    ],
)
def test_may_act_is_binding(said: object, actor: VerifiedToken | None, code: Code | None) -> None:
    subject = VerifiedToken(ISS, "alice", (), {"iss": ISS, "may_act": said})
    if code is None:
        permit_actor(ISS, "gw", subject, actor)
        return
    with pytest.raises(TokenError) as caught:
        permit_actor(ISS, "gw", subject, actor)
    assert caught.value.code is code
