"""What all methods share: what may be rotated, and what never shows."""

from pathlib import Path

from sidecar.oauth.client_auth import CLIENT_AUTHENTICATION, ClientAuthentication, Credentials, TokenEndpoint
from sidecar.oauth.secrets import file_secret
from tests.support.canary import Canary, search


class Named(ClientAuthentication):
    """The least there can be."""

    def credentials(self, endpoint: TokenEndpoint, _now: float, /) -> Credentials:
        return Credentials((("client_id", endpoint.url),))


def test_a_generation_is_that_of_what_rotates(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("first")
    client = Named(file_secret(str(path), bytes))
    client.reread()
    assert client.generation == 0
    path.write_text("second")
    client.reread()
    assert client.generation == 1


def test_without_anything_to_rotate_nothing_changes() -> None:
    client = Named(None)
    client.reread()
    assert client.generation == 0
    assert not client.mutual_tls


def test_every_method_is_known_by_its_registered_name() -> None:
    assert set(CLIENT_AUTHENTICATION) == {
        "none",
        "client_secret_basic",
        "client_secret_post",
        "client_secret_jwt",
        "private_key_jwt",
        "tls_client_auth",
        "self_signed_tls_client_auth",
        "jwt_file",
        "spiffe_jwt",
    }


def test_credentials_never_show() -> None:
    canary = Canary.fresh("client-secret")
    assert not search(repr(Credentials((("a", canary.text),), (("b", canary.text),))).encode(), canary)
