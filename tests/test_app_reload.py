"""Another configuration while a gateway runs: what changes, what stays, and what is left of the one before."""

import asyncio
import gc
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from sidecar.config.load import load
from sidecar.config.problems import ConfigError
from sidecar.snapshot import Snapshot
from tests.support.certificates import Authority
from tests.support.gateway import BOUND, RunningGateway, ask, get, recording_upstream, running_gateway
from tests.support.held import ended, exchange, held_upstream, keep, once, refused, under_way
from tests.support.process import free_port
from tests.support.sts import GATEWAY_SECRET, RunningSts, running_sts

SIMPLE = """
gateway: {listen: '127.0.0.1:0', drain: {delay: 0s, grace: 10s}}
routes:
  - name: orders
    match: {path_prefix: /orders}
    upstream: {url: 'http://127.0.0.1:PORT'}
    exchange: none
"""
CARTS = """
  - name: carts
    match: {path_prefix: /carts}
    upstream: {url: 'http://127.0.0.1:PORT'}
    exchange: none
"""
EXCHANGING = """
gateway: {listen: '127.0.0.1:0', drain: {delay: 0s, grace: 10s}}
trusted_issuers:
  corp: {issuer: ISSUER, audience: [orders-gateway]}
authorization_servers:
  corp:
    issuer: ISSUER
    client_auth: {method: client_secret_basic, client_id: gateway, client_secret_file: gateway.secret}
routes:
  - name: orders
    match: {path_prefix: /orders}
    upstream: {url: 'http://127.0.0.1:PORT'}
    exchange: {audience: [orders-api], scope: [orders.read]}
"""


async def take(it: RunningGateway, old: str, new: str) -> None:
    """Replace some text of the configuration, and have the gateway take that."""
    path = it.folder / "routes.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    try:
        await it.app.reload(load(path, last_good=it.app.included))
    except ConfigError:
        path.write_text(text)
        raise


async def seen_off(it: RunningGateway) -> None:
    """What only an earlier configuration needed is gone."""
    async with asyncio.timeout(BOUND):
        while it.app._leaving:
            await asyncio.wait(list(it.app._leaving))


@asynccontextmanager
async def simple(folder: Path, text: str = SIMPLE) -> AsyncIterator[RunningGateway]:
    async with (
        recording_upstream() as upstream,
        running_gateway(folder, text.replace("PORT", str(upstream.port))) as it,
    ):
        yield it


# --- routes


async def test_routes_come_and_go(tmp_path: Path) -> None:
    async with simple(tmp_path) as it:
        assert ((await it.ask(get())).status, (await it.ask(get("/carts"))).status) == (200, 404)
        await take(it, "/orders", "/carts")
        assert ((await it.ask(get())).status, (await it.ask(get("/carts"))).status) == (404, 200)


async def test_what_is_under_way_ends_where_it_began(tmp_path: Path) -> None:
    async with (
        held_upstream() as held,
        recording_upstream() as other,
        running_gateway(tmp_path, SIMPLE.replace("PORT", str(held.port))) as it,
    ):
        connection, running = await under_way(held, it.port())
        await take(it, f":{held.port}", f":{other.port}")
        assert (await it.ask(get())).body == b"ok"
        assert not running.done()
        held.answer.set()
        assert ((await running).status, (await running).body) == (200, b"done")
        assert (await exchange(connection, keep())).body == b"ok"  # the same connection, by the new configuration
        await seen_off(it)
        connection[1].close()


async def test_it_is_cut_off_when_the_grace_is_over(tmp_path: Path) -> None:
    text = SIMPLE.replace("grace: 10s", "grace: 50ms")
    async with held_upstream() as held, running_gateway(tmp_path, text.replace("PORT", str(held.port))) as it:
        (_, writer), running = await under_way(held, it.port())
        await take(it, f":{held.port}", ":9")
        assert (await running).status == 502
        await seen_off(it)
        writer.close()


async def test_a_later_reload_leaves_what_an_earlier_one_still_serves(tmp_path: Path) -> None:
    async with held_upstream() as held, running_gateway(tmp_path, SIMPLE.replace("PORT", str(held.port))) as it:
        (_, writer), running = await under_way(held, it.port())
        await take(it, "path_prefix: /orders", "path_prefix: /others")  # keeps the pool
        await take(it, f":{held.port}", ":9")  # does not
        await asyncio.sleep(0.05)
        held.answer.set()
        assert (await running).body == b"done"
        writer.close()


async def test_connections_to_unchanged_upstreams_stay(tmp_path: Path) -> None:
    async with recording_upstream() as upstream:
        text = (SIMPLE + CARTS).replace("PORT", str(upstream.port))
        async with running_gateway(tmp_path, text) as it:
            for target in ("/orders", "/carts"):
                assert (await it.ask(get(target))).status == 200
            pools = dict(it.app.snapshot.pools)
            await take(
                it, "path_prefix: /carts}\n    upstream: {", "path_prefix: /carts}\n    upstream: {read_idle: 9s, "
            )
            assert it.app.snapshot.pools["orders"] is pools["orders"]
            assert it.app.snapshot.pools["carts"] is not pools["carts"]
            await seen_off(it)
            assert (pools["orders"].idle, pools["carts"].idle) == (1, 0)


# --- tokens, keys, servers


@asynccontextmanager
async def exchanging(folder: Path) -> AsyncIterator[tuple[RunningGateway, RunningSts, str]]:
    """A gateway that has served one token already."""
    (folder / "gateway.secret").write_text(GATEWAY_SECRET)
    async with AsyncExitStack() as stack:
        sts = await stack.enter_async_context(running_sts())
        upstream = await stack.enter_async_context(recording_upstream())
        text = EXCHANGING.replace("ISSUER", sts.issuer).replace("PORT", str(upstream.port))
        it = await stack.enter_async_context(running_gateway(folder, text))
        token = sts.mint()
        assert (await it.ask(get(token=token))).status == 200
        yield it, sts, token


async def results(it: RunningGateway) -> list[str]:
    """How each request so far came by its token."""
    return [line["cache"] for line in await it.receipt_lines() if line["event"] == "use"]


def parts(snapshot: Snapshot) -> set[tuple[str, ...]]:
    return {key for key in snapshot.parts.made if key[0] != "pool"}


def shared(one: Snapshot, other: Snapshot) -> set[tuple[str, ...]]:
    """Which parts two snapshots have in common, but for pools."""
    return {key for key in parts(one) & parts(other) if one.parts.made[key] is other.parts.made[key]}


async def test_nothing_is_fetched_again_because_of_a_reload(tmp_path: Path) -> None:
    async with exchanging(tmp_path) as (it, _, token):
        before = it.app.snapshot
        fetched = [line for line in (await it.metrics()).splitlines() if "jwks_refreshes_total{" in line]
        await take(it, "path_prefix: /orders", "path_prefix: /others")
        assert shared(before, it.app.snapshot) == parts(before)
        assert it.app.snapshot.verifier is before.verifier
        assert (await it.ask(get("/others", token=token))).status == 200
        assert await results(it) == ["miss", "hit"]
        assert [line for line in (await it.metrics()).splitlines() if "jwks_refreshes_total{" in line] == fetched


async def test_a_changed_issuer_is_verified_anew(tmp_path: Path) -> None:
    async with exchanging(tmp_path) as (it, _, token):
        before = it.app.snapshot
        await take(it, "audience: [orders-gateway]", "audience: [others]")
        assert (await it.ask(get(token=token))).status == 401
        assert parts(before) - shared(before, it.app.snapshot) == {("verifier",)}  # its keys are the same


@pytest.mark.parametrize(
    ("old", "new", "result"),
    [
        ("issuer: ISSUER\n", "issuer: ISSUER\n    timeout: 4s\n    max_in_flight: 9\n", "hit"),
        ("issuer: ISSUER\n", "issuer: ISSUER\n    dialect: keycloak\n", "miss"),
        ("issuer: ISSUER\n", "issuer: ISSUER\n    extra_params: {tenant: a}\n", "miss"),
        ("method: client_secret_basic", "method: client_secret_post", "miss"),
        ("scope: [orders.read]", "scope: []", "miss"),
        ("issuer: ISSUER, audience", "issuer: ISSUER, algorithms: [ES256], audience", "miss"),
        ("routes:", "cache: {max_lifetime: 5m}\nroutes:", "miss"),
        ("routes:", "cache: {refresh_ahead: 0.5}\nroutes:", "hit"),
    ],
)
async def test_a_token_is_used_on_only_where_the_same_would_be_got(
    tmp_path: Path, old: str, new: str, result: str
) -> None:
    async with exchanging(tmp_path) as (it, sts, token):
        await take(it, old.replace("ISSUER", sts.issuer), new.replace("ISSUER", sts.issuer))
        assert (await it.ask(get(token=token))).status == 200
        assert await results(it) == ["miss", result]


async def test_nothing_that_was_remembered_of_warm_requests_outlives_a_reload(tmp_path: Path) -> None:
    """Neither which route serves them, nor that their token passed what it expects, nor whose it is."""
    async with exchanging(tmp_path) as (it, _, token):

        async def status() -> int:
            return (await it.ask(get(token=token))).status

        assert [await status() for _ in range(3)] == [200] * 3
        scope = "scope: [orders.read]"
        await take(it, scope, f"{scope}, semantics: impersonation")
        assert [await status() for _ in range(2)] == [502] * 2
        await take(it, f"{scope}, semantics: impersonation", scope)
        assert [await status() for _ in range(2)] == [200] * 2
        await take(it, "path_prefix: /orders", "path_prefix: /elsewhere")
        assert await status() == 404
        await take(it, "path_prefix: /elsewhere", "path_prefix: /orders")
        assert await status() == 200
        await take(it, "audience: [orders-gateway]", "audience: [others]")
        assert await status() == 401


# --- what can't be taken


async def test_a_configuration_that_can_not_be_built_changes_nothing(tmp_path: Path) -> None:
    async with simple(tmp_path) as it:
        before, again = it.app.snapshot, SIMPLE.partition("routes:\n")[2].replace("name: orders", "name: again")
        with pytest.raises(ConfigError, match=r"routes\.1\.match: "):
            await take(it, "exchange: none\n", "exchange: none\n" + again.replace("PORT", "9"))
        assert it.app.snapshot is before
        assert (await it.ask(get())).status == 200


async def test_what_takes_a_restart_is_refused(tmp_path: Path) -> None:
    async with simple(tmp_path) as it:
        before = it.app.snapshot
        with pytest.raises(ConfigError, match=r"routes.yaml:\d+:\d+: receipts: can't change while the gateway runs"):
            await take(it, "receipts: {", "receipts: {uses: none, ")
        assert it.app.snapshot is before


async def test_an_address_that_is_taken_changes_nothing(tmp_path: Path) -> None:
    async with simple(tmp_path) as it:
        before, addresses = it.app.snapshot, it.app.addresses
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            for section, key in (("gateway", "gateway.listen"), ("admin", "admin.listen")):
                with pytest.raises(ConfigError, match=rf": {key}: can't listen on 127\.0\.0\.1:{port}: "):
                    await take(it, f"{section}: {{listen: '127.0.0.1:0'", f"{section}: {{listen: '127.0.0.1:{port}'")
        assert (it.app.snapshot, it.app.addresses) == (before, addresses)
        assert (await it.ask(get())).status == 200


# --- listeners


async def test_a_listener_moves(tmp_path: Path) -> None:
    async with simple(tmp_path) as it:
        old, number = it.port(), free_port()
        connection = await asyncio.open_connection("127.0.0.1", old)
        assert (await exchange(connection, keep())).value("connection") is None
        await take(it, "gateway: {listen: '127.0.0.1:0'", f"gateway: {{listen: '127.0.0.1:{number}'")
        assert it.port() == number
        assert (await it.ask(get())).status == 200
        assert await refused(old)
        assert await ended(connection)
        connection[1].close()


async def test_listeners_come_and_go(tmp_path: Path) -> None:
    async with simple(tmp_path) as it:
        await take(it, "name: orders", "name: orders\n    listener: default")
        one = "gateway: {listen: '127.0.0.1:0', drain"
        two = "gateway: {listeners: {default: {listen: '127.0.0.1:0'}, out: {listen: '127.0.0.1:0'}}, drain"
        await take(it, one, two)  # the first stays as it is
        assert set(it.app.addresses) == {"default", "out", "admin"}
        assert (await it.ask(get(), "out")).status == 404  # the route exists on the other one
        gone = it.port("out")
        await take(it, two, one)
        assert await refused(gone)
        assert (await it.ask(get())).status == 200


async def test_a_request_that_comes_as_its_listener_goes_is_answered(tmp_path: Path) -> None:
    async with simple(tmp_path) as it:
        before = it.app.snapshot
        it.app.snapshot = type("Gone", (), {"listeners": {}})()
        answer = await it.ask(keep())
        it.app.snapshot = before
        assert (answer.status, answer.kind, answer.value("connection")) == (503, "overloaded", "close")


async def test_a_listener_gets_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    ours = authority.issue("127.0.0.1")
    async with simple(tmp_path) as it:
        port = it.port()
        tls = f"tls: {{cert_file: {ours.cert_file}, key_file: {ours.key_file}}}"
        one = "gateway: {listen: '127.0.0.1:0', drain"
        await take(it, one, f"gateway: {{listeners: {{default: {{listen: '127.0.0.1:0', {tls}}}}}, drain")
        assert it.port() == port
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await it.ask(get())
        context = ssl.create_default_context(cafile=authority.ca_file)
        assert (await once(asyncio.open_connection("127.0.0.1", port, ssl=context), get())).status == 200


async def test_limits_change_with_the_configuration(tmp_path: Path) -> None:
    async with simple(tmp_path) as it:
        assert (await it.ask(get("/orders", b"X: " + b"x" * 4000))).status == 200
        await take(it, "drain: {", "max_header_bytes: 2KiB, drain: {")
        assert (await it.ask(get("/orders", b"X: " + b"x" * 4000))).status == 431


async def test_the_admin_listener_moves_too(tmp_path: Path) -> None:
    async with simple(tmp_path) as it:
        old, number = it.port("admin"), free_port()
        await take(it, "admin: {listen: '127.0.0.1:0'", f"admin: {{listen: '127.0.0.1:{number}'")
        assert (await ask(number, get("/readyz"))).status == 200
        assert await refused(old)


# --- what is told


async def test_series_of_what_is_gone_go(tmp_path: Path) -> None:
    async with held_upstream() as held, running_gateway(tmp_path, SIMPLE.replace("PORT", str(held.port))) as it:
        (_, writer), running = await under_way(held, it.port())
        await take(it, "name: orders", "name: carts")
        assert 'route="orders"' not in await it.metrics()
        held.answer.set()
        assert (await running).status == 200  # counts for a route that is gone
        await seen_off(it)
        metrics = await it.metrics()
        assert 'route="orders"' not in metrics
        assert 'token_sidecar_upstream_connections{route="carts",state="idle"}' in metrics
        writer.close()


async def test_receipts_name_the_upstream_of_the_day(tmp_path: Path) -> None:
    async with (
        recording_upstream() as one,
        recording_upstream() as two,
        running_gateway(tmp_path, SIMPLE.replace("PORT", str(one.port))) as it,
    ):
        await it.ask(get())
        await take(it, f":{one.port}", f":{two.port}")
        await it.ask(get())
        named = [line["upstream"] for line in await it.receipt_lines()]
        assert named == [f"http://127.0.0.1:{one.port}", f"http://127.0.0.1:{two.port}"]


async def test_status_and_metrics_tell_of_what_was_refused(tmp_path: Path) -> None:
    async with simple(tmp_path) as it:
        with pytest.raises(ConfigError) as caught:
            await take(it, "receipts: {", "receipts: {uses: none, ")
        it.app.refuse(caught.value.problems)
        status = it.app.status()
        assert status.config.errors == tuple(str(caught.value).splitlines())
        assert "token_sidecar_config_last_reload_successful 0.0" in await it.metrics()
        await take(it, "/orders", "/carts")
        assert it.app.status().config.errors == ()
        assert "token_sidecar_config_last_reload_successful 1.0" in await it.metrics()


# --- nothing is left over


async def test_a_hundred_reloads_leave_nothing(tmp_path: Path) -> None:
    async with exchanging(tmp_path) as (it, _, token):

        async def there_and_back(times: int) -> None:
            for _ in range(times):
                for old, new in (("read_idle: 8s", "read_idle: 9s"), ("timeout: 4s", "timeout: 3s")):
                    await take(it, old, new)
                    assert (await it.ask(get(token=token))).status == 200
                    await take(it, new, old)
                    assert (await it.ask(get(token=token))).status == 200

        await take(it, "upstream: {url", "upstream: {read_idle: 8s, url")
        await take(it, "    client_auth:", "    timeout: 4s\n    client_auth:")
        await there_and_back(2)
        before = await counted(it)
        await there_and_back(25)
        after = await counted(it)
        assert after["tasks"] <= before["tasks"]
        assert after["files"] <= before["files"] + 2  # a connection may rest that did not before
        for kind in ("Snapshot", "Pool", "PeerClient", "KeySource", "GatewayServer", "Route"):
            assert after[kind] <= before[kind], kind


async def counted(it: RunningGateway) -> dict[str, int]:
    """Tasks, files and objects, when all is at rest."""
    await seen_off(it)
    await asyncio.sleep(0.05)
    gc.collect()
    kinds = [type(each).__name__ for each in gc.get_objects()]
    names = ("Snapshot", "Pool", "PeerClient", "KeySource", "GatewayServer", "Route")
    found = {name: kinds.count(name) for name in names}
    return {**found, "tasks": len(asyncio.all_tasks()), "files": len(os.listdir("/dev/fd"))}
