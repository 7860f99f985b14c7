"""Assertions that we sign: what they say, with which key, and what they must never show."""

import json
from functools import partial
from pathlib import Path

import pytest
from joserfc import jws
from joserfc.jwk import Key, OctKey

from sidecar.oauth import jwt
from sidecar.oauth.client_auth.base import ClientAuthentication, TokenEndpoint
from sidecar.oauth.client_auth.signed import (
    ASSERTION_TYPE,
    SECRET_BYTES,
    ClientSecretJWT,
    PrivateKeyJWT,
    secret_key,
    signing_key,
)
from sidecar.oauth.jwt import SignedToken, VerificationKeys
from sidecar.oauth.secrets import env_secret, file_secret
from sidecar.rotation import FileError, Rotated
from tests.support.canary import Canary, search

ISSUER = "https://login.example.com/realms/corp"
ENDPOINT = TokenEndpoint(f"{ISSUER}/token", ISSUER)
NOW = 1_700_000_000.75


def key_of(path: Path, algorithm: str = "ES256") -> Rotated[Key]:
    return file_secret(str(path), partial(signing_key, algorithm=algorithm))


# --- assertions


def key_file(tmp_path: Path, algorithm: str = "ES256", kid: str = "k") -> tuple[Path, VerificationKeys]:
    key = jwt.generate_key(algorithm, kid)
    assert not isinstance(key, OctKey)
    path = tmp_path / "key.pem"
    path.write_bytes(key.as_pem(private=True))
    return path, VerificationKeys.from_jwks({"keys": [key.as_dict(private=False, kid=kid)]})


def assertion(client: ClientAuthentication, keys: VerificationKeys, algorithm: str = "ES256") -> SignedToken:
    credentials = client.credentials(ENDPOINT, NOW)
    assert not credentials.headers
    assert [name for name, _ in credentials.pairs] == ["client_assertion_type", "client_assertion"]
    assert credentials.pairs[0][1] == ASSERTION_TYPE
    return jwt.verify(credentials.pairs[1][1], keys, [algorithm])


@pytest.mark.parametrize("algorithm", sorted(jwt.ALGORITHMS))
def test_an_assertion_says_who_to_whom_and_until_when(tmp_path: Path, algorithm: str) -> None:
    path, keys = key_file(tmp_path, algorithm)
    client = PrivateKeyJWT("gateway", key_of(path, algorithm), algorithm, key_id="k")
    found = assertion(client, keys, algorithm)
    assert found.header == {"alg": algorithm, "kid": "k", "typ": "JWT"}
    claims = dict(found.claims)
    jti = claims.pop("jti")
    assert len(jti) >= 22  # of 62 characters: 128 bits and more
    assert claims == {"iss": "gateway", "sub": "gateway", "aud": ISSUER, "iat": int(NOW), "exp": int(NOW) + 60}


def test_no_two_assertions_are_alike(tmp_path: Path) -> None:
    path, keys = key_file(tmp_path)
    client = PrivateKeyJWT("gateway", key_of(path), "ES256", key_id="k")
    assert len({assertion(client, keys).claims["jti"] for _ in range(50)}) == 50


def test_without_a_key_id_there_is_no_kid(tmp_path: Path) -> None:
    path, keys = key_file(tmp_path)
    assert "kid" not in assertion(PrivateKeyJWT("gateway", key_of(path), "ES256"), keys).header


def test_a_type_of_ones_own(tmp_path: Path) -> None:
    path, keys = key_file(tmp_path)
    client = PrivateKeyJWT("gateway", key_of(path), "ES256", typ="client-authentication+jwt")
    for _ in range(2):
        assert assertion(client, keys).header["typ"] == "client-authentication+jwt"


def test_the_audience_is_the_issuer_unless_it_is_the_endpoint(tmp_path: Path) -> None:
    path, keys = key_file(tmp_path)
    file = key_of(path)
    assert assertion(PrivateKeyJWT("gateway", file, "ES256"), keys).claims["aud"] == ISSUER
    older = PrivateKeyJWT("gateway", file, "ES256", audience="token_endpoint")
    assert assertion(older, keys).claims["aud"] == ENDPOINT.url
    nameless = PrivateKeyJWT("gateway", file, "ES256").credentials(TokenEndpoint(ENDPOINT.url), NOW)
    assert jwt.peek(dict(nameless.pairs)["client_assertion"]).claims["aud"] == ENDPOINT.url


def test_a_rotated_key_signs_at_once_and_a_broken_one_never(tmp_path: Path) -> None:
    path, old = key_file(tmp_path)
    client = PrivateKeyJWT("gateway", key_of(path), "ES256", key_id="k")
    assertion(client, old)
    _, new = key_file(tmp_path)
    client.reread()
    assertion(client, new)
    with pytest.raises(jwt.JWTError):
        assertion(client, old)
    path.write_bytes(b"garbage")
    client.reread()
    assert client.generation == 1
    assertion(client, new)


def test_a_key_that_does_not_fit_is_an_error_at_once(tmp_path: Path) -> None:
    path, _ = key_file(tmp_path, "RS256")
    with pytest.raises(FileError, match=f"{path}: not a PEM or JWK private key"):
        key_of(path)


# --- secrets that sign


SECRET = "s ü%+/=" * 16


@pytest.mark.parametrize("algorithm", sorted(SECRET_BYTES))
def test_a_secret_signs(algorithm: str) -> None:
    key = env_secret("S", partial(secret_key, algorithm=algorithm), {"S": SECRET})
    client = ClientSecretJWT("gateway", key, algorithm)
    pairs = dict(client.credentials(ENDPOINT, NOW).pairs)
    assert pairs["client_assertion_type"] == ASSERTION_TYPE
    found = jws.deserialize_compact(pairs["client_assertion"], OctKey.import_key(SECRET.encode()), [algorithm])
    claims = json.loads(found.payload)
    assert len(claims.pop("jti")) >= 22
    assert claims == {"iss": "gateway", "sub": "gateway", "aud": ISSUER, "iat": int(NOW), "exp": int(NOW) + 60}


@pytest.mark.parametrize(("algorithm", "least"), SECRET_BYTES.items())
def test_a_secret_is_as_long_as_the_hash(tmp_path: Path, algorithm: str, least: int) -> None:
    path = tmp_path / "secret"
    make = partial(secret_key, algorithm=algorithm)
    path.write_bytes(b"x" * (least - 1) + b"\n")
    with pytest.raises(FileError) as caught:
        file_secret(str(path), make)
    assert str(caught.value) == f"{path}: {algorithm} needs a secret of at least {least} bytes (RFC 7518 §3.2)"
    path.write_bytes(b"x" * least)
    assert file_secret(str(path), make).value.is_private


# --- nothing shows


def test_no_key_and_no_assertion_is_in_a_repr(tmp_path: Path) -> None:
    path, _ = key_file(tmp_path)
    canary = Canary.fresh("client-secret")
    secret = env_secret("S", partial(secret_key, algorithm="HS256"), {"S": canary.text * 2})
    clients = [PrivateKeyJWT("gateway", key_of(path), "ES256"), ClientSecretJWT("gateway", secret, "HS256")]
    sent = [client.credentials(ENDPOINT, NOW) for client in clients]
    assertions = [dict(credentials.pairs)["client_assertion"] for credentials in sent]
    assert not search(repr((clients, sent)).encode(), canary, *assertions, path.read_text().splitlines()[1])
