"""One authorization server, in all the moods it may be in."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import Key

from sidecar.model.route import TLS
from sidecar.oauth import jwt
from sidecar.oauth.client_auth import ClientAuthentication, TokenEndpoint
from sidecar.oauth.client_auth.signed import PrivateKeyJWT, signing_key
from sidecar.oauth.client_auth.simple import ClientSecretBasic, ClientSecretPost, NoAuthentication, TLSClientAuth
from sidecar.oauth.http import Flaw, PeerClient
from sidecar.oauth.metadata import MetadataSource
from sidecar.oauth.secrets import env_secret, file_secret
from sidecar.oauth.server import (
    AuthorizationServer,
    ErrorReply,
    ServerError,
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
        )
    finally:
        await client.close()


async def ask(peer: RawPeer, **settings: Any) -> TokenReply | ErrorReply:
    async with server_at(peer.url, **settings) as server:
        return await server.token_request(PAIRS)


async def failure(peer: RawPeer, **settings: Any) -> ServerError:
    with pytest.raises(ServerError) as caught:
        await ask(peer, **settings)
    return caught.value


# --- a success


async def test_a_token_reply_tells_when_it_was_asked_for() -> None:
    fake = FakeClock()

    async def later(_: Seen, writer: asyncio.StreamWriter) -> None:
        fake.advance(3)
        writer.write(reply(200, TOKEN | {"refresh_token": "canary", "session_state": "x"}))

    async with raw_peer(later) as peer:
        received = await ask(peer, fake=fake)
        assert received == TokenReply(TOKEN | {"session_state": "x"}, 1000.0, 1_700_000_000.0)
        assert peer.seen[0].form == PAIRS


async def test_a_query_of_the_endpoint_is_kept() -> None:
    async with raw_peer(GOOD) as peer, server_at(peer.url + "?tenant=a%2Fb") as server:
        await server.token_request(PAIRS)
        assert peer.seen[0].target == "/token?tenant=a%2Fb"


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


@pytest.mark.parametrize(
    ("client_auth", "pairs", "authorization"),
    [
        (NoAuthentication("gw"), [("client_id", "gw")], None),
        (ClientSecretBasic("gw", env_secret("S", bytes, {"S": "s"})), [], "Basic Z3c6cw=="),
        (
            ClientSecretPost("gw", env_secret("S", bytes, {"S": "s ü"})),
            [("client_id", "gw"), ("client_secret", "s ü")],
            None,
        ),
    ],
)
async def test_it_authenticates(
    client_auth: ClientAuthentication, pairs: list[tuple[str, str]], authorization: str | None
) -> None:
    async with raw_peer(GOOD) as peer:
        await ask(peer, client_auth=client_auth)
        assert peer.seen[0].form == [*PAIRS, *pairs]
        assert peer.seen[0].value("authorization") == authorization


# --- an error


@pytest.mark.parametrize(
    ("status", "body", "error", "description"),
    [
        (400, {"error": "invalid_grant", "error_description": "expired"}, "invalid_grant", "expired"),
        (401, {"error": "invalid_client"}, "invalid_client", None),
        (403, {"error": "access_denied", "error_description": 1}, "access_denied", None),
        (400, {"error": "a b!"}, "a b!", None),
        (400, {"error": "a" * 64}, "a" * 64, None),
        (400, {"error": "a" * 65}, None, None),
        (400, {"error": 'a"b'}, None, None),
        (400, {"error": "a\\b"}, None, None),
        (400, {"error": "a\nb"}, None, None),
        (400, {"error": "é"}, None, None),
        (400, {"error": ""}, None, None),
        (400, {"error": 1}, None, None),
        (400, {"error": ["invalid_grant"]}, None, None),
        (400, {"error": "x", "error_description": "d" * 5000}, "x", "d" * 1024),
        (400, [], None, None),
        (400, b"{", None, None),
        (404, b"", None, None),
        (500, {"error": "invalid_grant"}, "invalid_grant", None),
        (500, {"error": "server_error"}, "server_error", None),
        (503, {"error": "invalid_grant"}, "invalid_grant", None),
    ],
)
async def test_an_error_reply(status: int, body: object, error: str | None, description: str | None) -> None:
    async with raw_peer(reply(status, body)) as peer:
        assert await ask(peer) == ErrorReply(status, error, description)
        assert len(peer.seen) == 1


async def test_an_error_that_is_no_json_is_known_by_its_status() -> None:
    async with raw_peer(reply(403, b"<html>denied", "text/html")) as peer:
        assert await ask(peer) == ErrorReply(403, None, None)


SUBJECT_TOKEN = "header-of-it.payload-of-it.signature-of-it"
SECRET = "s3cret of+ours/é"


@pytest.mark.parametrize(
    "client_auth",
    [
        ClientSecretBasic("gw", env_secret("S", bytes, {"S": SECRET})),
        ClientSecretBasic("gw", env_secret("S", bytes, {"S": SECRET}), form_encoding=False),
        ClientSecretPost("gw", env_secret("S", bytes, {"S": SECRET})),
    ],
)
@pytest.mark.parametrize("repeated", [SUBJECT_TOKEN, *SUBJECT_TOKEN.split("."), SECRET])
async def test_what_an_error_says_of_a_login_repeats_no_secret(
    client_auth: ClientAuthentication, repeated: str
) -> None:
    login = {"acr_values": f"mfa {repeated}", "max_age": repeated, "claims": f'{{"a":"x{repeated}"}}'}
    async with (
        raw_peer(reply(400, {"error": "login_required", **login})) as peer,
        server_at(peer.url, client_auth=client_auth) as server,
    ):
        found = await server.token_request([("subject_token", SUBJECT_TOKEN), ("scope", "orders.read")])
        assert found == ErrorReply(400, "login_required", None, {})


async def test_what_an_error_says_of_a_login() -> None:
    login = {"acr_values": "mfa orders.read", "max_age": 5, "claims": "{}"}
    async with raw_peer(reply(400, {"error": "login_required", **login, "other": 1})) as peer:
        assert await ask(peer) == ErrorReply(400, "login_required", None, login)


# --- what must not be used


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (reply(200, TOKEN | {"error": "invalid_grant"}), "a success and an error"),
        (reply(200, TOKEN | {"error": None}), "a success and an error"),
        (reply(200, TOKEN, "text/html"), Flaw.CONTENT_TYPE),
        (reply(200, TOKEN, "application/jwk-set+json"), Flaw.CONTENT_TYPE),
        (reply(200, [TOKEN]), Flaw.NOT_JSON),
        (reply(200, b'{"access_token":"a","access_token":"b"}'), Flaw.NOT_JSON),
        (reply(200, b'{"access_token":"a"'), Flaw.NOT_JSON),
        (reply(200, b" " * 70_000), Flaw.TOO_LARGE),
        (reply(200, b"x", Content_Encoding="gzip"), Flaw.CODED),
        (reply(201, TOKEN), Flaw.STATUS),
        (reply(204), Flaw.STATUS),
        (reply(302, b"", Location="/login"), Flaw.REDIRECT),
        (reply(307, b"", Location="/token"), Flaw.REDIRECT),
        (b"garbage\r\n\r\n", Flaw.NOT_HTTP),
    ],
)
async def test_a_reply_that_must_not_be_used(answer: bytes, reason: str) -> None:
    async with raw_peer(answer) as peer:
        error = await failure(peer)
        assert isinstance(error, ServerReplyUnusable)
        assert reason in error.reason
        assert len(peer.seen) == 1


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
                await server.token_request(PAIRS)
            assert caught.value.retry_after == left
            if left == 0.5:
                break
            fake.advance(pause - 0.5 if caught.value.reason.startswith("the server asked") else 0)
        assert len(peer.seen) == 1
        fake.advance(0.5)
        assert isinstance(await server.token_request(PAIRS), TokenReply)


async def test_retry_after_nothing_is_no_pause() -> None:
    async with raw_peer(reply(503, b"", Retry_After="0"), GOOD) as peer, server_at(peer.url) as server:
        with pytest.raises(ServerUnavailable) as caught:
            await server.token_request(PAIRS)
        assert caught.value.retry_after == 1.0
        assert isinstance(await server.token_request(PAIRS), TokenReply)


async def test_who_was_waiting_leaves_it_alone_too() -> None:
    async with raw_peer(reply(429, {}, Retry_After="7")) as peer, server_at(peer.url, max_in_flight=1) as server:
        results = await asyncio.gather(server.token_request(PAIRS), server.token_request(PAIRS), return_exceptions=True)
    assert [type(result) for result in results] == [ServerUnavailable] * 2
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
        asked = [asyncio.create_task(server.token_request(PAIRS)) for _ in range(6)]
        await asyncio.sleep(0.05)
        with pytest.raises(ServerOverloaded):
            await server.token_request(PAIRS)
        asked[0].cancel()  # one that was sent
        asked[5].cancel()  # one that was waiting
        await asyncio.sleep(0.05)
        go.set()
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert [isinstance(result, TokenReply) for result in results] == [False, True, True, True, True, False]
        assert most <= 4  # the cancelled one's handler may still run
        assert isinstance(await server.token_request(PAIRS), TokenReply)
        assert server._places == 6


async def test_waiting_counts_against_the_deadline() -> None:
    async with raw_peer(never()) as peer, server_at(peer.url, timeout=0.1, max_in_flight=1) as server:
        results = await asyncio.gather(server.token_request(PAIRS), server.token_request(PAIRS), return_exceptions=True)
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
            assert isinstance(await server.token_request(PAIRS), TokenReply)
        assertion = jwt.peek(dict(peer.seen[0].form)["client_assertion"])
        assert assertion.claims["aud"] == served.origin
    await documents.close()


async def test_discovery_that_fails() -> None:
    documents = PeerClient(timeout=5, max_in_flight=1)
    async with serve_documents({}) as served:
        source = MetadataSource(documents, issuer=served.origin, clock=FakeClock().clock)
        async with server_at(source) as server:
            with pytest.raises(ServerUnavailable, match="metadata: ") as caught:
                await server.token_request(PAIRS)
            assert caught.value.retry_after == 1
        served.documents["/.well-known/oauth-authorization-server"] = {"issuer": served.origin}
        async with server_at(MetadataSource(documents, issuer=served.origin)) as server:
            with pytest.raises(ServerReplyUnusable, match="no token_endpoint"):
                await server.token_request(PAIRS)
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
                await server.token_request(PAIRS)
            served.hold.set()
            assert isinstance(await server.token_request(PAIRS), TokenReply)
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
        answers = await asyncio.gather(*(server.token_request(PAIRS) for _ in range(5)))
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
            assert isinstance(await server.token_request(PAIRS), TokenReply)
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
        assert isinstance(await server.token_request(PAIRS), TokenReply)
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
                shown.append(repr(await server.token_request([("subject_token", subject.text)])))
            except ServerError as error:
                shown += [repr(error), repr(error.__cause__), repr(error.__context__)]
            shown.append(repr(server))
            assert search(b"".join(seen.body for seen in peer.seen), secret, subject)  # they were really sent
    haystack = "\n".join(shown) + caplog.text
    assert not search(haystack.encode(), secret, subject, issued, refresh, text)
