"""One gateway between the embedded authorization server and an upstream that records."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

import pytest

from sidecar.sts.config import Config
from tests.support.gateway import Respond, RunningGateway, Upstream, ok, recording_upstream, running_gateway
from tests.support.sts import CLIENT_SECRET, GATEWAY_SECRET, RunningSts, default_config, running_sts

#: ISSUER and PORT are replaced; a test may change any line of it.
CONFIG = """
gateway: {listen: '127.0.0.1:0'}
trusted_issuers:
  corp: {issuer: ISSUER, audience: [orders-gateway]}
authorization_servers:
  corp:
    issuer: ISSUER
    client_auth: {method: client_secret_basic, client_id: gateway, client_secret_file: gateway.secret}
routes:
  - name: orders
    match: {path_prefix: /orders}
    upstream: {url: 'http://127.0.0.1:PORT'}
    exchange: {audience: [orders-api], scope: [orders.read]}
  - name: health
    match: {path: /healthz, methods: [GET]}
    upstream: {url: 'http://127.0.0.1:PORT'}
    exchange: none
"""


class World:
    """All three of them."""

    def __init__(self, gateway: RunningGateway, sts: RunningSts, upstream: Upstream) -> None:
        self.gateway = gateway
        self.sts = sts
        self.upstream = upstream


class MakeWorld(Protocol):
    """Starts a world; the arguments are its configuration, what the upstream answers, and the server's own."""

    async def __call__(
        self, config: str = CONFIG, respond: Respond = ok, server: Callable[[str], Config] = default_config
    ) -> World: ...


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[MakeWorld]:
    """Starts worlds that end with the test."""
    async with AsyncExitStack() as stack:

        async def make(
            config: str = CONFIG, respond: Respond = ok, server: Callable[[str], Config] = default_config
        ) -> World:
            sts = await stack.enter_async_context(running_sts(server))
            upstream = await stack.enter_async_context(recording_upstream(respond))
            (tmp_path / "gateway.secret").write_text(GATEWAY_SECRET)
            (tmp_path / "agent.secret").write_text(CLIENT_SECRET)
            (tmp_path / "own.token").write_text("our-own-file-token")
            text = config.replace("ISSUER", sts.issuer).replace("PORT", str(upstream.port))
            gateway = await stack.enter_async_context(running_gateway(tmp_path, text))
            return World(gateway, sts, upstream)

        yield make
