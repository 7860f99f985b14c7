"""The embedded server's endpoints: metadata (RFC 8414 §3, OpenID Discovery §4), keys, token, introspection.

HTTP is read and written here; who asks, what is allowed and what is signed is decided in the modules beside. Every
token request leaves one audit line, and nothing else is ever logged about it.
"""

import logging
import socket
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from sidecar.model.clock import SYSTEM_CLOCK, Clock
from sidecar.oauth.jwt import ALGORITHMS
from sidecar.sts.assertions import SECRET_BYTES
from sidecar.sts.audit import UNKNOWN, AuditLine, AuditSink, to_stderr
from sidecar.sts.certificates import server_context
from sidecar.sts.clients import Authenticator
from sidecar.sts.config import AuthMethod, Config
from sidecar.sts.errors import Code, TokenError
from sidecar.sts.grants import GRANTS, Desk
from sidecar.sts.introspection import IntrospectionEndpoint
from sidecar.sts.issuers import Issuers
from sidecar.sts.keys import SigningKeys
from sidecar.sts.messages import MAX_BODY_BYTES, NO_STORE, certificate, read_form, refusal

SHUTDOWN_TIMEOUT: Final = 2  # seconds for requests in flight

_SIGNED: Final = frozenset((AuthMethod.PRIVATE_KEY_JWT, AuthMethod.JWT_FILE, AuthMethod.SPIFFE_JWT))

logger = logging.getLogger("sidecar.sts")


def banner(config: Config) -> str:
    """What the server says of itself at its start."""
    return (
        f"Authorization server {config.issuer} for development, tests and demos. Not for production: "
        "its keys live in memory only, and its clients and policies are those of its file."
    )


def create_app(
    config: Config, *, keys: SigningKeys | None = None, clock: Clock = SYSTEM_CLOCK, audit: AuditSink = to_stderr
) -> web.Application:
    """Return the server as an application for one event loop.

    keys: given by those who want to sign or rotate beside it; made anew otherwise. audit: gets one line per decision.
    """
    keys = keys or SigningKeys(config.algorithm, config.lifetime, clock)
    document = metadata(config)

    async def get_metadata(_: web.Request) -> web.Response:
        return web.json_response(document)

    async def get_keys(_: web.Request) -> web.Response:
        return web.json_response(keys.document(), content_type="application/jwk-set+json")

    app = web.Application(client_max_size=MAX_BODY_BYTES)
    path = config.path
    for place in dict.fromkeys(
        (
            f"/.well-known/oauth-authorization-server{path}",
            f"/.well-known/openid-configuration{path}",
            f"{path}/.well-known/openid-configuration",
        )
    ):
        app.router.add_get(place, get_metadata)
    app.router.add_get(f"{path}/jwks", get_keys)
    issuers = Issuers(config, keys, clock)
    desk = Desk(config, keys, issuers, clock)
    authenticator = Authenticator(config, clock)
    app.router.add_post(f"{path}/token", _TokenEndpoint(desk, authenticator, audit).handle)
    app.router.add_post(f"{path}/introspect", IntrospectionEndpoint(config, issuers, authenticator, clock).handle)
    return app


async def serve(
    config: Config,
    *,
    sock: socket.socket | None = None,
    mtls_sock: socket.socket | None = None,
    keys: SigningKeys | None = None,
    clock: Clock = SYSTEM_CLOCK,
    audit: AuditSink = to_stderr,
) -> web.AppRunner:
    """Start the server, on ``sock`` where one is given (bound, it becomes ours) or on the configured address.

    mtls_sock: the same for the listener that asks for certificates. Stop it with the runner's ``cleanup()``.
    OSError: an address can't be had, or the files of ``mtls`` can't be used any more.
    """
    runner = web.AppRunner(
        create_app(config, keys=keys, clock=clock, audit=audit),
        access_log=None,
        auto_decompress=False,
        keepalive_timeout=75,
        logger=_http_logger(),
        shutdown_timeout=SHUTDOWN_TIMEOUT,
    )
    await runner.setup()
    try:
        site = web.SockSite(runner, sock) if sock is not None else web.TCPSite(runner, *config.listen)
        await site.start()
        if (mtls := config.mtls) is not None:
            context = server_context(config.clients, mtls)
            await (
                web.SockSite(runner, mtls_sock, ssl_context=context)
                if mtls_sock is not None
                else web.TCPSite(runner, *mtls.listen, ssl_context=context)
            ).start()
    except BaseException:
        await runner.cleanup()
        raise
    return runner


def metadata(config: Config) -> dict[str, Any]:
    """The metadata document (RFC 8414 §2). It is served at the OpenID places too, though no ID token is issued."""
    used = {method for client in config.clients for method in client.auth_methods}
    methods = sorted({AuthMethod.PRIVATE_KEY_JWT if method is AuthMethod.JWT_FILE else method for method in used})
    algorithms = list(ALGORITHMS) if used & _SIGNED else []
    algorithms += list(SECRET_BYTES) if AuthMethod.SECRET_JWT in used else []
    mtls = config.mtls_base
    members = {
        "issuer": config.issuer,
        "token_endpoint": config.token_endpoint,
        "jwks_uri": config.jwks_uri,
        # Required, and never empty; there is no authorization endpoint that could answer with anything.
        "response_types_supported": ["none"],
        "grant_types_supported": list(GRANTS),
        "scopes_supported": sorted({scope for policy in config.policies for scope in policy.scope}),
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint": config.introspection_endpoint,
        "introspection_endpoint_auth_methods_supported": [name for name in methods if name != AuthMethod.NONE],
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        "mtls_endpoint_aliases": (
            {"token_endpoint": f"{mtls}/token", "introspection_endpoint": f"{mtls}/introspect"} if mtls else {}
        ),
    }
    return {name: value for name, value in members.items() if value}


class _TokenEndpoint:
    """``POST /token``."""

    def __init__(self, desk: Desk, authenticator: Authenticator, audit: AuditSink) -> None:
        self._desk = desk
        self._authenticator = authenticator
        self._audit = audit
        config = desk.config
        policies = {name for policy in config.policies for name in (*policy.audience, *policy.scope)}
        own = {name for client in config.clients if (o := client.own_token) for name in (*o.audience, *o.scope)}
        self._known = policies | own

    async def handle(self, request: web.Request) -> web.Response:
        line = AuditLine(self._desk.clock.wall(), known=self._known)
        try:
            reply = await self._grant(request, line)
        except TokenError as error:
            line.error, line.reason = error.code.value, error.reason
            self._audit(line)
            return refusal(error, self._desk.config)
        self._audit(line)
        return web.json_response(reply, headers=NO_STORE)

    async def _grant(self, request: web.Request, line: AuditLine) -> dict[str, Any]:
        form = await read_form(request)
        grant_type = form.one("grant_type")
        line.grant = grant_type if grant_type in GRANTS or grant_type is None else UNKNOWN
        lines = request.headers.getall("Authorization", ())
        client = await self._authenticator.authenticate(lines, form, certificate(request))
        line.client = client.client_id
        grant = GRANTS.get(form.required("grant_type"))
        if grant is None:
            raise TokenError(Code.UNSUPPORTED_GRANT_TYPE, "this grant type is not supported")
        return await grant(self._desk, client, form, line)


def _http_logger() -> logging.Logger:
    """A logger for the HTTP library that drops what it says of malformed requests: it quotes their credentials."""
    http = logger.getChild("http")
    http.addFilter(_not_malformed)
    return http


def _not_malformed(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))
