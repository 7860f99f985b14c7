"""A token endpoint that answers exactly what a test says, and remembers what it was asked.

For everything an authorization server should never do; the one that behaves is in ``sts``.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

#: A gateway whose exchanges go to the scripted endpoint; ISSUER, PORT and TOKENS are replaced. Callers' tokens are the
#: embedded authorization server's.
CONFIG = """
gateway: {listen: '127.0.0.1:0'}
cache: {negative_lifetime: 10s}
trusted_issuers:
  corp: {issuer: ISSUER, audience: [orders-gateway]}
authorization_servers:
  corp:
    token_endpoint: 'http://127.0.0.1:TOKENS/token'
    timeout: 2s
    client_auth: {method: client_secret_basic, client_id: gateway, client_secret_file: gateway.secret}
routes:
  - name: orders
    match: {path_prefix: /orders}
    upstream: {url: 'http://127.0.0.1:PORT'}
    exchange: {audience: [orders-api], scope: [orders.read]}
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """One token request as it came. pairs: its parameters. form: the first value of each."""

    head: bytes = field(repr=False)
    pairs: tuple[tuple[str, str], ...] = field(repr=False)

    @property
    def form(self) -> dict[str, str]:
        return dict(reversed(self.pairs))


#: Returns the whole reply, head and body; an empty one closes the connection.
Reply = Callable[[Asked], Awaitable[bytes]]


class ScriptedServer:
    """Answers token requests with ``reply``, which may be changed at any time: bytes, or a function that makes them.

    closing: whether a connection is closed after its first reply.
    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.port = 0
        self.reply: bytes | Reply = granted()
        self.closing = False
        self.listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while reply := await self._answer(reader):
                writer.write(reply)
                await writer.drain()
                if self.closing:
                    break
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        lengths = [line[15:] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        body = await reader.readexactly(int(lengths[0])) if lengths else b""
        asked = Asked(head, tuple(parse_qsl(body.decode(), keep_blank_values=True)))
        self.asked.append(asked)
        return self.reply if isinstance(self.reply, bytes) else await self.reply(asked)

    async def stop(self) -> None:
        """Take no more connections, and end all there are."""
        if self.listener is not None:
            self.listener.close()
        await self.close()

    async def close(self) -> None:
        """End all connections."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def scripted_server() -> AsyncIterator[ScriptedServer]:
    """Run a token endpoint for the length of the block."""
    scripted = ScriptedServer()
    scripted.listener = server = await asyncio.start_server(scripted.accept, "127.0.0.1", 0, backlog=1024)
    scripted.port = server.sockets[0].getsockname()[1]
    try:
        yield scripted
    finally:
        server.close()
        await scripted.close()
        await server.wait_closed()
        await asyncio.sleep(0)


def replied(
    members: Any, *fields: bytes, status: bytes = b"200 OK", content_type: bytes = b"application/json"
) -> bytes:
    """Return a reply with this JSON, or with these bytes where they are given."""
    body = members if isinstance(members, bytes) else json.dumps(members).encode()
    lines = [b"HTTP/1.1 " + status, b"Content-Type: " + content_type, b"Content-Length: %d" % len(body), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def granted(token: str = "issued-opaque-token", **members: Any) -> bytes:
    """Return a success with an opaque token; a member that is None is left out."""
    everything = {
        "access_token": token,
        "token_type": "Bearer",
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "expires_in": 300,
        **members,
    }
    return replied({name: value for name, value in everything.items() if value is not None})


def refused(error: str, *fields: bytes, status: bytes = b"400 Bad Request", **members: Any) -> bytes:
    """Return an OAuth error."""
    return replied({"error": error, **members}, *fields, status=status)
