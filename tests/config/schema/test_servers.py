from typing import get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from sidecar.config.schema import (
    AuthorizationServer,
    ClientAuth,
    KeyClientAuth,
    NoClientAuth,
    SecretClientAuth,
    TrustedIssuer,
    WorkloadToken,
)
from sidecar.config.schema.servers import Algorithm, DialectName
from sidecar.exchange.dialects import DIALECTS
from sidecar.model.tokens import JWT
from sidecar.oauth.jwt import ALGORITHMS, DEFAULT_ALGORITHMS
from tests.config.conftest import read


def test_algorithms_are_those_that_can_be_verified() -> None:
    assert set(get_args(Algorithm)) == set(ALGORITHMS)


def test_defaults_of_an_issuer() -> None:
    issuer = read(TrustedIssuer, {"issuer": "https://a", "audience": ["x"]})
    assert (issuer.token_profile, issuer.subject_token_type) == ("jwt", None)
    assert issuer.algorithms == DEFAULT_ALGORITHMS
    assert (issuer.scope_claim, issuer.audience_claim) == (("scope", "scp"), "aud")
    assert issuer.probe == 30.0
    assert (issuer.keys_stale, issuer.leeway, issuer.allow_plain_http) == (86400.0, 30.0, False)


def test_defaults_of_a_server() -> None:
    server = read(AuthorizationServer, {"issuer": "https://a", "client_auth": {"method": "none"}})
    assert (server.dialect, server.timeout, server.max_in_flight, server.default_lifetime) == ("rfc8693", 5.0, 64, 60.0)
    assert server.probe == 30.0
    assert (server.extra_params, server.dialect_overrides, server.allow_plain_http) == ({}, {}, False)


def test_a_client_says_how_it_authenticates() -> None:
    with pytest.raises(ValidationError):
        read(AuthorizationServer, {"issuer": "https://a"})


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"method": "none"}, NoClientAuth),
        ({"method": "none", "client_id": "x"}, NoClientAuth),
        ({"method": "client_secret_basic", "client_id": "x", "client_secret_file": "f"}, SecretClientAuth),
        ({"method": "client_secret_post", "client_id": "x", "client_secret_env": "F"}, SecretClientAuth),
        ({"method": "private_key_jwt", "client_id": "x", "key_file": "f", "algorithm": "ES256"}, KeyClientAuth),
    ],
)
def test_the_method_chooses_the_variant(value: dict[str, str], kind: type[object]) -> None:
    adapter: TypeAdapter[object] = TypeAdapter(ClientAuth)
    assert type(adapter.validate_python(value)) is kind


def test_secrets_are_never_inline() -> None:
    adapter: TypeAdapter[object] = TypeAdapter(ClientAuth)
    with pytest.raises(ValidationError):
        adapter.validate_python({"method": "client_secret_basic", "client_id": "x", "client_secret": "s"})


def test_overrides_are_kept_as_they_are() -> None:
    overrides = {"send_audience": False, "error_map": {"invalid_request": ["x", 1]}}
    server = read(
        AuthorizationServer, {"issuer": "https://a", "client_auth": {"method": "none"}, "dialect_overrides": overrides}
    )
    assert server.dialect_overrides == overrides


def test_a_workload_token() -> None:
    assert read(WorkloadToken, {"file": "f", "type": "jwt"}).type == JWT
    asked = read(WorkloadToken, {"client_credentials": {"scope": ["a"]}}).client_credentials
    assert asked is not None
    assert (asked.authorization_server, asked.scope) == (None, ("a",))


def test_every_dialect_has_a_name_and_every_name_a_dialect() -> None:
    assert get_args(DialectName) == tuple(DIALECTS)


def test_the_grant_is_the_dialects_unless_it_is_named() -> None:
    server = {"issuer": "https://a", "client_auth": {"method": "none"}}
    assert read(AuthorizationServer, server).grant is None
    assert read(AuthorizationServer, {**server, "grant": "jwt-bearer"}).grant == "jwt-bearer"
    with pytest.raises(ValidationError):
        read(AuthorizationServer, {**server, "grant": "password"})
