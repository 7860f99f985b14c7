"""Callers' tokens of every kind, end to end: an embedded authorization server that introspects, and one that lies."""

import asyncio
import json
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.faces.conftest import CONFIG, MakeWorld, World
from tests.oauth.test_introspection import HOSTILE
from tests.support.canary import Canary, search
from tests.support.gateway import get
from tests.support.scripted import Asked, replied, scripted_server
from tests.support.sts import CLIENT_SECRET, RunningSts, opaque_config

CLIENT = "{method: client_secret_basic, client_id: gateway, client_secret_file: gateway.secret}"
#: Opaque tokens of the embedded server, beside its JWTs.
OPAQUE = CONFIG.replace(
    "  corp: {issuer: ISSUER, audience: [orders-gateway]}",
    f"""  opaque:
    issuer: ISSUER
    audience: [orders-gateway]
    token_profile: opaque
    introspection: {{client_auth: {CLIENT}, max_age: 30s}}
  corp: {{issuer: 'https://jwt.example', audience: [orders-gateway], jwks_uri: 'ISSUER/jwks'}}""",
).replace("    exchange: {audience", "    subject: {issuers: [opaque, corp]}\n    exchange: {audience", 1)
#: The same, where somebody else vouches for them.
VOUCHED = OPAQUE.replace("introspection: {", "introspection: {endpoint: 'http://127.0.0.1:TOKENS/introspect', ")

#: Exchanges go there too.
ELSEWHERE = ("issuer: ISSUER\n    client_auth", "token_endpoint: 'http://127.0.0.1:TOKENS/token'\n    client_auth")


async def opaque_token(sts: RunningSts) -> str:
    """A token of alice's that only the server can read."""
    form = {"grant_type": "client_credentials", "client_id": "alice-cli", "client_secret": CLIENT_SECRET}
    async with ClientSession() as session, session.post(sts.token_endpoint, data=form) as response:
        token = str((await response.json())["access_token"])
    assert "." not in token
    return token


async def test_an_opaque_token_is_exchanged(world: MakeWorld) -> None:
    it = await world(OPAQUE, server=opaque_config)
    token = await opaque_token(it.sts)
    for _ in range(3):
        assert (await it.gateway.ask(get(token=token))).status == 200
    [authorization] = it.upstream.last.values(b"authorization")
    assert authorization.removeprefix(b"Bearer ") not in (authorization, token.encode())
    assert token.encode() not in it.upstream.bytes
    assert it.sts.exchanges == 1
    receipts = await it.gateway.receipt_lines()
    assert receipts[0]["subject"] == {"iss": it.sts.issuer, "sub": "alice"}
    assert receipts[0]["subject_source"] == "caller"
    assert not search(it.gateway.receipts, token)
    metrics = await it.gateway.metrics()
    assert 'token_sidecar_trusted_issuer_available{issuer="opaque"} 1.0' in metrics


async def test_a_token_that_nobody_knows(world: MakeWorld) -> None:
    it = await world(OPAQUE)
    answer = await it.gateway.ask(get(token="nobody-knows-this-token"))
    assert (answer.status, answer.kind) == (401, "invalid-token")
    assert 'error="invalid_token"' in str(answer.value("www-authenticate"))
    assert it.sts.exchanges == 0
    assert not it.upstream.seen


async def test_a_jwt_of_the_same_route_is_shown_to_no_introspection(world: MakeWorld) -> None:
    async with scripted_server() as vouching:
        it = await world(VOUCHED.replace("TOKENS", str(vouching.port)))
        await it.gateway.ask(get(token=it.sts.mint(iss="https://jwt.example")))
        await it.gateway.ask(get(token=it.sts.mint(iss="https://stranger.example")))
        assert vouching.asked == []


@pytest.mark.parametrize("name", HOSTILE)
async def test_whatever_introspection_says_nothing_leaves(world: MakeWorld, name: str) -> None:
    token = Canary.fresh("subject-token")
    async with scripted_server() as vouching:
        vouching.reply, vouching.closing = HOSTILE[name], name in ("cut", "no HTTP")
        it = await world(VOUCHED.replace("TOKENS", str(vouching.port)))
        answer = await it.gateway.ask(get(token=token.text))
        assert (answer.status, answer.kind) == (503, "issuer-unavailable")
        assert answer.value("retry-after")
        assert not it.upstream.seen
        assert it.sts.exchanges == 0
        await it.gateway.receipt_lines()
        assert not search(it.gateway.receipts + answer.raw, token)
        assert 'token_sidecar_trusted_issuer_available{issuer="opaque"} 0.0' in await it.gateway.metrics()


def said(sub: str = "alice", /, **changes: Any) -> bytes:
    return replied({"active": True, "sub": sub, "aud": "orders-gateway", "exp": 4_000_000_000, **changes})


@pytest.mark.parametrize(
    "changes", [{"active": False}, {"aud": "x"}, {"exp": 1}, {"iss": "https://x"}, {"sub": 1}, {"cnf": {"jkt": "x"}}]
)
async def test_a_token_that_is_not_good_here(world: MakeWorld, changes: dict[str, Any]) -> None:
    async with scripted_server() as vouching:
        vouching.reply = said(**changes)
        it = await world(VOUCHED.replace("TOKENS", str(vouching.port)))
        answer = await it.gateway.ask(get(token="an-opaque-token"))
        assert (answer.status, answer.kind) == (401, "invalid-token")
        assert it.sts.exchanges == 0


async def test_two_callers_at_once_never_get_each_others_token(world: MakeWorld) -> None:
    """Introspection and exchange answer in any order; each request goes on under its own caller's token."""
    callers = [f"caller-{number:02}-{'x' * 16}" for number in range(12)]

    async def answer(asked: Asked) -> bytes:
        token = asked.form.get("token", asked.form.get("subject_token", ""))
        await asyncio.sleep(0.001 * (int(token[7:9]) * 5 % 7))
        if asked.head.startswith(b"POST /introspect"):
            return said(token[:9])
        return replied(
            {
                "access_token": f"issued-for-{token[:9]}",
                "token_type": "Bearer",
                "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
                "expires_in": 300,
            }
        )

    async with scripted_server() as server:
        server.reply = answer
        config = VOUCHED.replace(*ELSEWHERE)
        it = await world(config.replace("TOKENS", str(server.port)))

        async def call(caller: str) -> None:
            answer = await it.gateway.ask(get(f"/orders/{caller[:9]}", token=caller))
            assert answer.status == 200

        await asyncio.gather(*(call(caller) for caller in callers * 3))
    assert len(it.upstream.seen) == 36
    for seen in it.upstream.seen:
        who = seen.line.split(b" ")[1].rsplit(b"/", 1)[1]
        assert seen.values(b"authorization") == [b"Bearer issued-for-" + who]
    subjects = {line["path"]: line["subject"]["sub"] for line in await it.gateway.receipt_lines()}
    assert subjects == {f"/orders/{caller[:9]}": caller[:9] for caller in callers}


async def test_an_assertion_is_passed_by_its_type(world: MakeWorld) -> None:
    assertion = "PHNhbWxwOlJlc3BvbnNlPmNhbmFyeTwvc2FtbHA6UmVzcG9uc2U-"
    config = VOUCHED.replace("token_profile: opaque", "token_profile: opaque\n    subject_token_type: saml2")
    config = config.replace(*ELSEWHERE)
    async with scripted_server() as server:

        async def answer(asked: Asked) -> bytes:
            if "token" in asked.form:
                return said("alice", token_type="saml2")
            return replied(
                {
                    "access_token": "issued-opaque-token",
                    "token_type": "Bearer",
                    "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
                    "expires_in": 300,
                }
            )

        server.reply = answer
        it = await world(config.replace("TOKENS", str(server.port)))
        assert (await it.gateway.ask(get(token=assertion))).status == 200
        introspected, exchanged = server.asked
    assert introspected.form == {"token": assertion}
    assert exchanged.form["subject_token"] == assertion
    assert exchanged.form["subject_token_type"] == "urn:ietf:params:oauth:token-type:saml2"
    assert assertion.encode() not in it.upstream.bytes


async def test_a_withdrawn_jwt_stops_within_max_age(world: MakeWorld) -> None:
    """The signature is still good; its issuer says that the token is not."""
    config = CONFIG.replace(
        "  corp: {issuer: ISSUER, audience: [orders-gateway]}",
        f"""  corp:
    issuer: ISSUER
    audience: [orders-gateway]
    introspection: {{endpoint: 'http://127.0.0.1:TOKENS/introspect', client_auth: {CLIENT}, max_age: 0s}}""",
    )
    async with scripted_server() as vouching:
        vouching.reply = replied({"active": True})
        it: World = await world(config.replace("TOKENS", str(vouching.port)))
        token = it.sts.mint()
        assert (await it.gateway.ask(get(token=token))).status == 200
        vouching.reply = replied(json.dumps({"active": False}).encode())
        assert (await it.gateway.ask(get(token=token))).status == 401


BY_ISSUER = CONFIG.replace(
    "authorization_servers:",
    f"""  partner: {{issuer: 'https://partner.example', audience: [orders-gateway], jwks_uri: 'ISSUER/jwks'}}
authorization_servers:
  partner: {{token_endpoint: 'http://127.0.0.1:TOKENS/token', client_auth: {CLIENT}}}""",
).replace(
    "    exchange: {audience",
    "    subject: {issuers: [corp, partner]}\n"
    "    exchange: {authorization_server: {by_issuer: {corp: corp, partner: partner}}, audience",
)


async def test_the_subject_tokens_issuer_chooses_the_server(world: MakeWorld) -> None:
    """Of two people who are called the same, each is exchanged at home."""
    async with scripted_server() as partner:
        it = await world(BY_ISSUER.replace("TOKENS", str(partner.port)))
        ours, theirs = it.sts.mint("alice"), it.sts.mint("alice", iss="https://partner.example")
        for token in (ours, theirs, ours, theirs):
            assert (await it.gateway.ask(get(token=token))).status == 200
        assert [asked.form["subject_token"] for asked in partner.asked] == [theirs]
        assert it.sts.exchanges == 1
    authorizations = [seen.values(b"authorization")[0] for seen in it.upstream.seen]
    assert authorizations[0] == authorizations[2]
    assert authorizations[1] == authorizations[3] == b"Bearer issued-opaque-token"
    lines = await it.gateway.receipt_lines()
    assert [line["authorization_server"] for line in lines if line["event"] == "exchange"] == ["corp", "partner"]
    metrics = await it.gateway.metrics()
    for server in ("corp", "partner"):
        series = f'{{authorization_server="{server}",outcome="success",route="orders"}} 1.0'
        assert f"token_sidecar_exchanges_total{series}" in metrics


async def test_a_server_that_is_down_is_so_for_its_issuer_alone(world: MakeWorld) -> None:
    it = await world(BY_ISSUER.replace("TOKENS", "1"))
    assert 'outcome="success",route="orders"} 0.0' in await it.gateway.metrics()
    assert (await it.gateway.ask(get(token=it.sts.mint()))).status == 200
    answer = await it.gateway.ask(get(token=it.sts.mint(iss="https://partner.example")))
    assert (answer.status, answer.kind) == (503, "exchange-unavailable")
    refusal = (await it.gateway.receipt_lines())[-1]
    assert (refusal["event"], refusal["authorization_server"]) == ("refusal", "partner")


#: Issued tokens are opaque, and their server says what they are.
TELLING = CONFIG.replace("    client_auth: {method", "    verify_issued: introspection\n    client_auth: {method", 1)


async def test_an_opaque_issued_token_is_held_against_what_its_server_says(world: MakeWorld) -> None:
    it = await world(TELLING, server=opaque_config)
    for _ in range(2):
        assert (await it.gateway.ask(get(token=it.sts.mint(jti="same")))).status == 200
    [authorization] = it.upstream.last.values(b"authorization")
    assert b"." not in authorization
    lines = await it.gateway.receipt_lines()
    assert lines[0]["issued_token"]["audience"] == ["orders-api"]
    assert lines[0]["semantics"] == "delegation"
    assert lines[0]["actor"] == [{"iss": it.sts.issuer, "sub": "gateway"}]


async def test_one_that_is_not_as_the_route_expects_does_not_leave(world: MakeWorld) -> None:
    config = TELLING.replace("scope: [orders.read]}", "scope: [orders.read], semantics: impersonation}")
    it = await world(config, server=opaque_config)
    answer = await it.gateway.ask(get(token=it.sts.mint()))
    assert (answer.status, answer.kind) == (502, "exchange-unusable")
    assert not it.upstream.seen
