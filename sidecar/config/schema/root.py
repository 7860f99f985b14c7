"""The whole file, and the few answers that need more than one of its sections."""

from collections.abc import Mapping

from sidecar.config.addresses import listen_address
from sidecar.config.schema.accept import AcceptedInFile
from sidecar.config.schema.approvers import Approver
from sidecar.config.schema.base import Section, key, section
from sidecar.config.schema.gateway import DEFAULT_LISTEN, Admin, Cache, Decision, Gateway, Listener, Receipts
from sidecar.config.schema.include import Include
from sidecar.config.schema.routes import ByIssuer, Exchange, Route
from sidecar.config.schema.servers import AuthorizationServer, ClientCredentials, TrustedIssuer, WorkloadToken
from sidecar.config.schema.types import Many, Name, Version
from sidecar.model.listener import DECISION
from sidecar.model.tokens import ACCESS_TOKEN, TOKEN_TYPES


@section
class Config(Section):
    """A configuration file. The methods rely on the checks of ``load``: every name refers to something."""

    version: Version = key("The version of the file's form: 1.")
    gateway: Gateway = key("Our listeners and limits.", default={})
    decision: Decision | None = key(
        "Where proxies ask for decisions: the listener decision of routes. Beside it the gateway listens only where "
        "gateway says so.",
        default=None,
    )
    admin: Admin = key("Probes and metrics.", default={})
    receipts: Receipts = key("Where the account of exchanges goes.", default={})
    trusted_issuers: Mapping[Name, TrustedIssuer] = key("Whose tokens callers may present.", default={})
    authorization_servers: Mapping[Name, AuthorizationServer] = key("Whom we ask for exchanges.", default={})
    workload_tokens: Mapping[Name, WorkloadToken] = key("Tokens that are ours.", default={})
    approvers: Mapping[Name, Approver] = key("Who is asked for a yes before a token is exchanged.", default={})
    cache: Cache = key("What is remembered of issued tokens.", default={})
    accept: AcceptedInFile = key(
        "Findings of sidecar check that are meant and not about one route, each with the reason why.", default={}
    )
    include: Many[Include] = key("Files with routes of teams, and what each team may do.", default=())
    routes: Many[Route] = key(
        "Which requests go where, with which token; may be left out only beside include.", default=()
    )

    @property
    def listeners(self) -> Mapping[str, Listener]:
        """The listeners that routes may name, whichever way they were given; never empty."""
        found = dict(self.gateway.listeners or {})
        if not found and (self.gateway.listen is not None or self.decision is None):
            found["default"] = Listener(listen=self.gateway.listen or listen_address(DEFAULT_LISTEN))
        if self.decision is not None:
            found[DECISION] = Listener(listen=self.decision.listen, tls=self.decision.tls)
        return found

    def listener_of(self, route: Route) -> str:
        """Return the name of the listener that a route exists on."""
        return route.listener or next(iter(self.listeners))

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
