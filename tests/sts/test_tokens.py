from typing import Any

import pytest

from sidecar.model.tokens import ACCESS_TOKEN, JWT, TOKEN_TYPES, Actor
from sidecar.oauth.jwt import generate_key, sign
from sidecar.sts.config import Config, TrustedIssuer
from sidecar.sts.errors import Code, TokenError
from sidecar.sts.issuers import Issuers
from sidecar.sts.keys import SigningKeys
from sidecar.sts.tokens import VerifiedToken, read_token
from tests.sts.conftest import Hands

ISS = "https://sts.example"
ID_TOKEN = TOKEN_TYPES["id_token"]
KEYS = SigningKeys("ES256", 300)


async def read(
    hands: Hands, header: dict[str, Any] | None = None, token_type: str = ACCESS_TOKEN, **claims: Any
) -> VerifiedToken:
    payload = {"iss": ISS, "sub": "alice", "aud": ["gw", "other"], "exp": hands.now + 60, **claims}
    token = KEYS.sign({name: value for name, value in payload.items() if value is not None}, header)
    return await read_text(hands, token, token_type)


async def read_text(hands: Hands, token: str, token_type: str = ACCESS_TOKEN) -> VerifiedToken:
    issuers = Issuers(Config(ISS), KEYS, hands.clock)
    return await read_token("subject token", token, token_type, issuers, frozenset(("gw", "me")), hands.now)


async def test_a_good_token(hands: Hands) -> None:
    assert await read(hands) == VerifiedToken(ISS, "alice", ())
    act = {"sub": "a", "act": {"iss": "https://x", "sub": "b"}}
    assert await read(hands, act=act) == VerifiedToken(ISS, "alice", (Actor(ISS, "a"), Actor("https://x", "b")))
    for header, token_type in [
        ({"typ": "application/at+jwt"}, ACCESS_TOKEN),
        ({"typ": "JWT"}, ACCESS_TOKEN),
        ({"typ": "at+jwt"}, JWT),
        ({"typ": "JWT"}, JWT),
        ({"typ": "JWT"}, ID_TOKEN),
    ]:
        assert (await read(hands, header, token_type)).sub == "alice"
    assert (await read(hands, {"typ": "JWT"}, ID_TOKEN, nonce="n")).sub == "alice"


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": None}, "no time of expiry"),
        ({"exp": 1}, "has expired"),
        ({"nbf": 9e12}, "not valid yet"),
        ({"aud": None}, "not made for this client"),
        ({"aud": "other"}, "not made for this client"),
        ({"aud": {"gw": 1}}, "not made for this client"),
        ({"sub": None}, "no subject"),
        ({"sub": ""}, "no subject"),
        ({"sub": 7}, "no subject"),
        ({"act": "gw"}, "malformed act"),
        ({"act": {"sub": "a", "act": {}}}, "malformed act"),
        ({"cnf": {"jkt": "x"}}, "bound"),
        ({"nonce": "n"}, "not of the type"),
        ({"at_hash": "n"}, "not of the type"),
        ({"iss": "https://other.example"}, "not signed"),
        ({"iss": None}, "not signed"),
    ],
)
async def test_faults_of_claims(hands: Hands, claims: dict[str, Any], reason: str) -> None:
    with pytest.raises(TokenError, match=reason) as caught:
        await read(hands, **claims)
    assert caught.value.code is Code.INVALID_REQUEST
    assert caught.value.reason.startswith("the subject token ")


@pytest.mark.parametrize(
    ("typ", "token_type"),
    [
        ("logout+jwt", ACCESS_TOKEN),
        ("client-authentication+jwt", JWT),
        ("at+jwt", ID_TOKEN),
        ("JWT", TOKEN_TYPES["refresh_token"]),
        ("JWT", TOKEN_TYPES["saml2"]),
        ("JWT", "access_token"),
    ],
)
async def test_faults_of_type(hands: Hands, typ: str, token_type: str) -> None:
    with pytest.raises(TokenError, match="type") as caught:
        await read(hands, {"typ": typ}, token_type)
    assert caught.value.code is Code.INVALID_REQUEST


async def test_faults_of_signature(hands: Hands) -> None:
    token = KEYS.sign({"iss": ISS, "sub": "alice", "aud": "gw", "exp": hands.now + 60})
    head, payload, signature = token.split(".")
    forged = sign({"iss": ISS, "aud": "gw", "sub": "a", "exp": hands.now + 60}, generate_key("ES256", "k"), "ES256")
    none = f"eyJhbGciOiJub25lIn0.{payload}."
    for text in ("", "x", "a.b.c", f"{head}.{payload}.", f"{head}.{payload}.{signature[::-1]}", none, forged):
        with pytest.raises(TokenError, match="not signed by a trusted issuer"):
            await read_text(hands, text)


async def test_keys_that_can_not_be_read(hands: Hands) -> None:
    key = generate_key("ES256", "k")
    config = Config(ISS, trusted_issuers=(TrustedIssuer("https://corp", "http://127.0.0.1:1/keys"),))
    with pytest.raises(TokenError) as caught:
        await read_token(
            "actor token",
            sign({"iss": "https://corp"}, key, "ES256"),
            JWT,
            Issuers(config, KEYS, hands.clock),
            frozenset(("gw",)),
            hands.now,
        )
    assert caught.value.code is Code.TEMPORARILY_UNAVAILABLE
