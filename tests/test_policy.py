from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.model.actors import ActorPattern
from sidecar.model.refusal import Kind, Refusal, Refused, StepUp
from sidecar.model.route import SubjectPolicy
from sidecar.model.tokens import Actor
from sidecar.policy import CHECKS, allow, allow_actor
from tests.support.values import NOW, subject

ISSUERS = frozenset({"corp"})


def refusal(token: Any = None, now: float = NOW, **policy: Any) -> Refusal | None:
    try:
        allow(SubjectPolicy(ISSUERS, **policy), token or subject(), now)
    except Refused as refused:
        return refused.refusal
    return None


def verdict(token: Any = None, now: float = NOW, **policy: Any) -> Kind | None:
    found = refusal(token, now, **policy)
    return found.kind if found is not None else None


def test_a_route_that_asks_nothing_lets_pass() -> None:
    assert verdict() is None


@pytest.mark.parametrize(
    ("has", "needs", "kind"),
    [
        ({"a", "b"}, ("a", "b"), None),
        ({"a"}, ("a", "b"), Kind.INSUFFICIENT_SCOPE),
        (set(), ("a",), Kind.INSUFFICIENT_SCOPE),
        ({"A"}, ("a",), Kind.INSUFFICIENT_SCOPE),  # scopes are case-sensitive
        (set(), (), None),
    ],
)
def test_scope_needs_all(has: set[str], needs: tuple[str, ...], kind: Kind | None) -> None:
    assert verdict(subject(scope=frozenset(has)), require_scope=needs) is kind


def test_the_challenge_names_all_scopes_at_once() -> None:
    found = refusal(subject(scope=frozenset({"a"})), require_scope=("a", "b"))
    assert found is not None
    assert found.scope == ("a", "b")


@pytest.mark.parametrize(
    ("client", "allowed", "kind"),
    [
        ("web", {"web", "cli"}, None),
        ("other", {"web"}, Kind.POLICY_DENIED),
        (None, {"web"}, Kind.POLICY_DENIED),
        (None, set(), None),
    ],
)
def test_clients_are_one_of(client: str | None, allowed: set[str], kind: Kind | None) -> None:
    assert verdict(subject(client_id=client), clients=frozenset(allowed)) is kind


CLAIMS = {
    "tier": "gold",
    "level": 3,
    "admin": True,
    "realm": {"roles": ["reader", "writer"]},
    "https://x.example/t": "a",
}


@pytest.mark.parametrize(
    ("path", "wanted", "passes"),
    [
        ("tier", ("gold",), True),
        ("tier", ("silver", "gold"), True),
        ("tier", ("silver",), False),
        ("tier", ("gol",), False),
        ("level", (3,), True),
        ("level", ("3",), False),
        ("admin", (True,), True),
        ("admin", (1,), False),  # true is not 1
        ("realm.roles", ("writer",), True),
        ("realm.roles", ("owner",), False),
        ("realm.missing", ("x",), False),
        ("realm.roles.0", ("reader",), False),
        ("missing", ("x",), False),
        ("https://x.example/t", ("a",), True),  # its own dots are part of its name
    ],
)
def test_claims_equal_one_of_or_contain(path: str, wanted: tuple[Any, ...], passes: bool) -> None:
    assert (verdict(subject(claims=CLAIMS), require_claims=((path, wanted),)) is None) is passes


@pytest.mark.parametrize(("depth", "kind"), [(0, None), (2, None), (3, Kind.POLICY_DENIED)])
def test_depth_counts_all_actors(depth: int, kind: Kind | None) -> None:
    actors = tuple(Actor(None, f"agent-{number}") for number in range(depth))
    assert verdict(subject(actors=actors), max_actor_depth=2) is kind


AGENTS = (Actor("https://issuer.example", "agent-7"), Actor("https://issuer.example", "agent-8"))


@pytest.mark.parametrize(
    ("actors", "policy", "passes"),
    [
        ((), {"require_actor": True}, False),
        (AGENTS, {"require_actor": True}, True),
        ((), {"allowed_actors": frozenset({ActorPattern(None, "agent-7")})}, True),  # nobody acts
        (AGENTS, {"allowed_actors": frozenset({ActorPattern(None, "agent-7")})}, True),
        (AGENTS[::-1], {"allowed_actors": frozenset({ActorPattern(None, "agent-7")})}, False),  # only who acts now
        (AGENTS, {"allowed_actors": frozenset({ActorPattern("https://other", "agent-7")})}, False),
        (AGENTS, {"allowed_actors": frozenset({ActorPattern("https://issuer.example", "agent-*")})}, True),
        ((Actor("https://other", "agent-7"),), {"allowed_actors": frozenset({ActorPattern(None, "*")})}, False),
        ((Actor(None, "agent-7"),), {"allowed_actors": frozenset({ActorPattern(None, "*")})}, False),
    ],
)
def test_who_may_act(actors: tuple[Actor, ...], policy: dict[str, Any], passes: bool) -> None:
    assert verdict(subject(actors=actors), **policy) is (None if passes else Kind.POLICY_DENIED)


names = st.text("ab/*", min_size=1, max_size=4)


@given(st.lists(names, max_size=3), st.lists(names, min_size=1, max_size=3))
def test_only_the_outermost_actor_is_judged(chain: list[str], allowed: list[str]) -> None:
    actors = tuple(Actor("https://issuer.example", name) for name in chain)
    policy: dict[str, Any] = {"allowed_actors": frozenset(ActorPattern(None, name) for name in allowed)}
    assert verdict(subject(actors=actors), **policy) is verdict(subject(actors=actors[:1]), **policy)


@pytest.mark.parametrize(
    ("acr", "wanted", "passes"),
    [("mfa", ("mfa",), True), ("mfa", ("hw", "mfa"), True), ("pwd", ("mfa",), False), (None, ("mfa",), False)],
)
def test_the_login_is_of_a_wanted_class(acr: str | None, wanted: tuple[str, ...], passes: bool) -> None:
    assert verdict(subject(acr=acr), acr_values=wanted) is (None if passes else Kind.STEP_UP_REQUIRED)


@given(
    age=st.integers(-200, 200) | st.floats(-200, 200, allow_nan=False),
    max_age=st.integers(1, 100),
    leeway=st.floats(0, 50, allow_nan=False),
)
def test_a_login_is_new_enough(age: float, max_age: int, leeway: float) -> None:
    """It is at most so old; only one that is still to come is excused, as far as the clocks may differ."""
    auth_time = NOW - age
    new = NOW - auth_time <= max_age and auth_time <= NOW + leeway
    assert (verdict(subject(auth_time=auth_time, leeway=leeway), max_age=max_age) is None) is new


@given(auth_time=st.none() | st.floats(0, 2 * NOW), now=st.floats(0, 2 * NOW), later=st.floats(0, NOW))
def test_a_login_that_is_too_old_does_not_become_newer(auth_time: float | None, now: float, later: float) -> None:
    token = subject(auth_time=auth_time)
    passed_now = verdict(token, now, max_age=300) is None
    if not passed_now and (auth_time is None or auth_time <= now):
        assert verdict(token, now + later, max_age=300) is Kind.STEP_UP_REQUIRED


def test_one_new_login_is_enough() -> None:
    """The challenge names all that is asked for, whichever of it was missing."""
    asked: dict[str, Any] = {"acr_values": ("hw", "mfa"), "max_age": 300}
    for token in (subject(acr="mfa"), subject(auth_time=NOW), subject()):
        found = refusal(token, **asked)
        assert found is not None
        assert found.step_up == StepUp(("hw", "mfa"), 300)
    assert verdict(subject(acr="hw", auth_time=NOW - 300), **asked) is None


def test_nobody_is_sent_to_log_in_for_nothing() -> None:
    everything: dict[str, Any] = {
        "clients": frozenset({"web"}),
        "require_scope": ("a",),
        "acr_values": ("mfa",),
        "max_age": 1,
    }
    assert verdict(subject(), **everything) is Kind.POLICY_DENIED
    assert verdict(subject(client_id="web"), **everything) is Kind.INSUFFICIENT_SCOPE
    assert verdict(subject(client_id="web", scope=frozenset("a")), **everything) is Kind.STEP_UP_REQUIRED


ME = {"iss": "https://issuer.example", "sub": "gateway", "client_id": "gateway"}


@pytest.mark.parametrize(
    ("claims", "finding"),
    [
        ({"may_act": {"sub": "gateway"}}, None),
        ({"may_act": {"sub": "other"}}, "who would act is not whom may_act of the token names"),
        ({"may_act": None}, "may_act of the token names nobody"),
    ],
)
def test_may_act_is_binding(claims: Mapping[str, Any], finding: str | None) -> None:
    token = subject(claims=claims)
    if finding is None:
        allow_actor(token, ME)
        return
    with pytest.raises(Refused) as raised:
        allow_actor(token, ME)
    found = raised.value.refusal
    assert (found.kind, found.finding, found.key) == (Kind.POLICY_DENIED, finding, ("exchange", "actor_token"))


def test_without_may_act_anybody_may() -> None:
    allow_actor(subject(claims={"act": {"sub": "x"}}), {})


def test_every_check_is_needed() -> None:
    """With any one check taken out, something gets through that must not; and each names its own key."""
    denied = {
        "clients": (SubjectPolicy(ISSUERS, clients=frozenset({"web"})), subject()),
        "require_actor": (SubjectPolicy(ISSUERS, require_actor=True), subject()),
        "allowed_actors": (
            SubjectPolicy(ISSUERS, allowed_actors=frozenset({ActorPattern(None, "b")})),
            subject(actors=(Actor(None, "a"),)),
        ),
        "max_actor_depth": (SubjectPolicy(ISSUERS, max_actor_depth=0), subject(actors=(Actor(None, "a"),))),
        "require_claims": (SubjectPolicy(ISSUERS, require_claims=(("a", ("b",)),)), subject()),
        "require_scope": (SubjectPolicy(ISSUERS, require_scope=("a",)), subject()),
        "acr_values": (SubjectPolicy(ISSUERS, acr_values=("mfa",)), subject()),
        "max_age": (SubjectPolicy(ISSUERS, max_age=60), subject()),
    }
    assert denied.keys() == CHECKS.keys()
    for name, (policy, token) in denied.items():
        found = {check: said for check, judge in CHECKS.items() if (said := judge(policy, token, NOW)) is not None}
        assert list(found) == [name]
        assert found[name].key[:2] == ("subject", name)
