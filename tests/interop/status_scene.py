"""A gateway on a bad day, for the status page: two healthy routes, a server that fails, refusals, a refused reload.

Everything is real and on loopback: callers, exchanges, keys, answers. Nothing is asserted here.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sidecar.config.load import load
from sidecar.config.problems import ConfigError
from tests.support.gateway import RunningGateway, Seen, get, ok, recording_upstream, running_gateway
from tests.support.process import free_port
from tests.support.scripted import replied, scripted_server
from tests.support.sts import GATEWAY_SECRET, RunningSts, running_sts

CONFIG = """
gateway: {listen: '127.0.0.1:0'}
trusted_issuers:
  corp: {issuer: ISSUER, audience: [orders-gateway], probe: 1s}
  partner: {issuer: 'http://127.0.0.1:NOBODY', audience: [orders-gateway], probe: 1s}
authorization_servers:
  corp:
    issuer: ISSUER
    client_auth: {method: client_secret_basic, client_id: gateway, client_secret_file: gateway.secret}
  partner:
    token_endpoint: 'http://127.0.0.1:TOKENS/token'
    client_auth: {method: client_secret_basic, client_id: gateway, client_secret_file: gateway.secret}
include:
  - name: shop
    files: teams/shop.yaml
    on_error: isolate
    allow: {hosts: [api.example.com], path_prefixes: [/shop], upstreams: ['http://127.0.0.1:*'],
            authorization_servers: [corp], audiences: [orders-api], scopes: [orders.*]}
routes:
  - name: orders
    match: {path_prefix: /orders}
    upstream: {url: 'http://127.0.0.1:PORT'}
    subject: {issuers: [corp], require_scope: [orders.read]}
    exchange: {authorization_server: corp, audience: [orders-api], scope: [orders.read]}
  - name: billing
    match: {path_prefix: /billing}
    upstream: {url: 'http://127.0.0.1:PORT'}
    subject: {issuers: [corp]}
    exchange: {authorization_server: corp, audience: [billing-api], scope: [billing.read]}
  - name: partner-stock
    match: {path_prefix: /stock}
    upstream: {url: 'http://127.0.0.1:PORT'}
    subject: {issuers: [corp, partner]}
    exchange: {authorization_server: partner, audience: [stock-api], scope: [stock.read]}
  - name: health
    match: {path: /healthz, methods: [GET]}
    upstream: {url: 'http://127.0.0.1:PORT'}
    exchange: none
"""
TEAM = """
routes:
  - name: basket
    match: {hosts: [api.example.com], path_prefix: /shop/basket}
    upstream: {url: 'http://127.0.0.1:PORT'}
    subject: {issuers: [corp]}
    exchange: {authorization_server: corp, audience: [orders-api], scope: [orders.write]}
"""


def _sometimes(seen: Seen) -> bytes:
    """Fail a few."""
    if b"/broken" in seen.line:
        return b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
    return ok(seen)


class Scene:
    """The gateway, and what can happen to it."""

    def __init__(self, gateway: RunningGateway, sts: RunningSts) -> None:
        self.gateway = gateway
        self.sts = sts

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.gateway.port('admin')}/"

    async def ask(self, target: str, times: int = 1, token: str | None = None) -> None:
        """Have a caller ask for something: once, and then a few times at once."""
        await self.gateway.ask(get(target, token=token))
        for left in range(times - 1, 0, -8):
            await asyncio.gather(*(self.gateway.ask(get(target, token=token)) for _ in range(min(left, 8))))

    async def day(self) -> None:
        """What is normal: callers with tokens, found in the cache after their first request."""
        people = [self.sts.mint(f"user-{number}") for number in range(12)]
        for person in people:
            await self.ask("/orders/1", 24, person)
            await self.ask("/shop/basket", 8, person)
        alice = self.sts.mint("alice", scope="billing.read")
        await self.ask("/billing/2026-11", 40, alice)
        await self.ask("/billing/broken", 3, alice)
        await self.ask("/healthz", 16)

    async def bad_day(self) -> None:
        """What is not."""
        await self.ask("/orders/1", 12)
        await self.ask("/orders/1", 5, self.sts.mint("user-1", lifetime=-60))
        await self.ask("/orders/1", 7, self.sts.mint("user-1", scope="profile"))
        await self.ask("/nowhere", 4, self.sts.mint("user-1"))
        for number in range(8):
            await self.ask("/stock/1", 3, self.sts.mint(f"user-{number}"))
        team = self.gateway.folder / "teams" / "shop.yaml"
        team.write_text(team.read_text().replace("audiences: [orders-api]", "").replace("/shop/basket", "/orders/all"))
        path = self.gateway.folder / "routes.yaml"
        await self.gateway.app.reload(load(path, last_good=self.gateway.app.included))
        good = path.read_text()
        path.write_text(good.replace("require_scope: [orders.read]", "require_scopes: [orders.read]"))
        try:
            load(path, last_good=self.gateway.app.included)
        except ConfigError as error:
            self.gateway.app.refuse(error.problems)


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    """Run it all for the length of the block."""
    async with running_sts() as sts, recording_upstream(_sometimes) as upstream, scripted_server() as partner:
        partner.reply = replied(json.dumps({}).encode(), b"Connection: close", status=b"500 Internal Server Error")
        (folder / "gateway.secret").write_text(GATEWAY_SECRET)
        (folder / "teams").mkdir()
        (folder / "teams" / "shop.yaml").write_text(TEAM.replace("PORT", str(upstream.port)))
        text = CONFIG.replace("ISSUER", sts.issuer).replace("TOKENS", str(partner.port))
        text = text.replace("NOBODY", str(free_port())).replace("PORT", str(upstream.port))
        async with running_gateway(folder, text) as gateway:
            yield Scene(gateway, sts)
