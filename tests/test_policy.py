from typing import Any

import pytest

from sidecar.model.refusal import Kind, Refused
from sidecar.model.route import SubjectPolicy
from sidecar.model.tokens import Actor
from sidecar.policy import CHECKS, allow
from tests.support.values import subject

ISSUERS = frozenset({"corp"})


def verdict(token: Any = None, **policy: Any) -> Kind | None:
    try:
        allow(SubjectPolicy(ISSUERS, **policy), token or subject())
    except Refused as refused:
        return refused.refusal.kind
    return None


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
    with pytest.raises(Refused) as raised:
        allow(SubjectPolicy(ISSUERS, require_scope=("a", "b")), subject(scope=frozenset({"a"})))
    assert raised.value.refusal.scope == ("a", "b")


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


def test_every_check_is_needed() -> None:
    """With any one check taken out, something gets through that must not."""
    denied = {
        "clients": (SubjectPolicy(ISSUERS, clients=frozenset({"web"})), subject()),
        "max_actor_depth": (SubjectPolicy(ISSUERS, max_actor_depth=0), subject(actors=(Actor(None, "a"),))),
        "require_claims": (SubjectPolicy(ISSUERS, require_claims=(("a", ("b",)),)), subject()),
        "require_scope": (SubjectPolicy(ISSUERS, require_scope=("a",)), subject()),
    }
    assert denied.keys() == CHECKS.keys()
    for name, (policy, token) in denied.items():
        assert [check for check, judge in CHECKS.items() if judge(policy, token) is not None] == [name]
