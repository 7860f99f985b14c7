import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web

from sidecar.demo.agents.assistant import Assistant
from sidecar.demo.caller import Answer, HeldToken, new_session, post
from sidecar.oauth.jwt import generate_key, sign

CLAIMS = {"sub": "alice", "aud": "assistant"}
TOKEN = HeldToken(CLAIMS, sign(CLAIMS, generate_key("ES256", "k"), "ES256"))


class Way:
    """The assistant, and a gateway behind it that answers as it is told."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.answer = web.json_response({"found": [], "tokens": {"researcher": {"aud": "researcher"}}})
        self.came: list[tuple[str, dict[str, str], Any]] = []
        self.url = ""

    async def open(self) -> None:
        self.session = await self._stack.enter_async_context(new_session())
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._note)
        runner = web.AppRunner(app)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        assistant = Assistant(self.session)
        assistant.gateway = f"http://127.0.0.1:{runner.addresses[0][1]}"
        own = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{own.getsockname()[1]}/tasks"
        self._stack.push_async_callback((await assistant.serve(own)).cleanup)

    async def _note(self, request: web.Request) -> web.Response:
        self.came.append((request.path, dict(request.headers), await request.json()))
        return self.answer

    async def ask(self, **headers: str) -> Answer:
        return await post(self.session, self.url, TOKEN, {"tool": "search"}, headers)


@pytest.fixture
async def way() -> AsyncIterator[Way]:
    async with AsyncExitStack() as stack:
        opened = Way(stack)
        await opened.open()
        yield opened


async def test_it_asks_the_researcher_with_the_token_it_was_called_with(way: Way) -> None:
    answer = await way.ask(traceparent="00-1-2-00", Cookie="c")
    assert answer.members["tokens"] == {"assistant": CLAIMS, "researcher": {"aud": "researcher"}}
    [(path, headers, task)] = way.came
    assert (path, task) == ("/researcher/tasks", {"tool": "search"})
    assert (headers["Authorization"], headers["traceparent"]) == (f"Bearer {TOKEN.text}", "00-1-2-00")
    assert "Cookie" not in headers


async def test_a_refusal_goes_back_as_it_is(way: Way) -> None:
    problem = {"type": "urn:sidecar:problem:step-up-required", "status": 401}
    way.answer = web.Response(status=401, text=json.dumps(problem), headers={"WWW-Authenticate": "Bearer"})
    answer = await way.ask()
    assert (answer.status, answer.members) == (401, problem)
