"""What a caller is answered and what is written down of it: every kind of refusal, provoked from outside."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sidecar.faces.problems import KINDS
from sidecar.model.refusal import Kind
from tests.faces.conftest import CONFIG, MakeWorld, World
from tests.support import scripted
from tests.support.gateway import Answer, Respond, Seen, ask, get, ok, read_answer
from tests.support.scripted import Asked, ScriptedServer, granted, refused, replied, scripted_server
from tests.support.websocket import handshake

BOUND = 10.0
CHALLENGE = 'Bearer realm="token-exchange-sidecar"'

#: Routes that differ in what makes them refuse. ISSUER, PORT, TOKENS and DOWN (where nobody listens) are replaced.
MANY_ROUTES = """
gateway: {listen: '127.0.0.1:0', max_header_bytes: 8KiB}
trusted_issuers:
  corp: {issuer: ISSUER, audience: [orders-gateway]}
  far: {issuer: 'https://far.example', audience: [orders-gateway], jwks_uri: 'http://127.0.0.1:DOWN/jwks'}
authorization_servers:
  corp:
    token_endpoint: 'http://127.0.0.1:TOKENS/token'
    timeout: 300ms
    client_auth: {method: client_secret_basic, client_id: gateway, client_secret_file: gateway.secret}
  down:
    token_endpoint: 'http://127.0.0.1:DOWN/token'
    client_auth: {method: none, client_id: gateway}
routes:
  - {name: orders, match: {path_prefix: /orders}, upstream: {url: 'http://127.0.0.1:PORT'},
     subject: {issuers: [corp]}, exchange: {authorization_server: corp, audience: [orders-api]}}
  - {name: far, match: {path_prefix: /far}, upstream: {url: 'http://127.0.0.1:PORT'},
     subject: {issuers: [far]}, exchange: {authorization_server: corp, audience: [orders-api]}}
  - {name: scoped, match: {path_prefix: /scoped}, upstream: {url: 'http://127.0.0.1:PORT'},
     subject: {issuers: [corp], require_scope: [orders.admin, orders.read]},
     exchange: {authorization_server: corp, audience: [orders-api]}}
  - {name: friends, match: {path_prefix: /friends}, upstream: {url: 'http://127.0.0.1:PORT'},
     subject: {issuers: [corp], clients: [friend]}, exchange: {authorization_server: corp, audience: [orders-api]}}
  - {name: small, match: {path_prefix: /small}, exchange: none,
     upstream: {url: 'http://127.0.0.1:PORT', max_body_bytes: 10, send_idle: 50ms}}
  - {name: silent, match: {path_prefix: /silent}, exchange: none,
     upstream: {url: 'http://127.0.0.1:PORT', response_timeout: 50ms}}
  - {name: ws, match: {path_prefix: /ws}, upstream: {url: 'http://127.0.0.1:PORT', websocket: true}, exchange: none}
  - {name: nowhere, match: {path_prefix: /nowhere}, exchange: none,
     upstream: {url: 'http://127.0.0.1:DOWN'}}
  - {name: unserved, match: {path_prefix: /unserved}, upstream: {url: 'http://127.0.0.1:PORT'},
     subject: {issuers: [corp]}, exchange: {authorization_server: down, audience: [orders-api]}}
  - {name: asking, match: {path_prefix: /asking}, upstream: {url: 'http://127.0.0.1:PORT'},
     subject: {issuers: [corp]}, approval: {by: desk}, exchange: {authorization_server: corp, audience: [orders-api]}}
approvers:
  desk: {opa: {url: 'http://127.0.0.1:TOKENS/v1/data/approve'}}
"""


def answering(seen: Seen) -> bytes:
    """Never on /silent."""
    return b"" if b"/silent" in seen.line else ok(seen)


@asynccontextmanager
async def scripted_world(
    world: MakeWorld, config: str = MANY_ROUTES, respond: Respond = answering
) -> AsyncIterator[tuple[World, ScriptedServer]]:
    async with scripted_server() as server:
        with socket.create_server(("127.0.0.1", 0)) as free:
            down = free.getsockname()[1]
        text = config.replace("TOKENS", str(server.port)).replace("DOWN", str(down))
        yield await world(text, respond), server


async def silence(_: Asked) -> bytes:
    await asyncio.Event().wait()
    return b""


Send = Callable[[World], bytes]


@dataclass(frozen=True)
class Row:
    """One way to be refused. route: which one counts it; forwarded: requests that reach the upstream all the same."""

    kind: Kind
    status: int
    send: Send
    route: str | None = "orders"
    error: str | None = None
    challenge: str | None = None
    retry_after: str | None = None
    reply: bytes | scripted.Reply = b""
    forwarded: int = 0
    parsed: bool = True  # and accepted


def bearer(target: str = "/orders/1", *fields: bytes, method: str = "GET", **claims: Any) -> Send:
    return lambda here: get(target, *fields, token=here.sts.mint(**claims), method=method)


def bare(request: bytes) -> Send:
    return lambda _: request


def with_token_in(target: str, *fields: bytes) -> Send:
    def send(here: World) -> bytes:
        token = here.sts.mint()
        placed = [field.replace(b"TOKEN", token.encode()) for field in fields]
        return get(target.replace("TOKEN", token), *placed, token=token)

    return send


HEAD = b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
ROWS = {
    "two tokens": Row(Kind.INVALID_REQUEST, 400, bearer("/orders", b"Authorization: Bearer b")),
    "two in one": Row(Kind.INVALID_REQUEST, 400, bare(get("/orders", b"Authorization: Bearer a, Bearer b"))),
    "no token in it": Row(Kind.INVALID_REQUEST, 400, bare(get("/orders", b"Authorization: Bearer"))),
    "in the query": Row(Kind.INVALID_REQUEST, 400, with_token_in("/orders?a=TOKEN")),
    "in the path": Row(Kind.INVALID_REQUEST, 400, with_token_in("/orders/TOKEN")),
    "in a cookie": Row(Kind.INVALID_REQUEST, 400, with_token_in("/orders", b"Cookie: a=TOKEN")),
    "access_token": Row(Kind.INVALID_REQUEST, 400, bearer("/orders?access_token=x")),
    "also without exchange": Row(Kind.INVALID_REQUEST, 400, with_token_in("/small?a=TOKEN"), "small"),
    "an alias": Row(Kind.INVALID_REQUEST, 400, bearer("/orders", b"X_Forwarded_For: x"), None, parsed=False),
    "a dot segment": Row(Kind.INVALID_REQUEST, 400, bearer("/orders/../x"), None),
    "a slash": Row(Kind.INVALID_REQUEST, 400, bearer("/orders/%2f"), None),
    "a target": Row(Kind.INVALID_REQUEST, 400, bearer("/orders/%zz"), None, parsed=False),
    "no HTTP": Row(Kind.INVALID_REQUEST, 400, bare(b"no HTTP\r\n\r\n"), None, parsed=False),
    "an old WebSocket": Row(
        Kind.UPGRADE_REQUIRED, 426, bare(handshake("/ws").replace(b"Version: 13", b"Version: 8")), "ws"
    ),
    "no token": Row(Kind.MISSING_TOKEN, 401, bare(get("/orders")), challenge=CHALLENGE),
    "another scheme": Row(
        Kind.MISSING_TOKEN, 401, bare(get("/orders", b"Authorization: Basic YTpi")), challenge=CHALLENGE
    ),
    "garbage": Row(Kind.INVALID_TOKEN, 401, bare(get("/orders", token="garbage"))),
    "expired": Row(Kind.INVALID_TOKEN, 401, bearer(lifetime=-60)),
    "another audience": Row(Kind.INVALID_TOKEN, 401, bearer(aud="somebody-else")),
    "bound to a key": Row(Kind.INVALID_TOKEN, 401, bearer(cnf={"jkt": "x"})),
    "another issuer": Row(Kind.INVALID_TOKEN, 401, bearer(iss="https://evil.example")),
    "dead at the server": Row(Kind.INVALID_TOKEN, 401, bearer(), reply=refused("invalid_grant")),
    "not enough scope": Row(
        Kind.INSUFFICIENT_SCOPE,
        403,
        bearer("/scoped"),
        "scoped",
        challenge=f'{CHALLENGE}, error="insufficient_scope", scope="orders.admin orders.read"',
    ),
    "not enough for the server": Row(Kind.INSUFFICIENT_SCOPE, 403, bearer(), reply=refused("invalid_scope")),
    "a stronger login": Row(Kind.STEP_UP_REQUIRED, 401, bearer(), reply=refused("interaction_required")),
    "not a friend": Row(Kind.POLICY_DENIED, 403, bearer("/friends"), "friends", challenge=CHALLENGE),
    "too many actors": Row(
        Kind.POLICY_DENIED,
        403,
        bearer(act={"sub": "a", "act": {"sub": "b", "act": {"sub": "c", "act": {"sub": "d"}}}}),
        challenge=CHALLENGE,
    ),
    "denied": Row(Kind.EXCHANGE_DENIED, 403, bearer(), challenge=CHALLENGE, reply=refused("access_denied")),
    "not approved": Row(
        Kind.APPROVAL_DENIED, 403, bearer("/asking"), "asking", challenge=CHALLENGE, reply=replied({"result": False})
    ),
    "no approval to be had": Row(
        Kind.APPROVAL_UNAVAILABLE, 503, bearer("/asking"), "asking", retry_after="1", reply=replied({"result": "yes"})
    ),
    "no route": Row(Kind.NO_ROUTE, 404, bearer("/nothing"), None),
    "a large body": Row(Kind.TOO_LARGE, 413, bare(b"PUT /small" + HEAD + b"Content-Length: 11\r\n\r\n"), "small"),
    "a large body in chunks": Row(
        Kind.TOO_LARGE,
        413,
        bare(b"PUT /small" + HEAD + b"Transfer-Encoding: chunked\r\n\r\nb\r\n12345678901\r\n0\r\n\r\n"),
        "small",
    ),
    "a long target": Row(Kind.TOO_LARGE, 414, bare(get("/" + "a" * 9000)), None, parsed=False),
    "a long field": Row(Kind.TOO_LARGE, 431, bare(get("/orders", b"X: " + b"a" * 9000)), None, parsed=False),
    "many fields": Row(Kind.TOO_LARGE, 431, bare(get("/orders", *[b"X: y"] * 200)), None, parsed=False),
    "a large head": Row(Kind.TOO_LARGE, 431, bare(get("/orders", *[b"X: " + b"y" * 99] * 90)), None, parsed=False),
    "a body that stalls": Row(
        Kind.REQUEST_TIMEOUT, 408, bare(b"PUT /small" + HEAD + b"Content-Length: 9\r\n\r\nabc"), "small"
    ),
    "an expectation": Row(Kind.EXPECTATION_FAILED, 417, bearer("/orders", b"Expect: more"), None, parsed=False),
    "another version": Row(
        Kind.VERSION_NOT_SUPPORTED, 505, bare(b"GET /orders HTTP/2.0\r\nHost: a\r\n\r\n"), None, parsed=False
    ),
    "a tunnel": Row(
        Kind.NOT_SUPPORTED, 501, bare(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"), None, parsed=False
    ),
    "a trace": Row(Kind.NOT_SUPPORTED, 501, bearer(method="TRACE"), None, parsed=False),
    "a coding": Row(
        Kind.NOT_SUPPORTED,
        501,
        bare(b"PUT /small" + HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n"),
        None,
        parsed=False,
    ),
    "not our client": Row(Kind.EXCHANGE_MISCONFIGURED, 502, bearer(), reply=refused("invalid_client")),
    "not our audience": Row(Kind.EXCHANGE_MISCONFIGURED, 502, bearer(), reply=refused("invalid_target")),
    "nothing to be used": Row(Kind.EXCHANGE_UNUSABLE, 502, bearer(), reply=replied({"access_token": "a"})),
    "nothing known": Row(Kind.EXCHANGE_UNUSABLE, 502, bearer(), reply=refused("out_of_coffee")),
    "an upstream down": Row(Kind.UPSTREAM_UNAVAILABLE, 502, bare(get("/nowhere")), "nowhere"),
    "an upstream silent": Row(Kind.UPSTREAM_TIMEOUT, 504, bare(get("/silent")), "silent", forwarded=1),
    "a server down": Row(Kind.EXCHANGE_UNAVAILABLE, 503, bearer("/unserved"), "unserved", retry_after="1"),
    "a server that fails": Row(
        Kind.EXCHANGE_UNAVAILABLE, 503, bearer(), retry_after="1", reply=replied(b"", status=b"500 Oops")
    ),
    "a server that is busy": Row(
        Kind.EXCHANGE_UNAVAILABLE,
        503,
        bearer(),
        retry_after="7",
        reply=replied(b"", b"Retry-After: 7", status=b"429 Too Many Requests"),
    ),
    "a server silent": Row(Kind.EXCHANGE_TIMEOUT, 504, bearer(), reply=silence),
    "an issuer down": Row(
        Kind.ISSUER_UNAVAILABLE, 503, bearer("/far", iss="https://far.example"), "far", retry_after="1"
    ),
}


#: What the parser itself refuses: counted, but with nothing known that a receipt could tell.
NOT_PARSED = {"no HTTP", "a long target", "a long field", "many fields"}


def expected_challenge(row: Row) -> str | None:
    if row.challenge is not None or row.status not in (401, 403):
        return row.challenge
    return f'{CHALLENGE}, error="{KINDS[row.kind].error}"'


def metric(scrape: str, name: str, **labels: str) -> float:
    """The value of one series, 0 where it is not there."""
    for line in scrape.splitlines():
        if line.startswith(f"{name}{{"):
            found = dict(re.findall(r'(\w+)="([^"]*)"', line.rsplit(" ", 1)[0]))
            if found == labels:
                return float(line.rsplit(" ", 1)[1])
    return 0.0


@pytest.mark.parametrize("name", ROWS)
async def test_a_refusal(name: str, world: MakeWorld) -> None:
    row = ROWS[name]
    async with scripted_world(world) as (here, server):
        server.reply = row.reply
        request = row.send(here)
        answer = await here.gateway.ask(request)
        scrape = await here.gateway.metrics()
        receipts = await here.gateway.receipt_lines()

    assert (answer.kind, answer.status) == (row.kind.value, row.status)
    problem = answer.json()
    members = {"type", "title", "status", "detail", "request_id"}
    error = KINDS[row.kind].error
    assert problem.keys() == (members | {"error"} if error is not None else members)
    assert (problem["status"], problem.get("error")) == (row.status, error)
    assert answer.value("content-type") == "application/problem+json"
    assert answer.value("cache-control") == "no-store"
    assert answer.value("www-authenticate") == expected_challenge(row)
    assert answer.value("retry-after") == row.retry_after
    assert answer.value("x-request-id") == problem["request_id"]
    assert len(here.upstream.seen) == row.forwarded

    method = request.split(b" ")[0].decode() if row.parsed else "other"
    route = row.route or "none"
    assert metric(scrape, "token_sidecar_rejections_total", route=route, reason=row.kind.value) == 1
    assert metric(scrape, "token_sidecar_requests_total", route=route, method=method, code=str(row.status)) == 1

    lines = [line for line in receipts if line["event"] == "refusal"]
    if name in NOT_PARSED:
        assert receipts == []
        return
    [line] = lines
    assert (line["decision"], line["status"]) == (row.kind.value, row.status)
    assert (line.get("route"), line["method"]) == (row.route, request.split(b" ")[0].decode())
    assert ("path" in line) == row.parsed  # of a head that was not accepted nothing is told but the method
    assert line["request_id"] == problem["request_id"]
    assert line["reason"] == problem["detail"]


@pytest.mark.threat("S1")
def test_every_kind_is_provoked() -> None:
    # Each needs something of its own: below, and in test_gateway_once_more.
    elsewhere = {Kind.OVERLOADED, Kind.LOOP, Kind.LEAK_GUARD, Kind.ISSUED_TOKEN_REFUSED}
    assert {row.kind for row in ROWS.values()} == set(Kind) - elsewhere


async def test_a_loop(world: MakeWorld) -> None:
    here = await world()
    token = here.sts.mint()
    assert (await here.gateway.ask(get(token=token))).status == 200
    [via] = here.upstream.last.values(b"via")
    answer = await here.gateway.ask(get("/orders/1", b"Via: " + via, token=token))
    assert (answer.status, answer.kind) == (508, "loop")
    assert len(here.upstream.seen) == 1
    assert metric(await here.gateway.metrics(), "token_sidecar_rejections_total", route="none", reason="loop") == 1


async def test_the_leak_guard(world: MakeWorld) -> None:
    async with scripted_world(world) as (here, server):
        token = here.sts.mint()
        server.reply = granted(f"wrapped.{token}")  # not the subject token itself, and yet it carries it
        answer = await here.gateway.ask(get(token=token))
        assert (answer.status, answer.kind) == (502, "leak-guard")
        assert here.upstream.bytes == b""
        scrape = await here.gateway.metrics()
        assert metric(scrape, "token_sidecar_leak_guard_total", route="orders") == 1
        assert metric(scrape, "token_sidecar_rejections_total", route="orders", reason="leak-guard") == 1
        refusal = (await here.gateway.receipt_lines())[-1]
        assert (refusal["event"], refusal["decision"]) == ("refusal", "leak-guard")


@pytest.mark.threat("S68")
async def test_overload(world: MakeWorld) -> None:
    reached, release = asyncio.Event(), asyncio.Event()

    async def slow(_: Asked) -> bytes:
        reached.set()
        await release.wait()
        return granted()

    config = MANY_ROUTES.replace("max_header_bytes", "max_in_flight: 1, max_header_bytes")
    async with scripted_world(world, config) as (here, server):
        server.reply = slow
        first = asyncio.create_task(here.gateway.ask(get(token=here.sts.mint())))
        await reached.wait()
        answer = await here.gateway.ask(get(token=here.sts.mint()))
        assert (answer.status, answer.kind, answer.value("retry-after")) == (503, "overloaded", "1")
        scrape = await here.gateway.metrics()  # the admin listener still answers
        assert metric(scrape, "token_sidecar_rejections_total", route="none", reason="overloaded") == 1
        assert "token_sidecar_requests_in_flight 1.0" in scrape
        release.set()
        assert (await first).status == 200
        assert "token_sidecar_requests_in_flight 0.0" in await here.gateway.metrics()


async def test_too_many_streams(world: MakeWorld) -> None:
    piece = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"

    def endless(seen: Seen) -> bytes:
        if b"/healthz" in seen.line:
            return ok(seen)
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + piece * 600  # and no end

    config = CONFIG.replace("listen:", "max_streams: 1, listen:")
    here = await world(config, endless)
    reader, writer = await asyncio.open_connection("127.0.0.1", here.gateway.port())
    async with asyncio.timeout(BOUND):
        writer.write(get(token=here.sts.mint()))
        await reader.readuntil(b"\r\n\r\n")
        answer = await here.gateway.ask(get("/healthz"))
        assert (answer.status, answer.kind, answer.value("retry-after")) == (503, "overloaded", "1")
        assert len(here.upstream.seen) == 1
        assert "token_sidecar_requests_in_flight 0.0" in await here.gateway.metrics()
        writer.transport.abort()
        while (await here.gateway.ask(get("/healthz"))).status != 200:  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.01)
    assert [line["event"] for line in await here.gateway.receipt_lines() if line["event"] == "refusal"] == []


async def test_a_token_changes_hands(world: MakeWorld) -> None:
    here = await world()
    token = here.sts.mint()
    answers = [await here.gateway.ask(get("/orders/1?x=y", b"X-Request-ID: my-id", token=token)) for _ in range(2)]
    for answer in answers:
        assert (answer.status, answer.body, answer.value("x-request-id")) == (200, b"ok", "my-id")
    [authorization] = here.upstream.last.values(b"authorization")
    assert authorization.startswith(b"Bearer ey")
    assert here.upstream.seen[0].values(b"authorization") == [authorization]  # the second is from the cache
    assert token.encode() not in here.upstream.bytes
    assert here.sts.exchanges == 1

    first, *uses = await here.gateway.receipt_lines()
    assert (first["event"], first["decision"], first["cache"]) == ("exchange", "allowed", "miss")
    assert [(line["event"], line["cache"], line["status"]) for line in uses] == [
        ("use", "miss", 200),
        ("use", "hit", 200),
    ]
    for line in (first, *uses):
        assert (line["route"], line["path"], line["request_id"]) == ("orders", "/orders/1", "my-id")
        assert (line["subject"]["sub"], line["subject_source"]) == ("alice", "caller")
        assert line["issued_token"]["audience"] == ["orders-api"]
        assert line["exchange_id"] == first["exchange_id"]

    scrape = await here.gateway.metrics()
    assert metric(scrape, "token_sidecar_requests_total", route="orders", method="GET", code="200") == 2
    assert metric(scrape, "token_sidecar_cache_lookups_total", route="orders", result="hit") == 1
    assert metric(scrape, "token_sidecar_cache_lookups_total", route="orders", result="miss") == 1
    labels = {"authorization_server": "corp", "route": "orders", "outcome": "success"}
    assert metric(scrape, "token_sidecar_exchanges_total", **labels) == 1
    assert metric(scrape, "token_sidecar_request_duration_seconds_count", route="orders") == 2
    assert metric(scrape, "token_sidecar_overhead_seconds_count", route="orders") == 2
    assert metric(scrape, "token_sidecar_upstream_duration_seconds_count", route="orders") == 2


async def test_a_route_without_exchange(world: MakeWorld) -> None:
    here = await world()
    token = here.sts.mint()
    for request in (get("/healthz"), get("/healthz", token=token), get("/healthz", b"Authorization: Basic YTpi")):
        assert (await here.gateway.ask(request)).status == 200
        assert here.upstream.last.values(b"authorization") == []
    assert here.sts.exchanges == 0
    lines = await here.gateway.receipt_lines()
    assert [(line["event"], line["decision"], line["route"]) for line in lines] == [("use", "allowed", "health")] * 3


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("target", [b"/orders", b"/nothing"])
async def test_a_refusal_to_head_has_no_body(world: MakeWorld, version: bytes, target: bytes) -> None:
    here = await world()
    async with asyncio.timeout(BOUND):
        reader, writer = await asyncio.open_connection("127.0.0.1", here.gateway.port())
        writer.write(b"HEAD " + target + b" HTTP/" + version + b"\r\nHost: a\r\nConnection: close\r\n\r\n")
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    assert body == b""
    assert b"Content-Length: 0" not in head
    assert b"Connection: close" in head


async def test_a_refused_request_leaves_the_connection_usable_where_it_came_whole(world: MakeWorld) -> None:
    here = await world()
    async with asyncio.timeout(BOUND):
        reader, writer = await asyncio.open_connection("127.0.0.1", here.gateway.port())
        whole = b"POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
        for _ in range(3):
            writer.write(whole)
            answer: Answer = await read_answer(reader)
            assert (answer.status, answer.value("connection")) == (401, None)
        for request, status in ((whole[:-1], 401), (b"HEAD /\\ HTTP/1.1\r\nHost: a\r\n\r\n", 400)):
            other, to_other = await asyncio.open_connection("127.0.0.1", here.gateway.port())
            to_other.write(request)
            answer = await read_answer(other)
            assert (answer.status, answer.value("connection")) == (status, "close")
            to_other.close()
        writer.close()


async def test_a_caller_that_leaves_while_the_exchange_runs(world: MakeWorld) -> None:
    """Nothing is sent upstream for nobody, and the exchange is of use to the next one."""
    reached, release = asyncio.Event(), asyncio.Event()

    async def slow(_: Asked) -> bytes:
        reached.set()
        await release.wait()
        return granted()

    async with scripted_world(world) as (here, server):
        server.reply = slow
        token = here.sts.mint()
        _, writer = await asyncio.open_connection("127.0.0.1", here.gateway.port())
        writer.write(get(token=token))
        async with asyncio.timeout(BOUND):
            await reached.wait()
            writer.close()
            gone = {"route": "orders", "method": "GET", "code": "499"}
            while not metric(await here.gateway.metrics(), "token_sidecar_requests_total", **gone):
                pass
        release.set()
        answer = await here.gateway.ask(get(token=token))
        assert (answer.status, len(server.asked), len(here.upstream.seen)) == (200, 1, 1)


async def test_a_snapshot_is_taken_once_for_a_request(world: MakeWorld) -> None:
    """What is swapped while a request waits is for those that come later."""
    reached, release = asyncio.Event(), asyncio.Event()

    async def slow(_: Asked) -> bytes:
        reached.set()
        await release.wait()
        return granted()

    async with scripted_world(world) as (here, server):
        server.reply = slow
        first = asyncio.create_task(here.gateway.ask(get(token=here.sts.mint())))
        await reached.wait()
        app = here.gateway.app
        before, app.snapshot = app.snapshot, None  # type: ignore[assignment]  # nobody may look at it now
        release.set()
        assert (await first).status == 200
        app.snapshot = before


async def test_draining_closes_connections_after_their_response(world: MakeWorld) -> None:
    here = await world()
    here.gateway.app._listeners.going()
    answer = await ask(here.gateway.port(), b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (answer.status, answer.value("connection")) == (200, "close")


async def test_nothing_is_forwarded_that_can_not_be_put_on_record(world: MakeWorld, tmp_path: Path) -> None:
    config = f"receipts: {{sink: {tmp_path}/full.jsonl, on_failure: refuse}}\n" + CONFIG
    here = await world(config)
    assert (await here.gateway.ask(get("/healthz"))).status == 200
    writer = here.gateway.app._journal.receipts._writer
    assert writer is not None
    writer._max_bytes = 0  # as if the queue were full
    answer = await here.gateway.ask(get("/healthz"))
    assert (answer.status, answer.kind, answer.value("retry-after")) == (503, "exchange-unavailable", "1")
    assert len(here.upstream.seen) == 1
    writer._max_bytes = 1 << 20


async def test_receipts_that_must_be_written_and_cannot_be(monkeypatch: pytest.MonkeyPatch, world: MakeWorld) -> None:
    monkeypatch.setattr("sidecar.observe.receipts.PATIENCE", 0.05)
    monkeypatch.setattr("sidecar.app.LAST_RECEIPTS", 0.05)
    config = "receipts: {sink: /dev/full, on_failure: refuse}\n" + CONFIG
    here = await world(config)
    answer = await here.gateway.ask(get(token=here.sts.mint()))
    assert (answer.status, answer.kind) == (503, "exchange-unavailable")
    assert here.upstream.seen == []
