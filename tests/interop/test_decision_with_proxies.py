"""Callers of real proxies that ask the decision listener: no byte of a caller's token reaches the upstream.

The proxies run by the configurations that ``deploy/decision`` shows.
"""

import json
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.benchmarks.installed import Missing
from tests.interop.proxies import PROXIES, World, running_world
from tests.support.gateway import get

pytestmark = pytest.mark.interop


@pytest.fixture(params=PROXIES)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """One world for each proxy; skipped where the proxy can't be had."""
    async with AsyncExitStack() as stack:
        try:
            yield await stack.enter_async_context(running_world(request.param, tmp_path))
        except Missing as reason:
            pytest.skip(str(reason))


def claims(authorization: bytes) -> dict[str, Any]:
    """What is in the bearer token that an upstream got."""
    payload = authorization.removeprefix(b"Bearer ").split(b".")[1]
    content: dict[str, Any] = json.loads(urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
    return content


async def test_a_token_changes_hands(world: World) -> None:
    token = world.sts.mint()
    for number in range(2):
        answer = await world.ask(get(f"/orders/{number}?q=%20a", b"X-Other: 1", token=token))
        assert (answer.status, answer.body) == (200, b"ok")
        assert world.upstream.last.line == f"GET /orders/{number}?q=%20a HTTP/1.1".encode()
        [authorization] = world.upstream.last.values(b"authorization")
        assert claims(authorization)["aud"] == ["orders-api"]
        assert world.upstream.last.values(b"x-other") == [b"1"]
    body = get("/orders", b"Content-Length: 5", token=token, method="POST") + b"hello"
    assert (await world.ask(body)).status == 200
    assert world.upstream.last.body == b"hello"
    assert [use["route"] for use in await world.gateway.receipt_lines() if use["event"] == "use"] == [
        "orders",
        "orders",
        "written",
    ]
    if world.name != "caddy":  # which names no request by itself
        [shown] = world.upstream.last.values(b"x-request-id")
        assert (await world.gateway.receipt_lines())[-1]["request_id"] == shown.decode()
    assert not world.leaked(token)


async def test_a_token_in_another_field_and_none_at_all(world: World) -> None:
    token = world.sts.mint()
    theirs = (b"X-Upstream-Token: theirs", b"X-Upstream-Token: theirs too", b"X-Forwarded-Access-Token: theirs")
    assert (await world.ask(get("/alone", *theirs, token=token))).status == 200
    last = world.upstream.last
    assert last.values(b"authorization") == last.values(b"x-forwarded-access-token") == []
    [issued] = last.values(b"x-upstream-token")
    assert issued.count(b".") == 2
    assert (await world.ask(get("/public", *theirs, b"Proxy-Authorization: Basic dGhlaXJz", token=token))).status == 200
    for name in (b"authorization", b"proxy-authorization", b"x-upstream-token", b"x-forwarded-access-token"):
        assert world.upstream.last.values(name) == []
    assert b"theirs" not in world.upstream.bytes
    assert not world.leaked(token)


async def test_refusals_reach_callers(world: World) -> None:
    token = world.sts.mint()
    for request, status, challenge in (
        (get(), 401, "Bearer"),
        (get(token=world.sts.mint(lifetime=-60)), 401, "invalid_token"),
        (get("/scoped", token=token), 403, None),
        (get("/nothing", token=token), 404, None),
        (get(f"/orders?access_token={token}", token=token), 400, None),
    ):
        answer = await world.ask(request)
        assert answer.status == status
        assert (answer.value("content-type") == "application/problem+json") == (world.name != "nginx")
        assert challenge is None or challenge in (answer.value("www-authenticate") or "")
    unserved = await world.ask(get("/unserved", token=token))
    assert unserved.status == (502 if world.name == "caddy" else 503)
    assert world.upstream.seen == []


#: Where a caller may put a token beside ``Authorization``, or what may have it pass: TOKEN and PERCENT are replaced.
ATTACKS = [
    *(
        f"{name}: TOKEN"
        for name in (
            *("Cookie", "Referer", "User-Agent", "Via", "TE", "Origin", "X-Any", "X-Request-ID", "Traceparent"),
            *("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Real-IP", "Forwarded"),
            *("X-Forwarded-Uri", "X-Forwarded-Method", "X-Original-URI", "X-Original-Method", "X-Original-URL"),
            *("Proxy-Authorization", "X-Forwarded-Access-Token", "X-Auth-Request-Access-Token", "X-Upstream-Token"),
            *("x_upstream_token", "X_Forwarded_Access_Token", "Authorization_", "Proxy_Authorization"),
            *("x-envoy-auth-headers-to-remove", "x-envoy-original-path", "x-envoy-external-address", "x-envoy-peer"),
            *("x-envoy-internal", "x-envoy-decorator-operation", "X-Sidecar-Route", "Expect", "Authorization"),
        )
    ),
    "Authorization: Bearer TOKEN",
    "Authorization: bearer TOKEN, Bearer TOKEN",
    "Authorization: Basic TOKEN",
    "authorization:Bearer TOKEN",
    "Proxy-Authorization: Bearer TOKEN",
    "Connection: Authorization",
    "Connection: X-Forwarded-Access-Token\r\nX-Forwarded-Access-Token: TOKEN",
    "X-Forwarded-Method: GET",
    "X-Forwarded-Uri: /public",
    "X-Forwarded-Host: public.example.com",
    "X-Original-URI: /public",
    "X-HTTP-Method-Override: GET",
    "x-envoy-auth-headers-to-remove: x-any",
    "x-envoy-auth-headers-to-remove: authorization\r\nx-envoy-original-path: /public",
    "Content-Length: 0\r\nX-Upstream-Token: TOKEN\r\nX-Upstream-Token: TOKEN",
]
TARGETS = ["/orders/TOKEN", "/orders/PERCENT", "/orders?a=TOKEN", "/orders?access_token=TOKEN", "/orders?a=PERCENT"]


@pytest.mark.parametrize("path", ["/orders", "/alone", "/public"])
@pytest.mark.threat("S3", "S82")
async def test_no_caller_gets_a_token_through(world: World, path: str) -> None:
    token = world.sts.mint()
    encoded = "".join(f"%{byte:02x}" for byte in token.encode())

    def filled(text: str) -> str:
        return text.replace("TOKEN", token).replace("PERCENT", encoded)

    requests = {attack: get(f"{path}/1", filled(attack).encode(), token=token) for attack in ATTACKS}
    requests |= {target: get(filled(target.replace("/orders", path)), token=token) for target in TARGETS}
    passed = set()
    for attack, request in requests.items():
        before = len(world.upstream.seen)
        answer = await world.ask(request)
        assert not world.leaked(token), attack
        if answer.status == 200:
            assert len(world.upstream.seen) == before + 1, attack
            passed.add(attack)
        else:
            assert 400 <= answer.status < 500, (attack, answer.status)
            assert len(world.upstream.seen) == before, attack
    assert "Connection: Authorization" in passed or path != "/public"
    assert {"X-Any: TOKEN", "Cookie: TOKEN", "/orders/TOKEN"}.isdisjoint(passed)
    assert {use["route"] for use in await world.gateway.receipt_lines() if use["event"] == "use"} <= {
        path.removeprefix("/")
    }


@pytest.mark.threat("S83")
async def test_without_the_sidecar_nothing_goes_on(world: World) -> None:
    token = world.sts.mint()
    assert (await world.ask(get(token=token))).status == 200
    before = len(world.upstream.seen)
    await world.gateway.app.close()
    for path in ("/orders/1", "/public"):
        assert (await world.ask(get(path, token=token))).status in (502, 503)
    assert len(world.upstream.seen) == before


async def test_one_path_for_all(world: World) -> None:
    """What is decided on is what the upstream gets, however it was spelled."""
    token = world.sts.mint()
    for target in (
        *("/public/../orders", "/public/%2e%2e/orders", "/public/..%2forders", "/public//../orders"),
        *("/public\\..\\orders", "//orders", "/public/..;/orders", "/public/%252e%252e/orders", "/%70ublic/a"),
        *("/public/%6f", "/public?/../orders"),
        *("http://api.example.com/public/a", "http://other.example.com/public/a", "*", "public", "/public#/orders"),
    ):
        before = len(world.upstream.seen)
        answer = await world.ask(get(quote(target, safe="/%.;?:#*\\"), token=token))
        if answer.status != 200:
            assert len(world.upstream.seen) == before, target
            continue
        lines = [use for use in await world.gateway.receipt_lines() if use["event"] == "use"]
        sent = world.upstream.last.line.split(b" ")[1].decode()
        assert sent.partition("?")[0] == lines[-1]["path"], target
        decided = {"public": "/public", "orders": "/orders"}[lines[-1]["route"]]
        assert sent.replace("%70", "p").startswith(decided), target
