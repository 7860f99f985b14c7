"""Shorthand for tests that send requests to a loopback upstream."""

from collections.abc import Awaitable, Callable
from typing import Any

from sidecar.model.route import Upstream
from sidecar.upstream.body import Body
from sidecar.upstream.response import Response


def upstream(port: int = 0, **settings: Any) -> Upstream:
    """Return an upstream on loopback whose waits are short enough for a test to fail rather than hang."""
    bounds = {"connect_timeout": 5.0, "response_timeout": 5.0, "send_idle": 5.0, "read_idle": 5.0}
    base = {"host": "127.0.0.1", "unix_path": None, "base_path": b"", "host_header": b"upstream", "tls": None}
    return Upstream(**{**base, "port": port, "strip_prefix": b"", **bounds, **settings})


def head(method: str = "GET", path: str = "/", *fields: bytes) -> bytes:
    """Return a request head."""
    lines = [f"{method} {path} HTTP/1.1".encode(), b"Host: upstream", *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def body_of(*pieces: bytes, length: int | None = None) -> Body:
    """Return a body that comes in these pieces."""
    source = iter(pieces)

    async def read() -> bytes:
        return next(source, b"")

    return Body(read, length)


def endless(piece: bytes) -> Callable[[], Awaitable[bytes]]:
    """Return a source that never ends."""

    async def read() -> bytes:
        return piece

    return read


async def all_of(response: Response) -> bytes:
    """Read a response to its end."""
    received = bytearray()
    while piece := await response.read():
        received += piece
    return bytes(received)
