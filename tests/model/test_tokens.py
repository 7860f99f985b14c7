from collections.abc import Mapping
from dataclasses import FrozenInstanceError, fields
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.model.tokens import (
    ACCESS_TOKEN,
    JWT,
    TOKEN_TYPES,
    Actor,
    Semantics,
    WorkloadToken,
    act_chain,
    token_id,
)
from tests.support.values import issued, subject


def test_token_types_are_the_registered_ones() -> None:
    assert all(uri == f"urn:ietf:params:oauth:token-type:{name}" for name, uri in TOKEN_TYPES.items())
    assert (TOKEN_TYPES["access_token"], TOKEN_TYPES["jwt"]) == (ACCESS_TOKEN, JWT)
    assert TOKEN_TYPES.keys() >= {"refresh_token", "id_token", "saml1", "saml2"}


def test_a_token_is_named_by_its_jti_or_its_digest() -> None:
    digest = "sha256:" + sha256(b"text").hexdigest()[:16]
    assert token_id("text", {"jti": "a-1"}) == "jti:a-1"
    assert token_id("text", {"jti": "x" * 128}) == "jti:" + "x" * 128
    for claims in (None, {}, {"jti": ""}, {"jti": 7}, {"jti": "x" * 129}, {"jti": "a\nb"}, {"jti": "\u2028"}):
        assert token_id("text", claims) == digest


@given(st.text())
def test_a_name_never_shows_the_token(text: str) -> None:
    name = token_id(text)
    assert len(name) == len("sha256:") + 16
    assert len(text) < 4 or text not in name


def test_an_actor_chain_is_told_from_the_outside() -> None:
    claims = {"iss": "https://a", "act": {"sub": "one", "act": {"sub": "two", "iss": "https://b", "extra": 1}}}
    assert act_chain(claims) == (Actor("https://a", "one"), Actor("https://b", "two"))
    assert act_chain({"iss": "https://a"}) == act_chain({"act": None}) == ()
    assert act_chain({"act": {"sub": "one"}}) == (Actor(None, "one"),)
    with pytest.raises(ValueError, match="issuer"):
        act_chain({"iss": 7, "act": {"sub": "one"}})


@pytest.mark.parametrize(
    "act",
    [
        "one",
        7,
        [],
        [{"sub": "one"}],
        False,
        {},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "one", "iss": 7},
        {"sub": "one", "iss": None},
        {"sub": "one", "iss": ""},
        {"sub": "one", "act": {}},
    ],
)
def test_an_actor_chain_that_is_none(act: object) -> None:
    with pytest.raises(ValueError, match="act"):
        act_chain({"iss": "https://a", "act": act})


def test_an_actor_chain_has_an_end() -> None:
    chain: Mapping[str, Any] = {"sub": "0"}
    for number in range(1, 32):
        chain = {"sub": str(number), "act": chain}
    assert len(act_chain({"act": chain})) == 32
    with pytest.raises(ValueError, match="chain"):
        act_chain({"act": {"sub": "32", "act": chain}})


def test_what_a_token_shows() -> None:
    assert issued(actors=None).semantics is Semantics.UNKNOWN
    assert issued(actors=()).semantics is Semantics.IMPERSONATION
    assert issued(actors=(Actor(None, "gateway"),)).semantics is Semantics.DELEGATION


def test_no_text_and_no_claim_in_a_repr() -> None:
    workload = WorkloadToken("self", JWT, "jti:1", b"canary-identity", "canary-text")
    values = (subject("canary-text", claims={"email": "canary"}), issued("canary-text"), workload)
    assert "canary" not in repr(values)
    assert "jti:1" in repr(values)  # but they can be told apart


@pytest.mark.parametrize("value", [subject(), issued(), Actor(None, "a")])
def test_they_are_frozen(value: Any) -> None:
    for field in fields(value):
        with pytest.raises(FrozenInstanceError):
            setattr(value, field.name, None)
    assert not hasattr(value, "__dict__")
