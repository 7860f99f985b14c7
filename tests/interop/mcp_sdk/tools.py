"""A tool server made of the official SDK, as a program: ``tools.py PORT``. It speaks every revision that the SDK does.

Each tool answers with the credentials that its call came with, so that whoever asks sees what reached it.
"""

import asyncio
import json
import sys
from typing import Any

from mcp.server.mcpserver import Context, MCPServer


def came_with(context: Context[Any]) -> str:
    """The header fields that carry credentials, or name the operation."""
    kept = ("authorization", "mcp-method", "mcp-name", "mcp-session-id", "mcp-protocol-version")
    return json.dumps({name: value for name, value in (context.headers or {}).items() if name in kept})


async def search(query: str, ctx: Context[Any]) -> str:
    """Look something up."""
    return f"{came_with(ctx)} {query}"


async def file_delete(path: str, ctx: Context[Any]) -> str:
    """Delete a file."""
    return f"{came_with(ctx)} {path}"


async def count(to: int, ctx: Context[Any]) -> str:
    """Count, and tell each number as it comes; the last is answered only when the one before was told."""
    for number in range(to):
        await ctx.report_progress(number, to)
        await asyncio.sleep(0.01)
    return came_with(ctx)


async def unnamed(ctx: Context[Any]) -> str:
    """A tool that the gateway's file does not name."""
    return came_with(ctx)


if __name__ == "__main__":
    server = MCPServer("tools")
    for tool in (search, file_delete, count, unnamed):
        server.add_tool(tool)
    asyncio.run(server.run_streamable_http_async(port=int(sys.argv[1])))
