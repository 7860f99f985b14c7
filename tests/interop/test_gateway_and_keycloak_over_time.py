"""The gateway while Keycloak changes: away and back, not there yet, another signing key, tokens that expire.

Stopping and starting it takes ten seconds: each test that does so holds all that one outage can show.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sidecar.oauth import jwt
from tests.interop.conftest import MakeWorld
from tests.interop.keycloak import Keycloak
from tests.interop.world import World
from tests.support.gateway import Answer, ask, get

pytestmark = pytest.mark.interop

TRIES = 5


@asynccontextmanager
async def outage(keycloak: Keycloak) -> AsyncIterator[None]:
    """Keycloak is down for the block, while everything else runs on."""
    await asyncio.to_thread(keycloak.stop)
    try:
        yield
    finally:
        await asyncio.to_thread(keycloak.start)


def retry_after(answer: Answer) -> int:
    """How many seconds a 503 tells the caller to wait."""
    seconds = int(answer.value("retry-after") or "")
    assert 1 <= seconds <= 30
    return seconds


async def served(here: World, token: str, answer: Answer) -> Answer:
    """Ask again, as often as a patient caller would, each time when it was told to."""
    for _ in range(TRIES):
        await asyncio.sleep(retry_after(answer))
        answer = await here.call(token)
        if answer.status != 503:
            break
    return answer


async def test_an_outage_is_felt_by_new_users_only(keycloak: Keycloak, world: MakeWorld) -> None:
    here = await world("stock", discover=True)
    known, new = keycloak.user_token("stock"), keycloak.user_token("stock", "bob", "bob")
    assert (await here.call(known)).status == 200
    async with outage(keycloak):
        assert (await here.call(known)).status == 200
        cold = await here.call(new)
        assert (cold.status, cold.kind) == (503, "exchange-unavailable")
        retry_after(cold)
        assert (await ask(here.gateway.port("admin"), get("/readyz"))).status == 200
        assert len(here.upstream.seen) == 2
        assert await here.count("token_sidecar_authorization_server_available") == 0
        assert await here.count("token_sidecar_exchanges_total", outcome="exchange-unavailable") == 1
        assert (await here.receipts("exchange"))[-1]["decision"] == "exchange-unavailable"
        assert (await here.receipts("refusal"))[-1]["status"] == 503
        assert [use["cache"] for use in await here.receipts("use")] == ["miss", "hit"]

        cold = await here.call(new)
        assert cold.status == 503
    assert (await served(here, new, cold)).status == 200
    assert here.forwarded["sub"] == jwt.peek(new).claims["sub"]
    assert await here.count("token_sidecar_authorization_server_available") == 1
    assert (await here.call(known)).status == 200
    assert (await here.receipts("use"))[-1]["cache"] == "hit"


async def test_a_gateway_that_was_there_first(keycloak: Keycloak, world: MakeWorld) -> None:
    token = keycloak.user_token("stock")
    async with outage(keycloak):
        here = await world("stock", discover=True)
        assert (await ask(here.gateway.port("admin"), get("/readyz"))).status == 200
        early = await here.call(token)
        assert (early.status, early.kind) == (503, "issuer-unavailable")
        assert await here.count("token_sidecar_trusted_issuer_available", issuer="keycloak") == 0
        assert await here.count("token_sidecar_exchanges_total") == 0
    assert (await served(here, token, early)).status == 200
    assert here.forwarded["aud"] == "orders-api"
    assert await here.count("token_sidecar_trusted_issuer_available", issuer="keycloak") == 1


async def test_a_new_signing_key_counts_at_once(keycloak: Keycloak, world: MakeWorld) -> None:
    here = await world("stock")
    seen, unseen = keycloak.user_token("stock"), keycloak.user_token("stock", "bob", "bob")
    assert (await here.call(seen)).status == 200
    before = jwt.peek(seen).header["kid"]
    assert await here.count("token_sidecar_jwks_refreshes_total", issuer="keycloak") == 1

    with keycloak.new_signing_key("stock"):
        renewed = keycloak.user_token("stock")
        assert jwt.peek(renewed).header["kid"] != before
        assert (await here.call(renewed)).status == 200
        assert await here.count("token_sidecar_jwks_refreshes_total", issuer="keycloak", outcome="success") == 2
        (authorization,) = here.upstream.last.values(b"authorization")
        assert jwt.peek(authorization.removeprefix(b"Bearer ").decode()).header["kid"] != before

        for old in (seen, unseen):
            assert (await here.call(old)).status == 200
        assert await here.count("token_sidecar_jwks_refreshes_total", issuer="keycloak") == 2
    assert [use["cache"] for use in await here.receipts("use")] == ["miss", "miss", "hit", "miss"]
    assert {receipt["decision"] for receipt in await here.receipts("exchange")} == {"allowed"}


async def test_a_token_that_has_expired_is_not_saved_by_our_leeway(keycloak: Keycloak, world: MakeWorld) -> None:
    """We would let it pass for 30 seconds more, since clocks differ; Keycloak has the last word, and no cache."""
    here = await world("stock")
    brief = keycloak.user_token("stock", client="cli-brief")
    assert (await here.call(brief)).status == 200
    assert here.forwarded["exp"] > jwt.peek(brief).claims["exp"]  # what was issued would still be good
    for _ in range(150):
        if (answer := await here.call(brief)).status != 200:
            break
        await asyncio.sleep(0.1)
    assert (answer.status, answer.kind) == (401, "invalid-token")
    refused = (await here.receipts("exchange"))[-1]
    assert refused["decision"] == "invalid-token"
    assert "400 invalid_request" in refused["finding"]
    asked = here.tap.requests
    assert (await here.call(brief)).status == 401
    assert here.tap.requests == asked
