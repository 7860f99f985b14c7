import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.exchange.details import granted_details
from sidecar.model.refusal import Kind, Refused

PAY: dict[str, Any] = {"type": "payment", "actions": ["initiate", "status"], "amount": {"currency": "EUR", "limit": 5}}
ASKED = (json.dumps(PAY), '{"type":"account"}')


def granted(details: Any, claim: Any = None) -> list[Any]:
    claims = {} if claim is None else {"authorization_details": claim}
    reply = {} if details is None else {"authorization_details": details}
    return [json.loads(text) for text in granted_details(reply, claims, ASKED)]


def refusal(details: Any, claim: Any = None) -> str:
    with pytest.raises(Refused) as caught:
        granted(details, claim)
    assert caught.value.refusal.kind is Kind.EXCHANGE_UNUSABLE
    return caught.value.refusal.finding


@pytest.mark.parametrize(
    "details",
    [[PAY], [PAY, {"type": "account"}], [{**PAY, "actions": ["status"]}], [{"type": "account"}], [PAY, PAY]],
)
def test_what_was_asked_or_less_is_taken(details: list[Any]) -> None:
    assert granted(details) == details
    assert granted(None, details) == details
    assert granted(details, [PAY]) == details


@pytest.mark.parametrize(
    "details",
    [
        [{**PAY, "actions": ["initiate", "status", "cancel"]}],
        [{**PAY, "actions": "initiate"}],
        [{**PAY, "actions": []}],  # might mean all of them
        [{**PAY, "amount": {"currency": "EUR", "limit": 6}}],
        [{**PAY, "amount": {"currency": "EUR", "limit": True}}],
        [{**PAY, "amount": {"currency": "EUR"}}],
        [{**PAY, "locations": ["https://x.example"]}],
        [{name: value for name, value in PAY.items() if name != "amount"}],
        [{"type": "transfer"}],
        [PAY, {"type": "transfer"}],
        ["payment"],
        [[PAY]],
    ],
)
def test_anything_beyond_is_refused_and_the_key_named(details: list[Any]) -> None:
    assert "more than exchange.authorization_details asks for" in refusal(details)
    assert "more than exchange.authorization_details asks for" in refusal([PAY], details)


@pytest.mark.parametrize("details", [[], {}, "payment", PAY, None])
def test_what_is_no_grant_is_refused(details: Any) -> None:
    assert "exchange.authorization_details" in refusal(details) or "not a list" in refusal(details)


def test_where_nothing_was_asked_nothing_is_looked_at() -> None:
    assert granted_details({"authorization_details": [PAY]}, {"authorization_details": 7}, ()) == ()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from("xyz"), JSON, max_size=3), st.sampled_from("xyzw"), JSON)
def test_itself_is_always_taken_and_a_changed_scalar_never(detail: dict[str, Any], name: str, value: Any) -> None:
    asked = [json.dumps(detail)]
    assert len(granted_details({"authorization_details": [detail]}, {}, asked)) == 1
    changed = {**detail, name: value}
    same = name in detail and json.dumps(detail[name], sort_keys=True) == json.dumps(value, sort_keys=True)
    if not same and not isinstance(value, list | dict):
        with pytest.raises(Refused):
            granted_details({"authorization_details": [changed]}, {}, asked)
