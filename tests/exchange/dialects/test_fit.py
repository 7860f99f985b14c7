from dataclasses import replace
from typing import Any

import pytest

from sidecar.exchange.dialects.dialect import Dialect
from sidecar.exchange.dialects.fit import misfit_of_type, misfits
from sidecar.model.tokens import ACCESS_TOKEN, JWT
from tests.support.values import exchange

CHOOSY = Dialect(audience="one", resource="none", scope="required", actor_token=False)


def keys(dialect: Dialect, *, audience_expected: bool = False, **asks: Any) -> list[str]:
    found = misfits(dialect, exchange(**asks), audience_expected=audience_expected)
    return [".".join(misfit.key) for misfit in found]


@pytest.mark.parametrize(
    ("dialect", "asks", "found"),
    [
        (Dialect(), {"audience": ("a", "b"), "resource": ("r:x",), "actor_token": "self"}, []),
        (CHOOSY, {}, []),
        (CHOOSY, {"audience": ()}, ["audience"]),
        (CHOOSY, {"audience": ("a", "b")}, ["audience"]),
        (CHOOSY, {"resource": ("r:x",)}, ["resource"]),
        (CHOOSY, {"scope": ()}, ["scope"]),
        (CHOOSY, {"actor_token": "self"}, ["actor_token"]),
        (replace(CHOOSY, audience="none"), {}, ["audience"]),
        (replace(CHOOSY, audience="none"), {"audience": ()}, []),
        (Dialect(grant="jwt-bearer"), {}, []),
        (Dialect(grant="jwt-bearer"), {"actor_token": "self"}, ["actor_token"]),
        (Dialect(grant="jwt-bearer"), {"requested_token_type": JWT}, ["requested_token_type"]),
        (Dialect(expect_audience="listed"), {}, ["expect.audience"]),
    ],
)
def test_what_can_not_be_asked_for(dialect: Dialect, asks: dict[str, Any], found: list[str]) -> None:
    assert keys(dialect, **asks) == found


def test_a_list_of_ones_own_is_enough_where_no_audience_can_be_named() -> None:
    assert keys(Dialect(expect_audience="listed"), audience_expected=True) == []


@pytest.mark.parametrize(
    ("dialect", "token_type", "fits"),
    [
        (Dialect(), "urn:any", True),
        (Dialect(subject_token_types=(ACCESS_TOKEN,)), ACCESS_TOKEN, True),
        (Dialect(subject_token_types=(ACCESS_TOKEN,)), JWT, False),
        (Dialect(grant="jwt-bearer", subject_token_types=(ACCESS_TOKEN,)), JWT, True),  # it names no type
    ],
)
def test_types_of_subject_tokens(dialect: Dialect, token_type: str, fits: bool) -> None:
    assert (misfit_of_type(dialect, token_type) is None) is fits
