"""Our own tokens: counted as whom they are, and who they are where they stand for nobody else."""

import math
from typing import Any

import pytest

from sidecar.exchange.workload.source import own_subject, workload_token
from sidecar.model.tokens import JWT, Actor, WorkloadToken
from sidecar.oauth.jwt import generate_key, sign
from tests.support.canary import Canary, search

KEY = generate_key("ES256", "k")


def jwt(**claims: object) -> str:
    return sign({"iss": "https://k8s", "sub": "gateway", **claims}, KEY, "ES256")


def token(text: str) -> WorkloadToken:
    return workload_token("self", JWT, text)


def identity(text: str) -> bytes:
    return token(text).identity


def test_a_jwt_is_counted_by_whom_it_names_and_anything_else_by_its_text() -> None:
    assert identity(jwt(jti="1")) == identity(jwt(jti="2", exp=2_000_000_000))
    others = [jwt(), jwt(sub="other"), jwt(iss="https://other"), jwt(iss=None), jwt(sub=7), "opaque", "opaque2"]
    assert len({identity(text) for text in others}) == len(others)
    # Framed by length: the same letters cut otherwise are another actor.
    assert identity(jwt(iss="https://ab", sub="c")) != identity(jwt(iss="https://a", sub="bc"))


def test_a_jwt_is_named_by_its_jti() -> None:
    assert token(jwt(jti="j-7")).token_id == "jti:j-7"


def test_a_jwt_tells_who_we_are() -> None:
    assert token(jwt(email="agent@example.com")).claims["email"] == "agent@example.com"
    assert token("opaque").claims == {}


def test_as_a_subject_it_is_whom_it_names() -> None:
    text = jwt(exp=2_000_000_000, scope="a b", client_id="us", acr="1", act={"sub": "agent"}, jti="j")
    subject = own_subject(token(text))
    assert (subject.iss, subject.sub, subject.issuer) == ("https://k8s", "gateway", "")
    assert (subject.expires_at, subject.client_id, subject.acr) == (2_000_000_000, "us", "1")
    assert subject.scope == frozenset({"a", "b"})
    assert subject.actors == (Actor("https://k8s", "agent"),)
    assert (subject.token, subject.token_type, subject.token_id) == (text, JWT, "jti:j")
    assert subject.workload == token(text)


def test_one_that_nobody_here_can_read() -> None:
    canary = Canary.fresh("workload-token")
    subject = own_subject(token(canary.text))
    assert (subject.iss, subject.sub, subject.expires_at) == ("", "self", math.inf)
    assert (subject.scope, subject.actors, subject.claims) == (frozenset(), (), {})
    assert not search(repr(subject).encode(), canary)


@pytest.mark.parametrize(
    "claims",
    [{"exp": "soon"}, {"scope": 1}, {"act": "agent"}, {"acr": 1}, {"client_id": []}, {"sub": 1}, {"iss": None}],
)
def test_whatever_it_says_nothing_breaks(claims: dict[str, Any]) -> None:
    subject = own_subject(token(jwt(**claims)))
    assert subject.sub in ("gateway", "self")
