"""Tokens of ours, end to end: as actor, as subject of a call without a user, and out of a trusted hop's hands."""

import asyncio
from typing import Any

import pytest

from sidecar.oauth.jwt import peek
from tests.faces.conftest import CONFIG, MakeWorld
from tests.support.canary import Canary, search
from tests.support.gateway import get
from tests.support.scripted import Asked, granted, refused, scripted_server

AGENT = """  agent:
    issuer: ISSUER
    client_auth: {method: client_secret_basic, client_id: agent-7, client_secret_file: agent.secret}
"""
TOKENS = "workload_tokens:\n  self: {client_credentials: {authorization_server: agent, scope: [act]}}\n"
#: The agent's own token, by client_credentials, as actor.
ACTING = CONFIG.replace("routes:", AGENT + TOKENS + "routes:").replace(
    "exchange: {audience", "exchange: {authorization_server: corp, actor_token: self, audience"
)
#: No user at all: on the way out the agent calls for itself.
ALONE = """
gateway: {listeners: {default: {listen: '127.0.0.1:0', direction: egress}}}
authorization_servers:
  corp: {token_endpoint: 'http://127.0.0.1:TOKENS/token', client_auth: {method: none, client_id: gateway}}
workload_tokens:
  self: {client_credentials: {scope: [act]}}
routes:
  - name: orders
    match: {path_prefix: /orders}
    upstream: {url: 'http://127.0.0.1:PORT'}
    exchange: {subject_token: self, audience: [orders-api]}
"""
BORNE = """
gateway: {listen: '127.0.0.1:0', trusted_proxies: [PROXY]}
trusted_issuers:
  corp: {issuer: ISSUER, audience: [orders-gateway]}
authorization_servers:
  corp:
    issuer: ISSUER
    client_auth: {method: client_secret_basic, client_id: gateway, client_secret_file: gateway.secret}
workload_tokens:
  agent: {header: X-Agent-Token, issuer: corp}
routes:
  - name: orders
    match: {path_prefix: /orders}
    upstream: {url: 'http://127.0.0.1:PORT'}
    exchange: {actor_token: agent, audience: [orders-api], scope: [orders.read]}
  - name: public
    match: {path_prefix: /public}
    upstream: {url: 'http://127.0.0.1:PORT'}
    exchange: none
"""


async def test_a_call_without_a_user(world: MakeWorld) -> None:
    own_token = Canary.fresh("own-token").text

    async def answer(asked: Asked) -> bytes:
        if asked.form["grant_type"] == "client_credentials":
            return granted(own_token, issued_token_type=None)
        return granted("issued-opaque-token")

    async with scripted_server() as server:
        server.reply = answer
        it = await world(ALONE.replace("TOKENS", str(server.port)))
        for request in (get(), get(token="somebody-elses-token"), get("/orders/2", b"Authorization: Basic YTpi")):
            assert (await it.gateway.ask(request)).status == 200
        first, second = server.asked
    assert first.form == {"grant_type": "client_credentials", "scope": "act", "client_id": "gateway"}
    assert second.form["subject_token"] == own_token
    for seen in it.upstream.seen:
        assert seen.values(b"authorization") == [b"Bearer issued-opaque-token"]
    assert b"somebody-elses-token" not in it.upstream.bytes
    lines = await it.gateway.receipt_lines()
    assert {line["subject_source"] for line in lines} == {"workload"}
    assert lines[0]["subject"] == {"sub": "self"}
    assert not search(it.gateway.receipts + bytes(it.upstream.bytes), own_token)


async def test_what_cant_be_had_is_not_the_callers_fault(world: MakeWorld) -> None:
    async with scripted_server() as server:
        it = await world(ALONE.replace("TOKENS", str(server.port)))
        for reply, status, kind in (
            (refused("invalid_client", status=b"401 Unauthorized"), 502, "exchange-misconfigured"),
            (refused("temporarily_unavailable", status=b"503 No"), 503, "exchange-unavailable"),
            (granted("x", token_type="DPoP"), 502, "exchange-unusable"),
        ):
            server.reply = reply
            answer = await it.gateway.ask(get())
            assert (answer.status, answer.kind) == (status, kind)
        assert not it.upstream.seen


async def test_a_hundred_calls_at_once_ask_for_one_token_each(world: MakeWorld) -> None:
    async def answer(asked: Asked) -> bytes:
        await asyncio.sleep(0.01)
        return granted("issued-opaque-token" if "subject_token" in asked.form else "our-own-token")

    async with scripted_server() as server:
        server.reply = answer
        it = await world(ALONE.replace("TOKENS", str(server.port)))
        answers = await asyncio.gather(*(it.gateway.ask(get()) for _ in range(100)))
        assert {answer.status for answer in answers} == {200}
        assert [asked.form["grant_type"] for asked in server.asked].count("client_credentials") == 1
        assert len(server.asked) == 2


async def test_on_the_way_in_the_caller_is_verified_all_the_same(world: MakeWorld) -> None:
    config = CONFIG.replace("gateway:", "workload_tokens: {self: {file: gateway.secret, type: jwt}}\ngateway:")
    config = config.replace(
        "issuer: ISSUER\n    client_auth", "token_endpoint: 'http://127.0.0.1:TOKENS/token'\n    client_auth"
    )
    config = config.replace(
        "exchange: {audience: [orders-api], scope: [orders.read]}",
        "subject: {issuers: [corp], require_scope: [orders.read]}\n"
        "    exchange: {subject_token: self, audience: [orders-api]}",
    ).replace("self: {file: gateway.secret", "self: {file: own.token")
    async with scripted_server() as server:
        it = await world(config.replace("TOKENS", str(server.port)))
        assert (await it.gateway.ask(get())).status == 401
        assert (await it.gateway.ask(get(token=it.sts.mint(scope="other")))).status == 403
        assert server.asked == []
        alice, bob = it.sts.mint("alice"), it.sts.mint("bob")
        for token in (alice, bob):
            assert (await it.gateway.ask(get(token=token))).status == 200
        [asked] = server.asked
        assert asked.form["subject_token"] == "our-own-file-token"
    uses = [line for line in await it.gateway.receipt_lines() if line["event"] == "use"]
    assert [line["subject_source"] for line in uses] == ["workload", "workload"]
    assert [line["caller"]["sub"] for line in uses] == ["alice", "bob"]
    assert [line["caller_token"]["id"] for line in uses] == [
        f"jti:{peek(token).claims['jti']}" for token in (alice, bob)
    ]
    assert len({line["subject_token"]["id"] for line in uses}) == 1


async def test_our_own_token_as_actor(world: MakeWorld) -> None:
    it = await world(ACTING)
    for _ in range(2):
        assert (await it.gateway.ask(get(token=it.sts.mint(jti="same")))).status == 200
    [authorization] = it.upstream.last.values(b"authorization")
    issued = peek(authorization.removeprefix(b"Bearer ").decode()).claims
    assert (issued["sub"], issued["act"]["sub"]) == ("alice", "agent-7")
    assert [line.grant for line in it.sts.audit].count("client_credentials") == 1


async def test_a_trusted_hop_says_who_acts(world: MakeWorld) -> None:
    it = await world(BORNE.replace("PROXY", "127.0.0.1"))
    alice = it.sts.mint("alice")
    for agent in ("agent-7", "agent-8"):
        field = b"X-Agent-Token: " + it.sts.mint(agent, scope=None).encode()
        assert (await it.gateway.ask(get("/orders/1", field, token=alice))).status == 200
        assert not it.upstream.last.values(b"x-agent-token")
        [authorization] = it.upstream.last.values(b"authorization")
        issued = peek(authorization.removeprefix(b"Bearer ").decode()).claims
        assert (issued["sub"], issued["act"]["sub"]) == ("alice", agent)
    assert it.sts.exchanges == 2  # one for each who acts
    lines = await it.gateway.receipt_lines()
    assert [line["actor"][0]["sub"] for line in lines if line["event"] == "use"] == ["agent-7", "agent-8"]


@pytest.mark.parametrize("claims", [{"lifetime": -60}, {"aud": "x"}, {"iss": "https://evil.example"}, {"nonce": "n"}])
async def test_who_acts_is_verified_as_a_caller_is(world: MakeWorld, claims: dict[str, Any]) -> None:
    it = await world(BORNE.replace("PROXY", "127.0.0.1"))
    field = b"X-Agent-Token: " + it.sts.mint("agent-7", **claims).encode()
    answer = await it.gateway.ask(get("/orders/1", field, token=it.sts.mint()))
    assert (answer.status, answer.kind, it.sts.exchanges) == (401, "invalid-token", 0)
    assert not it.upstream.seen


async def test_whoever_is_no_trusted_hop_says_nothing(world: MakeWorld) -> None:
    it = await world(BORNE.replace("PROXY", "10.0.0.1"))
    agent = it.sts.mint("agent-7")
    field = b"X-Agent-Token: " + agent.encode()
    answer = await it.gateway.ask(get("/orders/1", field, token=it.sts.mint()))
    assert (answer.status, answer.kind, it.sts.exchanges) == (401, "missing-token", 0)
    assert (await it.gateway.ask(get("/public/1", field))).status == 200
    assert agent.encode() not in it.upstream.bytes
    assert (await it.gateway.ask(get("/public/1", field.replace(b"-", b"_", 2)))).status == 400


@pytest.mark.threat("S3")
async def test_who_acts_in_a_second_place(world: MakeWorld) -> None:
    it = await world(BORNE.replace("PROXY", "127.0.0.1"))
    agent = it.sts.mint("agent-7").encode()
    fields = (b"X-Agent-Token: " + agent, b"X-Other: " + agent)
    answer = await it.gateway.ask(get("/orders/1", *fields, token=it.sts.mint()))
    assert (answer.status, answer.kind) == (400, "invalid-request")
    assert not it.upstream.seen
