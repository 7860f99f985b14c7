"""JWTs of a platform, presented as they are."""

from pathlib import Path

import pytest

from sidecar.oauth.client_auth.base import TokenEndpoint
from sidecar.oauth.client_auth.presented import JWTFile, SpiffeJWT, presented_jwt
from sidecar.oauth.jwt import generate_key, sign
from sidecar.oauth.secrets import file_secret
from sidecar.rotation import FileError
from tests.support.canary import Canary, search

ENDPOINT = TokenEndpoint("https://login.example/token", "https://login.example")
KEY = generate_key("ES256", "k")
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
JWT_SPIFFE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"


def token(**claims: object) -> str:
    return sign({"iss": "https://k8s", **claims}, KEY, "ES256")


@pytest.mark.parametrize(("method", "kind"), [(JWTFile, JWT_BEARER), (SpiffeJWT, JWT_SPIFFE)])
def test_the_file_is_the_assertion(tmp_path: Path, method: type[JWTFile], kind: str) -> None:
    path, first = tmp_path / "token", token(jti="1")
    path.write_text(f"{first}\n")
    client = method(None, file_secret(str(path), presented_jwt))
    expected = [("client_assertion_type", kind), ("client_assertion", first)]
    assert list(client.credentials(ENDPOINT, 0.0).pairs) == expected
    assert list(client.credentials(ENDPOINT, 0.0).pairs) == expected  # it can't be made anew
    named = method("gateway", file_secret(str(path), presented_jwt))
    assert list(named.credentials(ENDPOINT, 0.0).pairs) == [("client_id", "gateway"), *expected]


def test_a_replaced_one_is_presented_and_a_broken_one_never(tmp_path: Path) -> None:
    path, first, second = tmp_path / "token", token(jti="1"), token(jti="2")
    path.write_text(first)
    client = JWTFile(None, file_secret(str(path), presented_jwt))
    for content, presented in ((second, second), (first[:-90], second), ("", second), (f" {first}\r\n", first)):
        path.write_text(content)
        client.reread()
        assert dict(client.credentials(ENDPOINT, 0.0).pairs)["client_assertion"] == presented


@pytest.mark.parametrize("text", ["no token", "a.b.c", "e30.e30.", "caf\u00e9.e30.e30"])
def test_what_is_no_jwt(tmp_path: Path, text: str) -> None:
    (tmp_path / "token").write_text(text)
    with pytest.raises(FileError):
        file_secret(str(tmp_path / "token"), presented_jwt)


def test_no_token_in_a_repr(tmp_path: Path) -> None:
    canary = Canary.fresh("workload")
    (tmp_path / "token").write_text(token(sub=canary.text))
    client = SpiffeJWT("gateway", file_secret(str(tmp_path / "token"), presented_jwt))
    shown = repr((client, client.credentials(ENDPOINT, 0.0)))
    assert not search(shown.encode(), canary, (tmp_path / "token").read_text())
