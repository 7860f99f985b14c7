"""The official client talks to the official server through the gateway, in each revision that both speak."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from sidecar.oauth.jwt import peek
from tests.interop.installation import Unavailable
from tests.interop.mcp_sdk.sdk import SDK, installed, running_sdk
from tests.support.canary import search
from tests.support.gateway import RunningGateway, running_gateway
from tests.support.sts import GATEWAY_SECRET, RunningSts, running_sts

pytestmark = pytest.mark.interop

#: How the client begins, and the revision that comes of it.
MODES = {"legacy": "2025-11-25", "auto": "2026-07-28", "2026-07-28": "2026-07-28"}
CONFIG = """
gateway: {listen: '127.0.0.1:0'}
trusted_issuers:
  corp: {issuer: ISSUER, audience: [orders-gateway]}
authorization_servers:
  corp:
    issuer: ISSUER
    client_auth: {method: client_secret_basic, client_id: gateway, client_secret_file: gateway.secret}
routes:
  - name: tools
    match: {path: /mcp}
    upstream: {url: 'http://127.0.0.1:PORT'}
    mcp:
      tools:
        search: {}
        count: {scope: [orders.read]}
        file_*: {scope: [orders.write], acr_values: [mfa]}
      methods: {initialize: {}, server/discover: {}, tools/list: {}}
    exchange: {audience: [orders-api], scope: [orders.read]}
"""


class World:
    """A gateway before the SDK's server."""

    def __init__(self, gateway: RunningGateway, sts: RunningSts, sdk: SDK) -> None:
        self.gateway = gateway
        self.sts = sts
        self._sdk = sdk

    async def calls(self, mode: str, *calls: tuple[str, dict[str, Any]], **claims: Any) -> dict[str, Any]:
        """Have the client make calls with a token of alice's."""
        token = self.sts.mint(**claims)
        told = await self._sdk.client(f"http://127.0.0.1:{self.gateway.port()}/mcp", token, mode, *calls)
        assert search(json.dumps(told).encode(), token, token.rpartition(".")[2]) == []
        assert search(self.gateway.receipts, token, token.rpartition(".")[2]) == []
        return told


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SDK]:
    try:
        packages = installed()
    except Unavailable as reason:
        pytest.skip(str(reason))
    with running_sdk(packages, tmp_path_factory.mktemp("sdk")) as running:
        yield running


@pytest.fixture
async def world(sdk: SDK, tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        sts = await stack.enter_async_context(running_sts())
        (tmp_path / "gateway.secret").write_text(GATEWAY_SECRET)
        text = CONFIG.replace("ISSUER", sts.issuer).replace("PORT", str(sdk.port))
        yield World(await stack.enter_async_context(running_gateway(tmp_path, text)), sts, sdk)


def reached(result: dict[str, Any]) -> dict[str, str]:
    """The header fields with which a call reached its tool."""
    told, _ = json.JSONDecoder().raw_decode(result["text"])
    assert isinstance(told, dict)
    return told


def scope_of(result: dict[str, Any]) -> set[str]:
    claims = peek(reached(result)["authorization"].removeprefix("Bearer ")).claims
    assert (claims["aud"], claims["sub"]) == (["orders-api"], "alice")
    return set(claims["scope"].split())


each_mode = pytest.mark.parametrize("mode", MODES)


@each_mode
async def test_a_session_with_calls_each_under_its_own_scope(world: World, mode: str) -> None:
    told = await world.calls(
        mode,
        ("search", {"query": "größe"}),
        ("count", {"to": 5}),
        ("file_delete", {"path": "/a"}),
        ("search", {"query": "x"}),
        acr="mfa",
    )
    assert told["version"] == MODES[mode]
    assert told["tools"] == ["search", "file_delete", "count", "unnamed"]
    searched, counted, deleted, again = told["results"]
    assert searched["text"].endswith(" größe")
    assert scope_of(searched) == scope_of(counted) == {"orders.read"}
    assert scope_of(deleted) == {"orders.read", "orders.write"}
    assert reached(again)["authorization"] == reached(searched)["authorization"]
    assert counted["progress"] == [0, 1, 2, 3, 4]
    assert {response["status"] for response in told["responses"]} <= {200, 202}
    assert world.sts.exchanges == 2


@each_mode
async def test_a_tool_that_asks_for_another_login(world: World, mode: str) -> None:
    told = await world.calls(mode, ("file_delete", {"path": "/a"}), ("search", {"query": "x"}))
    deleted, searched = told["results"]
    assert "error" in deleted
    assert scope_of(searched) == {"orders.read"}
    [refused] = [response for response in told["responses"] if response["status"] == 401]
    assert 'error="insufficient_user_authentication", acr_values="mfa"' in refused["challenge"]


@each_mode
async def test_a_tool_that_nobody_named(world: World, mode: str) -> None:
    told = await world.calls(mode, ("unnamed", {}), ("search", {"query": "x"}))
    unnamed, searched = told["results"]
    assert "error" in unnamed
    assert scope_of(searched) == {"orders.read"}
    assert [response["status"] for response in told["responses"]].count(403) == 1
    refusals = [line for line in await world.gateway.receipt_lines() if line["event"] == "refusal"]
    assert [(line["tool"], line["decision"]) for line in refusals] == [("unnamed", "policy-denied")]


async def test_the_revision_without_sessions_names_the_tool_in_its_head(world: World) -> None:
    told = await world.calls("2026-07-28", ("search", {"query": "x"}))
    fields = reached(told["results"][0])
    assert (fields["mcp-method"], fields["mcp-name"]) == ("tools/call", "search")
    assert "mcp-session-id" not in fields


async def test_a_session_begins_and_ends_with_tokens(world: World) -> None:
    told = await world.calls("legacy", ("search", {"query": "x"}))
    assert reached(told["results"][0])["mcp-session-id"]
    assert {response["method"] for response in told["responses"]} == {"POST", "GET", "DELETE"}
    uses = [line for line in await world.gateway.receipt_lines() if line["event"] == "use"]
    assert {line["method"] for line in uses} == {"POST", "GET", "DELETE"}
    assert all(line["subject"]["sub"] == "alice" for line in uses)
