"""The researcher: an agent that uses tools for other agents, by the MCP SDK. A program: ``python -m … FD GATEWAY``.

It is told a tool and its arguments, and calls it through its gateway with the token it was called with. It decides
nothing, as an agent that was talked into something would not either: what may be done is decided on the way. FD is a
listening socket, GATEWAY the URL of its way out.
"""

import json
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import httpx2
from aiohttp import web
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from sidecar.demo.agents.hop import carried, claims_of, problem_answer

TIMEOUT: Final = 15.0  # seconds


class Researcher:
    """One request is one MCP connection: the token in it is that of whom the tool is called for."""

    def __init__(self, gateway: str) -> None:
        self._url = f"{gateway}/mcp"

    async def answer(self, request: web.Request) -> web.Response:
        """Call a tool; what refuses it is passed back as it is."""
        task = await request.json()
        refusals: list[tuple[int, Mapping[str, str], bytes]] = []
        try:
            async with self._connected(carried(request.headers), refusals) as client:
                result = await client.call_tool(task["tool"], task["arguments"])
        except Exception:  # whatever the SDK makes of a refusal; what was refused is known
            if not refusals:
                raise
        if refusals:
            return problem_answer(*refusals[-1])
        said = json.loads(result.content[0].text)
        return web.json_response({**said, "tokens": {"researcher": claims_of(request.headers), "tool": said["token"]}})

    @asynccontextmanager
    async def _connected(
        self, headers: Mapping[str, str], refusals: list[tuple[int, Mapping[str, str], bytes]]
    ) -> AsyncIterator[Client]:
        token, trace = headers.get("Authorization", ""), dict(headers)

        async def follow(request: httpx2.Request) -> None:
            # What the SDK asks to get to know the server is no part of the task that it was given.
            if b'"tools/call"' in request.content:
                request.headers.update(trace)

        async def note(response: httpx2.Response) -> None:
            if response.headers.get("content-type", "").startswith("application/problem+json"):
                refusals.append((response.status_code, response.headers, await response.aread()))

        async with (
            httpx2.AsyncClient(
                headers={"Authorization": token},
                timeout=TIMEOUT,
                trust_env=False,
                event_hooks={"request": [follow], "response": [note]},
            ) as http,
            Client(streamable_http_client(self._url, http_client=http)) as client,
        ):
            yield client


def main(descriptor: int, gateway: str) -> None:
    """Serve until the process is ended."""
    app = web.Application()
    app.router.add_post("/tasks", Researcher(gateway).answer)
    web.run_app(app, sock=socket.socket(fileno=descriptor), print=None, access_log=None)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
