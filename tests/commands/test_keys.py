"""That the key which is named is the one that decides: for every way in which a token can be refused, and the rest."""

from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import Key as SigningKey

import sidecar
from sidecar.caller.take import Credential
from sidecar.commands.keys import Key, Keys
from sidecar.config.load import load
from sidecar.config.loaded import Loaded
from sidecar.model.refusal import Kind, Refusal, Refused
from sidecar.oauth.jwt import generate_key
from sidecar.observe.metrics import Metrics
from sidecar.snapshot import build
from tests.support.sts import running_sts
from tests.support.values import exchange, subject

FILE = """version: 1
gateway: {max_body_bytes: 1KiB}
trusted_issuers:
  corp:
    authorization_server: corp
    audience: [orders-gateway]
    token_profile: jwt
    algorithms: [ES256]
    scope_claim: [scope]
    leeway: 1s
  other: {issuer: 'https://other.example', audience: [gateway]}
authorization_servers:
  corp:
    issuer: ISSUER
    dialect: keycloak
    dialect_overrides: {actor_token: true}
    client_auth: {method: none, client_id: gateway}
workload_tokens:
  self: {file: actor, type: jwt}
routes:
  - name: orders
    match: {path: /orders, headers: {X-Tool: one}}
    upstream: {url: 'http://127.0.0.1:9000', max_body_bytes: 5KiB}
    subject: {issuers: [corp], require_claims: {level: 1, a.b: 2}}
    exchange: {audience: [orders-api], actor_token: self, semantics: any}
  - name: bare
    match: {path_prefix: /bare}
    upstream: {url: 'http://127.0.0.1:9000'}
    subject: {issuers: [corp]}
    exchange: {authorization_server: corp, expect: {audience: any}}
  - name: health
    match: {path: /healthz}
    upstream: {url: 'http://127.0.0.1:9000'}
    exchange: none
"""


def loaded(folder: Path, issuer: str = "https://login.example", text: str = FILE) -> Loaded:
    (folder / "actor").write_text("actor")
    path = folder / "routes.yaml"
    path.write_text(text.replace("ISSUER", issuer))
    return load(path)


def keys(file: Loaded, name: str) -> Keys:
    return Keys(file, build(file, Metrics(sidecar.__version__)).routes[name])


def names(found: list[Key]) -> list[str]:
    """The keys' names; those that the file leaves out in brackets."""
    return [key.name if key.written else f"[{key.name}]" for key in found]


def test_where_a_key_stands(tmp_path: Path) -> None:
    file = loaded(tmp_path)
    where = f"{tmp_path}/routes.yaml"
    line = FILE[: FILE.index("path: /orders")].count("\n") + 1
    assert keys(file, "orders").match()[0] == Key("routes.0.match.path", f"{where}:{line}", True)
    assert keys(file, "orders").relaxation() == [Key("routes.0.match.allow", f"{where}:{line}", False)]


def test_what_decides_when_nothing_is_refused(tmp_path: Path) -> None:
    file = loaded(tmp_path)
    orders, bare, health = (keys(file, name) for name in ("orders", "bare", "health"))
    asked = exchange(actor_token="self")
    assert names(orders.match()) == ["routes.0.match.path", "routes.0.match.headers"]
    assert names(orders.size()) == ["routes.0.upstream.max_body_bytes"]
    assert names(bare.size()) == ["gateway.max_body_bytes"]
    assert names(orders.take()) == ["[routes.0.subject.header]"]
    assert names(health.take()) == ["routes.2.exchange"]
    assert names(orders.verified(subject())) == [
        "routes.0.subject.issuers",
        "trusted_issuers.corp.authorization_server",
        "trusted_issuers.corp.audience",
        "trusted_issuers.corp.token_profile",
    ]
    assert names(orders.exchange(asked, "corp")) == [
        "[routes.0.exchange.authorization_server]",
        "authorization_servers.corp.issuer",
        "routes.0.exchange.audience",
        "routes.0.exchange.actor_token",
        "workload_tokens.self.file",
    ]
    assert names(orders.expect(asked)) == [
        "[routes.0.exchange.expect]",
        "routes.0.exchange.semantics",
        "authorization_servers.corp.dialect",
        "authorization_servers.corp.dialect_overrides",
    ]
    assert names(bare.expect(asked)) == [
        "routes.1.exchange.expect.audience",
        "authorization_servers.corp.dialect",
        "authorization_servers.corp.dialect_overrides",
    ]
    assert names(orders.forward()) == ["routes.0.upstream.url"]


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (("subject", "require_claims"), "routes.0.subject.require_claims"),
        (("subject", "require_claims", "a.b"), 'routes.0.subject.require_claims."a.b"'),
        (("subject", "max_age"), "[routes.0.subject.max_age]"),
        (("workload_tokens", "self", "file"), "workload_tokens.self.file"),
        (("authorization_servers", "corp", "token_endpoint"), "authorization_servers.corp.issuer"),
        (("authorization_servers", "corp", "timeout"), "[authorization_servers.corp.timeout]"),
    ],
)
def test_the_key_that_a_refusal_names(tmp_path: Path, key: tuple[str, ...], name: str) -> None:
    found = Refusal(Kind.POLICY_DENIED, "", key=key)
    assert names(keys(loaded(tmp_path), "orders").refused(found)) == [name]


def test_what_is_asked_of_a_token(tmp_path: Path) -> None:
    file = loaded(tmp_path)
    assert names(keys(file, "orders").allow()) == ["routes.0.subject.require_claims"]
    assert names(keys(file, "bare").allow()) == []
    assert names(keys(file, "bare").refused(Refusal(Kind.POLICY_DENIED, ""))) == []


SIGNER: SigningKey = generate_key("ES256", "unknown")

#: What is wrong with a token, and the key that counts.
BAD: list[tuple[dict[str, Any], list[str]]] = [
    ({"lifetime": -100}, ["trusted_issuers.corp.leeway"]),
    ({"exp": None}, ["trusted_issuers.corp.leeway"]),
    ({"nbf": 4_000_000_000}, ["trusted_issuers.corp.leeway"]),
    ({"aud": "elsewhere"}, ["trusted_issuers.corp.audience"]),
    ({"aud": None}, ["trusted_issuers.corp.audience"]),
    ({"header": {"typ": "logout+jwt"}}, ["trusted_issuers.corp.token_profile"]),
    ({"nonce": "n"}, ["trusted_issuers.corp.token_profile"]),
    ({"iss": "https://other.example"}, ["routes.0.subject.issuers"]),
    ({"iss": None}, ["routes.0.subject.issuers"]),
    ({"key": SIGNER}, ["trusted_issuers.corp.authorization_server"]),
    ({"key": SIGNER, "header": {"kid": None}}, ["trusted_issuers.corp.authorization_server"]),
    ({"key": generate_key("ES384", "k"), "algorithm": "ES384"}, ["trusted_issuers.corp.algorithms"]),
    ({"sub": None}, []),
    ({"cnf": {"jkt": "x"}}, []),
    ({"act": {"sub": ""}}, []),
]


async def refusal(file: Loaded, token: str) -> Refusal | None:
    snapshot = build(file, Metrics(sidecar.__version__))
    try:
        await snapshot.verifier.verify(Credential(token), frozenset({"corp"}))
    except Refused as refused:
        return refused.refusal
    finally:
        await snapshot.close()
    return None


@pytest.mark.parametrize(("wrong", "expected"), BAD)
async def test_the_key_that_a_token_was_refused_by(tmp_path: Path, wrong: dict[str, Any], expected: list[str]) -> None:
    async with running_sts() as sts:
        file = loaded(tmp_path, sts.issuer)
        found = await refusal(file, sts.mint(**wrong))
    assert found is not None
    assert names(keys(file, "orders").refused(found)) == expected


@pytest.mark.parametrize(("claims", "name"), [({"aud": [1]}, "[{}.audience_claim]"), ({"scope": 1}, "{}.scope_claim")])
async def test_claims_of_another_form(tmp_path: Path, claims: dict[str, Any], name: str) -> None:
    async with running_sts() as sts:
        file = loaded(tmp_path, sts.issuer)
        found = await refusal(file, sts.mint(**claims))
    assert found is not None
    assert names(keys(file, "orders").refused(found)) == [name.format("trusted_issuers.corp")]


def test_an_issuer_that_is_not_there(tmp_path: Path) -> None:
    found = Refusal(Kind.ISSUER_UNAVAILABLE, "", key=("trusted_issuers", "corp", "jwks_uri"))
    assert names(keys(loaded(tmp_path), "orders").refused(found)) == ["trusted_issuers.corp.authorization_server"]
