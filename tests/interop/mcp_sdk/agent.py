"""A client made of the official SDK, as a program: reads one JSON object from standard input, and prints one.

It reads {url, token, mode, calls: [[tool, arguments], …]} and prints {version, tools, results, responses}. results:
for each call its text, its progress, and the error where it failed. responses: method, status and challenge of every
HTTP response.
"""

import asyncio
import json
import sys
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError


async def run(asked: dict[str, Any]) -> dict[str, Any]:
    """Connect, list the tools, make the calls."""
    responses: list[dict[str, Any]] = []

    async def note(response: httpx2.Response) -> None:
        challenge = response.headers.get("www-authenticate")
        responses.append({"method": response.request.method, "status": response.status_code, "challenge": challenge})

    headers = {"Authorization": f"Bearer {asked['token']}"}
    told: dict[str, Any] = {"results": [], "responses": responses}
    async with (
        httpx2.AsyncClient(headers=headers, event_hooks={"response": [note]}, timeout=20) as http,
        Client(streamable_http_client(asked["url"], http_client=http), mode=asked["mode"]) as client,
    ):
        told["version"] = client.session.protocol_version
        told["tools"] = [tool.name for tool in (await client.list_tools()).tools]
        for tool, arguments in asked["calls"]:
            told["results"].append(await call(client, tool, arguments))
    return told


async def call(client: Client, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Make one call."""
    progress: list[float] = []

    async def report(done: float, total: float | None, message: str | None) -> None:
        progress.append(done)

    try:
        result = await client.call_tool(tool, arguments, progress_callback=report)
    except MCPError as error:
        return {"error": str(error), "progress": progress}
    return {"text": result.content[0].text, "failed": result.is_error, "progress": progress}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(json.load(sys.stdin)))))
