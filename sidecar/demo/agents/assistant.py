"""The assistant: the agent that alice talks to. It has no tools, and asks the researcher through its own gateway.

Like the researcher it does what it is told, whoever talked it into it.
"""

import socket
from typing import Any

from aiohttp import ClientError, ClientSession, web

from sidecar.demo.agents.hop import carried, claims_of, problem_answer
from sidecar.demo.service import serve


class Assistant:
    """gateway: the URL of its way out, which is known once that gateway runs."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session
        self.gateway = ""

    async def serve(self, sock: socket.socket) -> web.AppRunner:
        """Start on a bound socket, which becomes ours. Stop it with the runner's ``cleanup()``."""
        app = web.Application()
        app.router.add_post("/tasks", self._answer)
        return await serve(app, sock)

    async def _answer(self, request: web.Request) -> web.Response:
        url, task = f"{self.gateway}/researcher/tasks", await request.json()
        try:
            async with self._session.post(url, json=task, headers=carried(request.headers)) as response:
                if response.status != 200:
                    return problem_answer(response.status, response.headers, await response.read())
                said: dict[str, Any] = await response.json()
        except (ClientError, TimeoutError):
            return web.json_response({"error": "the researcher can't be reached"}, status=502)
        tokens = {"assistant": claims_of(request.headers), **said.pop("tokens")}
        return web.json_response({**said, "tokens": tokens})
