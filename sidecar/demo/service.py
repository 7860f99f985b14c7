"""What every small service of the demos does: serve on a bound socket, and judge the token that it is called with.

What is checked (signature, time, audience) is what every upstream should check (RFC 9068 §4).
"""

import socket
import time
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from sidecar.oauth.jwt import JWTError, VerificationKeys, verify

ALGORITHMS: Final = ("ES256",)


async def serve(app: web.Application, sock: socket.socket) -> web.AppRunner:
    """Start on a bound socket, which becomes ours. Stop it with the runner's ``cleanup()``."""
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    await web.SockSite(runner, sock).start()
    return runner


def good_claims(authorization: str, keys: VerificationKeys, audience: str) -> Mapping[str, Any] | None:
    """Return what a bearer token says; None where there is none, or it is not good for this audience."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        return None
    try:
        claims = verify(token, keys, ALGORITHMS).claims
    except JWTError:
        return None
    expires, named = claims.get("exp"), claims.get("aud")
    if not isinstance(expires, int | float) or expires <= time.time():
        return None
    return claims if audience in (named if isinstance(named, list) else [named]) else None
