from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.sts.claims import LEEWAY, audiences, numeric_date, time_problem, token_typ

NOW = 1_800_000_000.0

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("value", [True, False, None, "1", [], {}, float("nan"), float("inf"), -float("inf"), 10**400])
def test_what_is_no_date(value: object) -> None:
    assert numeric_date(value) is None


@pytest.mark.parametrize(
    ("claims", "problem"),
    [
        ({"exp": NOW + 1}, None),
        ({"exp": NOW + 0.5, "nbf": NOW, "iat": NOW - 9}, None),
        ({"exp": NOW}, "has expired"),
        ({"exp": NOW - 1}, "has expired"),
        ({"exp": -1}, "has expired"),
        ({}, "has no time of expiry"),
        ({"exp": "1900000000"}, "has no time of expiry"),
        ({"exp": True}, "has no time of expiry"),
        ({"exp": 10**400}, "has no time of expiry"),
        ({"exp": NOW + 99, "nbf": NOW + LEEWAY}, None),
        ({"exp": NOW + 99, "nbf": NOW + LEEWAY + 1}, "is not valid yet"),
        ({"exp": NOW + 99, "iat": NOW + LEEWAY + 1}, "is not valid yet"),
        ({"exp": NOW + 99, "nbf": None}, "is not valid yet"),
        ({"exp": NOW + 99, "nbf": "soon"}, "is not valid yet"),
    ],
)
def test_times(claims: dict[str, Any], problem: str | None) -> None:
    assert time_problem(claims, NOW) == problem


@pytest.mark.parametrize(
    ("aud", "named"),
    [
        ("a", {"a"}),
        (["a", "b"], {"a", "b"}),
        ([], set()),
        (["a", 1], set()),
        ({"a": 1}, set()),
        (None, set()),
        (7, set()),
    ],
)
def test_audiences(aud: object, named: set[str]) -> None:
    assert audiences({"aud": aud}) == named


@pytest.mark.parametrize(
    ("header", "typ"),
    [
        ({}, None),
        ({"typ": "AT+JWT"}, "at+jwt"),
        ({"typ": "application/at+jwt"}, "at+jwt"),
        ({"typ": None}, ""),
        ({"typ": ["jwt"]}, ""),
    ],
)
def test_typ(header: dict[str, Any], typ: str | None) -> None:
    assert token_typ(header) == typ


@given(json_values)
def test_no_value_of_a_claim_raises(value: Any) -> None:
    claims = {"exp": value, "nbf": value, "iat": value, "aud": value}
    time_problem(claims, NOW)
    audiences(claims)
    token_typ({"typ": value})
