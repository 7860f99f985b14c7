"""A flush of a whole gateway, by its control socket: every memory forgets what was selected, and nothing else."""

import asyncio
import json
import stat
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sidecar.config.load import load
from sidecar.sts.config import ANYONE, Config, OwnToken, Policy
from tests.support.gateway import Answer, RunningGateway, get, read_answer, recording_upstream, running_gateway
from tests.support.sts import GATEWAY_SECRET, RunningSts, default_config, running_sts

BOUND = 10
CONFIG = """
gateway: {listen: '127.0.0.1:0'}
admin: {listen: '127.0.0.1:0', control: 'unix:SOCKET'}
trusted_issuers:
  corp: {issuer: ISSUER, audience: [orders-gateway], introspection: {client_auth: CLIENT, max_age: 1h}}
authorization_servers:
  corp: {issuer: ISSUER, client_auth: CLIENT}
  second: {issuer: ISSUER, client_auth: CLIENT}
workload_tokens:
  self: {client_credentials: {authorization_server: second}}
routes:
  - name: orders
    match: {path_prefix: /orders}
    upstream: {url: 'http://127.0.0.1:PORT'}
    exchange: {authorization_server: corp, audience: [orders-api], scope: [orders.read]}
  - name: echo
    match: {path_prefix: /echo}
    upstream: {url: 'http://127.0.0.1:PORT'}
    exchange: {authorization_server: second, audience: [echo-api], scope: [echo]}
  - name: own
    match: {path_prefix: /own}
    upstream: {url: 'http://127.0.0.1:PORT'}
    subject: {issuers: [corp]}
    exchange: {authorization_server: corp, audience: [own-api], scope: [own], subject_token: self}
  - name: health
    match: {path: /healthz}
    upstream: {url: 'http://127.0.0.1:PORT'}
    exchange: none
"""


def server(issuer: str) -> Config:
    config = default_config(issuer)
    clients = tuple(
        replace(client, own_token=OwnToken("gateway", ("orders-gateway",), ("own",)))
        if client.client_id == "gateway"
        else client
        for client in config.clients
    )
    own = Policy("gateway", (ANYONE,), ("own-api",), ("own",), semantics=None)
    return replace(config, clients=clients, policies=(*config.policies, own))


class World:
    def __init__(self, gateway: RunningGateway, sts: RunningSts, control: Path) -> None:
        self.gateway = gateway
        self.sts = sts
        self.control = control

    async def flush(self, **what: Any) -> Answer:
        body = json.dumps(what).encode()
        async with asyncio.timeout(BOUND):
            reader, writer = await asyncio.open_unix_connection(self.control)
            writer.write(b"POST /flush HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            try:
                return await read_answer(reader)
            finally:
                writer.close()

    async def dropped(self, **what: Any) -> dict[str, int]:
        """What a flush dropped, but for what it had none of."""
        answer = await self.flush(**what)
        assert answer.status == 200
        return {name: number for name, number in answer.json()["dropped"].items() if number}

    async def fetched(self, target: str, token: str | None) -> int:
        """How many exchanges and questions a good request took."""
        before = len(self.sts.audit)
        assert (await self.gateway.ask(get(target, token=token))).status == 200
        return len(self.sts.audit) - before


@asynccontextmanager
async def world(folder: Path, config: str = CONFIG) -> AsyncIterator[World]:
    async with running_sts(server) as sts, recording_upstream() as upstream:
        (folder / "gateway.secret").write_text(GATEWAY_SECRET)
        with tempfile.TemporaryDirectory() as short:  # a socket's path must be short
            control = Path(short) / "control.sock"
            client = "{method: client_secret_basic, client_id: gateway, client_secret_file: gateway.secret}"
            text = config.replace("SOCKET", str(control)).replace("CLIENT", client)
            text = text.replace("ISSUER", sts.issuer).replace("PORT", str(upstream.port))
            async with running_gateway(folder, text) as gateway:
                yield World(gateway, sts, control)


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


async def warm(it: World) -> dict[tuple[str, str], str | None]:
    """Have everything cached that two people and the gateway itself need; by target and who, the token."""
    people = {name: it.sts.mint(name) for name in ("alice", "user-1")}
    uses = {(target, name): token for target in ("/orders", "/echo") for name, token in people.items()}
    every: dict[tuple[str, str], str | None] = {**uses, ("/own", "gateway"): people["alice"]}
    for (target, _), token in every.items():
        await it.fetched(target, token)
    for (target, _), token in every.items():
        assert await it.fetched(target, token) == 0
    return every


async def cold(it: World, every: dict[tuple[str, str], str | None]) -> set[tuple[str, str]]:
    """Which of these have to be fetched anew."""
    return {use for use, token in every.items() if await it.fetched(use[0], token)}


async def test_a_subject(it: World) -> None:
    every = await warm(it)
    dropped = await it.dropped(subject=["corp", "alice"])
    assert dropped == {"issued_tokens": 2, "verified_tokens": 1, "introspections": 1}
    # The own route's caller is alice, too: that she is still in is asked anew, the gateway's own token is kept.
    assert await cold(it, every) == {("/orders", "alice"), ("/echo", "alice")}


async def test_an_issuer_by_its_name_or_its_iss(it: World) -> None:
    every = await warm(it)
    people = {use for use in every if use[1] != "gateway"}
    for name in ("corp", it.sts.issuer):
        dropped = await it.dropped(issuer=name)
        assert dropped == {"issued_tokens": 5, "verified_tokens": 2, "introspections": 2}
        assert await cold(it, every) >= people
        assert await cold(it, every) == set()


async def test_a_route(it: World) -> None:
    every = await warm(it)
    assert await it.dropped(route="orders") == {"issued_tokens": 2}
    assert await cold(it, every) == {("/orders", "alice"), ("/orders", "user-1")}
    assert await it.dropped(route="health") == {}


async def test_a_server(it: World) -> None:
    every = await warm(it)
    assert await it.dropped(server="second") == {"issued_tokens": 2, "workload_tokens": 1}
    assert await cold(it, every) == {("/echo", "alice"), ("/echo", "user-1"), ("/own", "gateway")}


async def test_everything(it: World) -> None:
    every = await warm(it)
    dropped = await it.dropped(all=True)
    assert dropped == {"issued_tokens": 5, "verified_tokens": 2, "introspections": 2, "workload_tokens": 1}
    assert await cold(it, every) == set(every)
    scrape = await it.gateway.metrics()
    assert 'token_sidecar_cache_evictions_total{reason="flush"} 5.0' in scrape


@pytest.mark.parametrize(
    ("what", "detail"),
    [
        ({"route": "order"}, "There is no route of this name."),
        ({"server": "crop"}, "There is no authorization server of this name."),
        ({"issuer": "https://login.example/"}, "There is no trusted issuer of this name, or with this iss."),
        ({"subject": ["crop", "alice"]}, "There is no trusted issuer of this name, or with this iss."),
    ],
)
async def test_a_slip_of_the_pen_is_not_taken_for_success(it: World, what: dict[str, Any], detail: str) -> None:
    every = await warm(it)
    answer = await it.flush(**what)
    assert (answer.status, answer.json()["detail"]) == (404, detail)
    assert await cold(it, every) == set()
    assert [line for line in await it.gateway.receipt_lines() if line["event"] == "flush"] == []


async def test_each_flush_is_on_record(it: World) -> None:
    await warm(it)
    answer = await it.flush(subject=["corp", "alice"])
    (line,) = [line for line in await it.gateway.receipt_lines() if line["event"] == "flush"]
    assert line["request_id"] == answer.value("x-request-id")
    assert line["subject"] == {"iss": it.sts.issuer, "sub": "alice"}
    assert line["flushed"] == answer.json()["dropped"]


async def test_the_socket_follows_the_configuration(it: World, tmp_path: Path) -> None:
    assert stat.S_IMODE(it.control.stat().st_mode) == 0o600
    path = tmp_path / "routes.yaml"
    text = path.read_text()
    moved = it.control.with_name("moved.sock")
    path.write_text(text.replace(str(it.control), str(moved)))
    await it.gateway.app.reload(load(path))
    assert (it.control.exists(), stat.S_IMODE(moved.stat().st_mode)) == (False, 0o600)
    it.control = moved
    assert await it.dropped(all=True) == {}
    path.write_text(text.replace(f", control: 'unix:{moved.with_name('control.sock')}'", ""))
    await it.gateway.app.reload(load(path))
    assert not moved.exists()


async def test_a_gateway_that_ends_takes_its_socket_along(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        control = it.control
        await it.gateway.app.drain()
        assert await it.dropped(all=True) == {}, "as long as requests are under way"
        await it.gateway.app.close()
        assert not control.exists()
