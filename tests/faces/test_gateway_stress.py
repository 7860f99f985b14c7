"""An authorization server in trouble, end to end: who is served, who is told to wait, and how much it is asked."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tests.faces.conftest import CONFIG, MakeWorld, World
from tests.oauth.peers import never, raw_peer
from tests.support import scripted
from tests.support.gateway import Answer, get
from tests.support.scripted import Asked, ScriptedServer, granted, refused, replied, scripted_server

SERVER = '{authorization_server="corp"}'


@asynccontextmanager
async def scripted_world(
    world: MakeWorld, config: str = scripted.CONFIG
) -> AsyncIterator[tuple[World, ScriptedServer]]:
    async with scripted_server() as server:
        yield await world(config.replace("TOKENS", str(server.port))), server


async def ask(it: World, who: str) -> Answer:
    """One request by somebody; a token of theirs is theirs alone."""
    return await it.gateway.ask(get(token=it.sts.mint(who, jti=who)))


async def value(it: World, name: str) -> float:
    scrape = await it.gateway.metrics()
    [found] = re.findall(rf"^token_sidecar_{name}{re.escape(SERVER)} (\S+)$", scrape, re.MULTILINE)
    return float(found)


async def the_status(it: World) -> dict[str, object]:
    answer = await it.gateway.ask(get("/status").replace(b"api.example.com", b"localhost"), "admin")
    server: dict[str, object] = answer.json()["authorization_servers"]["corp"]
    return server


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is so, ten seconds at most."""
    async with asyncio.timeout(10):
        while not await condition():  # noqa: ASYNC110 - what is waited for happens elsewhere
            await asyncio.sleep(0.02)


async def gauges(it: World, expected: int) -> bool:
    """Whether the gauges of both peers say so."""
    scrape = await it.gateway.metrics()
    names = ("authorization_server_available", "trusted_issuer_available")
    return all(re.search(rf"^token_sidecar_{name}\S+ {expected}", scrape, re.MULTILINE) for name in names)


@pytest.mark.parametrize("failure", [replied(b"", status=b"500 Oops"), b""])
async def test_an_outage(world: MakeWorld, failure: bytes) -> None:
    """Warm users notice nothing, others are told at once, the server is left alone, and all is well afterwards."""
    async with scripted_world(world) as (it, server):
        alice = it.sts.mint("alice")
        assert (await it.gateway.ask(get(token=alice))).status == 200
        server.reply = failure
        cold = [await ask(it, f"user-{number}") for number in range(20)]
        assert {(answer.status, answer.kind) for answer in cold} == {(503, "exchange-unavailable")}
        assert {answer.value("retry-after") for answer in cold} == {"1", "2"} or cold[-1].value("retry-after")
        # Five exchanges, the few retries there are, and a probe if the second was over: not twenty.
        assert len(server.asked) - 1 <= 5 + 2 + 2
        assert await value(it, "breaker_state") in (1, 2)
        assert (await the_status(it))["breaker"] in ("open", "half-open")
        assert await value(it, "authorization_server_available") == 0
        assert (await it.gateway.ask(get(token=alice))).status == 200
        server.reply = granted()

        async def bob_is_served() -> bool:
            return (await ask(it, "bob")).status == 200

        await until(bob_is_served)
        assert await value(it, "breaker_state") == 0
        assert await value(it, "authorization_server_available") == 1
        assert [(await ask(it, f"user-{number}")).status for number in range(3)] == [200] * 3


@pytest.mark.parametrize("status", [b"429 Too Many Requests", b"503 Service Unavailable"])
async def test_a_server_that_asks_for_a_pause_has_it(world: MakeWorld, status: bytes) -> None:
    async with scripted_world(world) as (it, server):
        server.reply = refused("slow_down", b"Retry-After: 30", status=status)
        first = await ask(it, "user-0")
        server.reply = granted()
        rest = [await ask(it, f"user-{number}") for number in range(1, 30)]
        assert {answer.status for answer in [first, *rest]} == {503}
        assert {answer.value("retry-after") for answer in [first, *rest]} == {"30"}
        assert len(server.asked) == 1
        assert await value(it, "breaker_state") == 0  # it asked to be left alone, which is no failure of five


async def test_more_than_may_wait_are_told_at_once_and_the_others_are_served(world: MakeWorld) -> None:
    go = asyncio.Event()
    at_once = most = 0

    async def held(_: Asked) -> bytes:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.wait_for(go.wait(), 10)
        at_once -= 1
        return granted()

    config = scripted.CONFIG.replace("timeout: 2s", "timeout: 10s\n    max_in_flight: 2")
    async with scripted_world(world, config) as (it, server):
        server.reply = held
        asked = [asyncio.create_task(ask(it, f"user-{number}")) for number in range(10)]

        async def six_are_told() -> bool:
            return sum(task.done() for task in asked) == 6

        await until(six_are_told)
        assert (await value(it, "exchanges_in_flight"), await value(it, "exchanges_queued")) == (2, 2)
        expected = {"available": None, "breaker": "closed", "in_flight": 2, "queued": 2}
        assert (await the_status(it)).items() >= expected.items()
        go.set()
        answers = await asyncio.gather(*asked)
        refusals = [answer for answer in answers if answer.status != 200]
        assert [(answer.status, answer.kind) for answer in refusals] == [(503, "overloaded")] * 6
        assert (most, len(server.asked)) == (2, 4)
        assert (await value(it, "exchanges_in_flight"), await value(it, "exchanges_queued")) == (0, 0)


PARTNER = """
  partner: {issuer: 'http://127.0.0.1:FROZEN', audience: [orders-gateway]}
authorization_servers:
  slow:
    token_endpoint: 'http://127.0.0.1:FROZEN/token'
    timeout: 3s
    max_in_flight: 2
    client_auth: {method: none, client_id: gateway}
"""
FROZEN_ROUTE = """
  - name: slow
    match: {path_prefix: /slow}
    upstream: {url: 'http://127.0.0.1:PORT'}
    subject: {issuers: [corp]}
    exchange: {authorization_server: slow, audience: [slow-api]}
"""


async def test_a_frozen_peer_slows_no_other(world: MakeWorld) -> None:
    """An issuer and an authorization server that accept connections and say nothing."""
    config = CONFIG.replace("\nauthorization_servers:\n", PARTNER, 1) + FROZEN_ROUTE
    both = "    subject: {issuers: [corp, partner]}\n    exchange: {authorization_server: corp, audience"
    config = config.replace("    exchange: {audience", both)
    async with raw_peer(never()) as frozen:
        it = await world(config.replace("FROZEN", str(frozen.port)))
        issuer = f"http://127.0.0.1:{frozen.port}"
        unknown = [it.sts.mint(iss=issuer, jti=str(number)) for number in range(50)]
        strangers = [asyncio.create_task(it.gateway.ask(get(token=token))) for token in unknown]
        slow = [asyncio.create_task(it.gateway.ask(get("/slow", token=it.sts.mint(f"user-{n}")))) for n in range(10)]

        async def both_hang() -> bool:
            return len(frozen.seen) >= 3  # two exchanges, and whoever looks for the issuer's keys

        await until(both_hang)
        fine = [(await ask(it, f"user-{number}")).status for number in range(10)]
        assert fine == [200] * 10
        # All of that while the frozen ones are still waited for, but for those who found no place in the queue.
        assert not any(task.done() for task in strangers)
        assert sum(not task.done() for task in slow) == 4
        for task in (*strangers, *slow):
            task.cancel()
        await asyncio.gather(*strangers, *slow, return_exceptions=True)


async def test_what_is_broken_off_at_the_end_is_on_record(world: MakeWorld) -> None:
    async with scripted_world(world) as (it, server):
        asked = asyncio.Event()

        async def held(_: Asked) -> bytes:
            asked.set()
            await asyncio.Event().wait()
            return b""

        server.reply = held
        caller = asyncio.create_task(ask(it, "user-1"))
        await asyncio.wait_for(asked.wait(), 10)
        await it.gateway.app.close()
        await asyncio.gather(caller, return_exceptions=True)
        lines = [line for line in it.gateway.receipts.splitlines() if b'"event":"exchange"' in line]
        assert len(lines) == 1
        assert b'"decision":"exchange-unavailable"' in lines[0]
        assert b"user-1" in lines[0]


# --- looks in between


async def test_looks_know_before_users_do(world: MakeWorld) -> None:
    """Nobody sends a request; the gauges tell who is there."""
    config = CONFIG.replace("audience: [orders-gateway]}", "audience: [orders-gateway], probe: 100ms}")
    config = config.replace("    issuer: ISSUER\n", "    issuer: ISSUER\n    probe: 100ms\n")
    it = await world(config)

    async def both_are_there() -> bool:
        return await gauges(it, 1)

    await until(both_are_there)
    assert it.upstream.seen == []
    assert it.sts.exchanges == 0
    scrape = await it.gateway.metrics()
    assert not re.search(r"^token_sidecar_requests_total", scrape, re.MULTILINE)
    assert await it.gateway.receipt_lines() == []


async def test_looks_find_that_nobody_is_there(world: MakeWorld) -> None:
    config = CONFIG.replace("ISSUER", "'http://127.0.0.1:1'").replace(
        "audience: [orders-gateway]}", "audience: [orders-gateway], probe: 100ms}"
    )
    it = await world(config.replace("    client_auth", "    probe: 100ms\n    client_auth"))

    async def nobody_is_there() -> bool:
        return await gauges(it, 0)

    await until(nobody_is_there)
