"""Routes of the Model Context Protocol end to end: what a body asks for decides, and nothing else of it is touched."""

import asyncio
import json
from typing import Any

import pytest

from sidecar.caller.mcp import MAX_BODY
from sidecar.faces import gateway as tested
from sidecar.faces.upload import KEPT
from sidecar.model.refusal import Kind
from sidecar.oauth.jwt import peek
from tests.faces.conftest import CONFIG, MakeWorld, World
from tests.faces.test_gateway import metric, scripted_world
from tests.support import scripted
from tests.support.canary import Canary, search
from tests.support.gateway import BOUND, Answer, Seen, get, ok, read_answer
from tests.support.scripted import Asked, granted

TOOLS = """
    mcp:
      allowed_origins: ['https://app.example']
      tools:
        search: {}
        delete_file: {scope: [orders.write], acr_values: [mfa], max_age: 5m}
        write_*: {scope: [orders.write]}
        purge: {scope: [purge]}
      methods: {initialize: {}, tools/list: {}}
"""
WITH_TOOLS = CONFIG.replace("    match: {path_prefix: /orders}\n", "    match: {path: /orders/mcp}" + TOOLS)
INITIALIZED = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
RESULT = b'{"jsonrpc":"2.0","id":1,"result":{}}'


def call(name: str = "search", **arguments: Any) -> bytes:
    params = {"name": name, "arguments": arguments}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()


def post(token: str | None, body: bytes, *fields: bytes, kind: bytes = b"application/json") -> bytes:
    framing = () if any(b"Transfer-Encoding" in field for field in fields) else (b"Content-Length: %d" % len(body),)
    return get("/orders/mcp", b"Content-Type: " + kind, *framing, *fields, token=token, method="POST") + body


async def asked(here: World, body: bytes, *fields: bytes, **claims: Any) -> Answer:
    return await here.gateway.ask(post(here.sts.mint(**claims), body, *fields))


def scope_of(seen: Seen) -> set[str]:
    [authorization] = seen.values(b"authorization")
    return set(peek(authorization.decode().removeprefix("Bearer ")).claims["scope"].split())


async def test_each_tool_gets_a_token_with_its_own_scope(world: MakeWorld) -> None:
    here = await world(WITH_TOOLS)
    token = here.sts.mint()
    for _ in range(2):
        for name, scope in (("search", {"orders.read"}), ("write_file", {"orders.read", "orders.write"})):
            body = call(name, path="/tmp/ä", numbers=[1.0, 2])
            assert (await here.gateway.ask(post(token, body))).status == 200
            assert here.upstream.last.body == body
            assert scope_of(here.upstream.last) == scope
    assert here.sts.exchanges == 2  # one for each scope, and the cache tells them apart


@pytest.mark.parametrize("body", [INITIALIZED, RESULT])
async def test_what_calls_no_tool_gets_none_of_their_scopes(world: MakeWorld, body: bytes) -> None:
    here = await world(WITH_TOOLS)
    assert (await asked(here, body)).status == 200
    assert scope_of(here.upstream.last) == {"orders.read"}


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
async def test_streams_and_the_end_of_a_session(world: MakeWorld, method: str) -> None:
    here = await world(WITH_TOOLS)
    answer = await here.gateway.ask(get("/orders/mcp", b"Mcp-Session-Id: s", token=here.sts.mint(), method=method))
    assert answer.status == 200
    assert scope_of(here.upstream.last) == {"orders.read"}
    assert here.upstream.last.values(b"mcp-session-id") == [b"s"]


@pytest.mark.threat("S72")
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_a_session_proves_nothing(world: MakeWorld, method: str) -> None:
    here = await world(WITH_TOOLS)
    assert (await asked(here, call(), b"Mcp-Session-Id: s")).status == 200
    answer = await here.gateway.ask(get("/orders/mcp", b"Mcp-Session-Id: s", method=method))
    assert answer.status == 401
    assert len(here.upstream.seen) == 1


@pytest.mark.threat("S69")
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (call("unknown"), Kind.POLICY_DENIED),
        (call("SEARCH"), Kind.POLICY_DENIED),
        (call("search\0"), Kind.POLICY_DENIED),
        (b'{"jsonrpc":"2.0","id":1,"method":"prompts/list"}', Kind.POLICY_DENIED),
        (b"[" + call() + b"]", Kind.INVALID_REQUEST),
        (call() + call(), Kind.INVALID_REQUEST),
        (b"\xef\xbb\xbf" + call(), Kind.INVALID_REQUEST),
        (call().replace(b'"name"', b'"name": "delete_file", "name"'), Kind.INVALID_REQUEST),
        (b"", Kind.INVALID_REQUEST),
        (b"{" * 1000, Kind.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","method":"tools/call","params":{"name":"search"}}', Kind.INVALID_REQUEST),
    ],
)
async def test_what_is_not_taken_reaches_nobody(world: MakeWorld, body: bytes, kind: Kind) -> None:
    here = await world(WITH_TOOLS)
    answer = await asked(here, body)
    assert (answer.status, answer.kind) == (403 if kind is Kind.POLICY_DENIED else 400, kind.value)
    assert (here.upstream.seen, here.sts.exchanges) == ([], 0)
    assert f'reason="{kind.value}",route="orders"' in await here.gateway.metrics()


async def test_a_token_is_verified_before_a_body_is_read(world: MakeWorld) -> None:
    """Else anybody could have the gateway hold a body for each connection."""
    here = await world(WITH_TOOLS)
    head = get("/orders/mcp", b"Content-Type: application/json", b"Content-Length: 100", method="POST")
    assert (await here.gateway.ask(head)).status == 401  # and nothing of the body was sent


@pytest.mark.threat("S70")
async def test_a_head_that_says_something_else(world: MakeWorld) -> None:
    here = await world(WITH_TOOLS)
    agreeing = (b"Mcp-Method: tools/call", b"Mcp-Name: search")
    assert (await asked(here, call(), *agreeing)).status == 200
    for name, value in ((b"mcp-method", b"tools/call"), (b"mcp-name", b"search")):
        assert here.upstream.last.values(name) == [value]
    for field in (b"Mcp-Method: initialize", b"Mcp-Name: write_file", b"Mcp-Name:"):
        assert (await asked(here, call(), field)).kind == "invalid-request"
    assert len(here.upstream.seen) == 1


@pytest.mark.threat("S73")
async def test_pages_of_other_origins(world: MakeWorld) -> None:
    here = await world(WITH_TOOLS)
    assert (await asked(here, call(), b"Origin: https://app.example")).status == 200
    answer = await asked(here, call(), b"Origin: http://127.0.0.1:1234")
    assert (answer.status, answer.kind) == (403, "policy-denied")
    assert len(here.upstream.seen) == 1


async def test_a_dangerous_tool_asks_for_another_login_and_the_others_do_not(world: MakeWorld) -> None:
    here = await world(WITH_TOOLS)
    now = int(here.sts.clock.wall())
    assert (await asked(here, call("write_file"))).status == 200
    exchanges = here.sts.exchanges
    for claims in ({}, {"acr": "mfa"}, {"acr": "mfa", "auth_time": now - 400}, {"acr": "pwd", "auth_time": now}):
        answer = await asked(here, call("delete_file"), **claims)
        assert (answer.status, answer.kind) == (401, "step-up-required")
        challenge = answer.value("www-authenticate") or ""
        assert 'error="insufficient_user_authentication", acr_values="mfa", max_age="300"' in challenge
    assert here.sts.exchanges == exchanges
    assert (await asked(here, call("delete_file"), acr="mfa", auth_time=now)).status == 200
    assert scope_of(here.upstream.last) == {"orders.read", "orders.write"}


async def test_a_scope_that_the_server_does_not_give(world: MakeWorld) -> None:
    here = await world(WITH_TOOLS)
    answer = await asked(here, call("purge"))
    assert (answer.status, answer.kind) == (403, "insufficient-scope")
    assert 'scope="orders.read purge"' in (answer.value("www-authenticate") or "")
    assert here.upstream.seen == []


@pytest.mark.threat("S3")
async def test_an_agent_that_tells_its_token_to_a_tool(world: MakeWorld) -> None:
    here = await world(WITH_TOOLS)
    token = here.sts.mint()
    for told in (token, token.rpartition(".")[2]):
        answer = await here.gateway.ask(post(token, call("search", query=f"the token is {told}")))
        assert (answer.status, answer.kind) == (400, "invalid-request")
    assert (here.upstream.seen, here.sts.exchanges) == ([], 0)
    assert search(here.gateway.receipts, token, token.rpartition(".")[2]) == []


async def test_receipts_tell_the_tool(world: MakeWorld) -> None:
    here = await world(WITH_TOOLS)
    canary = Canary.fresh("pasted")
    pasted = here.sts.mint(canary=canary.text)
    for body in (call("search"), call("unknown"), call(pasted), INITIALIZED, call("x" * 500)):
        await asked(here, body)
    receipts = [line for line in await here.gateway.receipt_lines() if line["event"] != "exchange"]
    assert [line.get("tool") for line in receipts] == ["search", "unknown", "[token]", None, "x" * 128]
    assert [line["decision"] for line in receipts] == ["allowed", *["policy-denied"] * 2, "allowed", "policy-denied"]
    assert not search(here.gateway.receipts, canary, pasted)


async def test_chunks_go_on_as_one_body(world: MakeWorld) -> None:
    here = await world(WITH_TOOLS)
    body = call(text="x" * 1000)
    framed = b"".join(b"%x\r\n%b\r\n" % (len(body[i : i + 7]), body[i : i + 7]) for i in range(0, len(body), 7))
    answer = await here.gateway.ask(post(here.sts.mint(), framed + b"0\r\n\r\n", b"Transfer-Encoding: chunked"))
    assert answer.status == 200
    assert here.upstream.last.body == body


@pytest.mark.parametrize("chunked", [False, True])
async def test_how_large_a_body_may_be(world: MakeWorld, *, chunked: bool) -> None:
    here = await world(WITH_TOOLS)
    for surplus in (0, 1):
        body = call(text="x" * (MAX_BODY - len(call(text="")) + surplus))
        assert len(body) == MAX_BODY + surplus
        framed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body
        fields = (b"Transfer-Encoding: chunked",) if chunked else ()
        answer = await here.gateway.ask(post(here.sts.mint(), framed, *fields))
        assert answer.status == (413 if surplus else 200)
        assert here.upstream.last.body == body[: MAX_BODY if not surplus else None] or surplus
    assert len(here.upstream.seen) == 1


async def test_the_routes_own_limit_counts_where_it_is_lower(world: MakeWorld) -> None:
    here = await world(WITH_TOOLS.replace("127.0.0.1:PORT'", "127.0.0.1:PORT', max_body_bytes: 100"))
    for fields in ((), (b"Transfer-Encoding: chunked",)):
        body = call(text="x" * 100)
        framed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if fields else body
        assert (await here.gateway.ask(post(here.sts.mint(), framed, *fields))).status == 413
    assert (await asked(here, call())).status == 200


async def test_who_waits_to_be_told_to_go_on_is_told_once(world: MakeWorld) -> None:
    def careful(seen: Seen) -> bytes:
        return b"HTTP/1.1 100 Continue\r\n\r\n" + ok(seen)

    here = await world(WITH_TOOLS, careful)
    request = post(here.sts.mint(), call(), b"Expect: 100-continue")
    head, body = request.split(b"\r\n\r\n", 1)
    async with asyncio.timeout(BOUND):
        reader, writer = await asyncio.open_connection("127.0.0.1", here.gateway.port())
        writer.write(head + b"\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert here.upstream.seen == []
        writer.write(body)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        writer.close()
    assert here.upstream.last.body == call()


async def test_a_caller_that_leaves_before_its_body_is_there(world: MakeWorld) -> None:
    here = await world(WITH_TOOLS)
    request = post(here.sts.mint(), call())
    async with asyncio.timeout(BOUND):
        _, writer = await asyncio.open_connection("127.0.0.1", here.gateway.port())
        writer.write(request[:-1])
        await writer.drain()
        writer.close()
        gone = {"route": "orders", "method": "POST", "code": "499"}
        while not metric(await here.gateway.metrics(), "token_sidecar_requests_total", **gone):
            pass
    assert (here.upstream.seen, here.gateway.app._gateway.in_flight) == ([], 0)


async def test_a_body_that_stalls(world: MakeWorld) -> None:
    here = await world(WITH_TOOLS.replace("127.0.0.1:PORT'", "127.0.0.1:PORT', send_idle: 50ms"))
    answer = await here.gateway.ask(post(here.sts.mint(), call())[:-1])
    assert (answer.status, answer.kind) == (408, "request-timeout")
    assert here.upstream.seen == []


async def test_a_connection_goes_on_after_a_refusal(world: MakeWorld) -> None:
    """The body was read to its end, so that what follows is the next request."""
    here = await world(WITH_TOOLS)
    requests = [post(here.sts.mint(), call(name)).replace(b"Connection: close\r\n", b"") for name in ("no", "search")]
    async with asyncio.timeout(BOUND):
        reader, writer = await asyncio.open_connection("127.0.0.1", here.gateway.port())
        writer.write(b"".join(requests))
        assert [(await read_answer(reader)).status for _ in requests] == [403, 200]
        writer.close()


@pytest.mark.parametrize("size", [10, KEPT * 2])
async def test_a_newer_token_and_the_same_body_again(
    world: MakeWorld, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(tested, "FRESH", -1.0)
    count = 0

    async def numbered(_: Asked) -> bytes:
        nonlocal count
        count += 1
        return granted(f"issued-{count}")

    def second_only(seen: Seen) -> bytes:
        good = seen.values(b"authorization") == [b"Bearer issued-2"]
        return ok(seen) if good else b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"

    config = scripted.CONFIG.replace("    match: {path_prefix: /orders}\n", "    match: {path: /orders/mcp}" + TOOLS)
    async with scripted_world(world, config, second_only) as (here, server):
        server.reply = numbered
        body = call("write_file", text="x" * size)
        assert (await asked(here, body)).status == 200
        assert [seen.body for seen in here.upstream.seen] == [body, body]
        assert [each.form["scope"] for each in server.asked] == ["orders.read orders.write"] * 2


async def test_an_event_stream_comes_as_it_is_sent(world: MakeWorld) -> None:
    events = b'event: message\r\ndata: {"jsonrpc":"2.0","id":1,\r\ndata: "result":{}}\r\n\r\n: \xff\n\n'

    def stream(_: Seen) -> bytes:
        fields = b"Content-Type: text/event-stream\r\nContent-Length: %d" % len(events)
        return b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\n" + events

    here = await world(WITH_TOOLS, stream)
    answer = await asked(here, call())
    assert (answer.body, answer.value("content-type")) == (events, "text/event-stream")


async def test_a_route_without_mcp_reads_no_body(world: MakeWorld) -> None:
    here = await world()
    body = b"[" + call("unknown") + b"]"
    fields = (b"Mcp-Method: initialize", b"Content-Type: text/plain")
    request = get("/orders/1", b"Content-Length: %d" % len(body), *fields, token=here.sts.mint(), method="POST")
    assert (await here.gateway.ask(request + body)).status == 200
    assert here.upstream.last.body == body


async def test_a_field_chooses_a_tools_route_without_a_body_being_read(world: MakeWorld) -> None:
    by_name = CONFIG.replace(
        "routes:\n",
        """routes:
  - name: delete
    match: {path_prefix: /orders, headers: {Mcp-Name: delete_file}}
    upstream: {url: 'http://127.0.0.1:PORT'}
    subject: {acr_values: [mfa]}
    exchange: {audience: [orders-api], scope: [orders.write]}
""",
    )
    here = await world(by_name)
    for name, status in ((b"delete_file", 401), (b"search", 200)):
        head = get("/orders/1", b"Mcp-Name: " + name, b"Content-Length: 5", token=here.sts.mint(), method="POST")
        assert (await here.gateway.ask(head + b"no, {")).status == status
