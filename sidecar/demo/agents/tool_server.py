"""A tool server on the MCP SDK: it searches documents and deletes one. A program: ``python -m … FD ISSUER``.

It takes tokens made for it, as every upstream should: signature, time, audience, and the scope of the tool. What it
answers shows the token's claims, never a token. FD is a listening socket; ISSUER the authorization server's URL.
"""

import asyncio
import json
import socket
import sys
from collections.abc import Mapping
from typing import Any, Final

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from starlette.requests import Request
from starlette.responses import JSONResponse

from sidecar.demo.agents.cast import DELETE, READ, SHOWN, TOOLS_API
from sidecar.demo.caller import get, new_session
from sidecar.demo.service import good_claims
from sidecar.oauth.jwt import VerificationKeys

DOCUMENTS: Final = ("reports/2024.txt", "reports/2025.txt", "reports/2026.txt")


class Shelf:
    """The documents, and a count of all calls that came so far, whatever became of them."""

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer
        self._documents = set(DOCUMENTS)
        self.calls = 0

    async def search(self, query: str, context: Context) -> str:
        """Return the documents whose name contains a text."""
        claims = await self._claims(context, READ)
        return json.dumps({"found": sorted(name for name in self._documents if query in name), "token": claims})

    async def delete_document(self, path: str, context: Context) -> str:
        """Delete one document."""
        claims = await self._claims(context, DELETE)
        deleted = path in self._documents
        self._documents.discard(path)
        return json.dumps({"deleted": deleted, "token": claims})

    async def state(self, _request: Request) -> JSONResponse:
        """What is left, for the audience of the demo."""
        return JSONResponse({"calls": self.calls, "documents": sorted(self._documents)})

    async def _claims(self, context: Context, scope: str) -> Mapping[str, Any]:
        """What the call's token says. PermissionError: it is not good here."""
        self.calls += 1
        async with new_session() as session:
            keys = VerificationKeys.from_jwks((await get(session, f"{self._issuer}/jwks")).members)
        claims = good_claims((context.headers or {}).get("authorization", ""), keys, TOOLS_API)
        if claims is None or scope not in claims.get("scope", "").split():
            raise PermissionError("a token made for this server, with the tool's scope, is needed")
        return {name: claims[name] for name in SHOWN if name in claims}


def main(descriptor: int, issuer: str) -> None:
    """Serve until the process is ended."""
    shelf, server = Shelf(issuer), MCPServer("documents", log_level="ERROR")
    server.add_tool(shelf.search)
    server.add_tool(shelf.delete_document)
    server.custom_route("/state", ["GET"])(shelf.state)
    config = uvicorn.Config(server.streamable_http_app(), log_level="warning", timeout_graceful_shutdown=1)
    asyncio.run(uvicorn.Server(config).serve(sockets=[socket.socket(fileno=descriptor)]))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
