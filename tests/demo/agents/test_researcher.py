"""The researcher as a process, with a gateway behind it that refuses everything."""

import importlib.util
from contextlib import AsyncExitStack

import pytest
from aiohttp import web

from sidecar.demo.agents.program import start
from sidecar.demo.caller import HeldToken, new_session, post
from sidecar.oauth.jwt import generate_key, sign

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(
        importlib.util.find_spec("mcp") is None, reason="the MCP SDK is not installed: make demo-agents does it"
    ),
]


async def test_what_refuses_a_tool_goes_back_as_it_is() -> None:
    came: list[str] = []

    async def refuse(request: web.Request) -> web.Response:
        came.append(request.headers["Authorization"])
        return web.json_response({"status": 403}, status=403, content_type="application/problem+json")

    token = HeldToken({}, sign({"sub": "alice"}, generate_key("ES256", "k"), "ES256"))
    async with AsyncExitStack() as stack:
        app = web.Application()
        app.router.add_route("*", "/mcp", refuse)
        runner = web.AppRunner(app)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        researcher = await start(stack, "researcher", f"http://127.0.0.1:{runner.addresses[0][1]}")
        session = await stack.enter_async_context(new_session())
        answer = await post(session, f"{researcher}/tasks", token, {"tool": "search", "arguments": {}}, {})
    assert (answer.status, answer.members) == (403, {"status": 403})
    assert set(came) == {f"Bearer {token.text}"}
