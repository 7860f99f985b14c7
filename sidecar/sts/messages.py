"""The forms that the embedded server's endpoints take, and the errors they answer with (RFC 6749 §3.2, §5.2).

What a form asks for, and whether it is granted, is the endpoints' business.
"""

import asyncio
from typing import Final

from aiohttp import web

from sidecar.sts.config import Config
from sidecar.sts.errors import Code, TokenError
from sidecar.sts.form import Form, parse_form

MAX_BODY_BYTES: Final = 64 * 1024
BODY_TIMEOUT: Final = 10  # seconds for a request's body
NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}


async def read_form(request: web.Request) -> Form:
    """Read a request's form. TokenError: there is none, it is too large, or it does not come in time."""
    if request.query_string:
        raise TokenError(Code.INVALID_REQUEST, "parameters belong into the body")
    if request.content_type != "application/x-www-form-urlencoded" or "Content-Encoding" in request.headers:
        raise TokenError(Code.INVALID_REQUEST, "the body must be application/x-www-form-urlencoded")
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise TokenError(Code.INVALID_REQUEST, "the body is larger than 64 KiB", 413) from None
    except TimeoutError:
        raise TokenError(Code.INVALID_REQUEST, "the body did not come in time", 408) from None
    return parse_form(body)


def refusal(error: TokenError, config: Config) -> web.Response:
    """Return the response to a request that is not granted."""
    headers = dict(NO_STORE)
    if error.status == 401:
        headers["WWW-Authenticate"] = f'Basic realm="{config.issuer}", charset="UTF-8"'
    elif error.status == 503:
        headers["Retry-After"] = "1"
    body = {"error": error.code.value, "error_description": error.reason}
    return web.json_response(body, status=error.status, headers=headers)


def certificate(request: web.Request) -> bytes | None:
    """Return the certificate that the caller's connection has shown, DER; the handshake proved that it has the key."""
    connection = request.get_extra_info("ssl_object")
    return connection.getpeercert(binary_form=True) if connection is not None else None
