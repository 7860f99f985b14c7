"""A whole gateway: its listeners, its probes, how it comes up and how it goes down."""

import asyncio
import json
import math
import os
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sidecar import app as tested
from sidecar.app import App, StartError
from sidecar.config.load import load
from sidecar.exchange.cache import Entry
from sidecar.exchange.schedule import Schedule
from tests.support.certificates import Authority
from tests.support.gateway import (
    BOUND,
    Answer,
    RunningGateway,
    Upstream,
    ask,
    get,
    recording_upstream,
    running_gateway,
)
from tests.support.held import ended, exchange, held_upstream, keep, once, refused, under_way
from tests.support.sts import GATEWAY_SECRET, running_sts
from tests.support.values import ABOUT, issued

ROUTES = """
routes:
  - name: orders
    match: {path_prefix: /orders}
    upstream: {url: 'http://127.0.0.1:PORT'}
    exchange: none
"""
SIMPLE = "gateway: {listen: '127.0.0.1:0', drain: {delay: 0s, grace: 10s}}" + ROUTES


@asynccontextmanager
async def gateway(folder: Path, text: str = SIMPLE) -> AsyncIterator[tuple[RunningGateway, Upstream]]:
    """A gateway and the upstream of all its routes."""
    async with (
        recording_upstream() as upstream,
        running_gateway(folder, text.replace("PORT", str(upstream.port))) as it,
    ):
        yield it, upstream


# --- listeners

LISTENERS = """
gateway:
  listeners:
    in: {listen: '127.0.0.1:0'}
    out: {listen: '127.0.0.1:0', direction: egress}
routes:
  - name: inside
    listener: in
    match: {path_prefix: /inside}
    upstream: {url: 'http://127.0.0.1:PORT'}
    exchange: none
  - name: outside
    listener: out
    match: {path_prefix: /outside}
    upstream: {url: 'http://127.0.0.1:PORT'}
    exchange: none
"""


async def test_a_route_exists_on_its_listener_alone(tmp_path: Path) -> None:
    async with gateway(tmp_path, LISTENERS) as (it, upstream):
        for target, listener, status in (
            ("/inside", "in", 200),
            ("/inside", "out", 404),
            ("/outside", "out", 200),
            ("/outside", "in", 404),
        ):
            assert (await it.ask(get(target), listener)).status == status
        assert [seen.line for seen in upstream.seen] == [b"GET /inside HTTP/1.1", b"GET /outside HTTP/1.1"]
        assert len({it.port("in"), it.port("out"), it.port("admin")}) == 3


async def test_each_listener_has_its_direction(tmp_path: Path) -> None:
    spoofed = (b"X-Forwarded-For: 203.0.113.7", b"Forwarded: for=203.0.113.7", b"X-Real-IP: 203.0.113.7")
    names = (b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip", b"forwarded")
    async with gateway(tmp_path, LISTENERS) as (it, upstream):
        await it.ask(get("/inside", *spoofed), "in")
        assert [upstream.last.values(name) for name in names] == [
            [b"127.0.0.1"],
            [b"api.example.com"],
            [b"http"],
            [b"127.0.0.1"],
            [b'for=127.0.0.1;host="api.example.com";proto=http'],
        ]
        await it.ask(get("/outside", *spoofed), "out")
        assert [upstream.last.values(name) for name in names] == [[]] * 5


async def test_tls_with_client_certificates(tmp_path: Path) -> None:
    authority, others = Authority(tmp_path), Authority(tmp_path, "others")
    ours, theirs, strangers = authority.issue("127.0.0.1"), authority.issue("client"), others.issue("client")
    text = SIMPLE.replace(
        "{listen: '127.0.0.1:0', drain",
        "{listeners: {default: {listen: '127.0.0.1:0', tls: {cert_file: "
        f"{ours.cert_file}, key_file: {ours.key_file}, client_ca_file: {authority.ca_file}}}}}}}, drain",
    )
    async with gateway(tmp_path, text) as (it, upstream):

        async def secure(*certificate: str) -> Answer:
            context = ssl.create_default_context(cafile=authority.ca_file)
            if certificate:
                context.load_cert_chain(*certificate)
            return await once(asyncio.open_connection("127.0.0.1", it.port(), ssl=context), get())

        assert (await secure(theirs.cert_file, theirs.key_file)).status == 200
        assert upstream.last.values(b"x-forwarded-proto") == [b"https"]
        for certificate in ((), (strangers.cert_file, strangers.key_file)):
            with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                await secure(*certificate)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await ask(it.port(), get())
        assert len(upstream.seen) == 1


@asynccontextmanager
async def short_folder() -> AsyncIterator[Path]:
    """A folder whose name leaves room for a socket's."""
    folder = Path("/tmp") / f"sidecar-{os.getpid()}-{os.urandom(4).hex()}"
    folder.mkdir()
    try:
        yield folder
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


async def test_unix_sockets(tmp_path: Path) -> None:
    async with short_folder() as folder:
        gate, admin = folder / "gate.sock", folder / "admin.sock"
        text = f"admin: {{listen: 'unix:{admin}'}}\n" + SIMPLE.replace("127.0.0.1:0", f"unix:{gate}")
        async with gateway(tmp_path, text) as (it, upstream):
            assert (await once(asyncio.open_unix_connection(gate), get())).status == 200
            assert upstream.last.values(b"x-forwarded-for") == []
            assert upstream.last.values(b"forwarded")[0].startswith(b"for=unknown;")
            local = get("/status").replace(b"api.example.com", b"localhost")
            status = (await once(asyncio.open_unix_connection(admin), local)).json()
            assert status["routes"][0]["requests"] == 1
            assert it.app.addresses["default"].unix_path == str(gate)
        assert list(folder.iterdir()) == []


async def test_a_socket_that_was_left_behind_is_made_anew(tmp_path: Path) -> None:
    async with short_folder() as folder:
        gate = folder / "gate.sock"
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(gate))
        assert gate.is_socket()
        async with gateway(tmp_path, SIMPLE.replace("127.0.0.1:0", f"unix:{gate}")):
            assert (await once(asyncio.open_unix_connection(gate), get())).status == 200


async def test_a_socket_in_use_is_left_to_whom_it_belongs(tmp_path: Path) -> None:
    async with short_folder() as folder:
        gate = folder / "gate.sock"
        text = SIMPLE.replace("127.0.0.1:0", f"unix:{gate}")
        async with gateway(tmp_path, text):
            second = tmp_path / "second"
            second.mkdir()
            with pytest.raises(StartError, match=re.escape(f"can't listen on unix:{gate}: Address already in use")):
                async with gateway(second, text):
                    raise AssertionError("two gateways on one socket")
            assert (await once(asyncio.open_unix_connection(gate), get())).status == 200


async def test_the_next_process_may_take_the_socket_while_this_one_drains(tmp_path: Path) -> None:
    async with short_folder() as folder:
        gate = folder / "gate.sock"
        text = SIMPLE.replace("127.0.0.1:0", f"unix:{gate}")
        second = tmp_path / "second"
        second.mkdir()
        async with gateway(tmp_path, text) as (old, _):
            await old.app.drain()
            async with gateway(second, text):
                await old.app.close()
                assert (await once(asyncio.open_unix_connection(gate), get())).status == 200


async def test_a_file_in_a_sockets_place_stays(tmp_path: Path) -> None:
    async with short_folder() as folder:
        gate = folder / "gate.sock"
        gate.write_text("precious")
        with pytest.raises(StartError, match="can't listen on unix:"):
            async with gateway(tmp_path, SIMPLE.replace("127.0.0.1:0", f"unix:{gate}")):
                raise AssertionError("listens on a file")
        assert gate.read_text() == "precious"


# --- what can't be started


async def start_error(folder: Path, text: str) -> str:
    with pytest.raises(StartError) as caught:
        async with gateway(folder, text):
            raise AssertionError("it started")
    return str(caught.value)


async def test_an_address_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        why = f"can't listen on 127.0.0.1:{port}: Address already in use"
        assert await start_error(tmp_path, SIMPLE.replace(":0'", f":{port}'")) == why
        assert await start_error(tmp_path, f"admin: {{listen: '127.0.0.1:{port}'}}\n{SIMPLE}") == why


async def test_an_address_that_is_not_ours(tmp_path: Path) -> None:
    text = SIMPLE.replace("127.0.0.1:0", "192.0.2.1:8080")
    why = (
        "Cannot assign requested address",
        "no such address",
    )  # newer versions of Python keep the reason to themselves
    assert await start_error(tmp_path, text) in [f"can't listen on 192.0.2.1:8080: {reason}" for reason in why]


async def test_receipts_that_can_not_be_written(tmp_path: Path) -> None:
    text = f"receipts: {{sink: {tmp_path}/}}\n{SIMPLE}"
    assert await start_error(tmp_path, text) == "receipts can't be written: EISDIR"


async def test_what_never_started_can_be_closed(tmp_path: Path) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(f"version: 1\n{SIMPLE}".replace("PORT", "9"))
    async with asyncio.timeout(BOUND):
        await App(load(path)).close()


async def test_without_the_compiled_parser_nothing_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class HttpRequestParser:
        """Not the one of the C extension."""

    monkeypatch.setattr("aiohttp.http_parser.HttpRequestParser", HttpRequestParser)
    assert "compiled HTTP parser" in await start_error(tmp_path, SIMPLE)


# --- the admin listener

EXCHANGING = """
gateway: {listen: '127.0.0.1:0'}
trusted_issuers:
  corp: {issuer: ISSUER, audience: [orders-gateway], probe: null}
  partner: {issuer: 'https://partner.example', audience: [orders-gateway], probe: null}
authorization_servers:
  corp:
    issuer: ISSUER
    probe: null
    client_auth: {method: client_secret_basic, client_id: gateway, client_secret_file: gateway.secret}
routes:
  - name: orders
    match: {path_prefix: /orders}
    upstream: {url: 'http://127.0.0.1:PORT'}
    subject: {issuers: [corp]}
    exchange: {audience: [orders-api], scope: [orders.read]}
"""


async def test_the_status_tells_what_goes_on(tmp_path: Path) -> None:
    (tmp_path / "gateway.secret").write_text(GATEWAY_SECRET)
    async with running_sts() as sts, gateway(tmp_path, EXCHANGING.replace("ISSUER", sts.issuer)) as (it, upstream):

        async def status() -> dict[str, Any]:
            local = get("/status").replace(b"api.example.com", b"localhost")
            found: dict[str, Any] = (await ask(it.port("admin"), local)).json()
            return found

        before = await status()
        assert before["ready"] is True
        assert before["config"]["file"] == str(tmp_path / "routes.yaml")
        assert before["config"]["errors"] == []
        corp = before["authorization_servers"]["corp"]
        assert (corp["available"], corp["breaker"], corp["last_minute"]["exchanges"]) == (None, "closed", {})
        nobody_asked = {"available": None, "keys_age_seconds": None, "keys_serve_seconds": None}
        assert before["trusted_issuers"] == {"corp": nobody_asked, "partner": nobody_asked}
        assert (before["cache"]["entries"], before["cache"]["oldest_token_seconds"]) == (0, None)
        token = sts.mint()
        assert [(await it.ask(get(token=token))).status for _ in range(2)] == [200, 200]
        assert (await it.ask(get())).status == 401
        after = await status()
        corp = after["authorization_servers"]["corp"]
        assert (corp["available"], corp["last_minute"]["exchanges"]) == (True, {"success": 1})
        assert 0 < corp["last_minute"]["mean_seconds"] < BOUND
        assert after["trusted_issuers"]["partner"] == nobody_asked
        issuer = after["trusted_issuers"]["corp"]
        assert issuer["available"] is True
        assert issuer["keys_age_seconds"] + issuer["keys_serve_seconds"] == pytest.approx(86400, abs=1)
        assert after["cache"]["entries"] == 1
        assert 0 <= after["cache"]["oldest_token_seconds"] < BOUND
        assert after["recent_refusals"] == {"missing-token": 1}
        assert after["requests_in_flight"] == after["receipts_dropped"] == 0
        (route,) = after["routes"]
        assert route | {"last_minute": {}} == {
            "name": "orders",
            "listener": "default",
            "upstream": f"http://127.0.0.1:{upstream.port}",
            "requests": 3,
            "refusals": 1,
            "last_minute": {},
        }
        lately = route["last_minute"]
        assert (lately["answers"], lately["refusals"]) == ({"2xx": 2, "4xx": 1}, {"missing-token": 1})
        assert (lately["hit_ratio"], lately["requests_per_second"] > 0) == (0.5, True)
        assert after["last_minute"] == lately
        page = (await ask(it.port("admin"), get("/").replace(b"api.example.com", b"localhost"))).body
        assert b"missing-token <b>1</b>" in page
        assert token.encode() not in page
        assert b"alice" not in page
        scrape = await it.metrics()
        for line in (
            "token_sidecar_cache_entries 1.0",
            "token_sidecar_requests_in_flight 0.0",
            "token_sidecar_config_last_reload_successful 1.0",
            'token_sidecar_upstream_connections{route="orders",state="active"} 0.0',
            'token_sidecar_upstream_connections{route="orders",state="idle"} 1.0',
            'token_sidecar_authorization_server_available{authorization_server="corp"} 1.0',
            'token_sidecar_exchanges_in_flight{authorization_server="corp"} 0.0',
            'token_sidecar_exchanges_queued{authorization_server="corp"} 0.0',
            'token_sidecar_breaker_state{authorization_server="corp"} 0.0',
        ):
            assert line in scrape.splitlines()
        assert token not in json.dumps(after) + scrape


async def test_the_probes_of_a_gateway_that_serves(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (it, _):
        for probe in ("/livez", "/readyz", "/metrics"):
            assert (await ask(it.port("admin"), get(probe))).status == 200
        assert (await ask(it.port("admin"), get("/orders/1"))).status == 404
        assert (await it.ask(get("/livez"))).status == 404  # every path of the gateway belongs to routes


async def test_tokens_that_expired_do_not_wait_to_be_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tested, "SWEEP_EVERY", 0.01)
    async with gateway(tmp_path) as (it, _):
        cache = it.app.exchanger.cache
        cache.put(b"dead", Entry(issued(), None, "id", Schedule(300, -math.inf, math.inf, kept=True, sent=0.0), ABOUT))
        cache.put(b"alive", Entry(issued(), None, "id", Schedule(300, math.inf, math.inf, kept=True, sent=0.0), ABOUT))
        for _ in range(1000):
            if len(cache) == 1:
                break
            await asyncio.sleep(0.01)
        assert len(cache) == 1
        assert cache.get(b"alive", 0.0) is not None
        assert 'token_sidecar_cache_evictions_total{reason="expired"} 1.0' in await it.metrics()


# --- the way down


async def test_a_drain(tmp_path: Path) -> None:
    """Not ready at once; who still comes is served and told to go; what runs is finished; then nobody listens."""
    text = SIMPLE.replace("delay: 0s", "delay: 300ms")
    async with held_upstream() as held, running_gateway(tmp_path, text.replace("PORT", str(held.port))) as it:
        connection, running = await under_way(held, it.port())
        idle = await asyncio.open_connection("127.0.0.1", it.port())
        kept = await asyncio.open_connection("127.0.0.1", it.port())
        assert (await exchange(kept, keep("/nothing"))).value("connection") is None

        draining = asyncio.create_task(it.app.drain())
        await asyncio.sleep(0)
        probes = [(await ask(it.port("admin"), get(probe))).status for probe in ("/readyz", "/livez")]
        assert (probes, it.app.ready()) == ([503, 200], False)
        late = await exchange(kept, keep("/nothing"))
        assert (late.status, late.value("connection")) == (404, "close")
        assert await ended(kept)
        assert (await it.ask(get("/nothing"))).status == 404  # still let in while others hear that we go

        assert await refused(it.port())
        assert await ended(idle)
        assert not running.done()
        held.answer.set()
        assert ((await running).status, (await running).body) == (200, b"done")
        assert (await running).value("connection") == "close"  # though it began before the drain
        async with asyncio.timeout(BOUND):
            await draining
        assert await ended(connection)
        assert (await ask(it.port("admin"), get("/readyz"))).status == 503  # probed to the end
        for _, writer in (connection, idle, kept):
            writer.close()


async def test_a_refusal_of_what_began_before_the_drain_tells_to_go(tmp_path: Path) -> None:
    """The upstream breaks off once the drain has begun; the listener is still open, so that only the head tells."""
    arrived, leave = asyncio.Event(), asyncio.Event()

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        await leave.wait()
        writer.close()

    text = SIMPLE.replace("delay: 0s", "delay: 10s")
    async with await asyncio.start_server(upstream, "127.0.0.1", 0) as server, asyncio.timeout(BOUND):
        port = server.sockets[0].getsockname()[1]
        async with running_gateway(tmp_path, text.replace("PORT", str(port))) as it:
            connection = await asyncio.open_connection("127.0.0.1", it.port())
            running = asyncio.create_task(exchange(connection, keep()))
            await arrived.wait()
            draining = asyncio.create_task(it.app.drain())
            await asyncio.sleep(0)
            leave.set()
            answer = await running
            assert (answer.status, answer.value("connection")) == (502, "close")
            assert await ended(connection)
            connection[1].close()
            draining.cancel()


@pytest.mark.parametrize("grace", ["0s", "50ms"])
async def test_what_runs_longer_than_the_grace_is_cut_off(tmp_path: Path, grace: str) -> None:
    text = SIMPLE.replace("grace: 10s", f"grace: {grace}")
    async with held_upstream() as held:
        async with running_gateway(tmp_path, text.replace("PORT", str(held.port))) as it:
            (_, writer), running = await under_way(held, it.port())
            async with asyncio.timeout(BOUND):
                await it.app.drain()
                await it.app.close()
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await running
            writer.close()
        assert not held.answer.is_set()


async def test_closing_cuts_off_what_runs(tmp_path: Path) -> None:
    async with held_upstream() as held, running_gateway(tmp_path, SIMPLE.replace("PORT", str(held.port))) as it:
        (_, writer), running = await under_way(held, it.port())
        async with asyncio.timeout(BOUND):
            await it.app.close()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await running
        writer.close()
        assert await refused(it.port())
        assert await refused(it.port("admin"))


async def test_receipts_of_the_last_requests_are_written(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (it, _):
        for _ in range(20):
            assert (await it.ask(get())).status == 200
        await it.app.close()
        assert len(it.receipts.splitlines()) == 20
