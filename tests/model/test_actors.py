from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.model.actors import ActorPattern, fits, may_act
from sidecar.model.tokens import Actor

OWN = "https://issuer.example"
names = st.text("ab/*", min_size=1, max_size=5)
patterns = st.builds(ActorPattern, st.sampled_from([None, OWN, "https://other"]), names)


@pytest.mark.parametrize(
    ("pattern", "name", "fit"),
    [
        ("agent-7", "agent-7", True),
        ("agent-7", "agent-77", False),
        ("agent-7", "Agent-7", False),
        ("spiffe://example.com/agents/*", "spiffe://example.com/agents/a/b", True),
        ("spiffe://example.com/agents/*", "spiffe://example.com/agents/", False),
        ("spiffe://example.com/agents/*", "spiffe://example.com/agent", False),
        ("*", "anybody", True),
        ("*", "", False),
    ],
)
def test_a_star_stands_for_something_more(pattern: str, name: str, fit: bool) -> None:
    assert fits(pattern, name) is fit


@pytest.mark.parametrize(
    ("pattern", "actor", "meant"),
    [
        (ActorPattern(None, "a"), Actor(OWN, "a"), True),
        (ActorPattern(None, "a"), Actor("https://other", "a"), False),
        (ActorPattern(None, "a"), Actor(None, "a"), False),
        (ActorPattern("https://other", "a"), Actor("https://other", "a"), True),
        (ActorPattern("https://other", "a"), Actor(OWN, "a"), False),
        (ActorPattern("https://*", "a"), Actor("https://other", "a"), False),  # an issuer is exact
    ],
)
def test_whom_a_pattern_takes(pattern: ActorPattern, actor: Actor, meant: bool) -> None:
    assert pattern.takes(actor, OWN) is meant


@given(patterns, patterns, st.sampled_from([OWN, "https://other"]), names, st.sampled_from([OWN, "https://other"]))
def test_a_pattern_that_covers_another_takes_all_that_it_takes(
    one: ActorPattern, other: ActorPattern, iss: str, sub: str, token_iss: str
) -> None:
    actor = Actor(iss, sub)
    if one.covers(other) and other.takes(actor, token_iss):
        assert one.takes(actor, token_iss)


def test_how_a_pattern_is_told() -> None:
    assert (str(ActorPattern(None, "a*")), str(ActorPattern(OWN, "a"))) == ("a*", f"a of {OWN}")


ME: dict[str, Any] = {"iss": OWN, "sub": "gateway", "client_id": "gateway", "level": 1}


@pytest.mark.parametrize(
    ("said", "actor", "may"),
    [
        ({"sub": "gateway"}, ME, True),
        ({"sub": "gateway", "iss": OWN}, ME, True),
        ({"client_id": "gateway"}, ME, True),
        ({"sub": "gateway", "level": 1}, ME, True),
        ({"sub": "gateway", "level": True}, ME, False),  # true is not 1
        ({"sub": "gateway", "level": "1"}, ME, False),
        ({"sub": "gateway", "email": "gw@example.com"}, ME, False),  # what nobody knows counts too
        ({"sub": "gateway", "exp": 4_000_000_000}, ME, False),
        ({"sub": "other"}, ME, False),
        ({"sub": "gateway", "iss": "https://other"}, ME, False),
        ({"sub": "gateway", "iss": None}, ME, False),
        ({"sub": ["gateway"]}, ME, False),
        ({"sub": "gateway"}, {**ME, "iss": "https://other"}, False),  # without iss: one of the token's own issuer
        ({"sub": "gateway"}, {"sub": "gateway"}, False),  # nobody knows of which issuer
        ({"sub": "gateway"}, {}, False),
    ],
)
def test_every_member_of_may_act_counts(said: object, actor: dict[str, Any], may: bool) -> None:
    assert may_act({"iss": OWN, "may_act": said}, actor) is may


@pytest.mark.parametrize("said", [None, "gateway", 7, True, [], [{"sub": "gateway"}], {}, {"iss": OWN}])
def test_a_may_act_that_names_nobody(said: object) -> None:
    with pytest.raises(ValueError, match="names nobody"):
        may_act({"iss": OWN, "may_act": said}, ME)


def test_without_may_act_everybody_may() -> None:
    assert may_act({"iss": OWN}, {})


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=6,
)


@given(json)
def test_whatever_may_act_is_nobody_else_gets_through(said: object) -> None:
    try:
        allowed = may_act({"iss": OWN, "may_act": said}, ME)
    except ValueError:
        return
    assert isinstance(said, dict)
    assert allowed is all(ME.get(name, ...) == value and name != "level" for name, value in said.items()) or (
        "level" in said
    )
