import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from joserfc.jwk import Key

from sidecar.demo.orders import Orders
from sidecar.oauth.jwt import VerificationKeys, generate_key, sign
from tests.support.gateway import Answer, ask, get

KEY = generate_key("ES256", "a-key")


def minted(key: Key = KEY, **claims: Any) -> str:
    """A token that is good for the service unless the arguments make it bad."""
    now = int(time.time())
    members = {
        "iss": "http://sts",
        "sub": "alice",
        "aud": ["orders-api"],
        "iat": now,
        "exp": now + 300,
        "email": "alice@example.com",
        **claims,
    }
    return sign({name: value for name, value in members.items() if value is not None}, key, "ES256", {"kid": "a-key"})


@dataclass
class Service:
    orders: Orders
    port: int

    async def ask(self, target: str = "/orders/17?a=b", *fields: bytes, token: str | None = None) -> Answer:
        return await ask(self.port, get(target, *fields, token=token))


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    orders = Orders(lambda: VerificationKeys([KEY]))
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    runner = await orders.serve(sock)
    yield Service(orders, port)
    await runner.cleanup()


async def test_it_answers_with_what_it_saw(service: Service) -> None:
    token = minted(scope="orders.read", act={"sub": "agent-7"})
    answer = await service.ask(token=token)
    seen = answer.json()
    assert (answer.status, seen["service"], seen["method"], seen["path"]) == (200, "orders", "GET", "/orders/17?a=b")
    assert seen["token"]["sub"] == "alice"
    assert seen["token"]["act"] == {"sub": "agent-7"}
    assert service.orders.count == 1
    assert service.orders.last is not None
    assert service.orders.last.claims == seen["token"]


async def test_it_never_shows_a_token_or_a_claim_nobody_asked_for(service: Service) -> None:
    token = minted()
    answer = await service.ask(token=token)
    assert answer.status == 200
    assert token.rpartition(".")[2].encode() not in answer.raw
    assert b"example.com" not in answer.body
    assert token not in repr(service.orders.last)


@pytest.mark.parametrize(
    "token",
    [
        None,
        "no-jwt",
        minted(aud=["gateway"]),
        minted(aud=None),
        minted(exp=int(time.time()) - 1),
        minted(exp=None),
        minted(exp="never"),
        minted(generate_key("ES256", "a-key")),
    ],
    ids=["none", "no-jwt", "other-audience", "no-audience", "expired", "no-expiry", "odd-expiry", "other-key"],
)
async def test_it_takes_nothing_but_tokens_made_for_it(service: Service, token: str | None) -> None:
    answer = await service.ask(token=token)
    assert (answer.status, answer.value("www-authenticate")) == (401, "Bearer")
    assert service.orders.last is not None
    assert service.orders.last.claims is None


async def test_two_tokens_are_none(service: Service) -> None:
    answer = await service.ask("/", b"Authorization: Bearer " + minted().encode(), token=minted())
    assert answer.status == 401


async def test_an_audience_may_be_a_text(service: Service) -> None:
    assert (await service.ask(token=minted(aud="orders-api"))).status == 200


async def test_its_health_needs_no_token(service: Service) -> None:
    answer = await service.ask("/healthz")
    assert (answer.status, answer.json()["token"]) == (200, None)


@pytest.mark.parametrize("place", ["target", "field", "body"])
async def test_it_remembers_all_of_a_request(service: Service, place: str) -> None:
    body = b"needle" if place == "body" else b"other"
    fields = [b"X-Debug: needle" if place == "field" else b"X-Debug: other", b"Content-Length: %d" % len(body)]
    target = "/orders?needle" if place == "target" else "/orders"
    await ask(service.port, get(target, *fields, method="POST") + body)
    assert service.orders.last is not None
    assert service.orders.last.holds("needle")
    assert not service.orders.last.holds("haystack")
