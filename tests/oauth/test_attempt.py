"""One request to a token endpoint: what goes there, and what is made of what comes back."""

import asyncio
from collections.abc import Sequence

import pytest

from sidecar.oauth.answer import (
    ErrorReply,
    MayHavePassed,
    ServerReplyUnusable,
    ServerUnavailable,
    TokenReply,
)
from sidecar.oauth.attempt import Member, attempt
from sidecar.oauth.client_auth import ClientAuthentication, TokenEndpoint
from sidecar.oauth.client_auth.simple import ClientSecretBasic, ClientSecretPost, NoAuthentication
from sidecar.oauth.http import Flaw, PeerClient, PeerTimeout
from sidecar.oauth.metadata import MetadataSource
from sidecar.oauth.secrets import env_secret
from tests.oauth.peers import Handler, RawPeer, Seen, close_after, never, raw_peer, reply, reset_after, serve_documents
from tests.support.clock import FakeClock

PAIRS = [("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"), ("audience", "a"), ("audience", "b")]
TOKEN = {"access_token": "issued", "token_type": "Bearer", "expires_in": 300}
GOOD = reply(200, TOKEN)


async def ask(
    peer: RawPeer | TokenEndpoint | MetadataSource,
    *,
    client_auth: ClientAuthentication | None = None,
    fake: FakeClock | None = None,
    timeout: float = 5.0,
    member: Member = "token_endpoint",
    pairs: Sequence[tuple[str, str]] = PAIRS,
) -> TokenReply | ErrorReply:
    endpoint = TokenEndpoint(peer.url) if isinstance(peer, RawPeer) else peer
    clock = (fake or FakeClock()).clock
    client = PeerClient(timeout=timeout, max_in_flight=1, clock=clock)
    try:
        return await attempt(pairs, endpoint, member, client, client_auth or NoAuthentication(), clock)
    finally:
        await client.close()


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
    async with raw_peer(GOOD) as peer:
        await ask(TokenEndpoint(peer.url + "?tenant=a%2Fb"))
        assert peer.seen[0].target == "/token?tenant=a%2Fb"


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


# --- what must not be used


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (reply(200, TOKEN | {"error": "invalid_grant"}), "a success and an error"),
        (reply(200, TOKEN, "text/html"), Flaw.CONTENT_TYPE),
        (reply(200, b" " * 70_000), Flaw.TOO_LARGE),
        (reply(200, b"x", Content_Encoding="gzip"), Flaw.CODED),
        (reply(204), Flaw.STATUS),
        (reply(302, b"", Location="/login"), Flaw.REDIRECT),
        (reply(307, b"", Location="/token"), Flaw.REDIRECT),
        (b"garbage\r\n\r\n", Flaw.NOT_HTTP),
    ],
)
async def test_a_reply_that_must_not_be_used(answer: bytes, reason: str) -> None:
    async with raw_peer(answer) as peer:
        with pytest.raises(ServerReplyUnusable) as caught:
            await ask(peer)
        assert reason in caught.value.reason
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
    pairs = [("subject_token", SUBJECT_TOKEN), ("scope", "orders.read")]
    async with raw_peer(reply(400, {"error": "login_required", **login})) as peer:
        found = await ask(peer, client_auth=client_auth, pairs=pairs)
        assert found == ErrorReply(400, "login_required", None, {})


async def test_what_an_error_says_of_a_login() -> None:
    login = {"acr_values": "mfa orders.read", "max_age": 5, "claims": "{}"}
    async with raw_peer(reply(400, {"error": "login_required", **login, "other": 1})) as peer:
        assert await ask(peer) == ErrorReply(400, "login_required", None, login)


# --- what broke


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", MayHavePassed),
        (reset_after(b""), MayHavePassed),
        (reply(502, b""), MayHavePassed),
        (close_after(b"HTTP/1.1 200 OK\r\nConte"), ServerUnavailable),
        (reply(500, b""), ServerUnavailable),
    ],
)
async def test_whether_asking_again_may_help(answer: bytes | Handler, error: type[Exception]) -> None:
    async with raw_peer(answer) as peer:
        with pytest.raises(ServerUnavailable) as caught:
            await ask(peer)
        assert type(caught.value) is error
        assert len(peer.seen) == 1


async def test_no_answer_in_time() -> None:
    async with raw_peer(never()) as peer:
        with pytest.raises(PeerTimeout):
            await ask(peer, timeout=0.1)


# --- discovery


async def test_an_endpoint_that_is_discovered_is_known_with_its_issuer() -> None:
    documents = PeerClient(timeout=5, max_in_flight=1)
    async with raw_peer(GOOD) as peer, serve_documents({}) as served:
        source = MetadataSource(documents, issuer=served.origin, clock=FakeClock().clock)
        with pytest.raises(ServerUnavailable, match="metadata: "):
            await ask(source)
        served.documents["/.well-known/oauth-authorization-server"] = {"issuer": served.origin}
        source = MetadataSource(documents, issuer=served.origin)
        with pytest.raises(ServerReplyUnusable, match="no token_endpoint"):
            await ask(source)
        served.documents["/.well-known/oauth-authorization-server"] = {
            "issuer": served.origin,
            "token_endpoint": peer.url,
        }
        source = MetadataSource(documents, issuer=served.origin)
        assert isinstance(await ask(source), TokenReply)
        with pytest.raises(ServerReplyUnusable, match="no introspection_endpoint"):
            await ask(source, member="introspection_endpoint")
    await documents.close()
