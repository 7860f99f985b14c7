"""Assertions that prove a client: each kind accepted, and refused when anything of it is wrong."""

import asyncio
import base64
import hmac
import json
from dataclasses import replace
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import Key, OctKey

from sidecar.model.clock import SYSTEM_CLOCK
from sidecar.oauth.jwt import VerificationKeys, generate_key, peek, sign
from sidecar.sts.assertions import JWT_BEARER, JWT_SPIFFE, SECRET_BYTES, Assertions
from sidecar.sts.config import AuthMethod, Client, Config, MutualTLS, TrustedIssuer, Workload
from sidecar.sts.issuers import KeysUnavailable

ISSUER = "https://sts.example/realm"
CLUSTER = "https://kubernetes.default.svc"
ACCOUNT = "system:serviceaccount:shop:gateway"
SPIFFE_ID = "spiffe://example.org/gateway"
SECRET = "s" * 64
OWN, CLUSTER_KEY, SVID_KEY, STRANGER = (generate_key("ES256", "k") for _ in range(4))


def workload(issuer: str, sub: str, key: Key) -> Workload:
    return Workload(TrustedIssuer(issuer, keys=VerificationKeys([key])), sub)


CLIENTS = {
    "own": Client("own", (AuthMethod.PRIVATE_KEY_JWT,), keys=VerificationKeys([OWN])),
    "secret": Client("secret", (AuthMethod.SECRET_JWT,), SECRET),
    "k8s": Client("k8s", (AuthMethod.JWT_FILE,), workload=workload(CLUSTER, ACCOUNT, CLUSTER_KEY)),
    "svid": Client("svid", (AuthMethod.SPIFFE_JWT,), workload=workload("", SPIFFE_ID, SVID_KEY)),
    "bare": Client("bare", (AuthMethod.NONE,)),
}
CONFIG = Config(ISSUER, clients=tuple(CLIENTS.values()), mtls=MutualTLS(("127.0.0.1", 9443), "", ""))
METHODS = {
    "own": AuthMethod.PRIVATE_KEY_JWT,
    "secret": AuthMethod.SECRET_JWT,
    "k8s": AuthMethod.JWT_FILE,
    "svid": AuthMethod.SPIFFE_JWT,
}
KEYS: dict[str, Key] = {
    "own": OWN,
    "secret": OctKey.import_key(SECRET.encode()),
    "k8s": CLUSTER_KEY,
    "svid": SVID_KEY,
}
SAID = {
    "own": {"iss": "own", "sub": "own", "jti": "1"},
    "secret": {"iss": "secret", "sub": "secret", "jti": "1"},
    "k8s": {"iss": CLUSTER, "sub": ACCOUNT},
    "svid": {"sub": SPIFFE_ID},
}
every_kind = pytest.mark.parametrize("kind", METHODS)


def assertion(kind: str, key: Key | None = None, algorithm: str = "", **claims: Any) -> str:
    now = SYSTEM_CLOCK.wall()
    said = {"aud": ISSUER, "exp": now + 60, "iat": now, **SAID[kind], **claims}
    said = {name: value for name, value in said.items() if value is not None}
    key = key or KEYS[kind]
    if isinstance(key, OctKey):
        algorithm = algorithm or "HS256"
        return jws.serialize_compact({"alg": algorithm}, json.dumps(said), key, algorithms=[algorithm])
    return sign(said, key, algorithm or "ES256", {"kid": "k"})


def proves(kind: str, text: str, client: Client | None = None, assertions: Assertions | None = None) -> bool:
    judge = assertions or Assertions(CONFIG, SYSTEM_CLOCK)
    return asyncio.run(judge.proves(client or CLIENTS[kind], METHODS[kind], text))


@every_kind
def test_each_kind_is_told_by_what_it_says_and_proves_its_client(kind: str) -> None:
    judge, text = Assertions(CONFIG, SYSTEM_CLOCK), assertion(kind)
    assert judge.claim(text, JWT_SPIFFE if kind == "svid" else JWT_BEARER) == (METHODS[kind], kind)
    assert proves(kind, text, assertions=judge)


@every_kind
@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1},
        {"exp": None},
        {"nbf": 1e12},
        {"iat": 1e12},
        {"aud": None},
        {"aud": "https://other.example"},
        {"aud": [ISSUER, "https://other.example"]},
        {"sub": "another"},
        {"sub": None},
        {"sub": 7},
    ],
)
def test_what_is_wrong_with_any_of_them(kind: str, claims: dict[str, Any]) -> None:
    assert not proves(kind, assertion(kind, **claims))


@every_kind
def test_another_key_proves_nothing(kind: str) -> None:
    other: Key = OctKey.import_key(b"x" * 64) if kind == "secret" else STRANGER
    assert not proves(kind, assertion(kind, other))
    for text in ("", "a.b.c", assertion(kind)[:-6] + "AAAAAA"):
        assert not proves(kind, text)


@every_kind
def test_it_proves_no_other_client(kind: str) -> None:
    for name, client in CLIENTS.items():
        if name != kind:
            assert not proves(kind, assertion(kind), client)


@pytest.mark.parametrize("kind", ["own", "secret"])
def test_a_clients_own_is_short_good_once_and_for_any_endpoint_of_ours(kind: str) -> None:
    judge, text = Assertions(CONFIG, SYSTEM_CLOCK), assertion(kind)
    assert proves(kind, text, assertions=judge)
    assert not proves(kind, text, assertions=judge)
    assert not proves(kind, assertion(kind, exp=SYSTEM_CLOCK.wall() + 200))
    assert not proves(kind, assertion(kind, iss="another"))
    for endpoint in (f"{ISSUER}/token", "https://sts.example:9443/realm/token"):
        assert proves(kind, assertion(kind, aud=endpoint))


def test_a_platforms_is_good_until_it_expires() -> None:
    for kind in ("k8s", "svid"):
        judge, text = Assertions(CONFIG, SYSTEM_CLOCK), assertion(kind, exp=SYSTEM_CLOCK.wall() + 3600)
        for _ in range(2):
            assert proves(kind, text, assertions=judge)
    assert not proves("k8s", assertion("k8s", iss="https://another.cluster"))


def test_a_svid_names_the_issuer_and_nothing_else() -> None:
    assert not proves("svid", assertion("svid", aud=f"{ISSUER}/token"))
    assert proves("svid", assertion("svid", iss="https://whoever.example"))
    judge = Assertions(CONFIG, SYSTEM_CLOCK)
    assert judge.claim(assertion("svid"), JWT_BEARER) == (AuthMethod.PRIVATE_KEY_JWT, SPIFFE_ID)  # no such client


@pytest.mark.parametrize("algorithm", SECRET_BYTES)
def test_a_secret_signs_with_what_it_is_long_enough_for(algorithm: str) -> None:
    least = SECRET_BYTES[algorithm]
    for length, good in ((least, True), (least - 1, False)):
        secret = "x" * length
        client = replace(CLIENTS["secret"], secret=secret)
        text = assertion("secret", OctKey.import_key(secret.encode()), algorithm)
        assert proves("secret", text, client) is good


def test_a_public_key_is_no_secret() -> None:
    """Who knows the public key can't sign with it as if it were the secret (RFC 8725 §2.1)."""
    assert not isinstance(OWN, OctKey)
    head, payload = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in ({"alg": "HS256"}, peek(assertion("own")).claims)
    )
    digest = hmac.digest(OWN.as_pem(private=False), f"{head}.{payload}".encode(), "sha256")
    text = f"{head}.{payload}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"
    judge = Assertions(CONFIG, SYSTEM_CLOCK)
    assert judge.claim(text, JWT_BEARER) == (AuthMethod.SECRET_JWT, "own")
    for method in (AuthMethod.PRIVATE_KEY_JWT, AuthMethod.SECRET_JWT):
        assert not asyncio.run(judge.proves(CLIENTS["own"], method, text))


def test_no_other_type_of_assertions() -> None:
    judge = Assertions(CONFIG, SYSTEM_CLOCK)
    assert judge.claim(assertion("own"), None) is None
    assert judge.claim(assertion("own"), "urn:ietf:params:oauth:client-assertion-type:saml2-bearer") is None


def test_without_the_platforms_keys_nothing_can_be_told() -> None:
    client = replace(CLIENTS["k8s"], workload=Workload(TrustedIssuer(CLUSTER, "http://127.0.0.1:1/keys"), ACCOUNT))
    judge = Assertions(replace(CONFIG, clients=(client,)), SYSTEM_CLOCK)
    with pytest.raises(KeysUnavailable):
        proves("k8s", assertion("k8s"), client, judge)
