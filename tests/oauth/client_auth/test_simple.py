"""Names and secrets: what they put into a request, and what they must never show."""

import ssl
from base64 import b64decode
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.oauth.client_auth.base import Credentials, TokenEndpoint
from sidecar.oauth.client_auth.simple import ClientSecretBasic, ClientSecretPost, NoAuthentication, TLSClientAuth
from sidecar.oauth.secrets import env_secret, file_secret
from sidecar.rotation import Rotated
from tests.support.canary import Canary, search

ISSUER = "https://login.example.com/realms/corp"
ENDPOINT = TokenEndpoint(f"{ISSUER}/token", ISSUER)
NOW = 1_700_000_000.75
TRICKY = "gw:s%cret +ü/=&~._-"


def secret(value: str) -> Rotated[bytes]:
    return env_secret("S", bytes, {"S": value})


def basic(credentials: Credentials) -> bytes:
    assert not credentials.pairs
    ((name, content),) = credentials.headers
    assert name == "Authorization"
    scheme, _, value = content.partition(" ")
    assert scheme == "Basic"
    return b64decode(value, validate=True)


# --- none


def test_a_public_client_sends_its_name_if_it_has_one() -> None:
    assert NoAuthentication("gateway").credentials(ENDPOINT, NOW) == Credentials((("client_id", "gateway"),))
    assert NoAuthentication().credentials(ENDPOINT, NOW) == Credentials()
    NoAuthentication().reread()
    assert NoAuthentication().generation == 0


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
    sent = ClientSecretPost("gateway", file_secret(str(tmp_path / "secret"), bytes)).credentials(ENDPOINT, NOW)
    assert dict(sent.pairs)["client_secret"].encode() == "\ufffd\ufffd".encode()


@pytest.mark.parametrize("method", [ClientSecretBasic, ClientSecretPost])
def test_a_rotated_secret_is_used(method: type[ClientSecretBasic | ClientSecretPost], tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("first")
    client = method("gateway", file_secret(str(path), bytes))
    before = client.credentials(ENDPOINT, NOW)
    path.write_text("second")
    assert client.credentials(ENDPOINT, NOW) == before
    client.reread()
    assert client.credentials(ENDPOINT, NOW) != before
    assert client.generation == 1
    client.reread()
    assert client.generation == 1


# --- certificates


def test_a_certificate_needs_the_name_beside_it() -> None:
    client = TLSClientAuth("gateway", Rotated((), lambda _: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)))
    assert client.mutual_tls
    assert client.credentials(ENDPOINT, NOW) == Credentials((("client_id", "gateway"),))
    assert not NoAuthentication("gateway").mutual_tls


# --- nothing shows


def test_no_secret_is_in_a_repr() -> None:
    canary = Canary.fresh("client-secret")
    clients = [ClientSecretBasic("gateway", secret(canary.text)), ClientSecretPost("gateway", secret(canary.text))]
    sent = [client.credentials(ENDPOINT, NOW) for client in clients]
    assert not search(repr((clients, sent)).encode(), canary)
