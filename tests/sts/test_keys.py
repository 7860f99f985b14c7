import pytest

from sidecar.oauth.jwt import JWTError, VerificationKeys, peek, verify
from sidecar.sts.keys import SigningKeys
from tests.sts.conftest import Hands


@pytest.mark.parametrize("algorithm", ["ES256", "ES512", "EdDSA", "RS256", "PS256"])
def test_its_set_verifies_its_tokens_and_shows_no_secret(algorithm: str) -> None:
    keys = SigningKeys(algorithm, 300)
    token = keys.sign({"sub": "alice"})
    document = keys.document()
    assert verify(token, VerificationKeys.from_jwks(document), [algorithm]).claims == {"sub": "alice"}
    assert peek(token).header["typ"] == "at+jwt"
    [key] = document["keys"]
    assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & key.keys()
    assert (key["kid"], key["use"], key["alg"]) == (peek(token).header["kid"], "sig", algorithm)


def test_a_replaced_key_stays_as_long_as_its_tokens(hands: Hands) -> None:
    keys = SigningKeys("ES256", 300, hands.clock)
    old = keys.sign({})
    keys.rotate()
    assert peek(keys.sign({})).header["kid"] != peek(old).header["kid"]
    hands.now += 299
    assert len(keys.document()["keys"]) == 2
    verify(old, keys.verification(), ["ES256"])
    hands.now += 1
    assert len(keys.document()["keys"]) == 1
    with pytest.raises(JWTError):
        verify(old, keys.verification(), ["ES256"])


def test_the_header_may_differ() -> None:
    assert peek(SigningKeys("ES256", 300).sign({}, {"typ": "JWT"})).header["typ"] == "JWT"
