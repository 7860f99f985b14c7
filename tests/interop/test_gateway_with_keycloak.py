"""The gateway and a real Keycloak, on a lean realm and on a stock one: what is traded, and how each refusal ends.

How Keycloak itself answers is pinned in test_keycloak_itself.py; every test here also searches all that left the
gateway for tokens and secrets (the fixture ``world``).
"""

import asyncio
import json
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar.commands.online import Answers, ask
from sidecar.config.load import load
from sidecar.oauth import jwt
from tests.interop.conftest import MakeWorld
from tests.interop.keycloak import ACCESS_TOKEN, GATEWAY, GATEWAY_SECRET, Keycloak, basic
from tests.interop.world import BASIC, ORDERS, POST, PRIVATE_KEY_JWT, World, orders
from tests.support.canary import search
from tests.support.gateway import Answer

pytestmark = pytest.mark.interop

BOTH_REALMS = pytest.mark.parametrize("realm", ["corp", "stock"])
#: What a stock realm adds to every scope, and the dialect therefore lets pass.
ADDED = {"corp": set[str](), "stock": {"profile", "email"}}


def audience(claims: dict[str, Any]) -> set[str]:
    """``aud`` as a set: one is a string, several are a list in no order."""
    aud = claims.get("aud", [])
    return {aud} if isinstance(aud, str) else set(aud)


async def assert_refused(here: World, answer: Answer, status: int, kind: str, finding: str) -> None:
    """One exchange was asked for and its outcome is this refusal: told everywhere, and nothing left under it."""
    assert (answer.status, answer.kind) == (status, kind)
    assert not here.upstream.seen
    assert here.tap.requests == 1
    (exchange,) = await here.receipts("exchange")
    (refusal,) = await here.receipts("refusal")
    for receipt in (exchange, refusal):
        assert receipt["decision"] == kind
        assert finding in receipt["finding"]
        assert receipt["finding"].encode() not in answer.body
    assert refusal["status"] == status
    assert "issued_token" not in exchange
    assert await here.count("token_sidecar_exchanges_total", outcome=kind) == 1
    assert await here.count("token_sidecar_exchanges_total") == 1
    assert await here.count("token_sidecar_rejections_total", route="orders", reason=kind) == 1
    assert await here.count("token_sidecar_requests_total", route="orders", code=str(status)) == 1


# --- what is traded ---------------------------------------------------------------------------------------------


@BOTH_REALMS
async def test_the_upstream_gets_a_token_made_for_it(keycloak: Keycloak, world: MakeWorld, realm: str) -> None:
    here = await world(realm)
    token = keycloak.user_token(realm)
    assert (await here.call(token)).status == 200
    claims = here.forwarded
    assert claims["aud"] == "orders-api"
    assert set(claims["scope"].split()) == {"orders.read"} | ADDED[realm]
    assert (claims["iss"], claims["azp"]) == (keycloak.issuer(realm), "gateway")
    assert claims["sub"] == jwt.peek(token).claims["sub"]
    assert set(here.tap.form) == {
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("audience", "orders-api"),
        ("scope", "orders.read"),
        ("subject_token", token),
        ("subject_token_type", ACCESS_TOKEN),
    }
    assert await here.count("token_sidecar_authorization_server_available", authorization_server="keycloak") == 1
    assert await here.count("token_sidecar_trusted_issuer_available", issuer="keycloak") == 1


@BOTH_REALMS
async def test_the_second_request_asks_for_nothing(keycloak: Keycloak, world: MakeWorld, realm: str) -> None:
    here = await world(realm)
    token = keycloak.user_token(realm)
    assert [(await here.call(token)).status for _ in range(2)] == [200, 200]
    first, second = (seen.values(b"authorization") for seen in here.upstream.seen)
    assert first == second
    assert here.tap.requests == 1
    assert await here.count("token_sidecar_cache_lookups_total", route="orders", result="miss") == 1
    assert await here.count("token_sidecar_cache_lookups_total", route="orders", result="hit") == 1
    assert await here.count("token_sidecar_exchanges_total", outcome="success") == 1

    (exchange,) = await here.receipts("exchange")
    uses = await here.receipts("use")
    assert [use["cache"] for use in uses] == ["miss", "hit"]
    assert {use["exchange_id"] for use in uses} == {exchange["exchange_id"]}
    for receipt in (exchange, *uses):
        assert receipt["decision"] == "allowed"
        assert receipt["semantics"] == "impersonation"
        assert receipt["authorization_server"] == "keycloak"
        assert receipt["client_id"] == "cli"
        assert receipt["subject"]["iss"] == keycloak.issuer(realm)
        assert receipt["subject"]["sub"] == here.forwarded["sub"]
        assert receipt["subject_token"]["id"] == f"jti:{jwt.peek(token).claims['jti']}"
        assert receipt["requested"] == {"audience": ["orders-api"], "scope": ["orders.read"]}
        assert receipt["issued_token"]["id"] == f"jti:{here.forwarded['jti']}"
        assert receipt["issued_token"]["audience"] == ["orders-api"]
        assert set(receipt["issued_token"]["scope"]) == {"orders.read"} | ADDED[realm]
        assert 270 <= receipt["issued_token"]["lifetime"] <= 300


async def test_everybody_gets_a_token_of_their_own(keycloak: Keycloak, world: MakeWorld) -> None:
    here = await world("stock")
    for name in ("alice", "bob", "alice"):
        token = keycloak.user_token("stock", name, name)
        assert (await here.call(token)).status == 200
        assert here.forwarded["sub"] == jwt.peek(token).claims["sub"]
        assert here.forwarded["preferred_username"] == name
    assert here.tap.requests == 3  # another token of the same person is another subject token


@BOTH_REALMS
async def test_two_audiences_and_two_scopes(keycloak: Keycloak, world: MakeWorld, realm: str) -> None:
    asked = {"audience": ["orders-api", "billing-api"], "scope": ["orders.read", "billing.write"]}
    here = await world(realm, exchange=asked)
    assert (await here.call(keycloak.user_token(realm))).status == 200
    assert audience(here.forwarded) == {"orders-api", "billing-api"}
    assert set(here.forwarded["scope"].split()) == {"orders.read", "billing.write"} | ADDED[realm]


async def test_a_subject_token_with_openid(keycloak: Keycloak, world: MakeWorld) -> None:
    here = await world("stock")
    assert (await here.call(keycloak.user_token("stock", scope="openid"))).status == 200
    assert "openid" not in here.forwarded["scope"].split()


# --- who asks ---------------------------------------------------------------------------------------------------


@BOTH_REALMS
@pytest.mark.parametrize("client_auth", [BASIC, POST], ids=["basic", "post"])
async def test_a_secret(keycloak: Keycloak, world: MakeWorld, realm: str, client_auth: dict[str, Any]) -> None:
    here = await world(realm, client_auth=client_auth)
    assert (await here.call(keycloak.user_token(realm))).status == 200
    in_header = GATEWAY.encode() in here.tap.sent
    assert (in_header, "client_secret" in dict(here.tap.form)) == (client_auth is BASIC, client_auth is POST)


async def test_a_signed_assertion(keycloak: Keycloak, world: MakeWorld) -> None:
    here = await world("stock", client_auth=PRIVATE_KEY_JWT)
    for name in ("alice", "bob"):  # an assertion counts once
        assert (await here.call(keycloak.user_token("stock", name, name))).status == 200
        assert here.forwarded["azp"] == "gateway-jwt"
    assertion = jwt.peek(dict(here.tap.form)["client_assertion"])
    assert assertion.claims["aud"] == keycloak.issuer("stock")
    assert (await here.receipts("exchange"))[0]["client_id"] == "cli"


@BOTH_REALMS
@pytest.mark.parametrize("client_auth", [BASIC, POST], ids=["basic", "post"])
async def test_a_wrong_secret(
    keycloak: Keycloak, world: MakeWorld, realm: str, client_auth: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIDECAR_TEST_SECRET", "gw:s%cret")
    wrong = {"client_secret_env": "SIDECAR_TEST_SECRET"}
    wrong |= {name: value for name, value in client_auth.items() if name != "client_secret_file"}
    here = await world(realm, client_auth=wrong)
    answer = await here.call(keycloak.user_token(realm))
    await assert_refused(here, answer, 502, "exchange-misconfigured", "401 unauthorized_client")


async def test_a_secret_that_is_not_form_encoded(keycloak: Keycloak, world: MakeWorld) -> None:
    here = await world("stock", server={"dialect_overrides": {"form_encoding": False}})
    answer = await here.call(keycloak.user_token("stock"))
    await assert_refused(here, answer, 502, "exchange-misconfigured", "400 unauthorized_client")


async def test_a_wrong_key(keycloak: Keycloak, world: MakeWorld, tmp_path: Path) -> None:
    other = tmp_path / "other.jwk"
    other.write_text(json.dumps(jwt.generate_key("ES256", "gateway-jwt-1").as_dict(private=True)))
    here = await world("stock", client_auth={**PRIVATE_KEY_JWT, "key_file": str(other)})
    answer = await here.call(keycloak.user_token("stock"))
    await assert_refused(here, answer, 502, "exchange-misconfigured", "400 invalid_client")


async def test_a_client_that_may_not_exchange(
    keycloak: Keycloak, world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIDECAR_TEST_SECRET", "noexchange")
    client = {"method": "client_secret_basic", "client_id": "noexchange", "client_secret_env": "SIDECAR_TEST_SECRET"}
    here = await world("corp", client_auth=client)
    answer = await here.call(keycloak.user_token("corp"))
    await assert_refused(here, answer, 502, "exchange-misconfigured", "400 invalid_request")


async def test_a_client_that_the_subject_token_is_not_for(
    keycloak: Keycloak, world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our audience and our client identifier need not be the same, and then only Keycloak can tell."""
    monkeypatch.setenv("SIDECAR_TEST_SECRET", "stranger")
    client = {"method": "client_secret_basic", "client_id": "stranger", "client_secret_env": "SIDECAR_TEST_SECRET"}
    here = await world("corp", client_auth=client)
    answer = await here.call(keycloak.user_token("corp"))
    await assert_refused(here, answer, 403, "exchange-denied", "403 access_denied")
    assert answer.json()["error"] == "access_denied"


# --- what Keycloak refuses --------------------------------------------------------------------------------------


@BOTH_REALMS
async def test_an_unknown_audience_is_the_routes_mistake(keycloak: Keycloak, world: MakeWorld, realm: str) -> None:
    here = await world(realm, exchange={"audience": ["nobody"], "scope": ["orders.read"]})
    answer = await here.call(keycloak.user_token(realm))
    await assert_refused(here, answer, 502, "exchange-misconfigured", "400 invalid_client")
    assert b"Audience" not in answer.body


@BOTH_REALMS
async def test_an_unknown_scope(keycloak: Keycloak, world: MakeWorld, realm: str) -> None:
    here = await world(realm, exchange={"audience": ["orders-api"], "scope": ["nonsense"]})
    answer = await here.call(keycloak.user_token(realm))
    await assert_refused(here, answer, 403, "insufficient-scope", "400 invalid_scope")
    challenge = answer.value("www-authenticate") or ""
    assert 'error="insufficient_scope"' in challenge
    assert 'scope="nonsense"' in challenge  # what the route asks for: the server's text is never shown


@BOTH_REALMS
async def test_an_audience_that_this_users_scopes_do_not_give(keycloak: Keycloak, world: MakeWorld, realm: str) -> None:
    here = await world(realm, exchange={"audience": ["billing-api"], "scope": ["orders.read"]})
    answer = await here.call(keycloak.user_token(realm))
    await assert_refused(here, answer, 403, "exchange-denied", "400 invalid_request")
    assert answer.json()["error"] == "access_denied"
    assert b"billing-api" not in answer.raw


async def test_a_refusal_that_is_not_the_tokens_fault_is_not_remembered(keycloak: Keycloak, world: MakeWorld) -> None:
    here = await world("stock", exchange={"audience": ["nobody"], "scope": ["orders.read"]})
    token = keycloak.user_token("stock")
    assert [(await here.call(token)).status for _ in range(2)] == [502, 502]
    assert here.tap.requests == 2


@BOTH_REALMS
async def test_a_user_who_has_logged_out(keycloak: Keycloak, world: MakeWorld, realm: str) -> None:
    """The token still verifies: only Keycloak knows better, and is asked once."""
    here = await world(realm)
    login = keycloak.login(realm)
    keycloak.log_out(realm, login)
    answer = await here.call(login["access_token"])
    await assert_refused(here, answer, 401, "invalid-token", "400 invalid_request")
    assert 'error="invalid_token"' in (answer.value("www-authenticate") or "")

    assert (await here.call(login["access_token"])).kind == "invalid-token"
    assert here.tap.requests == 1
    assert await here.count("token_sidecar_cache_lookups_total", route="orders", result="negative") == 1
    assert len(await here.receipts("exchange")) == 1
    assert len(await here.receipts("refusal")) == 2

    assert (await here.call(keycloak.user_token(realm))).status == 200  # the same person, logged in anew


async def test_what_is_cached_outlives_a_logout(keycloak: Keycloak, world: MakeWorld) -> None:
    here = await world("stock")
    login = keycloak.login("stock")
    assert (await here.call(login["access_token"])).status == 200
    keycloak.log_out("stock", login)
    assert (await here.call(login["access_token"])).status == 200
    assert here.tap.requests == 1


# --- what Keycloak is never asked about -------------------------------------------------------------------------


def changed_signature(keycloak: Keycloak) -> str:
    head, _, signature = keycloak.user_token("stock").rpartition(".")
    return f"{head}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"


def unsigned(keycloak: Keycloak) -> str:
    header = b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    return f"{header}.{keycloak.user_token('stock').split('.')[1]}."


def issued(keycloak: Keycloak) -> str:
    """A good token of a user, for another audience: what the upstream gets, sent back to the gateway."""
    return str(keycloak.exchange("stock", keycloak.user_token("stock"), scope=["orders.read"]).body["access_token"])


def id_token(keycloak: Keycloak) -> str:
    return str(keycloak.login("stock", scope="openid")["id_token"])


def refresh_token(keycloak: Keycloak) -> str:
    return str(keycloak.login("stock")["refresh_token"])


def of_another_realm(keycloak: Keycloak) -> str:
    return keycloak.user_token("corp")


def no_jwt(_: Keycloak) -> str:
    return "this-is-no-token"


@pytest.mark.parametrize(
    ("bad", "finding"),
    [
        (no_jwt, ""),
        (changed_signature, "signature"),
        (unsigned, ""),
        (issued, "the token is not meant for this gateway"),
        (id_token, "the claims say that this is no access token"),
        (refresh_token, "the claims say that this is no access token"),
        (of_another_realm, "iss is no trusted issuer of the route"),
    ],
)
async def test_a_bad_token_is_refused_before_keycloak_is_asked(
    keycloak: Keycloak, world: MakeWorld, bad: Callable[[Keycloak], str], finding: str
) -> None:
    here = await world("stock")
    answer = await here.call(bad(keycloak))
    assert (answer.status, answer.kind) == (401, "invalid-token")
    assert 'error="invalid_token"' in (answer.value("www-authenticate") or "")
    assert not here.tap.sent
    assert not here.upstream.seen
    assert await here.count("token_sidecar_exchanges_total") == 0
    assert await here.count("token_sidecar_rejections_total", route="orders", reason="invalid-token") == 1
    (refusal,) = await here.receipts("refusal")
    assert finding in refusal["finding"]
    assert await here.receipts("exchange") == []


# --- delegation that Keycloak does not show ---------------------------------------------------------------------

#: The dialect would not let a route send one, since nobody looks at it.
SENDS_ACTORS = {"dialect_overrides": {"actor_token": True}}


@BOTH_REALMS
@pytest.mark.parametrize("with_actor", [True, False], ids=["actor_token", "semantics"])
async def test_a_reply_without_act_is_no_delegation(
    keycloak: Keycloak, world: MakeWorld, realm: str, with_actor: bool
) -> None:
    asked = {**ORDERS, **({"actor_token": "self"} if with_actor else {"semantics": "delegation"})}
    here = await world(realm, exchange=asked, server=SENDS_ACTORS, actor_token=agent_token(keycloak))
    answer = await here.call(keycloak.user_token(realm))
    await assert_refused(
        here, answer, 502, "exchange-unusable", "the token carries no act; exchange.semantics: any would allow it"
    )
    assert ("actor_token" in dict(here.tap.form)) is with_actor
    assert here.tap.issued  # Keycloak gave one, and nobody got it


async def test_the_key_that_the_finding_names_allows_it(keycloak: Keycloak, world: MakeWorld) -> None:
    actor = agent_token(keycloak)
    asked = {**ORDERS, "actor_token": "self", "semantics": "any"}
    here = await world("corp", exchange=asked, server=SENDS_ACTORS, actor_token=actor)
    assert (await here.call(keycloak.user_token("corp"))).status == 200
    assert dict(here.tap.form)["actor_token"] == actor
    (exchange,) = await here.receipts("exchange")
    assert exchange["semantics"] == "impersonation"
    assert exchange["actor_token"]["id"] == f"jti:{jwt.peek(actor).claims['jti']}"
    assert "actor" not in exchange


def agent_token(keycloak: Keycloak) -> str:
    reply = keycloak.token_request("corp", {"grant_type": "client_credentials"}, basic("agent", "agent"))
    return str(reply.body["access_token"])


# --- what a route expects ---------------------------------------------------------------------------------------

SCOPE_ONLY = {"scope": ["orders.read"]}
EXTRA_AUDIENCE = "aud holds 'account' beyond what was asked; exchange.expect.extra_audience would allow it"
EXTRA_SCOPE = "scope holds 'email', 'profile' beyond what was asked; exchange.expect.extra_scope would allow it"


@pytest.mark.parametrize(
    ("asked", "expected", "holds"),
    [
        (SCOPE_ONLY, {}, {"orders-api", "account"}),  # nothing asked: not checked
        (SCOPE_ONLY, {"audience": "any"}, {"orders-api", "account"}),
        (SCOPE_ONLY, {"audience": "asked"}, {"orders-api", "account"}),
        (SCOPE_ONLY, {"audience": ["orders-api", "account"]}, {"orders-api", "account"}),
        (SCOPE_ONLY, {"audience": ["orders-api"], "extra_audience": ["account"]}, {"orders-api", "account"}),
        ({}, {}, {"account"}),
        (ORDERS, {"audience": ["orders-api"], "scope": ["orders.read"]}, {"orders-api"}),
        (ORDERS, {"scope": "any", "extra_scope": []}, {"orders-api"}),
    ],
)
async def test_expectations_that_a_stock_reply_meets(
    keycloak: Keycloak, world: MakeWorld, asked: dict[str, Any], expected: dict[str, Any], holds: set[str]
) -> None:
    here = await world("stock", exchange={**asked, "expect": expected})
    assert (await here.call(keycloak.user_token("stock"))).status == 200
    assert audience(here.forwarded) == holds


@pytest.mark.parametrize(
    ("asked", "expected", "finding"),
    [
        (SCOPE_ONLY, {"audience": ["orders-api"]}, EXTRA_AUDIENCE),
        (SCOPE_ONLY, {"audience": ["orders-api", "billing-api"]}, "aud lacks 'billing-api'; exchange.expect."),
        ({}, {"audience": ["orders-api"]}, "aud lacks 'orders-api'; exchange.expect."),
        (ORDERS, {"extra_scope": []}, EXTRA_SCOPE),
        (ORDERS, {"scope": ["orders.read"], "extra_scope": []}, EXTRA_SCOPE),
        (ORDERS, {"scope": ["orders.read", "orders.write"]}, "scope lacks 'orders.write'; exchange.expect."),
    ],
)
async def test_expectations_that_a_stock_reply_does_not_meet(
    keycloak: Keycloak, world: MakeWorld, asked: dict[str, Any], expected: dict[str, Any], finding: str
) -> None:
    here = await world("stock", exchange={**asked, "expect": expected})
    answer = await here.call(keycloak.user_token("stock"))
    await assert_refused(here, answer, 502, "exchange-unusable", finding)


@pytest.mark.parametrize("server", [{"dialect": "rfc8693"}, {"dialect_overrides": {"extra_scope": []}}])
async def test_without_the_dialect_a_stock_reply_is_too_wide(
    keycloak: Keycloak, world: MakeWorld, server: dict[str, Any]
) -> None:
    here = await world("stock", server=server)
    answer = await here.call(keycloak.user_token("stock"))
    await assert_refused(here, answer, 502, "exchange-unusable", EXTRA_SCOPE)
    here = await world("corp", server=server)
    assert (await here.call(keycloak.user_token("corp"))).status == 200


async def test_a_lean_realm_asked_for_nothing_gives_a_token_for_nobody(keycloak: Keycloak, world: MakeWorld) -> None:
    here = await world("corp", exchange={})
    assert (await here.call(keycloak.user_token("corp"))).status == 200
    assert "aud" not in here.forwarded
    here = await world("corp", exchange={"expect": {"audience": ["orders-api"]}})
    answer = await here.call(keycloak.user_token("corp"))
    await assert_refused(here, answer, 502, "exchange-unusable", "aud lacks 'orders-api'")


# --- before anybody calls ---------------------------------------------------------------------------------------


@BOTH_REALMS
async def test_a_check_tells_a_right_secret_from_a_wrong_one(keycloak: Keycloak, realm: str, tmp_path: Path) -> None:
    name = keycloak.issuer(realm)
    config = {
        "version": 1,
        "trusted_issuers": {"keycloak": {"issuer": name, "audience": ["gateway"]}},
        "authorization_servers": {"keycloak": {"issuer": name, "dialect": "keycloak", "client_auth": dict(BASIC)}},
        "routes": [orders(9, ORDERS)],
    }
    (tmp_path / "routes.yaml").write_text(json.dumps(config))
    (tmp_path / "gateway.secret").write_text(GATEWAY_SECRET)
    loaded = load(str(tmp_path / "routes.yaml"))
    assert await asyncio.to_thread(ask, loaded) == Answers(asked=2)
    (tmp_path / "gateway.secret").write_text("wrong")
    (problem,) = (await asyncio.to_thread(ask, loaded)).errors
    assert problem.path == "authorization_servers.keycloak.client_auth.client_secret_file"


# --- the search itself ------------------------------------------------------------------------------------------


async def test_the_search_for_leaks_would_find_one(keycloak: Keycloak, world: MakeWorld) -> None:
    here = await world("stock")
    token = keycloak.user_token("stock")
    assert (await here.call(token)).status == 200
    (given,) = here.tap.issued
    assert search(bytes(here.upstream.bytes), given)
    here.presented.append(given)  # as if it had been the caller's own
    assert {leak.partition(":")[0] for leak in await here.leaks()} == {"upstream"}
    here.presented.remove(given)
    here.log.write(token.rpartition(".")[2])
    assert {leak.partition(":")[0] for leak in await here.leaks()} == {"log"}
    here.log.truncate(0)
