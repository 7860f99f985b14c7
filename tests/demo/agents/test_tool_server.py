"""The tool server as a process, called by the SDK's client past every gateway: it takes no token but its own."""

import importlib.util
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web

from sidecar.demo.agents.program import start
from sidecar.demo.caller import get, new_session
from sidecar.oauth.jwt import generate_key, jwk_set, sign

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(
        importlib.util.find_spec("mcp") is None, reason="the MCP SDK is not installed: make demo-agents does it"
    ),
]

KEY = generate_key("ES256", "k")


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with AsyncExitStack() as stack:
        app = web.Application()

        async def keys(_: web.Request) -> web.Response:
            return web.json_response(jwk_set([KEY]))

        app.router.add_get("/jwks", keys)
        runner = web.AppRunner(app)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield await start(stack, "tool_server", f"http://127.0.0.1:{runner.addresses[0][1]}")


async def called(url: str, tool: str, arguments: dict[str, str], **claims: Any) -> bool:
    """Whether the tool did it."""
    import httpx2  # there only where the SDK is
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    token = sign({"sub": "alice", "aud": ["tools-api"], "exp": time.time() + 60, **claims}, KEY, "ES256")
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, trust_env=False) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http)) as client,
    ):
        return not (await client.call_tool(tool, arguments)).is_error


async def test_a_token_with_the_tools_scope_is_needed(url: str) -> None:
    assert await called(url, "search", {"query": "2026"}, scope="docs.read")
    assert not await called(url, "search", {"query": "2026"}, scope="docs.delete")
    assert not await called(url, "delete_document", {"path": "reports/2024.txt"}, scope="docs.read")
    assert not await called(url, "search", {"query": "2026"}, scope="docs.read", aud=["researcher"])
    assert not await called(url, "search", {"query": "2026"}, scope="docs.read", exp=time.time() - 1)
    assert await called(url, "delete_document", {"path": "reports/2024.txt"}, scope="docs.delete")
    async with new_session() as session:
        state = (await get(session, f"{url}/state")).members
    assert state == {"calls": 6, "documents": ["reports/2025.txt", "reports/2026.txt"]}
