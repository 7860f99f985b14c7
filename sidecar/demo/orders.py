"""A small orders service, the upstream of the demo. It takes tokens made for it, and answers with what it saw.

It shows a token's claims, never a token. What it checks (signature, time, audience) is what every upstream should
(RFC 9068 §4); nothing in it knows the gateway.
"""

import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from sidecar.demo.cast import ORDERS_API
from sidecar.demo.service import good_claims, serve
from sidecar.oauth.jwt import VerificationKeys

SHOWN: Final = ("iss", "sub", "aud", "scope", "act", "client_id", "iat", "exp", "jti")
MAX_BODY_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it arrived. claims: of its token, None where it had none that is good."""

    claims: Mapping[str, Any] | None
    _bytes: bytes = field(repr=False)

    def holds(self, text: str) -> bool:
        """Whether a text stands anywhere in the request: target, header fields, body."""
        return text.encode() in self._bytes


class Orders:
    """The service. ``count`` counts all its requests, ``last`` is the latest.

    keys: returns the keys that the authorization server signs with now.
    """

    def __init__(self, keys: Callable[[], VerificationKeys]) -> None:
        self._keys = keys
        self.count = 0
        self.last: Seen | None = None

    async def serve(self, sock: socket.socket) -> web.AppRunner:
        """Start on a bound socket, which becomes ours. Stop it with the runner's ``cleanup()``."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self._answer)
        return await serve(app, sock)

    async def _answer(self, request: web.Request) -> web.Response:
        fields = b"\r\n".join(name + b": " + value for name, value in request.raw_headers)
        claims = self._claims(request.headers.getall("Authorization", []))
        self.count += 1
        self.last = Seen(claims, b"\r\n".join((request.raw_path.encode(), fields, await request.read())))
        if claims is None and request.path != "/healthz":
            return _json({"error": "a token made for the orders service is needed"}, 401)
        return _json({"service": "orders", "method": request.method, "path": request.path_qs, "token": claims})

    def _claims(self, authorization: list[str]) -> dict[str, Any] | None:
        """What the request's bearer token says; None where there is none, or it is not good here."""
        claims = good_claims(authorization[0], self._keys(), ORDERS_API) if len(authorization) == 1 else None
        return {name: claims[name] for name in SHOWN if name in claims} if claims is not None else None


def _json(members: Mapping[str, Any], status: int = 200) -> web.Response:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return web.json_response(members, status=status, headers=headers, dumps=_dumps)


def _dumps(members: Mapping[str, Any]) -> str:
    return json.dumps(members, indent=2) + "\n"
