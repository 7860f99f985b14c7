"""What each method puts into a request, and what it must never show."""

from base64 import b64decode
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import OctKey

from sidecar.oauth import jwt
from sidecar.oauth.client_auth import (
    ASSERTION_TYPE,
    CLIENT_AUTHENTICATION,
    ClientAuthentication,
    ClientSecretBasic,
    ClientSecretPost,
    Credentials,
    NoAuthentication,
    PrivateKeyJWT,
    TokenEndpoint,
)
from sidecar.oauth.jwt import KeyFormatError, SignedToken, VerificationKeys
from sidecar.oauth.secrets import EnvSecret, FileSecret
from tests.support.canary import Canary, search
from tests.support.clock import FakeClock

ISSUER = "https://login.example.com/realms/corp"
ENDPOINT = TokenEndpoint(f"{ISSUER}/token", ISSUER)
NOW = 1_700_000_000.75
TRICKY = "gw:s%cret +ü/=&~._-"


def secret(value: str) -> EnvSecret:
    return EnvSecret("S", {"S": value})


def basic(credentials: Credentials) -> bytes:
    assert not credentials.pairs
    ((name, content),) = credentials.headers
    assert name == "Authorization"
    scheme, _, value = content.partition(" ")
    assert scheme == "Basic"
    return b64decode(value, validate=True)


def test_every_method_is_known_by_its_registered_name() -> None:
    by_name = {
        "none": NoAuthentication,
        "client_secret_basic": ClientSecretBasic,
        "client_secret_post": ClientSecretPost,
        "private_key_jwt": PrivateKeyJWT,
    }
    assert by_name == CLIENT_AUTHENTICATION


# --- none


def test_a_public_client_sends_its_name_if_it_has_one() -> None:
    assert NoAuthentication("gateway").credentials(ENDPOINT, NOW) == Credentials((("client_id", "gateway"),))
    assert NoAuthentication().credentials(ENDPOINT, NOW) == Credentials()
    assert not NoAuthentication().reread()


# --- secrets


def test_basic_encodes_both_parts_first() -> None:
    sent = basic(ClientSecretBasic("urn:gw", secret(TRICKY)).credentials(ENDPOINT, NOW))
    assert sent == b"urn%3Agw:gw%3As%25cret%20%2B%C3%BC%2F%3D%26~._-"


def test_basic_as_it_is_for_servers_that_never_decode() -> None:
    sent = basic(ClientSecretBasic("gw", secret(TRICKY), form_encoding=False).credentials(ENDPOINT, NOW))
    assert sent == f"gw:{TRICKY}".encode()


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.binary(min_size=1).filter(lambda b: b != b"\n")
)
def test_basic_can_be_decoded_again(client_id: str, value: bytes) -> None:
    sent = basic(
        ClientSecretBasic(client_id, secret(value.decode("utf-8", "surrogateescape"))).credentials(ENDPOINT, NOW)
    )
    name, colon, password = sent.decode("ascii").partition(":")
    assert colon
    assert unquote(name) == client_id
    assert unquote(password, errors="surrogateescape").encode("utf-8", "surrogateescape") == value


def test_post_sends_both_in_the_form() -> None:
    sent = ClientSecretPost("gateway", secret(TRICKY)).credentials(ENDPOINT, NOW)
    assert sent == Credentials((("client_id", "gateway"), ("client_secret", TRICKY)))


def test_a_secret_that_is_no_text_is_the_servers_to_refuse(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\xff\xfe")
    sent = ClientSecretPost("gateway", FileSecret(str(tmp_path / "secret"))).credentials(ENDPOINT, NOW)
    assert dict(sent.pairs)["client_secret"].encode() == "\ufffd\ufffd".encode()


@pytest.mark.parametrize("method", [ClientSecretBasic, ClientSecretPost])
def test_a_rotated_secret_is_used(method: type[ClientSecretBasic | ClientSecretPost], tmp_path: Path) -> None:
    path, fake = tmp_path / "secret", FakeClock()
    path.write_text("first")
    client = method("gateway", FileSecret(str(path), clock=fake.clock))
    before = client.credentials(ENDPOINT, NOW)
    path.write_text("second")
    assert client.credentials(ENDPOINT, NOW) == before
    assert client.reread()
    assert client.credentials(ENDPOINT, NOW) != before
    assert not client.reread()


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
    client = PrivateKeyJWT("gateway", FileSecret(str(path)), algorithm, key_id="k")
    found = assertion(client, keys, algorithm)
    assert found.header == {"alg": algorithm, "kid": "k", "typ": "JWT"}
    claims = dict(found.claims)
    jti = claims.pop("jti")
    assert len(jti) >= 22  # of 62 characters: 128 bits and more
    assert claims == {"iss": "gateway", "sub": "gateway", "aud": ISSUER, "iat": int(NOW), "exp": int(NOW) + 60}


def test_no_two_assertions_are_alike(tmp_path: Path) -> None:
    path, keys = key_file(tmp_path)
    client = PrivateKeyJWT("gateway", FileSecret(str(path)), "ES256", key_id="k")
    assert len({assertion(client, keys).claims["jti"] for _ in range(50)}) == 50


def test_without_a_key_id_there_is_no_kid(tmp_path: Path) -> None:
    path, keys = key_file(tmp_path)
    assert "kid" not in assertion(PrivateKeyJWT("gateway", FileSecret(str(path)), "ES256"), keys).header


def test_a_type_of_ones_own(tmp_path: Path) -> None:
    path, keys = key_file(tmp_path)
    client = PrivateKeyJWT("gateway", FileSecret(str(path)), "ES256", typ="client-authentication+jwt")
    for _ in range(2):
        assert assertion(client, keys).header["typ"] == "client-authentication+jwt"


def test_the_audience_is_the_issuer_unless_it_is_the_endpoint(tmp_path: Path) -> None:
    path, keys = key_file(tmp_path)
    file = FileSecret(str(path))
    assert assertion(PrivateKeyJWT("gateway", file, "ES256"), keys).claims["aud"] == ISSUER
    older = PrivateKeyJWT("gateway", file, "ES256", audience="token_endpoint")
    assert assertion(older, keys).claims["aud"] == ENDPOINT.url
    nameless = PrivateKeyJWT("gateway", file, "ES256").credentials(TokenEndpoint(ENDPOINT.url), NOW)
    assert jwt.peek(dict(nameless.pairs)["client_assertion"]).claims["aud"] == ENDPOINT.url


def test_a_rotated_key_signs_at_once_and_a_broken_one_never(tmp_path: Path) -> None:
    path, old = key_file(tmp_path)
    client = PrivateKeyJWT("gateway", FileSecret(str(path), clock=FakeClock().clock), "ES256", key_id="k")
    assertion(client, old)
    _, new = key_file(tmp_path)
    assert client.reread()
    assertion(client, new)
    with pytest.raises(jwt.JWTError):
        assertion(client, old)
    path.write_bytes(b"garbage")
    assert client.reread()
    assertion(client, new)
    assertion(client, new)


def test_a_key_that_does_not_fit_is_an_error_at_once(tmp_path: Path) -> None:
    path, _ = key_file(tmp_path, "RS256")
    with pytest.raises(KeyFormatError):
        PrivateKeyJWT("gateway", FileSecret(str(path)), "ES256")


# --- nothing shows


def test_no_secret_is_in_a_repr(tmp_path: Path) -> None:
    canary = Canary.fresh("client-secret")
    path, _ = key_file(tmp_path)
    clients: list[ClientAuthentication] = [
        ClientSecretBasic("gateway", secret(canary.text)),
        ClientSecretPost("gateway", secret(canary.text)),
        PrivateKeyJWT("gateway", FileSecret(str(path)), "ES256"),
    ]
    sent = [client.credentials(ENDPOINT, NOW) for client in clients]
    assert not search(repr((clients, sent)).encode(), canary, dict(sent[2].pairs)["client_assertion"])
