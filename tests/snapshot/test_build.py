"""The whole of it: what a file becomes, what is wrong where parts meet, and whom a snapshot trusts."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from sidecar.exchange.schedule import Lifetimes
from sidecar.inbound.accept import GUARDED
from sidecar.oauth.jwt import generate_key, jwk_set
from sidecar.snapshot import build
from tests.oauth.peers import serve_documents
from tests.snapshot.conftest import PEERS, ROUTE, Folder, place
from tests.support.values import request, subject


async def test_what_a_file_becomes(folder: Folder) -> None:
    text = PEERS.replace("client_auth", "default_lifetime: 2m, extra_params: {tenant: a}, client_auth") + ROUTE
    text += """
  - name: health
    match: {path: /healthz}
    upstream: {url: 'http://127.0.0.1:9001', token_header: X-Token}
    exchange: none
cache: {early_expiry: 5s, refresh_ahead: 0.5, max_lifetime: 10m}
"""
    snapshot = folder.build(text)
    assert snapshot.routes.keys() == snapshot.pools.keys() == {"orders", "health"}
    assert snapshot.plans.keys() == {"orders"}
    assert snapshot.listeners.keys() == {"default"}
    assert snapshot.tls == {}
    assert snapshot.table.match(request(path=b"/orders/1")) is snapshot.routes["orders"]
    assert snapshot.guarded == GUARDED | {b"x-token", b"authorization"}
    assert [issuer.name for issuer in snapshot.verifier.issuers] == ["corp"]
    plan = snapshot.plans["orders"]
    assert (plan.route, plan.exchange) == (snapshot.routes["orders"], snapshot.routes["orders"].exchange)
    assert plan.lifetimes == Lifetimes(5, 0.5, 600, 120)
    assert plan.actor is None
    form = plan.asker.ask(subject(), None).form
    assert ("tenant", "a") in form
    assert ("audience", "orders-api") in form
    await snapshot.close()


@pytest.mark.threat("S12")
async def test_routes_that_ask_for_the_same_share_a_key_and_others_do_not(folder: Folder) -> None:
    text = (
        PEERS
        + """
  other: {token_endpoint: 'https://other.example/token', client_auth: {method: none, client_id: gateway}}
  client: {issuer: 'https://login.example', client_auth: {method: none, client_id: another}}
routes:
"""
        + "".join(
            f"  - name: r{number}\n    match: {{path_prefix: /{number}}}\n    upstream: {{url: 'http://127.0.0.1:1'}}\n"
            f"    exchange: {{authorization_server: {server}, audience: [a], scope: [{scope}]}}\n"
            for number, (server, scope) in enumerate(
                [("corp", "s"), ("corp", "s"), ("corp", "t"), ("other", "s"), ("client", "s")]
            )
        )
    )
    snapshot = folder.build(text)
    keys = [plan.asker.ask(subject(), None).key for plan in snapshot.plans.values()]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4
    assert snapshot.plans["r0"].server is snapshot.plans["r1"].server  # one server, one limit, one pause
    await snapshot.close()


def test_routes_that_tie(folder: Folder) -> None:
    text = PEERS + ROUTE + ROUTE.replace("routes:", "").replace("name: orders", "name: again")
    assert folder.complaints(text) == [
        "routes.yaml:16:12: routes.1.match: takes requests for any host that orders takes too, and neither goes first"
    ]


def test_a_route_that_no_request_meets(folder: Folder) -> None:
    text = PEERS + ROUTE.replace("{path_prefix: /orders}", "{path_prefix: /a%2F, allow: [encoded-slash]}")
    assert folder.complaints(text) == [
        place(text, "{path_prefix", "routes.0.match") + "its path needs match.allow: [empty-segment]"
    ]


def test_an_upstreams_files(folder: Folder) -> None:
    folder.file("bad.pem", "no certificate")
    text = PEERS + ROUTE.replace("'http://127.0.0.1:9000'", "'https://a.example', tls: {ca_file: bad.pem}")
    [complaint] = folder.complaints(text)
    assert complaint.startswith("routes.yaml:11:47: routes.0.upstream.tls: ")


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("10.1.2.3", True),
        ("11.1.2.3", False),
        ("::ffff:10.1.2.3", True),
        ("::ffff:11.1.2.3", False),
        ("::ffff:a01:203", True),
        ("fe80::1", True),
        ("fe80::1%eth0", True),
        ("fec0::1%eth0", False),
        ("2001:db8::7", True),
        ("2001:db8::8", False),
        ("127.0.0.1", False),
        ("::1", False),
        ("::10.1.2.3", False),
        (None, False),
    ],
)
def test_whom_it_trusts(folder: Folder, peer: str | None, trusted: bool) -> None:
    gateway = "gateway: {trusted_proxies: [10.0.0.0/8, 'fe80::/10', '2001:db8::7']}\n"
    assert folder.build(PEERS + ROUTE + gateway).trusts(peer) is trusted


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "10.0.0.1", None])
@pytest.mark.threat("S29")
def test_by_default_it_trusts_nobody(folder: Folder, peer: str | None) -> None:
    assert folder.build().trusts(peer) is False


@pytest.mark.parametrize("peer", ["10.0.0.1", "::1"])
def test_everybody_is_a_network_too(folder: Folder, peer: str) -> None:
    snapshot = folder.build(PEERS + ROUTE + "gateway: {trusted_proxies: ['0.0.0.0/0', '::/0']}\n")
    assert snapshot.trusts(peer)
    assert not snapshot.trusts(None)  # a unix socket's peer has no address to be trusted by


async def test_two_thousand_routes(folder: Folder) -> None:
    routes = "".join(
        f"  - name: r{number}\n    match: {{hosts: [h{number % 40}.example], path_prefix: /p{number}}}\n"
        f"    upstream: {{url: 'https://127.0.0.1:{1000 + number}'}}\n    exchange: {{audience: [a{number % 7}]}}\n"
        for number in range(2000)
    )
    snapshot = folder.build(f"{PEERS}routes:\n{routes}")
    assert len(snapshot.routes) == len(snapshot.pools) == len(snapshot.plans) == 2000
    for number in (0, 999, 1999):
        met = snapshot.table.match(request(path=b"/p%d/x" % number, host=f"h{number % 40}.example"))
        assert met.name == f"r{number}"
    contexts = {id(pool._dialer._tls) for pool in snapshot.pools.values()}
    assert len(contexts) == 1  # reading the system's authorities for each of them would take minutes and gigabytes
    await snapshot.close()


async def test_what_was_never_used_is_closed_at_once(folder: Folder) -> None:
    async with asyncio.timeout(5):
        await folder.build().close()


LOOKS = """
version: 1
trusted_issuers:
  corp: {issuer: 'ORIGIN', audience: [gateway], probe: PROBE}
authorization_servers:
  corp: {issuer: 'ORIGIN', probe: PROBE, client_auth: {method: none, client_id: gateway}}
  by-hand: {token_endpoint: 'ORIGIN/token', probe: PROBE, client_auth: {method: none, client_id: gateway}}
routes:
  - name: health
    match: {path: /healthz}
    upstream: {url: 'http://127.0.0.1:9000'}
    exchange: none
"""


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so, ten seconds at most."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for happens elsewhere
            await asyncio.sleep(0.01)


def counts(folder: Folder) -> list[str]:
    """What the gauges say of who is there."""
    lines = folder.metrics.render()[0].decode().splitlines()
    return [line for line in lines if "_available{" in line]


async def test_those_we_speak_to_are_looked_at_from_its_start_to_its_end(folder: Folder) -> None:
    async with serve_documents({}) as served:
        served.documents["/.well-known/oauth-authorization-server"] = {
            "issuer": served.origin,
            "token_endpoint": f"{served.origin}/token",
            "jwks_uri": f"{served.origin}/keys",
        }
        served.documents["/keys"] = jwk_set([generate_key("ES256", "k")])
        snapshot = folder.build(LOOKS.replace("ORIGIN", served.origin).replace("PROBE", "10ms"))
        await asyncio.sleep(0.05)
        assert (served.counts, counts(folder)) == ({}, [])  # it was not started
        snapshot.start()
        await until(lambda: served.counts.get("/keys", 0) >= 3 and len(counts(folder)) == 2)
        assert counts(folder) == [
            'token_sidecar_authorization_server_available{authorization_server="corp"} 1.0',
            'token_sidecar_trusted_issuer_available{issuer="corp"} 1.0',
        ]
        del served.documents["/.well-known/oauth-authorization-server"]
        down = 'token_sidecar_authorization_server_available{authorization_server="corp"} 0.0'
        await until(lambda: down in counts(folder))
        await snapshot.close()
        before = dict(served.counts)
        await asyncio.sleep(0.05)
        assert served.counts == before
        assert "/token" not in before


async def test_looks_go_on_over_a_reload_that_leaves_their_peer_as_it_was(folder: Folder) -> None:
    async with serve_documents({}) as served:
        text = LOOKS.replace("ORIGIN", served.origin)
        first = folder.build(text.replace("PROBE", "10ms"))
        first.start()
        same = build(folder.load(text.replace("PROBE", "10ms") + "# again\n"), folder.metrics, before=first)
        assert {*map(id, same.probes.values())} == {*map(id, first.probes.values())}
        await first.stop(same)
        same.start()
        before = sum(served.counts.values())
        await until(lambda: sum(served.counts.values()) > before)
        none = build(folder.load(text.replace("PROBE", "null")), folder.metrics, before=same)
        assert none.probes == {}
        assert none.servers["corp"] is first.servers["corp"]  # with what its breaker knows
        await same.stop(none)
        await asyncio.sleep(0.05)  # what was sent before may only now arrive
        before = sum(served.counts.values())
        await asyncio.sleep(0.05)
        assert sum(served.counts.values()) == before
        await none.close()


async def test_nobody_is_looked_at_who_is_not_to_be(folder: Folder) -> None:
    async with serve_documents({}) as served:
        snapshot = folder.build(LOOKS.replace("ORIGIN", served.origin).replace("PROBE", "null"))
        snapshot.start()
        await asyncio.sleep(0.05)
        await snapshot.close()
        assert served.counts == {}


async def test_a_snapshot_shows_no_secret(folder: Folder) -> None:
    folder.file("secret", "canary-secret")
    folder.file("token", "canary-token")
    text = PEERS.replace(
        "{method: none, client_id: gateway}",
        "{method: client_secret_post, client_id: gateway, client_secret_file: secret}, extra_params: {x: canary}",
    )
    text += "workload_tokens: {self: {file: token, type: jwt}}\n" + ROUTE.replace(
        "[orders.read]", "[], actor_token: self"
    )
    snapshot = folder.build(text)
    actor = snapshot.plans["orders"].actor
    assert actor is not None
    assert (await actor.current(request())).token.startswith("canary")
    assert "canary" not in repr((snapshot, snapshot.plans, snapshot.pools))


async def test_the_issuer_chooses_the_server_and_what_it_makes_be_expected(folder: Folder) -> None:
    text = PEERS.replace(
        "authorization_servers:",
        """  partner: {issuer: 'https://partner.example', audience: [gateway]}
authorization_servers:
  partner: {issuer: 'https://partner.example', dialect: keycloak, client_auth: {method: none, client_id: us}}""",
    ) + ROUTE.replace("exchange: {", "exchange: {authorization_server: {by_issuer: {corp: corp, partner: partner}}, ")
    snapshot = folder.build(text.replace("    exchange", "    subject: {issuers: [corp, partner]}\n    exchange"))
    route = snapshot.routes["orders"]
    ours, theirs = subject(), replace(subject(), issuer="partner")
    assert snapshot.plan(route, ours).server.name == "corp"
    assert snapshot.plan(route, theirs).server.name == "partner"
    assert "profile" not in (snapshot.plan(route, ours).exchange.expect.scope.allowed or ())
    assert "profile" in (snapshot.plan(route, theirs).exchange.expect.scope.allowed or ())
    keys = {snapshot.plan(route, each).asker.ask(each, None).key for each in (ours, theirs)}
    assert len(keys) == 2
    await snapshot.close()
