import asyncio
import base64
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import Key

from sidecar.model.clock import SYSTEM_CLOCK
from sidecar.oauth.jwt import VerificationKeys, generate_key, sign
from sidecar.sts.assertions import JWT_BEARER as ASSERTION_TYPE
from sidecar.sts.assertions import MAX_LIFETIME as MAX_ASSERTION_LIFETIME
from sidecar.sts.clients import Authenticator
from sidecar.sts.config import AuthMethod, Client, Config
from sidecar.sts.errors import Code, TokenError
from sidecar.sts.form import Form
from tests.sts.conftest import Hands

ISSUER = "https://sts.example/realm"
SECRET = "gw:s%cret +ü"
KEY = generate_key("ES256", "k1")
CONFIG = Config(
    ISSUER,
    clients=(
        Client("urn:gw", (AuthMethod.BASIC, AuthMethod.POST), SECRET),
        Client("post-only", (AuthMethod.POST,), "s"),
        Client("jwt", (AuthMethod.PRIVATE_KEY_JWT,), keys=VerificationKeys([KEY])),
        Client("other-jwt", (AuthMethod.PRIVATE_KEY_JWT,), keys=VerificationKeys([generate_key("ES256", "k1")])),
        Client("public", (AuthMethod.NONE,)),
        Client("empty", (AuthMethod.BASIC, AuthMethod.POST), ""),
    ),
)


def form(**values: str) -> Form:
    return Form({name: (value,) for name, value in values.items()})


def basic(client_id: str, secret: str, scheme: str = "Basic") -> str:
    halves = f"{quote(client_id, safe='')}:{quote(secret, safe='')}"
    return f"{scheme} {base64.b64encode(halves.encode()).decode()}"


def raw_basic(text: str | bytes) -> str:
    return "Basic " + base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


def ask(authenticator: Authenticator, authorization: Sequence[str], values: Form) -> str:
    return asyncio.run(authenticator.authenticate(authorization, values)).client_id


def authenticate(*authorization: str, **values: str) -> str:
    return ask(Authenticator(CONFIG, SYSTEM_CLOCK), authorization, form(**values))


def refusal(*authorization: str, **values: str) -> Code:
    with pytest.raises(TokenError) as caught:
        authenticate(*authorization, **values)
    return caught.value.code


def test_basic_is_form_decoded() -> None:
    assert authenticate(basic("urn:gw", SECRET)) == "urn:gw"
    assert authenticate(basic("urn:gw", SECRET, "bAsIc")) == "urn:gw"
    assert authenticate(raw_basic(f"{quote_plus('urn:gw')}:{quote_plus(SECRET)}")) == "urn:gw"
    assert authenticate(basic("urn:gw", SECRET), client_id="urn:gw") == "urn:gw"


@given(st.text(min_size=1))
def test_every_secret_gets_through(secret: str) -> None:
    authenticator = Authenticator(Config(ISSUER, clients=(Client("c", (AuthMethod.BASIC,), secret),)), SYSTEM_CLOCK)
    assert ask(authenticator, [basic("c", secret)], form()) == "c"
    with pytest.raises(TokenError):
        ask(authenticator, [basic("c", secret + "x")], form())


@pytest.mark.parametrize(
    "header",
    [
        basic("urn:gw", "wrong"),
        basic("urn:gw", ""),
        basic("unknown", SECRET),
        basic("empty", ""),
        basic("post-only", "s"),
        basic("public", ""),
        basic("jwt", ""),
        basic("urn:gw", SECRET, "Bearer"),
        raw_basic(f"urn:gw:{SECRET}"),
        raw_basic("urn%3Agw"),
        raw_basic("urn%3Agw:%zz"),
        raw_basic(b"urn%3Agw:\xff"),
        "Basic",
        "Basic !!!!",
        "Basic YQ",
        "",
    ],
)
def test_what_is_no_basic_proof(header: str) -> None:
    assert refusal(header) is Code.INVALID_CLIENT


def test_post() -> None:
    assert authenticate(client_id="urn:gw", client_secret=SECRET) == "urn:gw"
    assert refusal(client_id="urn:gw", client_secret="wrong") is Code.INVALID_CLIENT
    assert refusal(client_secret=SECRET) is Code.INVALID_CLIENT
    assert refusal(client_id="jwt", client_secret="x") is Code.INVALID_CLIENT


def test_none_only_where_it_is_written() -> None:
    assert authenticate(client_id="public") == "public"
    assert refusal(client_id="urn:gw") is Code.INVALID_CLIENT
    assert refusal(client_id="empty") is Code.INVALID_CLIENT
    assert refusal() is Code.INVALID_CLIENT


def test_exactly_one_method() -> None:
    header = basic("urn:gw", SECRET)
    assert refusal(header, client_id="urn:gw", client_secret=SECRET) is Code.INVALID_REQUEST
    assert refusal(header, header) is Code.INVALID_REQUEST
    assert refusal(header, client_assertion_type=ASSERTION_TYPE) is Code.INVALID_REQUEST
    both = {"client_assertion": assertion(), "client_assertion_type": ASSERTION_TYPE}
    assert refusal(client_id="jwt", client_secret="x", **both) is Code.INVALID_REQUEST
    assert refusal(header, client_id="public") is Code.INVALID_REQUEST


def assertion(key: Key = KEY, header: dict[str, Any] | None = None, now: float | None = None, **claims: Any) -> str:
    now = SYSTEM_CLOCK.wall() if now is None else now
    payload = {"iss": "jwt", "sub": "jwt", "aud": ISSUER, "exp": now + 60, "iat": now, "jti": "1", **claims}
    return sign({k: v for k, v in payload.items() if v is not None}, key, "ES256", {"kid": "k1", **(header or {})})


def asserted(text: str, **values: str) -> dict[str, str]:
    return {"client_assertion": text, "client_assertion_type": ASSERTION_TYPE, **values}


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        ({}, {}),
        ({"typ": "JWT"}, {}),
        ({"typ": "client-authentication+jwt"}, {}),
        ({}, {"aud": [ISSUER]}),
        ({}, {"aud": ISSUER + "/token"}),
        ({}, {"iat": None}),
    ],
)
def test_an_assertion(header: dict[str, Any], claims: dict[str, Any]) -> None:
    assert authenticate(**asserted(assertion(header=header, **claims))) == "jwt"
    assert authenticate(**asserted(assertion(header=header, **claims), client_id="jwt")) == "jwt"


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        ({"typ": "at+jwt"}, {}),
        ({}, {"iss": "other-jwt"}),
        ({}, {"iss": None}),
        ({}, {"sub": "other-jwt"}),
        ({}, {"iss": "other-jwt", "sub": "other-jwt"}),
        ({}, {"sub": None}),
        ({}, {"sub": 7}),
        ({}, {"aud": None}),
        ({}, {"aud": "https://other.example"}),
        ({}, {"aud": [ISSUER, "https://other.example"]}),
        ({}, {"aud": [ISSUER, ISSUER + "/token"]}),
        ({}, {"exp": None}),
        ({}, {"exp": 1}),
        ({}, {"exp": 1e12}),
        ({}, {"nbf": 1e12}),
        ({}, {"iat": 1e12}),
        ({}, {"jti": None}),
        ({}, {"jti": ""}),
        ({}, {"jti": 7}),
        ({}, {"jti": "x" * 257}),
        ({"kid": "k2"}, {}),
    ],
)
def test_what_is_no_assertion(header: dict[str, Any], claims: dict[str, Any]) -> None:
    assert refusal(**asserted(assertion(header=header, **claims))) is Code.INVALID_CLIENT


def test_an_assertion_is_signed_by_the_client_itself() -> None:
    assert refusal(**asserted(assertion(generate_key("ES256", "k1")))) is Code.INVALID_CLIENT
    assert refusal(**asserted("a.b.c")) is Code.INVALID_CLIENT
    assert refusal(**asserted(assertion(), client_id="other-jwt")) is Code.INVALID_REQUEST
    assert refusal(client_assertion=assertion()) is Code.INVALID_REQUEST
    assert refusal(client_assertion_type=ASSERTION_TYPE) is Code.INVALID_REQUEST
    assert refusal(client_assertion=assertion(), client_assertion_type="saml2") is Code.INVALID_REQUEST


def test_an_assertion_is_used_once(hands: Hands) -> None:
    authenticator = Authenticator(CONFIG, hands.clock)
    longest = form(**asserted(assertion(now=hands.now, exp=hands.now + MAX_ASSERTION_LIFETIME)))
    assert ask(authenticator, [], longest) == "jwt"
    for wait in (0, 1, MAX_ASSERTION_LIFETIME - 2):
        hands.now += wait
        with pytest.raises(TokenError):
            ask(authenticator, [], longest)
    # The name may come again with a later assertion once the first is dead.
    hands.now += 1
    assert ask(authenticator, [], form(**asserted(assertion(now=hands.now)))) == "jwt"
    assert ask(authenticator, [], form(**asserted(assertion(now=hands.now, jti="2")))) == "jwt"


def test_an_assertion_longer_than_two_minutes_is_refused(hands: Hands) -> None:
    long = form(**asserted(assertion(now=hands.now, exp=hands.now + MAX_ASSERTION_LIFETIME + 1)))
    with pytest.raises(TokenError):
        ask(Authenticator(CONFIG, hands.clock), [], long)


def test_used_assertions_are_forgotten_when_they_are_dead(hands: Hands) -> None:
    authenticator = Authenticator(CONFIG, hands.clock)
    for n in range(50):
        ask(authenticator, [], form(**asserted(assertion(now=hands.now, jti=str(n)))))
        hands.now += 10
    assert len(authenticator._assertions._seen) <= MAX_ASSERTION_LIFETIME / 10 + 1
