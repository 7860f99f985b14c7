"""``POST /introspect``: what this server says of its own tokens, to those whom they concern (RFC 7662).

A client is told of a token that names it in ``aud`` or was issued to it; of any other it is told what it would be told
of a random text (§4).
"""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from sidecar.model.clock import Clock
from sidecar.oauth.jwt import JWTError
from sidecar.sts.claims import audiences, time_problem
from sidecar.sts.clients import Authenticator
from sidecar.sts.config import AuthMethod, Client, Config
from sidecar.sts.errors import Code, TokenError
from sidecar.sts.issuers import Issuers
from sidecar.sts.messages import NO_STORE, certificate, read_form, refusal


class IntrospectionEndpoint:
    """Answers about one token at a time. Only clients that prove who they are may ask (§2.1)."""

    def __init__(self, config: Config, issuers: Issuers, authenticator: Authenticator, clock: Clock) -> None:
        self._config = config
        self._issuers = issuers
        self._authenticator = authenticator
        self._clock = clock

    async def handle(self, request: web.Request) -> web.Response:
        """Serve one request."""
        try:
            form = await read_form(request)
            lines = request.headers.getall("Authorization", ())
            client = await self._authenticator.authenticate(lines, form, certificate(request))
            if AuthMethod.NONE in client.auth_methods:
                raise TokenError(Code.INVALID_CLIENT, "a public client may not ask about tokens")
            token = form.required("token")
        except TokenError as error:
            return refusal(error, self._config)
        return web.json_response(self._told(client, token), headers=NO_STORE)

    def _told(self, client: Client, token: str) -> Mapping[str, Any]:
        try:
            claims = self._issuers.own(token).claims
        except JWTError:
            return {"active": False}
        concerned = client.client_id == claims.get("client_id") or not audiences(claims).isdisjoint(
            (client.client_id, *client.audience)
        )
        if not concerned or time_problem(claims, self._clock.wall()) is not None:
            return {"active": False}
        return {**claims, "active": True, "token_type": "Bearer"}
