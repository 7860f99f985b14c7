"""Step-up, actors and ``may_act`` end to end: what may not be exchanged isn't, also where a token is in the cache."""

import json
from typing import Any

import pytest

from sidecar.model.refusal import Kind
from tests.faces.conftest import CONFIG, MakeWorld
from tests.support import scripted
from tests.support.canary import Canary, search
from tests.support.gateway import get
from tests.support.scripted import replied, scripted_server

GOVERNED = CONFIG.replace(
    "    exchange: {audience",
    "    subject: {acr_values: [hw, mfa], max_age: 5m, allowed_actors: ['agent-*'], max_actor_depth: 2}\n"
    "    exchange: {audience",
    1,
)
#: Before the route that is governed, one that is not, and asks for the same token.
BESIDE = GOVERNED.replace(
    "routes:\n",
    """routes:
  - name: free
    match: {path_prefix: /free}
    upstream: {url: 'http://127.0.0.1:PORT'}
    exchange: {audience: [orders-api], scope: [orders.read]}
""",
)
DEMAND = 'error="insufficient_user_authentication", acr_values="hw mfa", max_age="300"'


def nested(depth: int) -> dict[str, Any]:
    chain: dict[str, Any] = {"sub": "agent-0"}
    for number in range(1, depth):
        chain = {"sub": f"agent-{number}", "act": chain}
    return chain


#: Claims of a token, by what becomes of it: None where it goes on. ``now`` stands for the time.
TOKENS: dict[str, tuple[dict[str, Any], Kind | None]] = {
    "good": ({}, None),
    "another good class": ({"acr": "hw"}, None),
    "a weak login": ({"acr": "pwd"}, Kind.STEP_UP_REQUIRED),
    "no class": ({"acr": None}, Kind.STEP_UP_REQUIRED),
    "a class that is a list": ({"acr": ["mfa"]}, Kind.STEP_UP_REQUIRED),
    "two classes in one": ({"acr": "hw mfa"}, Kind.STEP_UP_REQUIRED),
    "an old login": ({"auth_time": "now-301"}, Kind.STEP_UP_REQUIRED),
    "a login to come": ({"auth_time": "now+300"}, Kind.STEP_UP_REQUIRED),
    "no time of login": ({"auth_time": None}, Kind.STEP_UP_REQUIRED),
    "a login before time began": ({"auth_time": -1}, Kind.STEP_UP_REQUIRED),
    "a part of a second": ({"auth_time": "now-0.5"}, Kind.STEP_UP_REQUIRED),
    "true for a time": ({"auth_time": True}, Kind.STEP_UP_REQUIRED),
    "text for a time": ({"auth_time": "1700000000"}, Kind.STEP_UP_REQUIRED),
    "a list for a time": ({"auth_time": [1]}, Kind.STEP_UP_REQUIRED),
    "a time beyond all": ({"auth_time": 10**18}, Kind.STEP_UP_REQUIRED),
    "an allowed actor": ({"act": {"sub": "agent-7"}}, None),
    "a chain, an allowed actor first": ({"act": {"sub": "agent-7", "act": {"sub": "bot"}}}, None),
    "a chain, an allowed actor last": ({"act": {"sub": "bot", "act": {"sub": "agent-7"}}}, Kind.POLICY_DENIED),
    "another issuer's actor": ({"act": {"iss": "https://other", "sub": "agent-7"}}, Kind.POLICY_DENIED),
    "almost an allowed actor": ({"act": {"sub": "agent-"}}, Kind.POLICY_DENIED),
    "too long a chain": ({"act": nested(3)}, Kind.POLICY_DENIED),
    "a chain beyond all": ({"act": nested(40)}, Kind.INVALID_TOKEN),
    "an actor that is a list": ({"act": [{"sub": "agent-7"}]}, Kind.INVALID_TOKEN),
    "an actor that is text": ({"act": "agent-7"}, Kind.INVALID_TOKEN),
    "an actor without sub": ({"act": {"iss": "https://other"}}, Kind.INVALID_TOKEN),
    "an actor of a null issuer": ({"act": {"iss": None, "sub": "agent-7"}}, Kind.INVALID_TOKEN),
    "we may act": ({"may_act": {"sub": "gateway"}}, None),
    "we may act, by client id": ({"may_act": {"client_id": "gateway"}}, None),
    "somebody else may act": ({"may_act": {"sub": "other"}}, Kind.POLICY_DENIED),
    "our namesake may act": ({"may_act": {"iss": "https://other", "sub": "gateway"}}, Kind.POLICY_DENIED),
    "we and more": ({"may_act": {"sub": "gateway", "tenant": "a"}}, Kind.POLICY_DENIED),
    "nobody may act": ({"may_act": {}}, Kind.POLICY_DENIED),
    "null may act": ({"may_act": None}, None),  # minted without the claim
    "a list may act": ({"may_act": ["gateway"]}, Kind.POLICY_DENIED),
}


def claims(wanted: dict[str, Any], now: int) -> dict[str, Any]:
    found = {"acr": "mfa", "auth_time": now - 10, **wanted}
    if isinstance(time := found["auth_time"], str) and time.startswith("now"):
        offset = float(time.removeprefix("now"))
        found["auth_time"] = now + (int(offset) if offset.is_integer() else offset)
    return found


@pytest.mark.parametrize("name", TOKENS)
async def test_what_may_not_be_exchanged_is_not_though_a_token_is_kept(name: str, world: MakeWorld) -> None:
    wanted, kind = TOKENS[name]
    here = await world(BESIDE)
    token = here.sts.mint(**claims(wanted, int(here.sts.clock.wall())))
    free = await here.gateway.ask(get("/free", token=token))  # where policy allows it, it is in the cache from here on
    forwarded, exchanges = len(here.upstream.seen), here.sts.exchanges
    answer = await here.gateway.ask(get(token=token))
    assert (answer.status, answer.kind if kind else None) == (
        (200, None) if kind is None else (answer.status, kind.value)
    )
    assert here.sts.exchanges == exchanges  # a hit, or nothing at all
    assert len(here.upstream.seen) - forwarded == (kind is None)
    if kind is Kind.STEP_UP_REQUIRED:
        assert (free.status, answer.status) == (200, 401)
        assert answer.value("www-authenticate") == f'Bearer realm="token-exchange-sidecar", {DEMAND}'
        line = (await here.gateway.receipt_lines())[-1]
        assert (line["decision"], line["step_up"]) == (kind.value, {"acr_values": ["hw", "mfa"], "max_age": 300})


async def test_a_hit_grows_too_old(world: MakeWorld) -> None:
    """The login of a kept token goes on ageing; a new one of the same person opens the way again."""
    here = await world(GOVERNED)
    now = int(here.sts.clock.wall())
    young, old = (here.sts.mint(acr="mfa", auth_time=now - age) for age in (0, 600))
    statuses = [(await here.gateway.ask(get(token=token))).status for token in (young, old, young)]
    assert statuses == [200, 401, 200]
    assert here.sts.exchanges == 1


async def test_the_servers_own_demand_is_relayed(world: MakeWorld) -> None:
    canary = Canary.fresh("server-text")
    async with scripted_server() as server:
        here = await world(scripted.CONFIG.replace("TOKENS", str(server.port)))
        body = {"error": "interaction_required", "error_description": canary.text, "acr_values": "c1 c2", "max_age": 60}
        server.reply = replied({**body, "claims": json.dumps({"a": canary.text})}, status=b"400 Bad Request")
        answer = await here.gateway.ask(get(token=here.sts.mint()))
        assert (answer.status, answer.kind) == (401, Kind.STEP_UP_REQUIRED.value)
        assert answer.value("www-authenticate") == (
            'Bearer realm="token-exchange-sidecar", error="insufficient_user_authentication", '
            'acr_values="c1 c2", max_age="60"'
        )
        assert search(answer.raw, canary.text) == []
        server.reply = replied({"error": "invalid_scope"}, status=b"400 Bad Request")
        answer = await here.gateway.ask(get(token=here.sts.mint()))
        assert answer.value("www-authenticate") == (
            'Bearer realm="token-exchange-sidecar", error="insufficient_scope", scope="orders.read"'
        )
        assert here.upstream.seen == []
