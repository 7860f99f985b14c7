"""Where the attacks take place: a gateway, an authorization server that allows nearly everything, and an approver.

The server trusts both issuers and lets the gateway exchange for anything, so that whatever is stopped was stopped by
the gateway. Every token that arrives at the tool server is compared with whom it was sent for.
"""

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from sidecar.oauth.jwt import VerificationKeys, generate_key, jwk_set, peek
from sidecar.sts.config import ANYONE, Config, Policy, TrustedIssuer
from tests.support.gateway import Answer, RunningGateway, Upstream, get, recording_upstream, running_gateway
from tests.support.sts import GATEWAY_SECRET, RunningSts, default_config, running_sts

PARTNER: Final = "https://partner.example"
PARTNER_KEY: Final = generate_key("ES256", "partner")
MALLORYS_KEY: Final = generate_key("ES256", "mallory")
AGENT: Final = "agent-7"
OTHER_AGENT: Final = "agent-8"

_CONFIG: Final = """
gateway: {listen: '127.0.0.1:0'}
trusted_issuers:
  corp: {issuer: 'ISSUER', audience: [tools-gateway], token_profile: at+jwt}
  partner: {issuer: 'https://partner.example', audience: [tools-gateway], jwks_file: partner.jwks}
authorization_servers:
  corp:
    issuer: ISSUER
    client_auth: {method: client_secret_basic, client_id: gateway, client_secret_file: gateway.secret}
approvers:
  desk: {authzen: {url: 'http://127.0.0.1:DESK'}, timeout: 500ms}
routes:
  - name: tools
    match: {path: /mcp, methods: [POST, GET, DELETE]}
    upstream: {url: 'http://127.0.0.1:PORT'}
    subject:
      issuers: [corp]
      require_scope: [tools]
      require_actor: true
      allowed_actors: [{iss: 'ISSUER', sub: agent-7}, {iss: 'ISSUER', sub: agent-8}]
      max_actor_depth: 2
      clients: [agent-runtime]
      require_claims: {tenant: acme}
    mcp:
      methods: {initialize: {}, tools/list: {}}
      tools:
        search: {scope: [docs.read]}
        delete_file:
          scope: [docs.delete]
          acr_values: [mfa]
          max_age: 5m
          approval: {by: desk, max_age: 1s, arguments: [path]}
        delete_tree:
          scope: [docs.delete]
          acr_values: [mfa]
          max_age: 5m
          approval: {by: desk, max_age: 1s, arguments: [path]}
        purge: {scope: [docs.purge], approval: {by: desk}}
    exchange: {audience: [tools-api]}
  - name: payments
    match: {path_prefix: /payments}
    upstream: {url: 'http://127.0.0.1:PORT'}
    subject: {issuers: [corp]}
    approval: {by: desk, max_age: 1m, bind: [path]}
    exchange: {audience: [payments-api], scope: [pay]}
  - name: refunds
    match: {path_prefix: /refunds}
    upstream: {url: 'http://127.0.0.1:PORT'}
    subject: {issuers: [corp]}
    approval: {by: desk, max_age: 1m, bind: []}
    exchange: {audience: [payments-api], scope: [pay]}
  - name: chargebacks
    match: {path_prefix: /chargebacks}
    upstream: {url: 'http://127.0.0.1:PORT'}
    subject: {issuers: [corp]}
    approval: {by: desk, max_age: 1m, bind: []}
    exchange: {audience: [payments-api], scope: [pay]}
  - name: lax
    match: {path_prefix: /lax}
    upstream: {url: 'http://127.0.0.1:PORT'}
    subject: {issuers: [corp]}
    exchange: {audience: [payments-api], scope: [pay]}
  - name: partners
    match: {path_prefix: /partners}
    upstream: {url: 'http://127.0.0.1:PORT'}
    subject: {issuers: [corp, partner], allowed_actors: [{iss: 'ISSUER', sub: agent-7}], require_actor: true}
    exchange: {audience: [partners-api]}
"""

Says = Callable[[dict[str, Any]], Awaitable[web.StreamResponse]]


async def says_no(_: dict[str, Any]) -> web.StreamResponse:
    """An approver who approves nothing."""
    return web.json_response({"decision": False})


async def says_yes(_: dict[str, Any]) -> web.StreamResponse:
    """An approver who approves everything."""
    return web.json_response({"decision": True})


class Field:
    """All of them."""

    def __init__(self, gateway: RunningGateway, sts: RunningSts, upstream: Upstream) -> None:
        self.gateway = gateway
        self.sts = sts
        self.upstream = upstream
        self.says: Says = says_no

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Be the approver."""
        return await self.says(await request.json())

    def token(self, **claims: Any) -> str:
        """A token that may do everything on the route ``tools`` that a token may; the arguments make it another one."""
        good = {
            "aud": "tools-gateway",
            "scope": "tools",
            "client_id": "agent-runtime",
            "act": {"iss": self.sts.issuer, "sub": AGENT},
            "acr": "mfa",
            "auth_time": int(time.time()) - 5,
            "tenant": "acme",
        }
        return self.sts.mint(**{**good, **claims})

    async def send(self, request: bytes) -> Answer:
        """Send one request."""
        return await self.gateway.ask(request)

    @property
    def arrived(self) -> list[Mapping[str, Any]]:
        """What the token of each request that arrived says."""
        tokens = [seen.values(b"authorization") for seen in self.upstream.seen]
        return [peek(token.decode().removeprefix("Bearer ")).claims for [token] in tokens]


def call(tool: object, arguments: object = None, **members: Any) -> bytes:
    """A message that calls a tool."""
    params = {"name": tool, "arguments": {} if arguments is None else arguments}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params, **members}).encode()


def post(token: str, body: bytes, *fields: bytes, kind: bytes = b"application/json", target: str = "/mcp") -> bytes:
    """A request with a message."""
    length = b"Content-Length: %d" % len(body)
    return get(target, b"Content-Type: " + kind, length, *fields, token=token, method="POST") + body


def _config(issuer: str) -> Config:
    config = default_config(issuer)
    audience = ("tools-api", "payments-api", "partners-api")
    scope = ("docs.read", "docs.delete", "docs.purge", "pay", "tools")
    everything = Policy("gateway", (ANYONE,), audience, scope, actors=(ANYONE,), further_exchange=True)
    clients = tuple(
        replace(client, audience=("tools-gateway",)) if client.client_id == "gateway" else client
        for client in config.clients
    )
    partner = TrustedIssuer(PARTNER, keys=VerificationKeys([PARTNER_KEY]))
    return replace(config, clients=clients, policies=(everything,), trusted_issuers=(partner,))


@asynccontextmanager
async def open_field(folder: Path) -> AsyncIterator[Field]:
    """Set it up for the length of the block."""
    async with AsyncExitStack() as stack:
        sts = await stack.enter_async_context(running_sts(_config))
        upstream = await stack.enter_async_context(recording_upstream())
        asked: list[Field] = []

        async def answer(request: web.Request) -> web.StreamResponse:
            return await asked[0].answer(request)

        app = web.Application()
        app.router.add_post("/access/v1/evaluation", answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        (folder / "gateway.secret").write_text(GATEWAY_SECRET)
        (folder / "partner.jwks").write_text(json.dumps(jwk_set([PARTNER_KEY])))
        text = _CONFIG.replace("ISSUER", sts.issuer).replace("PORT", str(upstream.port))
        text = text.replace("DESK", str(runner.addresses[0][1]))
        gateway = await stack.enter_async_context(running_gateway(folder, text))
        asked.append(Field(gateway, sts, upstream))
        yield asked[0]
