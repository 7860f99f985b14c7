import base64
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.exchange.dialects import Dialect
from sidecar.exchange.step_up import MAX_CLAIMS_BYTES, wanted
from sidecar.model.refusal import StepUp

STRICT, RELAYING = Dialect(), Dialect(relay_claims=True)
CLAIMS = '{"access_token":{"acrs":{"essential":true,"value":"c1"}}}'


@pytest.mark.parametrize(
    ("login", "found"),
    [
        ({}, StepUp()),
        ({"acr_values": "mfa"}, StepUp(("mfa",))),
        ({"acr_values": "hw urn:x:y", "max_age": 300}, StepUp(("hw", "urn:x:y"), 300)),
        ({"max_age": "0"}, StepUp(max_age=0)),
        ({"claims": CLAIMS}, StepUp()),  # only where the dialect says so
    ],
)
def test_what_is_well_formed_is_told(login: dict[str, Any], found: StepUp) -> None:
    assert wanted(login, STRICT) == found


@pytest.mark.parametrize(
    "acr_values",
    ["", " ", "a ", "a  b", 'a"b', "a\\b", "a\r\nX: y", "é", 7, None, ["a"], {"a": 1}, "a" * 129, "a " * 16 + "a"],
)
def test_what_is_no_list_of_classes_is_not(acr_values: object) -> None:
    assert wanted({"acr_values": acr_values, "max_age": 5}, STRICT) == StepUp(max_age=5)


@pytest.mark.parametrize("max_age", [-1, 1.5, True, None, 10**10, "", "-1", "1.5", "٥", "9999999999", "5\n", [5]])
def test_what_is_no_number_of_seconds_is_not(max_age: object) -> None:
    assert wanted({"acr_values": "mfa", "max_age": max_age}, STRICT) == StepUp(("mfa",))


def test_claims_are_told_in_base64_where_the_dialect_says_so() -> None:
    claims = wanted({"claims": CLAIMS}, RELAYING).claims
    assert claims is not None
    assert json.loads(base64.b64decode(claims, validate=True)) == json.loads(CLAIMS)


@pytest.mark.parametrize(
    "claims",
    [
        *("", "x", "[]", '"a"', "null", '{"a":1,"a":2}', '{"a":NaN}', "{} x", '{"a":1e999}', '{"a":' * 2000),
        *(None, 7, {"a": 1}, ["{}"], json.dumps({"a": "x" * MAX_CLAIMS_BYTES}), json.dumps({"a": "?" * 1000})),
    ],
)
def test_claims_that_are_no_small_object_are_not(claims: object) -> None:
    assert wanted({"claims": claims, "max_age": 5}, RELAYING) == StepUp(max_age=5)


values = st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(max_size=20)


@given(st.dictionaries(st.text(max_size=5), values | st.lists(values, max_size=3), max_size=5))
def test_either_base64_reads_the_same_claims(members: dict[str, Any]) -> None:
    claims = wanted({"claims": json.dumps(members, ensure_ascii=False)}, RELAYING).claims
    assert claims is not None
    assert re.fullmatch(r"[A-Za-z0-9]+=*", claims)
    assert json.loads(base64.b64decode(claims)) == json.loads(base64.urlsafe_b64decode(claims)) == members
