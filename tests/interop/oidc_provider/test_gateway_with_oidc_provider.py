"""The gateway and oidc-provider: what is traded, who asks, how each refusal ends, where keys and endpoints come from.

Every test also searches all that left the gateway for tokens and secrets (the fixture ``world``).
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import Key

from sidecar.commands.online import ask
from sidecar.config.load import load
from sidecar.oauth import jwt
from tests.interop.oidc_provider.conftest import ORDERS, MakeWorld
from tests.interop.oidc_provider.provider import CLIENTS, SECRET, TLS_NAME, OIDCProvider
from tests.interop.world import World, orders
from tests.support.certificates import Authority, self_signed
from tests.support.gateway import Answer

pytestmark = pytest.mark.interop


async def assert_refused(here: World, answer: Answer, status: int, kind: str, finding: str) -> None:
    """The exchange was refused: told to the operators, and nothing left under it."""
    assert (answer.status, answer.kind) == (status, kind)
    assert not here.upstream.seen
    (exchange,) = await here.receipts("exchange")
    assert exchange["decision"] == kind
    assert finding in exchange["finding"]
    assert exchange["finding"].encode() not in answer.body
    assert await here.count("token_sidecar_exchanges_total", outcome=kind) == 1


# --- what is traded ---------------------------------------------------------------------------------------------


async def test_the_upstream_gets_a_token_made_for_it(provider: OIDCProvider, world: MakeWorld) -> None:
    here = await world(provider)
    token = provider.token(scope="orders")
    assert (await here.call(token)).status == 200
    claims = here.forwarded
    assert (claims["aud"], claims["scope"], claims["sub"]) == ("orders-api", "orders.read", "alice")
    assert (claims["iss"], claims["client_id"]) == (provider.url, "gateway")
    assert "act" not in claims
    assert set(here.tap.form) == {
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("audience", "orders-api"),
        ("scope", "orders.read"),
        ("subject_token", token),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
    }
    (receipt,) = await here.receipts("exchange")
    assert receipt["semantics"] == "impersonation"
    assert receipt["issued_token"]["id"] == f"jti:{claims['jti']}"


async def test_the_second_request_asks_for_nothing(provider: OIDCProvider, world: MakeWorld) -> None:
    here = await world(provider)
    token = provider.token()
    assert [(await here.call(token)).status for _ in range(3)] == [200, 200, 200]
    assert here.tap.requests == 1
    assert len({tuple(seen.values(b"authorization")) for seen in here.upstream.seen}) == 1


async def test_a_resource_is_asked_for_by_its_address(provider: OIDCProvider, world: MakeWorld) -> None:
    exchange = {"resource": ["https://billing.example/"], "scope": ["billing.read"]}
    here = await world(provider, exchange=exchange)
    assert (await here.call(provider.token())).status == 200
    assert here.forwarded["aud"] == "https://billing.example/"


async def test_an_opaque_token_is_taken_as_it_is(provider: OIDCProvider, world: MakeWorld) -> None:
    here = await world(provider, exchange={"audience": ["opaque-api"], "scope": ["orders.read"]})
    assert (await here.call(provider.token())).status == 200
    (authorization,) = here.upstream.last.values(b"authorization")
    assert authorization.decode() == f"Bearer {here.tap.issued.pop()}"
    assert b"." not in authorization


async def test_a_brief_token_is_used_once(provider: OIDCProvider, world: MakeWorld) -> None:
    here = await world(provider, exchange={"audience": ["brief-api"], "scope": ["orders.read"]})
    assert (await here.call(provider.token())).status == 200
    (receipt,) = await here.receipts("exchange")
    assert receipt["issued_token"]["lifetime"] <= 2


async def test_delegation_names_the_actor(provider: OIDCProvider, world: MakeWorld) -> None:
    actor = provider.token("agent-7")
    here = await world(provider, exchange={**ORDERS, "actor_token": "self"}, actor_token=actor)
    assert (await here.call(provider.token())).status == 200
    assert here.forwarded["sub"] == "alice"
    assert here.forwarded["act"] == {"iss": provider.url, "sub": "agent-7"}
    assert ("actor_token", actor) in here.tap.form
    (receipt,) = await here.receipts("exchange")
    assert receipt["semantics"] == "delegation"
    assert [actor["sub"] for actor in receipt["actor"]] == ["agent-7"]


async def test_delegation_that_the_server_does_not_show_is_refused(provider: OIDCProvider, world: MakeWorld) -> None:
    here = await world(provider, exchange={**ORDERS, "semantics": "delegation"})
    await assert_refused(here, await here.call(provider.token()), 502, "exchange-unusable", "act")


# --- what is refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exchange", "login", "status", "kind", "finding"),
    [
        ({"audience": ["nowhere-api"]}, "alice", 502, "exchange-misconfigured", "invalid_target"),
        ({"audience": ["closed-api"]}, "alice", 502, "exchange-misconfigured", "invalid_target"),
        ({"audience": ["orders-api"], "scope": ["billing.read"]}, "alice", 403, "insufficient-scope", "invalid_scope"),
        ({"audience": ["orders-api"]}, "mallory", 403, "exchange-denied", "access_denied"),
    ],
)
async def test_what_the_server_refuses(
    provider: OIDCProvider,
    world: MakeWorld,
    exchange: Mapping[str, Any],
    login: str,
    status: int,
    kind: str,
    finding: str,
) -> None:
    here = await world(provider, exchange=exchange)
    await assert_refused(here, await here.call(provider.token(login)), status, kind, finding)


async def test_a_token_for_others_is_not_presented(provider: OIDCProvider, world: MakeWorld) -> None:
    here = await world(provider)
    answer = await here.call(provider.token(audience="orders-api"))
    assert (answer.status, answer.kind) == (401, "invalid-token")
    assert here.tap.requests == 0


async def test_a_client_that_may_not_exchange(provider: OIDCProvider, world: MakeWorld, tmp_path: Path) -> None:
    """The server calls that an invalid request, not an unauthorized client; both are ours to mend."""
    auth = {"method": "client_secret_basic", "client_id": "idle", "client_secret_file": str(secret(tmp_path))}
    here = await world(provider, auth=auth, issuer={"audience": ["gateway"]})
    answer = await here.call(provider.token())
    await assert_refused(here, answer, 502, "exchange-misconfigured", "invalid_request")


# --- who asks ---------------------------------------------------------------------------------------------------


def secret(folder: Path, text: str = SECRET) -> Path:
    """A secret in a file."""
    path = folder / "client.secret"
    path.write_text(text)
    return path


def written_key(path: Path, key: Key) -> Path:
    """A private key in a file."""
    path.write_text(json.dumps(key.as_dict(private=True)))
    return path


def right(server: OIDCProvider, client: str, folder: Path) -> dict[str, Any]:
    """How a client authenticates so that it is taken."""
    proofs, method = server.proofs, CLIENTS[client]
    auth = {"method": method, "client_id": client}
    match method:
        case "client_secret_basic" | "client_secret_post":
            return {**auth, "client_secret_file": str(secret(folder))}
        case "client_secret_jwt":
            return {**auth, "client_secret_file": str(secret(folder, proofs.long_secret))}
        case "private_key_jwt":
            key = written_key(folder / "client.jwk", proofs.key)
            return {**auth, "key_file": str(key), "algorithm": "ES256", "key_id": proofs.key.kid}
        case "tls_client_auth":
            return {**auth, "cert_file": proofs.issued.cert_file, "key_file": proofs.issued.key_file}
        case "self_signed_tls_client_auth":
            return {**auth, "cert_file": proofs.self_signed.cert_file, "key_file": proofs.self_signed.key_file}
    return auth


def wrong(server: OIDCProvider, client: str, folder: Path) -> list[dict[str, Any]]:
    """The same with other proofs, each of which must be refused."""
    auth = right(server, client, folder)
    match auth["method"]:
        case "client_secret_basic" | "client_secret_post" | "client_secret_jwt":
            (folder / "other.secret").write_text("of somebody else".ljust(64, "x"))
            return [{**auth, "client_secret_file": str(folder / "other.secret")}]
        case "private_key_jwt":
            other = written_key(folder / "other.jwk", jwt.generate_key("ES256", "other"))
            return [{**auth, "key_file": str(other)}, {**auth, "key_id": "unknown"}]
        case "tls_client_auth":
            strangers = Authority(folder, "strangers").issue(TLS_NAME)
            others = [server.proofs.authority.issue("other.clients.example"), strangers]
        case "self_signed_tls_client_auth":
            others = [self_signed(folder, "gateway-self-signed"), server.proofs.issued]
        case _:
            return [{**auth, "client_id": "unknown"}, {**auth, "client_id": "gateway"}]
    return [{**auth, "cert_file": other.cert_file, "key_file": other.key_file} for other in others]


def over_tls(server: OIDCProvider) -> dict[str, Any]:
    """The server behind TLS, where it asks for certificates: internal metadata of an issuer that is named otherwise."""
    return {
        "issuer": server.url,
        "discovery_url": f"{server.tls_url}/.well-known/openid-configuration",
        "tls": {"ca_file": server.proofs.authority.ca_file},
    }


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_method_is_taken(provider: OIDCProvider, world: MakeWorld, tmp_path: Path, client: str) -> None:
    here = await world(provider, auth=right(provider, client, tmp_path), section=over_tls(provider))
    token = provider.token(audience=client)
    assert (await here.call(token)).status == 200
    assert here.forwarded["client_id"] == client


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_method_is_refused_where_the_proof_is_wrong(
    provider: OIDCProvider, world: MakeWorld, tmp_path: Path, client: str
) -> None:
    for auth in wrong(provider, client, tmp_path):
        here = await world(provider, auth=auth, section=over_tls(provider), issuer={"audience": [client]})
        answer = await here.call(provider.token(audience=client))
        await assert_refused(here, answer, 502, "exchange-misconfigured", "invalid_client")


async def test_an_unencoded_secret_is_refused(provider: OIDCProvider, world: MakeWorld) -> None:
    """The server decodes Basic as RFC 6749 §2.3.1 says, so that switching it off is noticed at once."""
    section = {**over_tls(provider), "dialect_overrides": {"form_encoding": False}}
    here = await world(provider, section=section)
    await assert_refused(here, await here.call(provider.token()), 502, "exchange-misconfigured", "invalid_request")


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_check_tells_a_right_proof_from_a_wrong_one(
    provider: OIDCProvider, tmp_path: Path, client: str
) -> None:
    async def problems(auth: Mapping[str, Any]) -> list[str]:
        file = tmp_path / "routes.yaml"
        server = {"client_auth": auth, **over_tls(provider)}
        issuer = {"issuer": provider.url, "audience": [client]}
        config = {"version": 1, "trusted_issuers": {"op": issuer}, "authorization_servers": {"op": server}}
        file.write_text(json.dumps(config | {"routes": [orders(9, ORDERS)]}))
        answers = await asyncio.to_thread(ask, load(str(file)))
        assert answers.lints == ()
        return [problem.message for problem in answers.errors]

    assert await problems(right(provider, client, tmp_path)) == []
    for auth in wrong(provider, client, tmp_path):
        (said,) = await problems(auth)
        assert said.startswith("the server said 401 invalid_client; it does not accept who we say we are")


# --- where things are -------------------------------------------------------------------------------------------


async def test_everything_is_discovered_at_the_issuer(provider: OIDCProvider, world: MakeWorld) -> None:
    """It publishes OpenID metadata only, so the two addresses of RFC 8414 are asked in vain first."""
    here = await world(provider, section={"issuer": provider.url})
    assert (await here.call(provider.token())).status == 200


async def test_metadata_of_another_issuer_is_not_taken(provider: OIDCProvider, world: MakeWorld) -> None:
    """The document at ``localhost`` names the same issuer by its address."""
    elsewhere = provider.url.replace("127.0.0.1", "localhost")
    here = await world(provider, section={"issuer": elsewhere})
    answer = await here.call(provider.token())
    await assert_refused(here, answer, 503, "exchange-unavailable", "names another issuer")


async def test_a_new_signing_key_is_found_and_an_old_one_given_up(
    own_provider: Callable[[], OIDCProvider], world: MakeWorld
) -> None:
    server = own_provider()
    here = await world(server)
    first = server.token()
    assert (await here.call(first)).status == 200
    server.rotate(keep=False)
    assert (await here.call(server.token())).status == 200
    assert here.tap.requests == 2
    answer = await here.call(first)
    assert (answer.status, answer.kind) == (401, "invalid-token")


async def test_an_outage_ends_by_itself(own_provider: Callable[[], OIDCProvider], world: MakeWorld) -> None:
    server = own_provider()
    here = await world(server)
    alice, bob = server.token("alice"), server.token("bob")
    assert (await here.call(alice)).status == 200
    server.stop()
    assert (await here.call(alice)).status == 200
    answer = await here.call(bob)
    assert (answer.status, answer.kind) == (503, "exchange-unavailable")
    server.start()
    assert (await here.call(bob)).status == 200


# --- tokens that only introspection can read --------------------------------------------------------------------


def introspected(folder: Path, **settings: Any) -> dict[str, Any]:
    """A trusted issuer whose tokens are opaque."""
    path = folder / "introspecting.secret"
    path.write_text(SECRET)
    client = {"method": "client_secret_basic", "client_id": "gateway-opaque", "client_secret_file": str(path)}
    return {
        "token_profile": "opaque",
        "audience": ["gateway-opaque"],
        "introspection": {"client_auth": client, "max_age": "0s", **settings},
    }


async def test_an_opaque_subject_token_is_introspected_and_exchanged(
    provider: OIDCProvider, world: MakeWorld, tmp_path: Path
) -> None:
    issuer = introspected(tmp_path)
    auth = issuer["introspection"]["client_auth"]
    here = await world(provider, auth=auth, issuer=issuer)
    token = provider.token(audience="gateway-opaque", scope="orders")
    assert "." not in token
    assert (await here.call(token)).status == 200
    assert (here.forwarded["sub"], here.forwarded["aud"]) == ("alice", "orders-api")
    (receipt,) = await here.receipts("exchange")
    assert receipt["subject"] == {"iss": provider.url, "sub": "alice"}


async def test_a_revoked_token_is_refused(provider: OIDCProvider, world: MakeWorld, tmp_path: Path) -> None:
    issuer = introspected(tmp_path)
    here = await world(provider, auth=issuer["introspection"]["client_auth"], issuer=issuer)
    token = provider.token(audience="gateway-opaque")
    assert (await here.call(token)).status == 200
    provider.revoke(token)
    answer = await here.call(token)
    assert (answer.status, answer.kind) == (401, "invalid-token")
    assert len(here.upstream.seen) == 1


async def test_what_the_server_does_not_know_is_refused(
    provider: OIDCProvider, world: MakeWorld, tmp_path: Path
) -> None:
    issuer = introspected(tmp_path)
    here = await world(provider, auth=issuer["introspection"]["client_auth"], issuer=issuer)
    for token in ("nobody-knows-this-one-at-all-really", provider.token(audience="gateway")[::-1]):
        answer = await here.call(token)
        assert (answer.status, answer.kind) == (401, "invalid-token")
    assert here.tap.requests == 0


async def test_whoever_may_not_introspect_is_told_that_no_token_is_active(
    provider: OIDCProvider, world: MakeWorld, tmp_path: Path
) -> None:
    other = {"method": "client_secret_basic", "client_id": "idle", "client_secret_file": str(secret(tmp_path))}
    here = await world(provider, issuer=introspected(tmp_path, client_auth=other))
    answer = await here.call(provider.token(audience="gateway-opaque"))
    assert (answer.status, answer.kind) == (401, "invalid-token")


async def test_wrong_credentials_for_introspection_are_not_the_callers_fault(
    provider: OIDCProvider, world: MakeWorld, tmp_path: Path
) -> None:
    bad = {"method": "client_secret_basic", "client_id": "idle", "client_secret_file": str(secret(tmp_path, "wrong"))}
    here = await world(provider, issuer=introspected(tmp_path, client_auth=bad))
    answer = await here.call(provider.token(audience="gateway-opaque"))
    assert (answer.status, answer.kind) == (503, "issuer-unavailable")
    (receipt,) = await here.receipts("refusal")
    assert "invalid_client" in receipt["finding"]
