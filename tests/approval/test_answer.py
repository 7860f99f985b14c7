from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.approval.answer import Answer, AnswerError, read_authzen, read_opa

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("members", "answer"),
    [
        ({"result": True}, Answer(True)),
        ({"result": False}, Answer(False)),
        ({"result": {"allow": True}}, Answer(True)),
        ({"result": True, "decision_id": "d-1", "metrics": {}}, Answer(True)),
        (
            {"result": {"allow": True, "reason": "fine", "approval_id": "a-1", "expires_at": 1_700_000_060}},
            Answer(True, "fine", "a-1", 1_700_000_060.0),
        ),
        ({"result": {"allow": False, "reason": "no\x1b[2J", "approval_id": None}}, Answer(False, "no[2J")),
        ({"result": {"allow": True, "reason": "x" * 500}}, Answer(True, "x" * 128)),
    ],
)
def test_what_opa_says(members: dict[str, Any], answer: Answer) -> None:
    assert read_opa(members) == answer


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"result": None},
        {"result": "true"},
        {"result": 1},
        {"result": []},
        {"result": [True]},
        {"result": {}},
        {"result": {"allow": "true"}},
        {"result": {"allow": 1}},
        {"result": {"allow": {"allow": True}}},
        {"result": {"allow": True, "expire_at": 1}},
        {"result": {"allow": True, "expires_at": "2030-01-01T00:00:00Z"}},
        {"result": {"allow": True, "expires_at": True}},
        {"result": {"allow": True, "expires_at": 10**18}},
        {"result": {"allow": True, "reason": ["a"]}},
        {"result": {"allow": True, "approval_id": 7}},
        {"decision": True},
        {"allow": True},
    ],
)
def test_what_opa_says_and_means_nothing(members: dict[str, Any]) -> None:
    with pytest.raises(AnswerError):
        read_opa(members)


@pytest.mark.parametrize(
    ("members", "answer"),
    [
        ({"decision": True}, Answer(True)),
        ({"decision": False, "context": {"reason_admin": {"403": "no"}}}, Answer(False)),
        (
            {"decision": True, "context": {"reason": "fine", "approval_id": "a-1", "expires_at": 5}, "more": 1},
            Answer(True, "fine", "a-1", 5.0),
        ),
    ],
)
def test_what_a_decision_point_says(members: dict[str, Any], answer: Answer) -> None:
    assert read_authzen(members) == answer


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"decision": "true"},
        {"decision": 1},
        {"decision": None},
        {"decision": [True]},
        {"result": True},
        {"Decision": True},
        {"decision": True, "context": None},
        {"decision": True, "context": "fine"},
        {"decision": True, "context": {"expires_at": "soon"}},
        {"decision": True, "context": {"reason": {"en": "fine"}}},
        {"evaluations": [{"decision": True}]},
    ],
)
def test_what_a_decision_point_says_and_means_nothing(members: dict[str, Any]) -> None:
    with pytest.raises(AnswerError):
        read_authzen(members)


@given(st.dictionaries(st.sampled_from(["result", "decision", "context", "allow", "x"]), json_values, max_size=4))
def test_nothing_but_true_is_a_yes(members: dict[str, Any]) -> None:
    for read, said in ((read_opa, members.get("result")), (read_authzen, members.get("decision"))):
        try:
            answer = read(members)
        except AnswerError:
            continue
        yes = said is True or (read is read_opa and isinstance(said, dict) and said.get("allow") is True)
        assert answer.allow is yes
