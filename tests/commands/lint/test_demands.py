from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.commands.lint.demands import Supersets, laxer_keys
from sidecar.model.actors import ActorPattern
from sidecar.model.route import SubjectPolicy

CORP = frozenset({"corp"})
AGENTS = frozenset({ActorPattern(None, "agent-*")})


def policy(**keys: Any) -> SubjectPolicy:
    return SubjectPolicy(**{"issuers": CORP, **keys})


@pytest.mark.parametrize(
    ("keys", "than", "laxer"),
    [
        ({}, {}, []),
        ({}, {"require_scope": ("a",)}, ["require_scope"]),
        ({"require_scope": ("a",)}, {"require_scope": ("b", "a")}, ["require_scope"]),
        ({"require_scope": ("b",)}, {"require_scope": ("a",)}, []),
        ({}, {"require_claims": (("tenant", ("x",)),)}, ["require_claims"]),
        ({"require_claims": (("tenant", ("x", "y")),)}, {"require_claims": (("tenant", ("x",)),)}, ["require_claims"]),
        ({"require_claims": (("tenant", ("y",)),)}, {"require_claims": (("tenant", ("x",)),)}, []),
        ({"require_claims": (("admin", (True,)),)}, {"require_claims": (("admin", (1,)),)}, []),
        ({}, {"clients": frozenset("a")}, ["clients"]),
        ({"clients": frozenset("ab")}, {"clients": frozenset("a")}, ["clients"]),
        ({"clients": frozenset("b")}, {"clients": frozenset("a")}, []),
        ({"max_actor_depth": 3}, {"max_actor_depth": 0}, ["max_actor_depth"]),
        ({}, {"acr_values": ("mfa",)}, ["acr_values"]),
        ({"acr_values": ("mfa", "pwd")}, {"acr_values": ("mfa",)}, ["acr_values"]),
        ({"acr_values": ("pwd",)}, {"acr_values": ("mfa",)}, []),
        ({"acr_values": ("b", "a")}, {"acr_values": ("a", "b")}, []),
        ({}, {"max_age": 60}, ["max_age"]),
        ({"max_age": 61}, {"max_age": 60}, ["max_age"]),
        ({}, {"require_actor": True}, ["require_actor"]),
        ({}, {"allowed_actors": AGENTS}, ["allowed_actors"]),
        (
            {"allowed_actors": AGENTS},
            {"allowed_actors": frozenset({ActorPattern(None, "agent-7")})},
            ["allowed_actors"],
        ),
        ({"allowed_actors": AGENTS}, {"allowed_actors": frozenset({ActorPattern(None, "bot-7")})}, []),
        ({"allowed_actors": AGENTS}, {"allowed_actors": frozenset({ActorPattern("https://x", "agent-7")})}, []),
        ({"issuers": frozenset({"corp", "partner"})}, {}, ["issuers"]),
        ({"issuers": frozenset({"partner"})}, {}, []),
        ({}, {"require_scope": ("a",), "clients": frozenset("a")}, ["require_scope", "clients"]),
        ({"clients": frozenset("a")}, {"require_scope": ("a",)}, ["require_scope"]),
    ],
)
def test_what_asks_less(keys: dict[str, Any], than: dict[str, Any], laxer: list[str]) -> None:
    assert laxer_keys(policy(**keys), than=policy(**than)) == laxer
    if len(laxer) == 1 and len({*keys, *than}) == 1:
        assert laxer_keys(policy(**than), than=policy(**keys)) == []


SETS = st.frozensets(st.sampled_from("abcd"))


@given(st.lists(SETS, max_size=8), SETS)
def test_a_superset_is_found_where_there_is_one(sets: list[frozenset[str]], names: frozenset[str]) -> None:
    found = Supersets(sets).of(names)
    if found is None:
        assert not any(each > names for each in sets)
    else:
        assert found in sets
        assert found > names
