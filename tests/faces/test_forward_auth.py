"""What the decision listener answers: the fields that a proxy sets and removes, or the refusal, in either form."""

import asyncio
import json
import ssl
from base64 import urlsafe_b64decode
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from sidecar.config.load import load
from tests.faces.conftest import MakeWorld, World
from tests.support.canary import search
from tests.support.certificates import Authority
from tests.support.desk import running_desk
from tests.support.gateway import Answer, get
from tests.support.questions import ENVOY, FORWARDED, question
from tests.support.scripted import ScriptedServer, granted, scripted_server

CONFIG = """
decision: {listen: '127.0.0.1:0', form: FORM}
gateway: {max_header_bytes: 16KiB, trusted_proxies: [127.0.0.1]}
trusted_issuers:
  corp: {issuer: ISSUER, audience: [orders-gateway]}
authorization_servers:
  corp:
    issuer: ISSUER
    client_auth: {method: client_secret_basic, client_id: gateway, client_secret_file: gateway.secret}
routes:
  - name: orders
    match: {hosts: [api.example.com], path_prefix: /orders, methods: [GET, POST, HEAD]}
    upstream: {url: 'http://127.0.0.1:PORT'}
    exchange: {audience: [orders-api], scope: [orders.read]}
  - name: alone
    match: {path_prefix: /alone}
    upstream: {url: 'http://127.0.0.1:PORT', token_header: X-Upstream-Token}
    exchange: {audience: [orders-api], scope: [orders.read]}
  - name: oauth2-proxy
    match: {path_prefix: /behind}
    upstream: {url: 'http://127.0.0.1:PORT'}
    subject: {header: X-Caller}
    exchange: {audience: [orders-api], scope: [orders.read]}
  - name: scoped
    match: {path_prefix: /scoped}
    upstream: {url: 'http://127.0.0.1:PORT'}
    subject: {require_scope: [orders.admin]}
    exchange: {audience: [orders-api], scope: [orders.read]}
  - name: tool
    match: {path: /mcp, headers: {Mcp-Name: search}}
    upstream: {url: 'http://127.0.0.1:PORT'}
    exchange: {audience: [orders-api], scope: [orders.write]}
  - name: sockets
    match: {path_prefix: /sockets}
    upstream: {url: 'http://127.0.0.1:PORT', websocket: true}
    exchange: {audience: [orders-api], scope: [orders.read]}
  - name: public
    match: {path_prefix: /public}
    upstream: {url: 'http://127.0.0.1:PORT'}
    exchange: none
"""
#: Every field that may hold a credential here.
EVERY = {
    "authorization",
    "proxy-authorization",
    "x-auth-request-access-token",
    "x-caller",
    "x-forwarded-access-token",
    "x-upstream-token",
}
each_form = pytest.mark.parametrize("form", [FORWARDED, ENVOY])


def config(form: str, text: str = CONFIG) -> str:
    return text.replace("FORM", form)


def claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    content: dict[str, Any] = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return content


async def asked(it: World, form: str, target: str = "/orders/1", *fields: bytes, **about: Any) -> Answer:
    return await it.gateway.ask(question(form, target, *fields, **about), "decision")


def removed(answer: Answer) -> set[str]:
    value = answer.value("x-envoy-auth-headers-to-remove")
    assert value is not None
    return set(value.split(","))


@each_form
@pytest.mark.threat("S82")
async def test_a_token_is_answered(world: MakeWorld, form: str) -> None:
    it = await world(config(form))
    token = it.sts.mint()
    answer = await asked(it, form, token=token)
    assert (answer.status, answer.body) == (200, b"")
    assert (answer.value("x-sidecar-route"), answer.value("cache-control")) == ("orders", "no-store")
    authorization = answer.value("authorization") or ""
    issued = claims(authorization.removeprefix("Bearer "))
    assert (issued["aud"], issued["scope"]) == (["orders-api"], "orders.read")
    assert removed(answer) == EVERY - {"authorization"}
    assert search(answer.raw, token, token.rsplit(".", 1)[1]) == []
    assert (await asked(it, form, token=token)).value("authorization") == authorization
    assert (it.sts.exchanges, it.upstream.seen) == (1, [])


@each_form
async def test_a_token_in_another_field(world: MakeWorld, form: str) -> None:
    it = await world(config(form))
    answer = await asked(it, form, "/alone", token=it.sts.mint())
    assert answer.status == 200
    assert claims(answer.value("x-upstream-token") or "")["aud"] == ["orders-api"]
    assert answer.value("authorization") is None
    assert removed(answer) == EVERY - {"x-upstream-token"}


@each_form
async def test_a_trusted_proxy_hands_on_a_token(world: MakeWorld, form: str) -> None:
    it = await world(config(form))
    answer = await asked(it, form, "/behind", b"X-Caller: " + it.sts.mint().encode())
    assert (answer.status, answer.value("x-sidecar-route")) == (200, "oauth2-proxy")
    assert removed(answer) == EVERY - {"authorization"}


@each_form
@pytest.mark.threat("S82")
async def test_without_an_exchange_all_credentials_go(world: MakeWorld, form: str) -> None:
    it = await world(config(form))
    token = it.sts.mint()
    for fields in ({}, {"token": token}):
        answer = await asked(it, form, "/public/a", **fields)
        assert (answer.status, answer.value("x-sidecar-route")) == (200, "public")
        assert answer.value("authorization") is None
        assert removed(answer) == EVERY
    assert (await asked(it, form, f"/public/{token}", token=token)).kind == "invalid-request"
    assert it.sts.exchanges == 0


@each_form
async def test_refusals_are_those_of_the_gateway(world: MakeWorld, form: str) -> None:
    gateway = "gateway: {listen: '127.0.0.1:0',"
    both = config(form).replace("gateway: {", gateway).replace("    match:", "    listener: decision\n    match:")
    here, _, routes = both.partition("routes:\n")
    there = routes.replace("listener: decision", "listener: default").replace("name: ", "name: there-")
    it = await world(f"{here}routes:\n{routes}{there}")
    token = it.sts.mint()
    expired, stranger = it.sts.mint(lifetime=-60), it.sts.mint(aud="somebody-else")
    for target, fields, carried, method in (
        ("/orders/1", (), None, "GET"),
        ("/orders/1", (), expired, "GET"),
        ("/orders/1", (), stranger, "GET"),
        ("/orders/1", (), "no-token", "GET"),
        ("/orders/1", (b"Authorization: Basic eA==",), None, "GET"),
        ("/orders/1", (b"Authorization: Bearer " + token.encode(),), token, "GET"),
        ("/orders/1", (b"X-Forwarded-Access-Token: " + token.encode(),), token, "GET"),
        ("/orders/1", (b"Cookie: a=" + token.encode(),), token, "GET"),
        (f"/orders/1?access_token={token}", (), None, "GET"),
        (f"/orders/{token}", (), token, "GET"),
        ("/orders/../admin", (), token, "GET"),
        ("/orders/%2e%2e/admin", (), token, "GET"),
        ("/orders/a%2fb", (), token, "GET"),
        ("/orders//1", (), token, "GET"),
        ("/orders/1", (), token, "DELETE"),
        ("/nothing", (), token, "GET"),
        ("/scoped", (), token, "GET"),
        ("/mcp", (b"Mcp-Name: delete",), token, "GET"),
        ("/orders/1", (b"Proxy_Authorization: x",), token, "GET"),
        ("/orders/1", (b"X_Upstream_Token: x",), token, "GET"),
    ):
        answer = await asked(it, form, target, *fields, token=carried, method=method)
        gateways = await it.gateway.ask(get(target, *fields, token=carried, method=method))
        about = (answer.status, answer.kind, answer.value("www-authenticate"), answer.json()["detail"])
        assert about == (
            gateways.status,
            gateways.kind,
            gateways.value("www-authenticate"),
            gateways.json()["detail"],
        ), target
        assert answer.value("content-type") == "application/problem+json"
        assert answer.value("cache-control") == "no-store"
        assert answer.value("authorization") is None
    assert it.sts.exchanges == 0


@each_form
async def test_what_the_named_request_is_decides(world: MakeWorld, form: str) -> None:
    it = await world(config(form))
    token = it.sts.mint()
    for target, fields, about, route in (
        ("/orders/1", (), {"host": b"other.example.com"}, None),
        ("/orders/1", (), {"host": b"API.Example.com:443"}, "orders"),
        ("/orders/1", (), {"method": "HEAD"}, "orders"),
        ("/orders/1", (), {"method": "POST"}, "orders"),
        ("/orders/1", (b"X-HTTP-Method-Override: DELETE",), {}, "orders"),
        ("/%6frders/%61dmin", (), {}, "orders"),
        ("http://api.example.com/orders/1?b", (), {}, "orders"),
        ("http://other.example.com/orders/1", (), {}, None),
        ("/mcp", (b"Mcp-Name: search",), {}, "tool"),
        ("/mcp", (b"Mcp-Name: search", b"Mcp-Name: search"), {}, None),
        ("/mcp", (), {}, None),
    ):
        answer = await asked(it, form, target, *fields, token=token, **about)
        assert answer.value("x-sidecar-route") == route, (target, fields, about)
        assert (answer.status == 200) == (route is not None)


async def test_a_question_is_answered_and_not_what_it_names(world: MakeWorld) -> None:
    """A refused HEAD is told with a body to who asked by GET, and without one to who asked by HEAD itself."""
    it = await world(config(FORWARDED))
    first = question(FORWARDED, method="HEAD").replace(b"Connection: close\r\n", b"")
    answers = await both(it, first + question(FORWARDED, token=it.sts.mint()))
    assert [answer[:12] for answer in answers] == [b"HTTP/1.1 401", b"HTTP/1.1 200"]
    assert b'"status":401' in answers[0]
    it = await world(config(ENVOY))
    first = question(ENVOY, method="HEAD").replace(b"Connection: close\r\n", b"")
    answers = await both(it, first + question(ENVOY, token=it.sts.mint()))
    assert [answer[:12] for answer in answers] == [b"HTTP/1.1 401", b"HTTP/1.1 200"]
    assert b'"status":401' not in answers[0]


async def both(it: World, requests: bytes) -> list[bytes]:
    """Send two on one connection; return both answers."""
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", it.gateway.port("decision"))
        writer.write(requests)
        received = await reader.read(-1)
        writer.close()
    first, _, second = received.partition(b"HTTP/1.1 200")
    return [first, b"HTTP/1.1 200" + second]


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
async def test_a_proxy_keeps_its_connection(world: MakeWorld, version: bytes) -> None:
    it = await world(config(FORWARDED))
    asking = question(FORWARDED, token=it.sts.mint(), method="POST").replace(b"HTTP/1.1", version, 1)
    first = asking.replace(b"Connection: close", b"Connection: keep-alive")
    answers = await both(it, first.replace(b"X-Forwarded-Uri: /orders/1", b"X-Forwarded-Uri: *") + asking)
    assert answers[0].startswith(b"HTTP/1.1 400")
    assert answers[0].lower().count(b"x-request-id: ") == 1
    assert answers[1].startswith(b"HTTP/1.1 200")


@each_form
@pytest.mark.parametrize("sent", [b"Content-Length: 5", b"Transfer-Encoding: chunked"])
async def test_no_body_is_read(world: MakeWorld, form: str, sent: bytes) -> None:
    it = await world(config(form))
    asking = question(form, "/orders/1", sent, token=it.sts.mint()).replace(b"Content-Length: 0\r\n", b"")
    answer = await it.gateway.ask(asking, "decision")
    assert (answer.status, answer.kind, answer.value("connection")) == (400, "invalid-request", "close")


@pytest.mark.threat("S81")
async def test_who_asks_in_the_other_form_is_refused(world: MakeWorld) -> None:
    for form, other in ((FORWARDED, ENVOY), (ENVOY, FORWARDED)):
        it = await world(config(form))
        answer = await asked(it, other, token=it.sts.mint())
        assert (answer.status, answer.kind) == (400, "invalid-request")
        receipt = (await it.gateway.receipt_lines())[-1]
        assert (receipt["event"], receipt["decision"], receipt["method"]) == ("refusal", "invalid-request", "GET")
        assert "path" not in receipt


@each_form
@pytest.mark.parametrize("upgrade", [b"websocket", b"h2c", b"TLS/1.0", b""])
async def test_an_upgrade_goes_only_where_the_route_says_so(world: MakeWorld, form: str, upgrade: bytes) -> None:
    it = await world(config(form))
    fields = (b"Upgrade: " + upgrade, b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
    for target in ("/orders/1", "/public"):
        answer = await upgrading(it, form, target, fields)
        assert (answer.status, answer.kind) == (501, "not-supported")
    answer = await upgrading(it, form, "/sockets", fields)
    assert answer.status == (200 if upgrade == b"websocket" else 501)
    if upgrade == b"websocket":
        wrong = (fields[0], b"Sec-WebSocket-Version: 8", fields[2])
        assert (await upgrading(it, form, "/sockets", wrong)).kind == "upgrade-required"
        page = (*fields, b"Origin: https://elsewhere.example")
        assert (await upgrading(it, form, "/sockets", page)).kind == "policy-denied"


async def upgrading(it: World, form: str, target: str, fields: tuple[bytes, ...]) -> Answer:
    asking = question(form, target, *fields, token=it.sts.mint())
    return await it.gateway.ask(asking.replace(b"Connection: close", b"Connection: Upgrade"), "decision")


PREFLIGHT = (b"Origin: https://app.example", b"Access-Control-Request-Method: GET")


@each_form
async def test_a_preflight_goes_on_or_is_refused(world: MakeWorld, form: str) -> None:
    it = await world(config(form))
    answer = await asked(it, form, "/orders/1", *PREFLIGHT, method="OPTIONS")
    assert (answer.status, answer.kind) == (403, "policy-denied")
    answer = await asked(it, form, "/public", *PREFLIGHT, method="OPTIONS", token=it.sts.mint())
    assert (answer.status, answer.value("authorization")) == (200, None)
    assert removed(answer) == EVERY | {"cookie"}
    with_cookie = await asked(it, form, "/public", *PREFLIGHT, b"Cookie: a=b", method="OPTIONS")
    assert with_cookie.status == (200 if form == ENVOY else 400)


async def test_cookies_go_where_the_route_drops_them(world: MakeWorld) -> None:
    it = await world(config(ENVOY).replace("token_header: X-Upstream-Token", "drop_cookies: true"))
    answer = await asked(it, ENVOY, "/alone", b"Cookie: a=b", token=it.sts.mint())
    assert (answer.status, removed(answer)) == (200, (EVERY | {"cookie"}) - {"authorization", "x-upstream-token"})


@each_form
async def test_somebody_elses_yes_is_asked_for(world: MakeWorld, tmp_path: Path, form: str) -> None:
    with running_desk(tmp_path / "desk") as desk:
        approvers = f"approvers: {{desk: {{authzen: {{url: '{desk.url}'}}}}}}\nroutes:\n"
        text = config(form).replace("routes:\n", approvers, 1)
        approval = "    approval: {by: desk, reason_header: X-Task, max_age: 0s}\n    exchange: {audience"
        it = await world(text.replace("    exchange: {audience", approval, 1))
        token = it.sts.mint()
        answer = await asked(it, form, "/orders/1", b"X-Task: tidy up", token=token)
        assert (answer.status, removed(answer)) == (200, (EVERY | {"x-task"}) - {"authorization"})
        assert desk.asked[-1]["action"]["name"] == "GET"
        desk.says(decision=False)
        answer = await asked(it, form, "/orders/1", b"X-Task: tidy up", token=token)
        assert (answer.status, answer.kind) == (403, "approval-denied")


@each_form
async def test_pages_read_refusals_where_they_may(world: MakeWorld, form: str) -> None:
    text = config(form).replace(
        "    exchange: {audience",
        "    preflight: forward\n    cors: {origins: ['https://app.example']}\n    exchange: {audience",
        1,
    )
    it = await world(text)
    answer = await asked(it, form, "/orders/1", b"Origin: https://app.example")
    assert (answer.status, answer.value("access-control-allow-origin")) == (401, "https://app.example")


@each_form
async def test_it_is_counted_and_written_down(world: MakeWorld, form: str) -> None:
    it = await world(config(form))
    token = it.sts.mint()
    await asked(it, form, "/orders/1?secret=1", b"X-Request-ID: mine", token=token, method="POST")
    await asked(it, form, "/scoped", token=token)
    await asked(it, form, "/nothing", token=token)
    exchange, use, scoped, nothing = await it.gateway.receipt_lines()
    assert (exchange["event"], exchange["route"], exchange["request_id"]) == ("exchange", "orders", "mine")
    assert {name: use[name] for name in ("event", "request_id", "method", "path", "route", "decision", "cache")} == {
        "event": "use",
        "request_id": "mine",
        "method": "POST",
        "path": "/orders/1",
        "route": "orders",
        "decision": "allowed",
        "cache": "miss",
    }
    assert use["upstream"] == f"http://127.0.0.1:{it.upstream.port}"
    assert "status" not in use
    assert (scoped["event"], scoped["decision"], scoped["status"]) == ("refusal", "insufficient-scope", 403)
    assert (nothing["event"], nothing["decision"], nothing["status"]) == ("refusal", "no-route", 404)
    metrics = await it.gateway.metrics()
    for line in (
        'token_sidecar_requests_total{code="200",method="POST",route="orders"} 1.0',
        'token_sidecar_requests_total{code="403",method="GET",route="scoped"} 1.0',
        'token_sidecar_requests_total{code="404",method="GET",route="none"} 1.0',
        'token_sidecar_rejections_total{reason="insufficient-scope",route="scoped"} 1.0',
        'token_sidecar_overhead_seconds_count{route="orders"} 1.0',
        "token_sidecar_requests_in_flight 0.0",
    ):
        assert line in metrics
    assert 'token_sidecar_upstream_duration_seconds_count{route="orders"} 1.0' not in metrics
    assert search(it.gateway.receipts + metrics.encode(), token) == []


def scripted(server: ScriptedServer) -> str:
    endpoint = f"    token_endpoint: 'http://127.0.0.1:{server.port}/token'\n    client"
    return config(ENVOY).replace("    issuer: ISSUER\n    client", endpoint)


async def test_a_limit_of_its_own(world: MakeWorld) -> None:
    reached, going = asyncio.Event(), asyncio.Event()

    async def slow(_: object) -> bytes:
        reached.set()
        await going.wait()
        return granted("issued-" * 4)

    async with scripted_server() as server:
        server.reply = slow
        text = config(ENVOY).replace(
            "    issuer: ISSUER\n    client", f"    token_endpoint: 'http://127.0.0.1:{server.port}/token'\n    client"
        )
        it = await world(text.replace("max_header_bytes", "max_in_flight: 1, max_header_bytes"))
        first = asyncio.create_task(asked(it, ENVOY, token=it.sts.mint()))
        async with asyncio.timeout(10):
            await reached.wait()
        assert "token_sidecar_requests_in_flight 1.0" in await it.gateway.metrics()
        answer = await asked(it, ENVOY, token=it.sts.mint())
        assert (answer.status, answer.kind, answer.value("retry-after")) == (503, "overloaded", "1")
        going.set()
        assert (await first).status == 200


async def test_a_token_that_holds_the_callers_is_not_answered(world: MakeWorld) -> None:
    async with scripted_server() as server:
        text = config(ENVOY).replace(
            "    issuer: ISSUER\n    client", f"    token_endpoint: 'http://127.0.0.1:{server.port}/token'\n    client"
        )
        it = await world(text)
        token = it.sts.mint()
        server.reply = granted(f"wrapped.{token}")
        answer = await asked(it, ENVOY, token=token)
        assert (answer.status, answer.kind) == (502, "leak-guard")
        assert search(answer.raw, token) == []


async def test_what_can_not_be_put_on_record_is_not_answered(world: MakeWorld, tmp_path: Path) -> None:
    it = await world(f"receipts: {{sink: {tmp_path}/full.jsonl, on_failure: refuse}}\n{config(ENVOY)}")
    assert (await asked(it, ENVOY, "/public")).status == 200
    writer = it.gateway.app._journal.receipts._writer
    assert writer is not None
    writer._max_bytes = 0  # as if the queue were full
    answer = await asked(it, ENVOY, "/public")
    assert (answer.status, answer.kind) == (503, "exchange-unavailable")
    writer._max_bytes = 1 << 20


async def test_another_form_is_taken_while_it_runs(world: MakeWorld) -> None:
    it = await world(config(ENVOY))
    port, path = it.gateway.port("decision"), it.gateway.folder / "routes.yaml"
    path.write_text(path.read_text().replace("form: envoy", "form: forwarded"))
    await it.gateway.app.reload(load(path))
    assert it.gateway.port("decision") == port
    assert (await asked(it, FORWARDED, token=it.sts.mint())).status == 200
    assert (await asked(it, ENVOY, token=it.sts.mint())).status == 400


@each_form
@pytest.mark.threat("S7", "S80")
async def test_no_field_of_a_caller_gets_another_routes_answer(world: MakeWorld, form: str) -> None:
    """Whatever stands beside the proxy's own fields changes nothing, or is refused."""
    it = await world(config(form))
    token = it.sts.mint()
    names = (
        *("X-Forwarded-Method", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Uri", "X-Forwarded-Port"),
        *("x-forwarded-uri", "X_Forwarded_Uri", "X-Original-URI", "X-Original-Method", "X_Original_Uri", "Forwarded"),
        *("Host", "host", "x-envoy-auth-headers-to-remove", "X-Sidecar-Route", "X-HTTP-Method-Override"),
        *("x-envoy-original-path", "X-Rewrite-URL", "X-Original-URL", "Max-Forwards", "Via"),
    )
    values = ("GET", "/public", "/orders/1", "api.example.com", "other.example.com", "http", "", "/public, /orders/1")
    outcomes = {}
    for name, value in product(names, values):
        added = f"{name}: {value}".encode()
        answer = await asked(it, form, "/orders/1", added, token=token)
        outcomes[added] = (answer.status, answer.value("x-sidecar-route"))
    assert set(outcomes.values()) == {(200, "orders"), (400, None)}
    theirs = {b"X-Sidecar-Route: /public", b"x-envoy-auth-headers-to-remove: /public", b"Forwarded: /public"}
    assert {added for added in theirs if outcomes[added] == (200, "orders")} == theirs
    naming = {added for added in outcomes if added.lower().startswith((b"x-forwarded-uri", b"x-forwarded-method"))}
    assert {outcomes[added] for added in naming} == {(400, None)}


@each_form
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_a_route_that_decides_by_bodies_needs_the_gateway_itself(
    world: MakeWorld, form: str, method: str
) -> None:
    tools = "    match: {path_prefix: /alone}\n    mcp: {default: allow, tools: {'*': {}}}\n"
    it = await world(config(form, CONFIG.replace("    match: {path_prefix: /alone}\n", tools)))
    fields = (b"Content-Type: application/json", b"Mcp-Method: tools/call", b"Mcp-Name: search")
    answer = await asked(it, form, "/alone", *fields, token=it.sts.mint(), method=method)
    assert (answer.status, answer.kind) == (403, "policy-denied")
    assert it.sts.exchanges == 0


@pytest.mark.threat("S84")
async def test_a_proxy_on_another_machine_shows_a_certificate(world: MakeWorld, tmp_path: Path) -> None:
    authority, others = Authority(tmp_path), Authority(tmp_path, "others")
    ours, theirs, strangers = authority.issue("127.0.0.1"), authority.issue("proxy"), others.issue("proxy")
    tls = f"tls: {{cert_file: {ours.cert_file}, key_file: {ours.key_file}, client_ca_file: {authority.ca_file}}}"
    it = await world(config(ENVOY).replace("form: envoy", f"form: envoy, {tls}"))
    asking = question(ENVOY, token=it.sts.mint())

    async def secure(*certificate: str) -> bytes:
        context = ssl.create_default_context(cafile=authority.ca_file)
        if certificate:
            context.load_cert_chain(*certificate)
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", it.gateway.port("decision"), ssl=context)
            try:
                writer.write(asking)
                return await reader.readuntil(b"\r\n\r\n")
            finally:
                writer.transport.abort()

    assert (await secure(theirs.cert_file, theirs.key_file)).startswith(b"HTTP/1.1 200 ")
    for certificate in ((), (strangers.cert_file, strangers.key_file)):
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            await secure(*certificate)
    assert it.sts.exchanges == 1
