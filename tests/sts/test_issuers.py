import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from joserfc.jwk import Key

from sidecar.oauth.jwt import JWTError, VerificationKeys, generate_key, jwk_set, sign
from sidecar.sts.config import Config, TrustedIssuer
from sidecar.sts.issuers import MAX_AGE, MAX_BYTES, REFETCH, RETRY, Issuers, KeysUnavailable, fetch_keys
from sidecar.sts.keys import SigningKeys
from tests.sts.conftest import Hands

OWN, CORP = "https://sts.example", "https://corp.example"


class JwksServer:
    """A trusted issuer's key set over HTTP; counts how often it is read."""

    def __init__(self) -> None:
        self.keys: list[Key] = [generate_key("ES256", "k1")]
        self.reads = 0
        self.headers: list[str] = []
        self.status = 200
        self.uri = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.reads += 1
        self.headers = list(request.headers)
        return web.json_response(jwk_set(self.keys), status=self.status, headers={"Set-Cookie": "a=b"})


@asynccontextmanager
async def listening(handle: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/keys", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/keys"
    finally:
        await runner.cleanup()


@pytest.fixture
async def corp() -> AsyncIterator[JwksServer]:
    server = JwksServer()
    async with listening(server.handle) as uri:
        server.uri = uri
        yield server


def issuers(hands: Hands, trusted: TrustedIssuer, own: SigningKeys | None = None) -> Issuers:
    return Issuers(Config(OWN, trusted_issuers=(trusted,)), own or SigningKeys("ES256", 300, hands.clock), hands.clock)


def token(key: Key, iss: object = CORP) -> str:
    return sign({"iss": iss, "sub": "alice"}, key, "ES256", {"kid": key.get("kid")})


async def test_own_tokens_by_own_keys_only(hands: Hands) -> None:
    own, foreign = SigningKeys("ES256", 300, hands.clock), generate_key("ES256", "k1")
    known = issuers(hands, TrustedIssuer(CORP, keys=VerificationKeys([foreign])), own)
    assert (await known.verify(own.sign({"iss": OWN}))).claims == {"iss": OWN}
    assert (await known.verify(token(foreign))).claims["iss"] == CORP
    for forged in (token(foreign, OWN), own.sign({"iss": CORP}), token(foreign, "https://x"), token(foreign, None)):
        with pytest.raises(JWTError):
            await known.verify(forged)
    for iss in ([CORP], {"a": 1}, 7):
        with pytest.raises(JWTError):
            await known.verify(token(foreign, iss))


async def test_a_set_is_read_once_and_again_for_an_unknown_key(hands: Hands, corp: JwksServer) -> None:
    known = issuers(hands, TrustedIssuer(CORP, corp.uri))
    for _ in range(3):
        await known.verify(token(corp.keys[0]))
    assert corp.reads == 1
    new = generate_key("ES256", "k2")
    corp.keys = [new]
    for _ in range(10):
        with pytest.raises(JWTError):
            await known.verify(token(new))
    assert corp.reads == 1
    hands.now += REFETCH
    await known.verify(token(new))
    assert corp.reads == 2


async def test_a_withdrawn_key_dies(hands: Hands, corp: JwksServer) -> None:
    known = issuers(hands, TrustedIssuer(CORP, corp.uri))
    old = corp.keys[0]
    await known.verify(token(old))
    corp.keys = [generate_key("ES256", "k2")]
    hands.now += MAX_AGE
    with pytest.raises(JWTError):
        await known.verify(token(old))


async def test_the_last_good_set_serves_on(hands: Hands, corp: JwksServer) -> None:
    known = issuers(hands, TrustedIssuer(CORP, corp.uri))
    await known.verify(token(corp.keys[0]))
    corp.status = 500
    hands.now += MAX_AGE
    await known.verify(token(corp.keys[0]))
    assert corp.reads == 2
    await known.verify(token(corp.keys[0]))
    assert corp.reads == 2


async def test_no_keys_yet_and_soon_again(hands: Hands, corp: JwksServer) -> None:
    known = issuers(hands, TrustedIssuer(CORP, corp.uri))
    corp.status = 503
    for _ in range(3):
        with pytest.raises(KeysUnavailable):
            await known.verify(token(corp.keys[0]))
    assert corp.reads == 1
    corp.status = 200
    hands.now += RETRY
    await known.verify(token(corp.keys[0]))


async def test_reads_plainly(corp: JwksServer) -> None:
    assert len(await fetch_keys(corp.uri)) == 1
    assert "Cookie" not in corp.headers
    assert "Authorization" not in corp.headers


def reply(**arguments: Any) -> web.Response:
    return web.Response(content_type="application/json", **arguments)


GOOD = json.dumps(jwk_set([generate_key("ES256", "k")]))


@pytest.mark.parametrize(
    "make",
    [
        lambda: reply(text=GOOD, status=404),
        lambda: reply(text=GOOD, headers={"Content-Encoding": "gzip"}),
        lambda: reply(text=GOOD + " " * MAX_BYTES),
        lambda: reply(text="[" * 50_000),
        lambda: reply(text="[]"),
        lambda: reply(text='{"keys": [], "keys": []}'),
        lambda: reply(text="<html>"),
        lambda: reply(body=b"\xff"),
    ],
)
async def test_what_is_no_set(make: Callable[[], web.Response]) -> None:
    async def handle(_: web.Request) -> web.Response:
        return make()

    async with listening(handle) as uri:
        with pytest.raises(KeysUnavailable):
            await fetch_keys(uri)


async def test_no_redirect_is_followed() -> None:
    asked: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        asked.append(request.query_string)
        return (
            reply(text=GOOD) if request.query_string else web.Response(status=302, headers={"Location": "/keys?good"})
        )

    async with listening(handle) as uri:
        assert len(await fetch_keys(uri + "?good")) == 1
        with pytest.raises(KeysUnavailable):
            await fetch_keys(uri)
    assert asked == ["good", ""]


async def test_nobody_there() -> None:
    with pytest.raises(KeysUnavailable):
        await fetch_keys("http://127.0.0.1:1/keys")
