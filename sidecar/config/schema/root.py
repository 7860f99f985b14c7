"""The whole file, and the few answers that need more than one of its sections."""

from collections.abc import Mapping

from sidecar.config.schema.accept import AcceptedInFile
from sidecar.config.schema.base import Section, key, section
from sidecar.config.schema.gateway import Admin, Cache, Gateway, Receipts
from sidecar.config.schema.include import Include
from sidecar.config.schema.routes import ByIssuer, Exchange, Route
from sidecar.config.schema.servers import AuthorizationServer, ClientCredentials, TrustedIssuer, WorkloadToken
from sidecar.config.schema.types import Many, Name, Version
from sidecar.model.tokens import ACCESS_TOKEN, TOKEN_TYPES


@section
class Config(Section):
    """A configuration file. The methods rely on the checks of ``load``: every name refers to something."""

    version: Version = key("The version of the file's form: 1.")
    gateway: Gateway = key("Our listeners and limits.", default={})
    admin: Admin = key("Probes and metrics.", default={})
    receipts: Receipts = key("Where the account of exchanges goes.", default={})
    trusted_issuers: Mapping[Name, TrustedIssuer] = key("Whose tokens callers may present.", default={})
    authorization_servers: Mapping[Name, AuthorizationServer] = key("Whom we ask for exchanges.", default={})
    workload_tokens: Mapping[Name, WorkloadToken] = key("Tokens that are ours.", default={})
    cache: Cache = key("What is remembered of issued tokens.", default={})
    accept: AcceptedInFile = key(
        "Findings of sidecar check that are meant and not about one route, each with the reason why.", default={}
    )
    include: Many[Include] = key("Files with routes of teams, and what each team may do.", default=())
    routes: Many[Route] = key(
        "Which requests go where, with which token; may be left out only beside include.", default=()
    )

    def listener_of(self, route: Route) -> str:
        """Return the name of the listener that a route exists on."""
        return route.listener or next(iter(self.gateway.all_listeners))

    def issuers_of(self, route: Route) -> tuple[str, ...]:
        """Return the names of the trusted issuers whose tokens a route takes.

        None for ``exchange: none``, and where a token of ours is exchanged, unless they are named.
        """
        if route.exchange == "none":
            return ()
        ours = route.exchange.subject_token != "caller"
        return route.subject.issuers or (() if ours else tuple(self.trusted_issuers))

    def servers_of(self, exchange: Exchange) -> dict[str | None, str]:
        """Return the names of the authorization servers that an exchange asks, by the subject token's trusted issuer.

        None stands for every issuer, where they are all exchanged at one server.
        """
        if isinstance(exchange.authorization_server, ByIssuer):
            return dict(exchange.authorization_server.by_issuer.items())
        return {None: exchange.authorization_server or next(iter(self.authorization_servers))}

    def server_of(self, asked: ClientCredentials) -> str:
        """Return the name of the authorization server that gives us a token."""
        return asked.authorization_server or next(iter(self.authorization_servers))

    def issuer_of(self, trusted: TrustedIssuer) -> str:
        """Return a trusted issuer's identifier, its own or its authorization server's."""
        if trusted.authorization_server is None:
            return trusted.issuer or ""
        return self.authorization_servers[trusted.authorization_server].issuer or ""

    @staticmethod
    def token_type_of(trusted: TrustedIssuer) -> str:
        """Return the URI by which an exchange calls a trusted issuer's tokens."""
        if trusted.subject_token_type is not None:
            return trusted.subject_token_type
        return TOKEN_TYPES["id_token"] if trusted.token_profile == "id_token" else ACCESS_TOKEN
