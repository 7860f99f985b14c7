"""An upstream that does not accept the issued token: another one, once, and the same request again."""

import asyncio
from typing import Any

import pytest

from sidecar.faces import gateway as tested
from sidecar.faces.upload import KEPT
from tests.faces.conftest import CONFIG, MakeWorld
from tests.faces.test_gateway import metric, scripted_world
from tests.support import scripted
from tests.support.gateway import Respond, Seen, get, ok, read_answer
from tests.support.raw_upstream import Peer, RawUpstream, response
from tests.support.scripted import Asked, granted, refused

BOUND = 20.0
INVALID = b'WWW-Authenticate: Bearer error="invalid_token"\r\n'


def unauthorized(fields: bytes = INVALID) -> bytes:
    return b"HTTP/1.1 401 Unauthorized\r\n" + fields + b"Content-Length: 4\r\n\r\nnope"


def accepting(*tokens: str, challenge: bytes = INVALID) -> Respond:
    """An upstream that accepts these issued tokens and no others."""

    def respond(seen: Seen) -> bytes:
        [authorization] = seen.values(b"authorization")
        return ok(seen) if authorization.decode().removeprefix("Bearer ") in tokens else unauthorized(challenge)

    return respond


@pytest.fixture(autouse=True)
def _no_token_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tested, "FRESH", -1.0)


def numbered() -> scripted.Reply:
    """Every exchange gives another token: issued-1, issued-2, …"""
    count = 0

    async def reply(_: Asked) -> bytes:
        nonlocal count
        count += 1
        return granted(f"issued-{count}")

    return reply


def result(scrape: str, name: str) -> float:
    return metric(scrape, "token_sidecar_issued_token_refusals_total", route="orders", result=name)


def post(token: str, body: bytes, *fields: bytes) -> bytes:
    return get("/orders/1", b"Content-Length: %d" % len(body), *fields, token=token, method="POST") + body


def chunked(token: str, body: bytes) -> bytes:
    framed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    return get("/orders/1", b"Transfer-Encoding: chunked", token=token, method="POST") + framed


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(lambda token: get(token=token), id="GET"),
        pytest.param(lambda token: get(token=token, method="DELETE"), id="DELETE"),
        pytest.param(lambda token: post(token, b"x" * KEPT), id="POST"),
        pytest.param(lambda token: chunked(token, b"x" * KEPT), id="chunks"),
    ],
)
@pytest.mark.parametrize("challenge", [INVALID, b"", b"WWW-Authenticate: Bearer\r\n"])
async def test_a_newer_token_and_the_same_request_again(world: MakeWorld, request_: Any, challenge: bytes) -> None:
    async with scripted_world(world, scripted.CONFIG, accepting("issued-2", challenge=challenge)) as (here, server):
        server.reply = numbered()
        answer = await here.gateway.ask(request_(here.sts.mint()))
        assert (answer.status, answer.body) == (200, b"ok")
        first, second = here.upstream.seen
        assert first.head.replace(b"issued-1", b"issued-2") == second.head
        assert first.body == second.body
        assert len(server.asked) == 2

        scrape = await here.gateway.metrics()
        assert result(scrape, "replayed") == 1
        method = first.line.split(b" ")[0].decode()
        assert metric(scrape, "token_sidecar_requests_total", route="orders", method=method, code="200") == 1
        assert metric(scrape, "token_sidecar_request_duration_seconds_count", route="orders") == 1
        assert metric(scrape, "token_sidecar_overhead_seconds_count", route="orders") == 1
        assert metric(scrape, "token_sidecar_cache_evictions_total", reason="refused") == 1
        lines = await here.gateway.receipt_lines()
        assert [line["event"] for line in lines] == ["exchange", "exchange", "use"]
        assert lines[2]["exchange_id"] == lines[1]["exchange_id"] != lines[0]["exchange_id"]
        assert lines[2]["status"] == 200


async def test_a_token_that_is_new_already(monkeypatch: pytest.MonkeyPatch, world: MakeWorld) -> None:
    monkeypatch.setattr(tested, "FRESH", 60.0)
    async with scripted_world(world, scripted.CONFIG, accepting()) as (here, server):
        answer = await here.gateway.ask(get(token=here.sts.mint()))
        assert (answer.status, answer.body) == (401, b"nope")
        assert (len(server.asked), len(here.upstream.seen)) == (1, 1)


async def test_an_upstream_that_accepts_none(world: MakeWorld) -> None:
    async with scripted_world(world, scripted.CONFIG, accepting()) as (here, server):
        server.reply = numbered()
        token = here.sts.mint()
        for _ in range(5):
            answer = await here.gateway.ask(get(token=token))
            assert (answer.status, answer.kind) == (502, "issued-token-refused")
            assert answer.value("www-authenticate") is None
        assert len(server.asked) == 2
        assert len(here.upstream.seen) == 2 + 4
        scrape = await here.gateway.metrics()
        assert (result(scrape, "refused"), result(scrape, "limited")) == (1, 4)
        assert metric(scrape, "token_sidecar_rejections_total", route="orders", reason="issued-token-refused") == 5
        lines = await here.gateway.receipt_lines()
        assert [line["event"] for line in lines] == ["exchange"] * 2 + ["refusal"] * 5


@pytest.mark.parametrize(
    "challenge",
    [
        b"WWW-Authenticate: Basic realm=x\r\n",
        b'WWW-Authenticate: Bearer error="insufficient_user_authentication", acr_values="mfa"\r\n',
        b'WWW-Authenticate: Bearer error="insufficient_scope"\r\n',
    ],
)
async def test_a_401_that_no_newer_token_would_change_goes_on(world: MakeWorld, challenge: bytes) -> None:
    async with scripted_world(world, scripted.CONFIG, accepting(challenge=challenge)) as (here, server):
        answer = await here.gateway.ask(get(token=here.sts.mint()))
        assert (answer.status, answer.body) == (401, b"nope")
        assert f"WWW-Authenticate: {answer.value('www-authenticate')}\r\n".encode() == challenge
        assert (len(server.asked), len(here.upstream.seen)) == (1, 1)


async def test_a_401_without_a_reason_goes_on_when_the_newer_token_meets_it_too(world: MakeWorld) -> None:
    async with scripted_world(world, scripted.CONFIG, accepting(challenge=b"")) as (here, server):
        server.reply = numbered()
        answer = await here.gateway.ask(get(token=here.sts.mint()))
        assert (answer.status, answer.body) == (401, b"nope")
        assert (len(server.asked), len(here.upstream.seen)) == (2, 2)
        assert result(await here.gateway.metrics(), "refused") == 1


@pytest.mark.parametrize("make", [post, chunked])
async def test_a_body_that_is_not_kept_whole(world: MakeWorld, make: Any) -> None:
    async with scripted_world(world, scripted.CONFIG, accepting("issued-2")) as (here, server):
        server.reply = numbered()
        token = here.sts.mint()
        large = make(token, b"x" * (KEPT + 1))
        answer = await here.gateway.ask(large)
        assert (answer.status, answer.kind) == (502, "issued-token-refused")
        assert (len(server.asked), len(here.upstream.seen)) == (1, 1)
        assert result(await here.gateway.metrics(), "not-replayable") == 1
        assert (await here.gateway.ask(large)).status == 200  # the token was given up
        assert len(server.asked) == 2


async def test_an_answer_that_comes_before_the_body(world: MakeWorld) -> None:
    """Whatever of the body was read was kept, and the rest of it is still to come."""
    body, again = b"x" * (4 * KEPT), asyncio.Event()

    async def script(peer: Peer) -> None:
        head = await peer.head()
        if b"issued-1" in head:
            await peer.send(unauthorized())
            await peer.rest()
        else:
            again.set()
            assert await peer.exactly(len(body)) == body
            await peer.send(response(b"done"))

    async with RawUpstream(script) as upstream:
        config = scripted.CONFIG.replace("PORT", str(upstream.port))
        async with scripted_world(world, config) as (here, server):
            server.reply = numbered()
            request = post(here.sts.mint(), body)
            early = len(request) - len(body) + 100
            async with asyncio.timeout(BOUND):
                reader, writer = await asyncio.open_connection("127.0.0.1", here.gateway.port())
                writer.write(request[:early])
                await again.wait()
                writer.write(request[early:])
                answer = await read_answer(reader)
                writer.close()
    assert (answer.status, answer.body) == (200, b"done")


async def test_an_exchange_that_fails_is_what_the_caller_is_told(world: MakeWorld) -> None:
    async with scripted_world(world, scripted.CONFIG, accepting()) as (here, server):
        replies = iter([granted(), refused("invalid_grant")])

        async def reply(_: Asked) -> bytes:
            return next(replies)

        server.reply = reply
        answer = await here.gateway.ask(get(token=here.sts.mint()))
        assert (answer.status, answer.kind) == (401, "invalid-token")
        assert len(here.upstream.seen) == 1
        assert result(await here.gateway.metrics(), "exchange-failed") == 1


async def test_many_at_once_cause_one_exchange(world: MakeWorld) -> None:
    async with scripted_world(world, scripted.CONFIG, accepting("issued-2")) as (here, server):
        server.reply = numbered()
        token = here.sts.mint()
        answers = await asyncio.gather(*(here.gateway.ask(get(token=token)) for _ in range(20)))
        assert {answer.status for answer in answers} == {200}
        assert len(server.asked) == 2


async def test_a_caller_that_waits_for_100_has_its_body_taken_once(world: MakeWorld) -> None:
    async with scripted_world(world, scripted.CONFIG, accepting("issued-2")) as (here, server):
        server.reply = numbered()
        answer = await here.gateway.ask(post(here.sts.mint(), b"hello", b"Expect: 100-continue"))
        assert answer.status == 200
        assert [seen.body for seen in here.upstream.seen] == [b"hello"] * 2


async def test_a_route_without_exchange_is_left_alone(world: MakeWorld) -> None:
    here = await world(CONFIG, lambda _: unauthorized())
    answer = await here.gateway.ask(get("/healthz"))
    assert (answer.status, answer.body) == (401, b"nope")
    assert len(here.upstream.seen) == 1
