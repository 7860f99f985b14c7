"""What both agents do with a request for them: what of it goes on with the next call, and what comes back.

An agent holds the token that its gateway let in, and no other. It passes the request's trace on, so that the receipts
of all gateways on the way tell one story (W3C Trace Context).
"""

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from sidecar.demo.agents.cast import SHOWN
from sidecar.oauth.jwt import JWTError, peek

_CARRIED: Final = ("Authorization", "traceparent", "X-Request-ID")


def carried(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the fields that a call made for this request has, too."""
    return {name: headers[name] for name in _CARRIED if name in headers}


def claims_of(headers: Mapping[str, str]) -> dict[str, Any]:
    """Return what the token of a request says; nothing where none is there."""
    try:
        claims = peek(headers.get("Authorization", "").partition(" ")[2]).claims
    except JWTError:
        return {}
    return {name: claims[name] for name in SHOWN if name in claims}


def problem_answer(status: int, headers: Mapping[str, str], body: bytes) -> web.Response:
    """Pass a refusal back to whom it concerns, its challenge with it: only alice can log in again."""
    challenge = headers.get("WWW-Authenticate")
    passed = {"Content-Type": "application/problem+json", **({"WWW-Authenticate": challenge} if challenge else {})}
    return web.Response(status=status, body=body, headers=passed)
