from typing import Any

import pytest

from sidecar.model.claims import MAX_SECONDS, ClaimError, instant, of_another_kind, texts


@pytest.mark.parametrize(
    ("claims", "seconds"), [({}, None), ({"exp": None}, None), ({"exp": 5}, 5), ({"exp": 1.5}, 1.5)]
)
def test_an_instant(claims: dict[str, Any], seconds: float | None) -> None:
    assert instant(claims, "exp") == seconds


@pytest.mark.parametrize("value", [True, "5", [], {}, MAX_SECONDS + 1, -(10**400), float("nan"), float("inf")])
def test_no_instant(value: Any) -> None:
    with pytest.raises(ClaimError) as raised:
        instant({"exp": value}, "exp")
    assert (raised.value.name, raised.value.flaw, str(raised.value)) == ("exp", "is no time", "exp is no time")


@pytest.mark.parametrize(
    ("claims", "split", "found"),
    [
        ({}, False, []),
        ({"aud": "a b"}, False, ["a b"]),
        ({"aud": "a b"}, True, ["a", "b"]),
        ({"aud": ["a b", "c"]}, True, ["a b", "c"]),
        ({"aud": []}, False, []),
    ],
)
def test_texts(claims: dict[str, Any], split: bool, found: list[str]) -> None:
    assert texts(claims, "aud", split=split) == found


@pytest.mark.parametrize("value", [None, 1, True, {}, [1], ["a", None]])
def test_no_texts(value: Any) -> None:
    with pytest.raises(ClaimError, match="aud is malformed"):
        texts({"aud": value}, "aud")


@pytest.mark.parametrize(
    ("claims", "another"),
    [
        ({}, False),
        ({"typ": "Bearer", "sub": "alice"}, False),
        ({"typ": ["ID"]}, False),
        ({"token_use": "access"}, False),
        ({"token_use": "id"}, True),
        ({"token_use": "refresh_token"}, True),
        ({"nonce": "n"}, True),
        ({"at_hash": "h"}, True),
        ({"c_hash": None}, True),
        *(({"typ": typ}, True) for typ in ("ID", "Refresh", "Offline", "Logout")),
    ],
)
def test_tokens_that_say_they_are_of_another_kind(claims: dict[str, Any], another: bool) -> None:
    assert of_another_kind(claims) is another
