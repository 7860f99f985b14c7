"""The methods of the file and the classes that serve them. What they send is tested with the peers."""

import typing

import pytest

from sidecar.config import schema
from sidecar.oauth.client_auth import CLIENT_AUTHENTICATION
from sidecar.snapshot.client_auth import SOURCES, source_of
from tests.snapshot.conftest import PEERS, ROUTE, Folder

VARIANTS = typing.get_args(typing.get_args(schema.ClientAuth)[0])


def methods(variant: type) -> tuple[str, ...]:
    return typing.get_args(typing.get_type_hints(variant)["method"])


def test_every_method_of_the_file_has_a_class_and_the_other_way_round() -> None:
    assert sorted(CLIENT_AUTHENTICATION) == sorted(method for variant in VARIANTS for method in methods(variant))


def test_every_key_that_holds_a_proof_is_known() -> None:
    names = {name for variant in VARIANTS for name in typing.get_type_hints(variant)}
    assert {name for name in names if name.endswith(("_file", "_env"))} == set(SOURCES)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("{method: none}", "method"),
        ("{method: client_secret_post, client_id: a, client_secret_file: s}", "client_secret_file"),
        ("{method: client_secret_jwt, client_id: a, client_secret_env: S}", "client_secret_env"),
        ("{method: private_key_jwt, client_id: a, key_file: s, algorithm: ES256}", "key_file"),
        ("{method: tls_client_auth, client_id: a, cert_file: s, key_file: s}", "cert_file"),
        ("{method: spiffe_jwt, jwt_file: s}", "jwt_file"),
    ],
)
def test_where_the_proof_is_from(folder: Folder, monkeypatch: pytest.MonkeyPatch, text: str, source: str) -> None:
    folder.file("s", "s" * 32)
    monkeypatch.setenv("S", "s" * 32)
    loaded = folder.load(PEERS.replace("{method: none, client_id: gateway}", text) + ROUTE)
    assert source_of(loaded.config.authorization_servers["corp"].client_auth) == source
