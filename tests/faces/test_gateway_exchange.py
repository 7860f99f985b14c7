"""An authorization server at its worst, end to end: whatever it says, nothing leaves that should not."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sidecar.exchange.dialects.errors import DEFAULT_ERRORS
from sidecar.exchange.dialects.errors import KINDS as KIND_OF
from sidecar.faces.problems import KINDS
from sidecar.model.refusal import Kind
from tests.faces.conftest import CONFIG, MakeWorld, World
from tests.support import scripted
from tests.support.gateway import get
from tests.support.raw_upstream import Peer, RawUpstream
from tests.support.scripted import Asked, ScriptedServer, granted, refused, replied, scripted_server
from tests.support.sts import RunningSts

BOUND = 30.0


@asynccontextmanager
async def scripted_world(
    world: MakeWorld, config: str = scripted.CONFIG
) -> AsyncIterator[tuple[World, ScriptedServer]]:
    async with scripted_server() as server:
        yield await world(config.replace("TOKENS", str(server.port))), server


GOOD: dict[str, Any] = {
    "access_token": "issued-opaque-token",
    "token_type": "Bearer",
    "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
}
BODY = json.dumps(GOOD).encode()
JSON = b"Content-Type: application/json\r\n"


def raw(*lines: bytes, body: bytes = BODY, status: bytes = b"200 OK") -> bytes:
    fields = b"".join(line + b"\r\n" for line in lines)
    return b"HTTP/1.1 " + status + b"\r\nContent-Length: %d\r\n" % len(body) + fields + b"\r\n" + body


#: Replies that must not be used, whatever they hold; each says 200 or nothing that is known.
UNUSABLE = {
    "no body": replied(b""),
    "no JSON": replied(b"{"),
    "an array": replied([GOOD]),
    "text": replied('"issued"'),
    "null": replied(None),
    "a number that is none": replied(BODY[:-1] + b', "expires_in": NaN}'),
    "a member twice": replied(BODY[:-1] + b', "access_token": "another-token"}'),
    "something behind": replied(BODY + b"{}"),
    "a byte order mark": replied(b"\xef\xbb\xbf" + BODY),
    "UTF-16": replied(BODY.decode().encode("utf-16")),
    "no UTF-8": replied(BODY.replace(b"opaque", b"\xff")),
    "nested without end": replied(b'{"a":' * 20_000),
    "too large": replied({**GOOD, "x": "y" * 65536}),
    "form-encoded": replied(b"access_token=a&token_type=Bearer", content_type=b"application/x-www-form-urlencoded"),
    "HTML": replied(BODY, content_type=b"text/html"),
    "another JSON": replied(BODY, content_type=b"application/problem+json"),
    "no type": raw(),
    "a page that calls itself JSON": replied(b"<!doctype html><title>Sign in</title>"),
    "10 MiB": replied(b" " * (10 * 1024 * 1024) + BODY),
    "a bomb": raw(
        b"Content-Type: application/json",
        b"Content-Encoding: gzip",
        body=gzip.compress(b" " * (64 * 1024 * 1024) + BODY),
    ),
    "compressed": raw(b"Content-Type: application/json", b"Content-Encoding: gzip"),
    "a redirect": raw(b"Location: http://127.0.0.1:1/", status=b"302 Found"),
    "a permanent redirect": raw(
        b"Location: http://127.0.0.1:1/", b"Content-Type: application/json", status=b"308 Moved"
    ),
    "created": replied(GOOD, status=b"201 Created"),
    "accepted": replied(GOOD, status=b"202 Accepted"),
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "a success and an error": replied({**GOOD, "error": "invalid_grant"}),
    "an error with 200": replied({"error": "invalid_grant"}),
    "an error nobody knows": refused("no_such_code"),
    "an error that is no text": replied({"error": {"code": 1}}, status=b"400 Bad Request"),
    "an error without a code": replied(b"", status=b"400 Bad Request"),
    "a page for an error": replied(b"<html>", status=b"403 Forbidden", content_type=b"text/html"),
    "no access_token": replied({**GOOD, "access_token": None}),
    "an empty access_token": granted(""),
    "a list for a token": replied({**GOOD, "access_token": ["a"]}),
    "a token with a space": granted("a b"),
    "a token with a line break": granted("a\r\nX-Injected: y"),
    "a token that is not ASCII": granted("t\xf6ken"),
    "a token beyond all size": granted("a" * 20_000),
    "no token_type": granted(token_type=None),
    "another token_type": granted(token_type="DPoP"),
    "mac": granted(token_type="mac", mac_key="k", mac_algorithm="hmac-sha-256"),
    "N_A": granted(token_type="N_A"),
    "no issued_token_type": granted(issued_token_type=None),
    "a refresh token": granted(issued_token_type="urn:ietf:params:oauth:token-type:refresh_token"),
    "an assertion": granted(issued_token_type="urn:ietf:params:oauth:token-type:saml2"),
    "an ID token": granted(issued_token_type="urn:ietf:params:oauth:token-type:id_token"),
    "a lifetime that is no number": granted(expires_in="soon"),
    "a lifetime in parts": granted(expires_in=1.5),
    "a lifetime beyond all time": granted(expires_in=10**400),
    "a truth for a lifetime": granted(expires_in=True),
    "a scope beyond": granted(scope="orders.read orders.delete"),
    "a list for a scope": granted(scope=["orders.read"]),
}
#: What receipts and operators are told of each.
REASONS = {
    "the reply is not a JSON object": [
        "no body",
        "no JSON",
        "an array",
        "text",
        "null",
        "a number that is none",
        "a member twice",
        "something behind",
        "a byte order mark",
        "UTF-16",
        "no UTF-8",
        "a page that calls itself JSON",
    ],
    "the reply is too large": ["nested without end", "too large", "10 MiB"],
    "the reply's content type is not JSON": ["form-encoded", "HTML", "another JSON", "no type", "no content"],
    "the reply has a content coding": ["compressed", "a bomb"],
    "the reply is a redirect": ["a redirect", "a permanent redirect"],
    "the reply's status is not 200": ["created", "accepted"],
    "the reply is a success and an error": ["a success and an error", "an error with 200"],
    "the authorization server said 400 no_such_code": ["an error nobody knows"],
    "the authorization server said 400 without an OAuth error code": [
        "an error that is no text",
        "an error without a code",
    ],
    "the authorization server said 403 without an OAuth error code": ["a page for an error"],
    "access_token is missing or empty": ["no access_token", "an empty access_token", "a list for a token"],
    "access_token holds bytes that no header may carry": [
        "a token with a space",
        "a token with a line break",
        "a token that is not ASCII",
    ],
    "access_token is longer than 16 KiB": ["a token beyond all size"],
    "token_type is not Bearer": ["no token_type", "another token_type", "N_A", "mac"],
    "issued_token_type is missing; dialect_overrides.issued_token_type: lenient would allow it": [
        "no issued_token_type"
    ],
    "issued_token_type is not what was asked for; exchange.requested_token_type asks for one": [
        "a refresh token",
        "an ID token",
        "an assertion",
    ],
    "expires_in is no number of seconds": [
        "a lifetime that is no number",
        "a lifetime in parts",
        "a lifetime beyond all time",
        "a truth for a lifetime",
    ],
    "scope holds 'orders.delete' beyond what was asked; exchange.expect.extra_scope would allow it": ["a scope beyond"],
    "scope is not text": ["a list for a scope"],
}
REASON_OF = {name: reason for reason, names in REASONS.items() for name in names}
BROKEN = {
    "nothing": b"",
    "no HTTP": b"hello\r\n\r\n",
    "cut in the head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "cut in the body": b"HTTP/1.1 200 OK\r\n" + JSON + b"Content-Length: 999\r\n\r\n" + BODY,
}
FAILURES = {
    **{f"error {code}": (refused(code), KIND_OF[cause]) for code, cause in DEFAULT_ERRORS.items()},
    **{
        f"error {code} with 401": (refused(code, status=b"401 No"), KIND_OF[cause])
        for code, cause in DEFAULT_ERRORS.items()
    },
    **{name: (reply, Kind.EXCHANGE_UNUSABLE) for name, reply in UNUSABLE.items()},
    "500": (replied(b"", status=b"500 Oops"), Kind.EXCHANGE_UNAVAILABLE),
    "502": (replied(b"", status=b"502 Oops"), Kind.EXCHANGE_UNAVAILABLE),
    "503": (replied(b"", status=b"503 Oops"), Kind.EXCHANGE_UNAVAILABLE),
    "a code with 500": (refused("invalid_grant", status=b"500 Oops"), Kind.INVALID_TOKEN),
}


@pytest.mark.threat("S1")
def test_every_unusable_reply_has_its_reason() -> None:
    assert REASON_OF.keys() == UNUSABLE.keys()


def hostile_jwts(sts: RunningSts) -> dict[str, tuple[str, str]]:
    """Issued tokens that this gateway can read, and must not use, each with a part of the reason."""
    good: dict[str, Any] = {"aud": "orders-api", "scope": "orders.read"}
    token = sts.mint(**good)
    head, payload, _ = token.split(".")
    return {
        "another audience": (sts.mint(**{**good, "aud": "billing-api"}), "aud lacks 'orders-api'"),
        "one audience more": (sts.mint(**{**good, "aud": ["orders-api", "billing-api"]}), "aud holds 'billing-api'"),
        "no audience": (sts.mint(**{**good, "aud": None}), "aud lacks 'orders-api'"),
        "one scope more": (sts.mint(**{**good, "scope": "orders.read orders.delete"}), "scope holds 'orders.delete'"),
        "another subject": (sts.mint("mallory", **good), "sub is another one"),
        "expired": (sts.mint(lifetime=-1, **good), "has expired"),
        "not valid yet": (sts.mint(nbf=4_000_000_000, **good), "is not valid yet"),
        "an act that is no chain": (sts.mint(act="agent", **good), "act claim is malformed"),
        "a time that is none": (sts.mint(**good, nbf="now"), "nbf claim is no time"),
        "an ID token": (sts.mint(**good, nonce="n"), "it is no access token"),
        "a hash of an access token": (sts.mint(**good, at_hash="h"), "it is no access token"),
        "a refresh token": (sts.mint(**good, typ="Refresh"), "it is no access token"),
        "another signature": (f"{head}.{payload}.{sts.mint(**good).split('.')[2]}", "signature does not verify"),
    }


async def outcome(here: World, server: ScriptedServer, token: str) -> tuple[int, str, int]:
    """Ask, and return what the caller got, and how many requests the upstream did."""
    before = len(here.upstream.seen)
    answer = await here.gateway.ask(get(token=token))
    return answer.status, answer.kind if answer.status >= 400 else "", len(here.upstream.seen) - before


async def exchanges(here: World) -> list[str]:
    """The decisions that the receipts of exchanges tell of."""
    return [line["decision"] for line in await here.gateway.receipt_lines() if line["event"] == "exchange"]


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.threat("S1")
async def test_a_failed_exchange(name: str, world: MakeWorld) -> None:
    reply, kind = FAILURES[name]
    async with scripted_world(world, scripted.CONFIG.replace("negative_lifetime: 10s", "negative_lifetime: 0s")) as (
        here,
        server,
    ):
        server.reply = reply
        token = here.sts.mint()
        assert await outcome(here, server, token) == (KINDS[kind].status, kind.value, 0)
        assert await exchanges(here) == [kind.value]
        [told] = [line for line in await here.gateway.receipt_lines() if line["event"] == "exchange"]
        assert told["finding"] == REASON_OF.get(name, told["finding"])
        assert len(here.gateway.app.exchanger.cache) == 0
        server.reply = granted()  # nothing of the failure is kept
        assert await outcome(here, server, token) == (200, "", 1)
        assert await exchanges(here) == [kind.value, "allowed"]


@pytest.mark.parametrize("name", BROKEN)
async def test_a_reply_that_breaks_off(name: str, world: MakeWorld) -> None:
    async with scripted_world(world) as (here, server):
        server.reply, server.closing = BROKEN[name], True
        kinds = {Kind.EXCHANGE_UNAVAILABLE.value, Kind.EXCHANGE_UNUSABLE.value}
        token = here.sts.mint()
        status, kind, leaving = await outcome(here, server, token)
        assert status == KINDS[Kind(kind)].status
        assert (kind in kinds, leaving) == (True, 0)
        assert await exchanges(here) == [kind]
        server.reply = granted()
        assert await outcome(here, server, token) == (200, "", 1)


@pytest.mark.threat("S5")
async def test_hostile_jwts(world: MakeWorld) -> None:
    async with scripted_world(world) as (here, server):
        tokens = hostile_jwts(here.sts)
        for name, (issued, reason) in tokens.items():
            server.reply = granted(issued)
            token = here.sts.mint()
            assert await outcome(here, server, token) == (502, "exchange-unusable", 0), name
            assert len(here.gateway.app.exchanger.cache) == 0, name
            told = [line for line in await here.gateway.receipt_lines() if line["event"] == "exchange"][-1]
            assert reason in told["finding"], name
        server.reply = granted(here.sts.mint(aud="orders-api", scope="orders.read"))
        assert await outcome(here, server, here.sts.mint()) == (200, "", 1)
        assert await exchanges(here) == ["exchange-unusable"] * len(tokens) + ["allowed"]


@pytest.mark.threat("S5")
async def test_the_subject_token_is_not_taken_for_an_issued_one(world: MakeWorld) -> None:
    async def echo(asked: Asked) -> bytes:
        return granted(asked.form["subject_token"])

    async with scripted_world(world) as (here, server):
        server.reply = echo
        token = here.sts.mint(aud=["orders-gateway", "orders-api"], scope="orders.read")
        assert await outcome(here, server, token) == (502, "exchange-unusable", 0)


@pytest.mark.parametrize(("reply", "waits"), [(b"429 Busy", "1"), (b"503 Busy", "3")])
async def test_a_server_that_wants_to_be_left_alone_is(reply: bytes, waits: str, world: MakeWorld) -> None:
    async with scripted_world(world) as (here, server):
        fields = () if waits == "1" else (b"Retry-After: 3",)
        server.reply = replied(b"", *fields, status=reply)
        answers = [await here.gateway.ask(get(token=here.sts.mint())) for _ in range(5)]
        assert [answer.kind for answer in answers] == ["exchange-unavailable"] * 5
        assert answers[0].value("retry-after") == waits
        assert (len(server.asked), len(here.upstream.seen)) == (1, 0)


async def test_a_server_that_is_slow_is_not_waited_for(world: MakeWorld) -> None:
    async def silent(_: Asked) -> bytes:
        await asyncio.Event().wait()
        return b""

    async with scripted_world(world, scripted.CONFIG.replace("timeout: 2s", "timeout: 50ms")) as (here, server):
        server.reply = silent
        assert await outcome(here, server, here.sts.mint()) == (504, "exchange-timeout", 0)
        server.reply = granted()
        assert await outcome(here, server, here.sts.mint()) == (200, "", 1)


async def test_a_drip_of_a_reply_is_not_waited_for(world: MakeWorld) -> None:
    async def drip(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\n" + JSON + b"Content-Length: 1000\r\n\r\n")
        while not peer.writer.transport.is_closing():
            await peer.send(b" ")
            await asyncio.sleep(0.01)

    config = scripted.CONFIG.replace("timeout: 2s", "timeout: 100ms")
    async with RawUpstream(drip) as dripping:
        here = await world(config.replace("TOKENS", str(dripping.port)))
        answer = await here.gateway.ask(get(token=here.sts.mint()))
    assert (answer.status, answer.kind) == (504, "exchange-timeout")
    assert here.upstream.seen == []


async def test_a_dead_token_is_asked_about_once(world: MakeWorld) -> None:
    async with scripted_world(world) as (here, server):
        server.reply = refused("invalid_grant")
        dead = here.sts.mint()
        for _ in range(20):
            assert await outcome(here, server, dead) == (401, "invalid-token", 0)
        assert len(server.asked) == 1
        assert await exchanges(here) == ["invalid-token"]
        refusals = [line for line in await here.gateway.receipt_lines() if line["event"] == "refusal"]
        assert len(refusals) == 20
        scrape = await here.gateway.metrics()
        assert 'token_sidecar_cache_lookups_total{result="negative",route="orders"} 19.0' in scrape
        server.reply = granted()
        assert await outcome(here, server, here.sts.mint()) == (200, "", 1)  # another token is another matter


async def in_flight(here: World, count: int) -> None:
    """Wait until so many requests wait for their answer."""
    while here.gateway.app._gateway.in_flight < count:  # noqa: ASYNC110  # a number tells nobody
        await asyncio.sleep(0.001)


@pytest.mark.parametrize(("size", "first_leaves"), [(100, False), (1000, True)])
async def test_a_herd_makes_one_exchange(size: int, first_leaves: bool, world: MakeWorld) -> None:
    reached, release = asyncio.Event(), asyncio.Event()

    async def slow(_: Asked) -> bytes:
        reached.set()
        await release.wait()
        return granted()

    async with scripted_world(world, scripted.CONFIG.replace("timeout: 2s", "timeout: 30s")) as (here, server):
        server.reply = slow
        request = get(token=here.sts.mint())
        async with asyncio.timeout(BOUND):
            _, first = await asyncio.open_connection("127.0.0.1", here.gateway.port())
            first.write(request)
            await reached.wait()
            if first_leaves:
                first.transport.abort()
            herd = [asyncio.create_task(here.gateway.ask(request)) for _ in range(size)]
            await in_flight(here, size)
            release.set()
            assert {answer.status for answer in await asyncio.gather(*herd)} == {200}
            first.close()
        assert len(server.asked) == 1
        assert await exchanges(here) == ["allowed"]


async def test_a_herd_at_a_real_server(world: MakeWorld) -> None:
    here = await world()
    request = get(token=here.sts.mint())
    answers = await asyncio.gather(*(here.gateway.ask(request) for _ in range(200)))
    assert {answer.status for answer in answers} == {200}
    assert here.sts.exchanges == 1


async def test_a_herd_that_fails_is_told_at_once(world: MakeWorld) -> None:
    release = asyncio.Event()

    async def slow(_: Asked) -> bytes:
        await release.wait()
        return refused("access_denied")

    async with scripted_world(world) as (here, server):
        server.reply = slow
        request = get(token=here.sts.mint())
        herd = [asyncio.create_task(here.gateway.ask(request)) for _ in range(50)]
        async with asyncio.timeout(BOUND):
            await in_flight(here, 50)
            release.set()
            assert {(answer.status, answer.kind) for answer in await asyncio.gather(*herd)} == {
                (403, "exchange-denied")
            }
        assert (len(server.asked), len(here.upstream.seen)) == (1, 0)


TWO_ROUTES = (
    scripted.CONFIG
    + """
  - name: delegated
    match: {path_prefix: /delegated}
    upstream: {url: 'http://127.0.0.1:PORT'}
    exchange: {audience: [orders-api], scope: [orders.read], semantics: delegation}
"""
)


async def test_a_cached_token_is_judged_by_every_route_that_uses_it(world: MakeWorld) -> None:
    async with scripted_world(world, TWO_ROUTES) as (here, server):
        token = here.sts.mint()
        server.reply = granted(here.sts.mint(aud="orders-api", scope="orders.read"))  # shows no actor
        assert await outcome(here, server, token) == (200, "", 1)
        refused_use = await here.gateway.ask(get("/delegated", token=token))
        assert (refused_use.status, refused_use.kind) == (502, "exchange-unusable")
        assert (len(server.asked), len(here.upstream.seen)) == (1, 1)  # the same form: the entry is shared, and judged
        assert await outcome(here, server, token) == (200, "", 1)
        assert await exchanges(here) == ["allowed"]
        refusal = [line for line in await here.gateway.receipt_lines() if line["event"] == "refusal"][-1]
        assert "exchange.semantics" in refusal["finding"]


async def test_a_refresh_token_is_never_kept(world: MakeWorld) -> None:
    async with scripted_world(world) as (here, server):
        server.reply = granted(refresh_token="long-lived-refresh-token")
        assert (await outcome(here, server, here.sts.mint()))[0] == 200
        assert b"long-lived" not in here.upstream.bytes + here.gateway.receipts


async def test_what_is_asked(world: MakeWorld) -> None:
    async with scripted_world(world) as (here, server):
        token = here.sts.mint()
        await outcome(here, server, token)
        [asked] = server.asked
        assert asked.form == {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "audience": "orders-api",
            "scope": "orders.read",
            "subject_token": token,
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
        }
        assert asked.head.startswith(b"POST /token HTTP/1.1\r\n")
        assert token.encode() not in asked.head


@pytest.mark.threat("S16")
async def test_one_subjects_token_is_never_anothers(world: MakeWorld) -> None:
    async def named(asked: Asked) -> bytes:
        await asyncio.sleep(0)
        return granted(f"issued-for-{asked.form['subject_token'][-20:]}")

    async with scripted_world(world) as (here, server):
        server.reply = named
        tokens = [here.sts.mint(f"user-{number}") for number in range(50)]
        requests = [(token, get(f"/orders/{token[-20:]}x", token=token)) for token in tokens for _ in range(4)]
        await asyncio.gather(*(here.gateway.ask(request) for _, request in requests))
        assert len(here.upstream.seen) == 200
        for seen in here.upstream.seen:
            owner = seen.line.split(b" ")[1].removeprefix(b"/orders/")[:-1]
            assert seen.values(b"authorization") == [b"Bearer issued-for-" + owner]
        assert len(server.asked) == 50


async def test_the_embedded_server_says_no(world: MakeWorld) -> None:
    here = await world(CONFIG.replace("orders.read", "orders.delete"))
    answer = await here.gateway.ask(get(token=here.sts.mint()))
    assert (answer.status, answer.kind, len(here.upstream.seen)) == (403, "insufficient-scope", 0)
    assert here.sts.exchanges == 1


DETAILS = scripted.CONFIG.replace(
    "scope: [orders.read]}", "scope: [orders.read], authorization_details: [{type: order, actions: [read, write]}]}"
)


async def test_authorization_details_are_asked_for_and_on_record(world: MakeWorld) -> None:
    async with scripted_world(world, DETAILS) as (here, server):
        narrower = {"type": "order", "actions": ["read"]}
        server.reply = granted(authorization_details=[narrower])
        assert await outcome(here, server, here.sts.mint()) == (200, "", 1)
        assert server.asked[0].form["authorization_details"] == '[{"actions":["read","write"],"type":"order"}]'
        for line in await here.gateway.receipt_lines():
            assert line["requested"]["authorization_details"] == [{"type": "order", "actions": ["read", "write"]}]
            assert line["issued_token"]["authorization_details"] == [narrower]
        for wider in ([{**narrower, "actions": ["delete"]}], [narrower, {"type": "refund"}], [], None):
            server.reply = granted(authorization_details=wider)
            assert await outcome(here, server, here.sts.mint()) == (502, "exchange-unusable", 0)
            told = (await here.gateway.receipt_lines())[-1]
            assert "authorization_details" in told["finding"]


async def test_the_jwt_bearer_grant(world: MakeWorld) -> None:
    config = scripted.CONFIG.replace("timeout: 2s", "timeout: 2s\n    grant: jwt-bearer")
    async with scripted_world(world, config) as (here, server):
        server.reply = granted(issued_token_type=None)  # it knows nothing of types
        token = here.sts.mint()
        assert await outcome(here, server, token) == (200, "", 1)
        assert server.asked[0].form == {
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "audience": "orders-api",
            "scope": "orders.read",
            "assertion": token,
        }
        assert await outcome(here, server, token) == (200, "", 1)
        assert len(server.asked) == 1  # from the cache
        server.reply = granted(token := here.sts.mint(), issued_token_type=None)
        assert await outcome(here, server, token) == (502, "exchange-unusable", 0)  # its own token back
