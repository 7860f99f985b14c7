"""One authorization server, in all the moods it may be in."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from email.utils import formatdate
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import Key

from sidecar.model.route import TLS
from sidecar.oauth import jwt
from sidecar.oauth.answer import AskedToWait
from sidecar.oauth.breaker import BreakerState
from sidecar.oauth.client_auth import ClientAuthentication, TokenEndpoint
from sidecar.oauth.client_auth.signed import PrivateKeyJWT, signing_key
from sidecar.oauth.client_auth.simple import ClientSecretPost, NoAuthentication, TLSClientAuth
from sidecar.oauth.http import PeerClient
from sidecar.oauth.metadata import MetadataSource
from sidecar.oauth.pause import Pause
from sidecar.oauth.secrets import env_secret, file_secret
from sidecar.oauth.server import (
    LONGEST_RETRY_WAIT,
    AuthorizationServer,
    ErrorReply,
    ServerError,
    ServerNotAsked,
    ServerOverloaded,
    ServerReplyUnusable,
    ServerTimeout,
    ServerUnavailable,
    TokenReply,
)
from sidecar.rotation import Rotated
from sidecar.tls import client_tls
from tests.oauth.peers import (
    Authority,
    Documents,
    Handler,
    RawPeer,
    Seen,
    close_after,
    never,
    raw_peer,
    reply,
    reset_after,
    serve_documents,
)
from tests.support.canary import Canary, search
from tests.support.clock import FakeClock

PAIRS = [("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"), ("audience", "a"), ("audience", "b")]
TOKEN = {"access_token": "issued", "token_type": "Bearer", "expires_in": 300}
GOOD = reply(200, TOKEN)
KEY = b"key"


def least(low: float, high: float) -> float:
    """Chance that always takes the smallest number: nobody waits, nothing is spread."""
    return low


def signing(path: Path) -> Rotated[Key]:
    return file_secret(str(path), partial(signing_key, algorithm="ES256"))


@asynccontextmanager
async def server_at(
    endpoint: str | TokenEndpoint | MetadataSource,
    *,
    client_auth: ClientAuthentication | None = None,
    fake: FakeClock | None = None,
    timeout: float = 5.0,
    max_in_flight: int = 4,
    uniform: Callable[[float, float], float] = least,
) -> AsyncIterator[AuthorizationServer]:
    clock = (fake or FakeClock()).clock
    client = PeerClient(timeout=timeout, max_in_flight=max_in_flight, clock=clock)
    try:
        yield AuthorizationServer(
            "corp",
            endpoint=TokenEndpoint(endpoint) if isinstance(endpoint, str) else endpoint,
            client=client,
            client_auth=client_auth or NoAuthentication(),
            timeout=timeout,
            max_in_flight=max_in_flight,
            clock=clock,
            uniform=uniform,
        )
    finally:
        await client.close()


async def ask(peer: RawPeer, **settings: Any) -> TokenReply | ErrorReply:
    async with server_at(peer.url, **settings) as server:
        return await server.token_request(PAIRS, KEY)


async def failure(peer: RawPeer, **settings: Any) -> ServerError:
    with pytest.raises(ServerError) as caught:
        await ask(peer, **settings)
    return caught.value


def state(server: AuthorizationServer) -> BreakerState:
    """What its breaker is in, now."""
    return server.breaker


async def seen(peer: RawPeer, count: int) -> None:
    """Wait until the peer has received so many requests."""
    async with asyncio.timeout(5):
        while len(peer.seen) < count:  # noqa: ASYNC110 - a peer has no event for this
            await asyncio.sleep(0)


# --- what it is


@pytest.mark.parametrize(
    "url", ["https://a.example/token#x", "https://u@a.example/token", "/token", "ldap://a.example"]
)
async def test_an_endpoint_that_can_not_be_asked(url: str) -> None:
    with pytest.raises(ValueError, match="endpoint"):
        async with server_at(url):
            pass


async def test_the_server_has_a_name_and_may_have_keys() -> None:
    async with server_at("https://a.example/token") as server:
        assert (server.name, server.key_source) == ("corp", None)


# --- once more, and no more than that


@pytest.mark.parametrize(
    "first",
    [
        b"",
        reset_after(b""),
        reply(502, b"<html>", "text/html"),
        reply(503, {"error": "temporarily_unavailable"}),
        reply(504, b""),
    ],
)
async def test_what_may_have_passed_is_tried_once_more(first: bytes | Handler) -> None:
    async with raw_peer(first, GOOD) as peer:
        assert isinstance(await ask(peer), TokenReply)
        assert len(peer.seen) == 2
    async with raw_peer(first) as peer:
        error = await failure(peer)
        assert isinstance(error, ServerUnavailable)
        assert error.retry_after == 1.0
        assert len(peer.seen) == 2


async def test_nobody_there_is_unavailable() -> None:
    async with raw_peer(b"") as peer:
        pass
    error = await failure(peer)
    assert isinstance(error, ServerUnavailable)
    assert error.reason == "no connection"


@pytest.mark.parametrize(
    "answer",
    [
        close_after(b"HTTP/1.1 200 OK\r\nConte"),
        close_after(reply(200, b'{"access', Content_Length="500")),
        reset_after(reply(200, b'{"access', Content_Length="500")),
        reply(500, b""),
        reply(501, b""),
    ],
)
async def test_what_has_not_passed_is_not_tried_again(answer: bytes | Handler) -> None:
    async with raw_peer(answer) as peer:
        assert isinstance(await failure(peer), ServerUnavailable)
        assert len(peer.seen) == 1


async def test_a_second_attempt_has_an_assertion_of_its_own(tmp_path: Path) -> None:
    key = jwt.generate_key("ES256", "k")
    (tmp_path / "key").write_text(str(key.as_dict(private=True)).replace("'", '"'))
    client_auth = PrivateKeyJWT(
        "gw", file_secret(str(tmp_path / "key"), partial(signing_key, algorithm="ES256")), "ES256"
    )
    async with raw_peer(b"", GOOD) as peer:
        await ask(peer, client_auth=client_auth)
        assertions = [jwt.peek(dict(seen.form)["client_assertion"]) for seen in peer.seen]
    assert len({assertion.claims["jti"] for assertion in assertions}) == 2
    assert {assertion.claims["aud"] for assertion in assertions} == {peer.url}


# --- left alone


@pytest.mark.parametrize(
    ("answer", "pause"),
    [
        (reply(429, {"error": "too_many_attempts"}, Retry_After="7"), 7),
        (reply(429, b"slow down", "text/plain", Retry_After="7"), 7),
        (reply(429, {}), 1),
        (reply(429, {}, Retry_After="soon"), 1),
        (reply(503, b"", Retry_After="7"), 7),
        (reply(500, b"", Retry_After="7"), 7),
        (reply(503, {"error": "invalid_grant"}, Retry_After="7"), 7),
        (reply(503, b"", Retry_After=formatdate(1_700_000_020, usegmt=True)), 20),
        (reply(503, b"", Retry_After="86400"), 60),
    ],
)
async def test_a_server_that_asks_for_it_is_left_alone(answer: bytes, pause: float) -> None:
    fake = FakeClock()
    async with raw_peer(answer, GOOD) as peer, server_at(peer.url, fake=fake) as server:
        for left in (pause, pause, 0.5):
            with pytest.raises(ServerUnavailable) as caught:
                await server.token_request(PAIRS, KEY)
            assert caught.value.retry_after == server.pause_left == left
            if left == 0.5:
                break
            fake.advance(pause - 0.5 if caught.value.reason.startswith("the server asked") else 0)
        assert len(peer.seen) == 1
        fake.advance(0.5)
        assert server.pause_left == 0
        assert isinstance(await server.token_request(PAIRS, KEY), TokenReply)


async def test_retry_after_nothing_is_no_pause() -> None:
    async with raw_peer(reply(503, b"", Retry_After="0"), GOOD) as peer, server_at(peer.url) as server:
        with pytest.raises(ServerUnavailable) as caught:
            await server.token_request(PAIRS, KEY)
        assert caught.value.retry_after == 1.0
        assert isinstance(await server.token_request(PAIRS, KEY), TokenReply)


async def test_who_was_waiting_leaves_it_alone_too() -> None:
    async with raw_peer(reply(429, {}, Retry_After="7")) as peer, server_at(peer.url, max_in_flight=1) as server:
        results = await asyncio.gather(
            server.token_request(PAIRS, KEY), server.token_request(PAIRS, KEY), return_exceptions=True
        )
    assert [type(result) for result in results] == [AskedToWait, ServerNotAsked]
    assert len(peer.seen) == 1


# --- one deadline, so many places


async def test_no_answer_in_time() -> None:
    async with raw_peer(never()) as peer:
        assert isinstance(await failure(peer, timeout=0.1), ServerTimeout)
        assert len(peer.seen) == 1


async def test_the_second_attempt_has_no_deadline_of_its_own() -> None:
    async def late(_: Seen, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.15)
        writer.write(reply(502, b""))

    async with raw_peer(late, never()) as peer:
        started = asyncio.get_running_loop().time()
        assert isinstance(await failure(peer, timeout=0.2), ServerTimeout)
        assert asyncio.get_running_loop().time() - started < 0.35  # two of them would take 0.35 s
        assert len(peer.seen) == 2


async def test_as_many_wait_as_are_answered_and_no_more() -> None:
    busy = most = 0
    go = asyncio.Event()

    async def held(_: Seen, writer: asyncio.StreamWriter) -> None:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.wait_for(go.wait(), 5)
        busy -= 1
        writer.write(GOOD)

    async with raw_peer(held) as peer, server_at(peer.url, max_in_flight=3) as server:
        asked = [asyncio.create_task(server.token_request(PAIRS, KEY)) for _ in range(6)]
        await asyncio.sleep(0.05)
        assert (server.in_flight, server.queued, server.ready) == (3, 3, False)
        with pytest.raises(ServerOverloaded):
            await server.token_request(PAIRS, KEY)
        asked[0].cancel()  # one that was sent
        asked[5].cancel()  # one that was waiting
        await asyncio.sleep(0.05)
        go.set()
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert [isinstance(result, TokenReply) for result in results] == [False, True, True, True, True, False]
        assert most <= 4  # the cancelled one's handler may still run
        assert isinstance(await server.token_request(PAIRS, KEY), TokenReply)
        assert (server.in_flight, server.queued) == (0, 0)


async def test_waiting_counts_against_the_deadline() -> None:
    async with raw_peer(never()) as peer, server_at(peer.url, timeout=0.1, max_in_flight=1) as server:
        results = await asyncio.gather(
            server.token_request(PAIRS, KEY), server.token_request(PAIRS, KEY), return_exceptions=True
        )
    assert [type(result) for result in results] == [ServerTimeout] * 2


# --- discovery


async def test_the_endpoint_is_discovered(tmp_path: Path) -> None:
    key = jwt.generate_key("ES256", "k")
    (tmp_path / "key").write_text(str(key.as_dict(private=True)).replace("'", '"'))
    client_auth = PrivateKeyJWT(
        "gw", file_secret(str(tmp_path / "key"), partial(signing_key, algorithm="ES256")), "ES256"
    )
    documents = PeerClient(timeout=5, max_in_flight=1)
    async with raw_peer(GOOD) as peer, serve_documents({}) as served:
        served.documents["/.well-known/oauth-authorization-server"] = {
            "issuer": served.origin,
            "token_endpoint": peer.url,
        }
        async with server_at(MetadataSource(documents, issuer=served.origin), client_auth=client_auth) as server:
            assert isinstance(await server.token_request(PAIRS, KEY), TokenReply)
        assertion = jwt.peek(dict(peer.seen[0].form)["client_assertion"])
        assert assertion.claims["aud"] == served.origin
    await documents.close()


async def test_discovery_that_fails() -> None:
    documents = PeerClient(timeout=5, max_in_flight=1)
    async with serve_documents({}) as served:
        source = MetadataSource(documents, issuer=served.origin, clock=FakeClock().clock)
        async with server_at(source) as server:
            with pytest.raises(ServerUnavailable, match="metadata: ") as caught:
                await server.token_request(PAIRS, KEY)
            assert caught.value.retry_after == 1
        served.documents["/.well-known/oauth-authorization-server"] = {"issuer": served.origin}
        async with server_at(MetadataSource(documents, issuer=served.origin)) as server:
            with pytest.raises(ServerReplyUnusable, match="no token_endpoint"):
                await server.token_request(PAIRS, KEY)
    await documents.close()


async def test_discovery_counts_against_the_deadline_and_goes_on() -> None:
    documents = PeerClient(timeout=5, max_in_flight=1)
    async with raw_peer(GOOD) as peer, serve_documents({}) as served:
        served.documents["/.well-known/oauth-authorization-server"] = {
            "issuer": served.origin,
            "token_endpoint": peer.url,
        }
        served.hold.clear()
        async with server_at(MetadataSource(documents, issuer=served.origin), timeout=0.2) as server:
            with pytest.raises(ServerTimeout):
                await server.token_request(PAIRS, KEY)
            served.hold.set()
            assert isinstance(await server.token_request(PAIRS, KEY), TokenReply)
        assert served.counts == {"/.well-known/oauth-authorization-server": 1}
    await documents.close()


# --- credentials that were rotated


@pytest.mark.parametrize("code", ["invalid_client", "unauthorized_client"])
async def test_a_refused_secret_is_read_again(tmp_path: Path, code: str) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    client_auth = ClientSecretPost("gw", file_secret(str(path), bytes))
    path.write_text("new")
    async with raw_peer(reply(401, {"error": code}), GOOD) as peer:
        assert isinstance(await ask(peer, client_auth=client_auth), TokenReply)
        assert [dict(seen.form)["client_secret"] for seen in peer.seen] == ["old", "new"]
    async with raw_peer(reply(401, {"error": code})) as peer:
        path.write_text("newest")
        assert await ask(peer, client_auth=client_auth) == ErrorReply(401, code, None)
        assert await ask(peer, client_auth=client_auth) == ErrorReply(401, code, None)
        assert [dict(seen.form)["client_secret"] for seen in peer.seen] == ["new", "newest", "newest"]


async def test_whoever_failed_with_the_old_secret_is_asked_again_with_the_new_one(tmp_path: Path) -> None:
    """Also those who come back when another request has read it already."""
    path = tmp_path / "secret"
    path.write_text("old")
    client_auth = ClientSecretPost("gw", file_secret(str(path), bytes))
    arrived, all_there = 0, asyncio.Event()

    async def judge(seen: Seen, writer: asyncio.StreamWriter) -> None:
        nonlocal arrived
        if dict(seen.form)["client_secret"] == "new":
            writer.write(GOOD)
        else:
            arrived += 1
            if arrived == 5:
                path.write_text("new")
                all_there.set()
            await asyncio.wait_for(all_there.wait(), 5)
            writer.write(reply(401, {"error": "invalid_client"}))
        await writer.drain()

    async with raw_peer(judge) as peer, server_at(peer.url, client_auth=client_auth, max_in_flight=5) as server:
        answers = await asyncio.gather(*(server.token_request(PAIRS, KEY) for _ in range(5)))
        assert [type(answer) for answer in answers] == [TokenReply] * 5
        assert len(peer.seen) == 10


async def test_a_certificate_that_broke_the_connection_is_read_again(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    ours = [authority.issue(name) for name in ("one", "two")]
    cert, key = tmp_path / "tls.crt", tmp_path / "tls.key"

    def put(pair: tuple[str, str]) -> None:
        for path, source in zip((cert, key), pair, strict=True):
            path.write_bytes(Path(source).read_bytes())

    put(ours[0])
    tls = client_tls(TLS(ca_file=authority.ca_file, cert_file=str(cert), key_file=str(key)))
    client = PeerClient(timeout=5, max_in_flight=1, tls=TLS(ca_file=authority.ca_file), contexts=lambda _: tls)
    shown: list[str] = []

    async def judge(_: Seen, writer: asyncio.StreamWriter) -> None:
        certificate = writer.get_extra_info("peercert")
        shown.append(certificate["subjectAltName"][0][1])
        if shown[-1] == "one" and len(shown) > 1:
            put(ours[1])
            writer.transport.abort()
        writer.write(GOOD)

    async with raw_peer(judge, tls=authority.serving(ask_for_clients=True)) as peer:
        server = AuthorizationServer(
            "corp",
            endpoint=TokenEndpoint(peer.url),
            client=client,
            client_auth=TLSClientAuth("gw", tls),
            timeout=5,
            max_in_flight=1,
        )
        for _ in range(2):
            assert isinstance(await server.token_request(PAIRS, KEY), TokenReply)
        assert shown == ["one", "one", "two"]
        await client.close()


@pytest.mark.parametrize("alias", [True, False])
async def test_a_certificate_goes_where_one_is_asked_for(tmp_path: Path, alias: bool) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.issue("gw")
    settings = TLS(ca_file=authority.ca_file, cert_file=cert, key_file=key)
    client = PeerClient(timeout=5, max_in_flight=1, tls=settings)
    documents = PeerClient(timeout=5, max_in_flight=1)
    async with (
        raw_peer(GOOD, tls=authority.serving(ask_for_clients=True)) as mtls,
        raw_peer(GOOD) as plain,
        serve_documents({}) as served,
    ):
        document: dict[str, object] = {"issuer": served.origin, "token_endpoint": plain.url if alias else mtls.url}
        if alias:
            document["mtls_endpoint_aliases"] = {"token_endpoint": mtls.url}
        served.documents["/.well-known/oauth-authorization-server"] = document
        where = MetadataSource(documents, issuer=served.origin)
        server = AuthorizationServer(
            "corp",
            endpoint=where,
            client=client,
            client_auth=TLSClientAuth("gw", client_tls(settings)),
            timeout=5,
            max_in_flight=1,
        )
        assert isinstance(await server.token_request(PAIRS, KEY), TokenReply)
        assert (len(mtls.seen), len(plain.seen)) == (1, 0)
        assert dict(mtls.seen[0].form)["client_id"] == "gw"
        await client.close()
    await documents.close()


async def test_a_certificate_is_never_offered_in_the_clear(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.issue("gw")
    client_auth = TLSClientAuth("gw", client_tls(TLS(cert_file=cert, key_file=key)))
    async with raw_peer(GOOD) as peer:
        error = await failure(peer, client_auth=client_auth)
        assert isinstance(error, ServerReplyUnusable)
        assert error.reason == "the endpoint is not https, so it can't see our certificate"
        assert not peer.seen


async def test_another_refusal_reads_nothing_again(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    client_auth = ClientSecretPost("gw", file_secret(str(path), bytes))
    path.write_text("new")
    async with raw_peer(reply(400, {"error": "invalid_grant"})) as peer:
        assert await ask(peer, client_auth=client_auth) == ErrorReply(400, "invalid_grant", None)
        assert len(peer.seen) == 1


# --- retries


async def test_retries_are_a_fifth_of_what_was_answered_and_a_few() -> None:
    """The server breaks every other connection; each exchange asks for something else."""
    async with raw_peer(b"") as peer, server_at(peer.url, max_in_flight=1) as server:
        outcomes: Counter[type] = Counter()
        for number in range(200):
            peer.answers[:] = [b"" if number % 2 else GOOD, GOOD]
            try:
                outcomes[type(await server.token_request(PAIRS, b"%d" % number))] += 1
            except ServerUnavailable as error:
                outcomes[type(error)] += 1
        # Of the exchanges that nothing was wrong with, each earns a fifth of a retry.
        assert len(peer.seen) == pytest.approx(200 + 2 + 0.2 * 100, abs=1)
        assert len(peer.seen) <= 1.2 * 200
        assert outcomes[TokenReply] == len(peer.seen) - 100


async def test_the_retry_waits_a_moment_at_random() -> None:
    asked: list[tuple[float, float]] = []

    def noted(low: float, high: float) -> float:
        asked.append((low, high))
        return low

    async with raw_peer(b"", GOOD) as peer, server_at(peer.url, uniform=noted) as server:
        await server.token_request(PAIRS, KEY)
    assert asked == [(0.0, LONGEST_RETRY_WAIT)]


async def test_a_server_that_asks_to_be_left_alone_meanwhile_is() -> None:
    """One request is about to be tried again when another is told to wait."""
    slow = asyncio.Event()

    async def held(_: Seen, writer: asyncio.StreamWriter) -> None:
        await asyncio.wait_for(slow.wait(), 5)
        writer.write(reply(502))

    async with raw_peer(held, reply(429, {}, Retry_After="7"), GOOD) as peer, server_at(peer.url) as server:
        first = asyncio.create_task(server.token_request(PAIRS, KEY))
        await seen(peer, 1)
        with pytest.raises(ServerUnavailable):
            await server.token_request(PAIRS, KEY)
        slow.set()
        with pytest.raises(ServerUnavailable, match="not available"):
            await first
        assert len(peer.seen) == 2


# --- the breaker


async def broken(server: AuthorizationServer, exchanges: int = 5) -> None:
    """Have exchanges for different things fail."""
    for number in range(exchanges):
        with pytest.raises(ServerError):
            await server.token_request(PAIRS, b"%d" % number)


@pytest.mark.parametrize("answer", [close_after(b""), reply(500), reply(501, {"error": "server_error"}), never()])
async def test_a_server_that_fails_is_left_alone_and_tried_again(answer: bytes | Handler) -> None:
    fake = FakeClock()
    timeout = 0.05 if callable(answer) else 5
    async with raw_peer(answer) as peer, server_at(peer.url, fake=fake, timeout=timeout) as server:
        for number in range(5):
            assert (state(server), server.ready) == (BreakerState.CLOSED, True)
            try:
                answered = await server.token_request(PAIRS, b"%d" % number)
            except ServerError:
                continue
            assert isinstance(answered, ErrorReply)  # a refusal in form, a failure in fact
        assert (state(server), server.ready) == (BreakerState.OPEN, False)
        so_far = len(peer.seen)
        for _ in range(3):
            with pytest.raises(ServerNotAsked) as caught:
                await server.token_request(PAIRS, KEY)
            assert caught.value.retry_after == 0.75  # the least that chance makes of a second
        assert len(peer.seen) == so_far
        fake.advance(0.75)
        assert (state(server), server.ready) == (BreakerState.HALF_OPEN, True)
        with suppress(ServerError):
            await server.token_request(PAIRS, KEY)
        assert len(peer.seen) == so_far + 1  # a probe is not tried again
        assert state(server) is BreakerState.OPEN
        fake.advance(0.75)
        peer.answers[:] = [GOOD]
        assert isinstance(await server.token_request(PAIRS, KEY), TokenReply)
        assert state(server) is BreakerState.CLOSED


@pytest.mark.parametrize(
    "answer",
    [
        reply(400, {"error": "invalid_grant"}),
        reply(500, {"error": "access_denied"}),
        reply(200, b"<html>", "text/html"),
        reply(200, {}),
        reply(302, b"", Location="/"),
        reply(429, {}, Retry_After="0"),
    ],
)
async def test_what_is_an_answer_opens_nothing(answer: bytes) -> None:
    async with raw_peer(answer) as peer, server_at(peer.url) as server:
        for number in range(25):
            with suppress(ServerError):
                await server.token_request(PAIRS, b"%d" % number)
            server._pause = Pause(least)  # 429 alone asks for a second
        assert state(server) is BreakerState.CLOSED
        assert len(peer.seen) == 25


async def test_one_bad_token_cuts_off_nobody() -> None:
    async with raw_peer(reply(500)) as peer, server_at(peer.url) as server:
        for number in range(50):
            with pytest.raises(ServerUnavailable):
                await server.token_request(PAIRS, b"%d" % (number % 2))
        assert (state(server), len(peer.seen)) == (BreakerState.CLOSED, 50)


async def test_who_waits_for_a_turn_while_it_opens_is_answered_at_once() -> None:
    go = asyncio.Event()

    async def held(_: Seen, writer: asyncio.StreamWriter) -> None:
        await asyncio.wait_for(go.wait(), 5)
        writer.write(reply(500))

    async with raw_peer(held) as peer, server_at(peer.url, max_in_flight=5) as server:
        asked = [asyncio.create_task(server.token_request(PAIRS, b"%d" % number)) for number in range(10)]
        await seen(peer, 5)
        go.set()
        outcomes = Counter(map(type, await asyncio.gather(*asked, return_exceptions=True)))
        assert outcomes == {ServerUnavailable: 5, ServerNotAsked: 5}
        assert len(peer.seen) == 5


async def test_one_probe_at_a_time_and_one_that_is_given_up_is_none() -> None:
    fake = FakeClock()
    async with raw_peer(reply(500)) as peer, server_at(peer.url, fake=fake) as server:
        await broken(server)
        fake.advance(1)
        peer.answers[:] = [never()]
        probe = asyncio.create_task(server.token_request(PAIRS, KEY))
        await seen(peer, 6)
        with pytest.raises(ServerNotAsked) as caught:
            await server.token_request(PAIRS, KEY)
        assert (state(server), caught.value.retry_after) == (BreakerState.OPEN, 1)
        probe.cancel()
        await asyncio.wait([probe])
        assert state(server) is BreakerState.OPEN
        fake.advance(1)
        peer.answers[:] = [GOOD]
        assert isinstance(await server.token_request(PAIRS, KEY), TokenReply)


async def test_waiting_for_a_turn_in_vain_says_nothing_of_the_server() -> None:
    async with raw_peer(GOOD) as peer, server_at(peer.url, timeout=0.1, max_in_flight=1) as server:
        async with server._turns:
            with pytest.raises(ServerTimeout):
                await server.token_request(PAIRS, KEY)
        assert len(peer.seen) == len(server._breaker._last) == 0
        assert isinstance(await server.token_request(PAIRS, KEY), TokenReply)


async def test_it_is_logged_when_it_opens_and_when_it_closes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "sidecar")
    fake = FakeClock()
    async with raw_peer(reply(500)) as peer, server_at(peer.url, fake=fake) as server:
        await broken(server)
        for _ in range(10):  # an outage of ten probes
            fake.advance(1)
            await broken(server, 1)
        fake.advance(1)
        peer.answers[:] = [GOOD]
        await server.token_request(PAIRS, KEY)
    assert [(record.levelname, vars(record)["authorization_server"]) for record in caplog.records] == [
        ("WARNING", "corp"),
        ("INFO", "corp"),
    ]


# --- after a pause


async def test_those_who_come_back_together_are_spread() -> None:
    fake = FakeClock()
    spread: list[tuple[float, float]] = []

    def noted(low: float, high: float) -> float:
        spread.append((low, high))
        return low

    async with raw_peer(reply(429, {}, Retry_After="5"), GOOD) as peer:
        async with server_at(peer.url, fake=fake, uniform=noted) as server:
            with pytest.raises(ServerUnavailable):
                await server.token_request(PAIRS, KEY)
            assert server.ready is False
            fake.advance(5)
            assert server.ready is True
            await server.token_request(PAIRS, KEY)
            assert spread == [(0.0, 1.0)]
            fake.advance(1)
            await server.token_request(PAIRS, KEY)
            assert len(spread) == 1
        assert len(peer.seen) == 3


# --- looks in between


@asynccontextmanager
async def discovered(fake: FakeClock) -> AsyncIterator[tuple[AuthorizationServer, RawPeer, Documents]]:
    documents = PeerClient(timeout=5, max_in_flight=1)
    async with raw_peer(GOOD) as peer, serve_documents({}) as served:
        metadata = {"issuer": served.origin, "token_endpoint": peer.url}
        served.documents["/.well-known/oauth-authorization-server"] = metadata
        async with server_at(MetadataSource(documents, issuer=served.origin, clock=fake.clock), fake=fake) as server:
            yield server, peer, served
    await documents.close()


async def test_a_look_finds_out_without_asking_for_a_token() -> None:
    fake = FakeClock()
    async with discovered(fake) as (server, peer, served):
        assert await server.look() is True
        served.status = 503
        assert await server.look() is False
        fake.advance(1)
        assert await server.look() is False
        served.status = 200
        fake.advance(2)
        assert await server.look() is True
        assert peer.seen == []


async def test_a_look_says_nothing_where_exchanges_know_better() -> None:
    fake = FakeClock()
    async with discovered(fake) as (server, peer, served):
        peer.answers[:] = [reply(500)]
        await broken(server)
        assert state(server) is BreakerState.OPEN
        assert await server.look() is None
        served.status = 503
        assert await server.look() is False


async def test_a_server_that_asked_to_be_left_alone_is_not_looked_at() -> None:
    fake = FakeClock()
    async with discovered(fake) as (server, peer, served):
        peer.answers[:] = [reply(429, {}, Retry_After="7")]
        with pytest.raises(ServerUnavailable):
            await server.token_request(PAIRS, KEY)
        before = dict(served.counts)
        assert await server.look() is None
        assert served.counts == before
        fake.advance(7)
        assert await server.look() is True


async def test_there_is_nothing_to_look_at_where_nothing_is_discovered() -> None:
    async with raw_peer(GOOD) as peer, server_at(peer.url) as server:
        assert await server.look() is None
        assert peer.connections == 0


# --- nothing leaks


async def test_no_secret_shows(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret, subject, issued = Canary.fresh("secret"), Canary.fresh("subject"), Canary.fresh("issued")
    refresh, text = Canary.fresh("refresh"), Canary.fresh("server-text")
    client_auth = ClientSecretPost("gw", env_secret("S", bytes, {"S": secret.text}))
    members = {"access_token": issued.text, "refresh_token": refresh.text}
    shown: list[str] = []
    for answer in (
        reply(200, members),
        reply(200, members | {"error": text.text}),
        reply(200, f'{{"access_token": "{issued.text}"'.encode()),
        reply(200, issued.text.encode(), "text/plain"),
        reply(400, {"error": "invalid_grant", "error_description": text.text + subject.text}),
        reply(400, {"error": text.text + '"'}),
        reply(429, {"error": text.text}, Retry_After=text.text),
        reply(500, text.text.encode()),
        reply(302, b"", Location=f"/{text.text}"),
        text.text.encode() + b"\r\n\r\n",
        close_after(f"HTTP/1.1 200 {text.text}\r\nX: {issued.text}".encode()),
        reset_after(b""),
        never(),
    ):
        async with raw_peer(answer) as peer, server_at(peer.url, client_auth=client_auth, timeout=0.3) as server:
            try:
                shown.append(repr(await server.token_request([("subject_token", subject.text)], KEY)))
            except ServerError as error:
                shown += [repr(error), repr(error.__cause__), repr(error.__context__)]
            shown.append(repr(server))
            assert search(b"".join(seen.body for seen in peer.seen), secret, subject)  # they were really sent
    haystack = "\n".join(shown) + caplog.text
    assert not search(haystack.encode(), secret, subject, issued, refresh, text)
