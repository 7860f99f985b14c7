"""Each client authentication that a Keycloak has out of its box: accepted when right, and refused when wrong.

It has no self_signed_tls_client_auth; jwt_file and spiffe_jwt are previews there that have to be switched on. For
these three the embedded server stands in (tests/snapshot/test_client_auth_accepted.py).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import Key, OctKey

from sidecar.oauth.jwt import generate_key, jwk_set
from tests.interop.conftest import MakeWorld
from tests.interop.keycloak import Keycloak
from tests.support.canary import Canary, search
from tests.support.certificates import Issued

pytestmark = pytest.mark.interop

REALM = "stock"


@dataclass
class Case:
    """A way to authenticate. client: as Keycloak has it; right and wrong: what our files hold, by their names."""

    client: Mapping[str, Any]
    client_auth: Mapping[str, Any]
    right: Mapping[str, bytes]
    wrong: Mapping[str, bytes]
    secrets: tuple[str, ...] = field(default=(), repr=False)


def with_secret(method: str, authenticator: str, **attributes: str) -> Case:
    right, wrong = (Canary.fresh("client-secret").text * 2 for _ in range(2))
    client = {"clientAuthenticatorType": authenticator, "secret": right, "attributes": attributes}
    auth = {"method": method, "client_secret_file": "secret"}
    return Case(client, auth, {"secret": right.encode()}, {"secret": wrong.encode()}, (right, wrong))


def with_key(algorithm: str) -> Case:
    right, wrong = (generate_key(algorithm, "k") for _ in range(2))
    attributes = {
        "use.jwks.string": "true",
        "jwks.string": json.dumps(jwk_set([right])),
        "token.endpoint.auth.signing.alg": algorithm,
    }
    auth = {"method": "private_key_jwt", "key_file": "key", "algorithm": algorithm, "key_id": "k"}
    client = {"clientAuthenticatorType": "client-jwt", "attributes": attributes}
    return Case(client, auth, {"key": pem(right)}, {"key": pem(wrong)})


def with_certificate(keycloak: Keycloak) -> Case:
    right, wrong = (keycloak.authority.issue(name) for name in ("gateway.example", "another.example"))
    client = {"clientAuthenticatorType": "client-x509", "attributes": {"x509.subjectdn": "CN=gateway.example"}}
    auth = {"method": "tls_client_auth", "cert_file": "tls.crt", "key_file": "tls.key"}
    return Case(client, auth, pair(right), pair(wrong))


def pair(issued: Issued) -> dict[str, bytes]:
    return {"tls.crt": Path(issued.cert_file).read_bytes(), "tls.key": Path(issued.key_file).read_bytes()}


def pem(key: Key) -> bytes:
    assert not isinstance(key, OctKey)
    return key.as_pem(private=True)


def case(keycloak: Keycloak, name: str) -> Case:
    method, _, algorithm = name.partition(" ")
    match method:
        case "client_secret_jwt":
            return with_secret(method, "client-secret-jwt", **{"token.endpoint.auth.signing.alg": algorithm})
        case "private_key_jwt":
            return with_key(algorithm)
        case "tls_client_auth":
            return with_certificate(keycloak)
        case _:
            return with_secret(method, "client-secret")


CASES = (
    "client_secret_basic",
    "client_secret_post",
    "client_secret_jwt HS256",
    "private_key_jwt RS256",
    "private_key_jwt PS256",
    "private_key_jwt ES256",
    "private_key_jwt EdDSA",
    "tls_client_auth",
)


@pytest.mark.parametrize("name", CASES)
async def test_it_is_accepted_when_right_and_refused_when_wrong(
    keycloak: Keycloak, world: MakeWorld, tmp_path: Path, name: str
) -> None:
    of, client_id = case(keycloak, name), name.replace(" ", "-").lower().replace("_", "-")
    keycloak.create_client(REALM, client_id, **of.client)
    endpoint = keycloak.token_endpoint(REALM).replace(keycloak.url, keycloak.https_url)
    token = keycloak.user_token(REALM, scope=client_id)
    for files, right in ((of.right, True), (of.wrong, False)):
        folder = tmp_path / str(right)
        folder.mkdir()
        for file, data in files.items():
            (folder / file).write_bytes(data)
        auth = {key: str(folder / value) if key.endswith("_file") else value for key, value in of.client_auth.items()}
        server = {"token_endpoint": endpoint, "tls": {"ca_file": keycloak.authority.ca_file}}
        here = await world(REALM, client_auth={**auth, "client_id": client_id}, server=server, discover=True)
        answer = await here.call(token)
        if right:
            assert answer.status == 200
            assert here.forwarded["azp"] == client_id
        else:
            assert (answer.status, answer.kind) == (502, "exchange-misconfigured")
            assert not here.upstream.seen
            (receipt,) = await here.receipts("exchange")
            assert "client" in receipt["finding"]
        shown = answer.raw + here.gateway.receipts + here.log.getvalue().encode() + bytes(here.upstream.bytes)
        assert not search(shown, *of.secrets)
