"""A route, compiled: what is matched, what is asked of the caller, what it is exchanged for, where it goes.

``snapshot`` makes these from the configuration; nobody changes them afterwards. Durations are seconds, sizes bytes.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from sidecar.model.actors import ActorPattern
from sidecar.model.approval import ApprovalPolicy
from sidecar.model.mcp import MCP, Rule
from sidecar.model.resource_metadata import ResourceMetadata
from sidecar.model.tokens import Semantics

#: In the origins of ``Cors``: whatever the page.
ANY_ORIGIN: Final = b"*"


class PathRelaxation(StrEnum):
    """What ``match.allow`` may let through: ordinary bytes there, never separators."""

    ENCODED_SLASH = "encoded-slash"
    EMPTY_SEGMENT = "empty-segment"
    PATH_PARAMETERS = "path-parameters"


@dataclass(frozen=True, slots=True)
class Match:
    """Which requests a route takes. Exactly one of path and path_prefix is set.

    hosts: lower-case names, ``*.example.com`` for a wildcard; empty means any.
    path: exact, or a template with ``{name}`` segments; path_prefix: whole segments, ``/`` for everything.
    methods: empty means every method but CONNECT and TRACE; GET includes HEAD.
    headers: lower-case name and exact value, all of which must be there.
    """

    hosts: tuple[str, ...] = ()
    path: str | None = None
    path_prefix: str | None = None
    methods: frozenset[str] = frozenset()
    headers: tuple[tuple[bytes, bytes], ...] = ()
    allow: frozenset[PathRelaxation] = frozenset()


@dataclass(frozen=True, slots=True)
class TLS:
    """How to speak TLS to one peer; None means the default. Verification can't be turned off."""

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    server_name: str | None = None


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where a route forwards to.

    Exactly one of host and unix_path is set. base_path is put before the request's path and never ends in ``/``.
    host_header is what ``Host`` says unless preserve_host. resource_server is what receipts call it: a URL, or
    ``unix:`` and a path.
    """

    host: str | None
    port: int
    unix_path: str | None
    base_path: bytes
    host_header: bytes
    tls: TLS | None  # None: plain http
    strip_prefix: bytes  # empty: nothing is removed
    preserve_host: bool = False
    connect_timeout: float = 2.0
    response_timeout: float = 60.0
    send_idle: float = 60.0
    read_idle: float = 300.0
    max_connections: int = 1024
    max_connection_age: float = 60.0
    max_body_bytes: int | None = None
    token_header: bytes = b"Authorization"
    drop_cookies: bool = False
    websocket: bool = False
    websocket_max_lifetime: float | None = None  # None: as long as the issued token lives
    resource_server: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "resource_server", _resource_server(self))


def _resource_server(upstream: Upstream) -> str:
    if upstream.unix_path is not None:
        return f"unix:{upstream.unix_path}"
    scheme = "http" if upstream.tls is None else "https"
    host = upstream.host or ""
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{upstream.port}{upstream.base_path.decode('latin-1')}"


@dataclass(frozen=True, slots=True)
class SubjectPolicy:
    """What a route asks of the caller's token.

    issuers: names of trusted issuers; none where no token is asked for: one that comes is removed, and not checked.
    require_claims: dotted path to the values of which one must be there.
    acr_values, allowed_actors: empty asks for nothing. max_age: whole seconds since the login.
    """

    issuers: frozenset[str]
    header: str = "authorization"  # lower-case
    require_scope: tuple[str, ...] = ()
    require_claims: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    clients: frozenset[str] = frozenset()
    acr_values: tuple[str, ...] = ()
    max_age: int | None = None
    require_actor: bool = False
    allowed_actors: frozenset[ActorPattern] = frozenset()
    max_actor_depth: int = 3


@dataclass(frozen=True, slots=True)
class Expected:
    """A set that an issued token's audience or scope is held against.

    required: all of these must be there. allowed: nothing beyond these; None means that nothing is checked.
    """

    required: frozenset[str] = frozenset()
    allowed: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Expect:
    """What a route expects of every issued token it uses, judged on every use.

    subject_claim: by which the subject is known in the subject token, see ``IssuedToken.sub``.
    """

    audience: Expected = Expected()
    scope: Expected = Expected()
    same_subject: bool = True
    subject_claim: str = "sub"
    semantics: Semantics | None = None  # None: any


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a route asks the authorization server for.

    requested_token_type: a URI, or None: not sent. authorization_details: a JSON object as text each (RFC 9396 §2).
    """

    authorization_server: str
    audience: tuple[str, ...] = ()
    resource: tuple[str, ...] = ()
    scope: tuple[str, ...] = ()
    requested_token_type: str | None = None
    subject_token: str | None = None  # the name of a workload token; None: the caller's is exchanged
    actor_token: str | None = None  # the same
    authorization_details: tuple[str, ...] = ()
    expect: Expect = Expect()


class Preflight(StrEnum):
    """What becomes of the question that browsers ask before a page of another origin may call a route."""

    REFUSE = "refuse"
    FORWARD = "forward"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Cors:
    """Which pages may call a route.

    origins: as browsers write them, ``null`` for pages without one, or ANY_ORIGIN alone. max_age: whole seconds that
    browsers may remember an answer to a preflight.
    """

    origins: frozenset[bytes]
    max_age: int

    def allows(self, presented: list[bytes]) -> bool:
        """Whether a request with these values of ``Origin`` comes from such a page. Compared byte by byte."""
        return len(presented) == 1 and (ANY_ORIGIN in self.origins or presented[0] in self.origins)


@dataclass(frozen=True, slots=True)
class Route:
    """One route. ``exchange`` is None for ``exchange: none``: no credential is needed and none is forwarded.

    by_issuer: where the subject token's issuer chooses the authorization server, the names of all trusted issuers of
        the route, each with its exchange; ``exchange`` is then the first one's.
    cors: None where no page of another origin may read what we answer; never so with Preflight.ANSWER.
    approval: whose yes every request needs before its token is exchanged; None: nobody's.
    resource_metadata: what callers are told of the tokens that it takes (RFC 9728); None: nothing.
    place: where the file defines it, ``file:line``.
    mcp: what it takes of the Model Context Protocol; None where bodies are not read. rule: whose demands are part of
        subject and exchange, where this is the route as it is for some operations of that protocol.
    """

    name: str
    listener: str
    match: Match
    upstream: Upstream
    subject: SubjectPolicy
    exchange: Exchange | None
    preflight: Preflight = Preflight.REFUSE
    cors: Cors | None = None
    place: str = field(default="", compare=False)
    by_issuer: tuple[tuple[str, Exchange], ...] = ()
    approval: ApprovalPolicy | None = None
    mcp: MCP | None = None
    rule: Rule | None = None
    resource_metadata: ResourceMetadata | None = None

    @property
    def takes_token(self) -> bool:
        """Whether a caller's token is asked for; where it is not, one that comes is removed."""
        return self.exchange is not None and bool(self.subject.issuers)

    def under(self, rule: Rule) -> "Route":
        """Return the route with what one of its rules demands of callers; what is asked for and expected stays."""
        ages = [age for age in (self.subject.max_age, rule.max_age) if age is not None]
        acr_values = rule.acr_values or self.subject.acr_values
        approval = rule.approval or self.approval
        if approval is not None and self.approval is not None:
            # Every approver of a route is told what the caller claims in the same field.
            approval = replace(approval, reason_header=self.approval.reason_header)
        subject = replace(self.subject, acr_values=acr_values, max_age=min(ages, default=None))
        return replace(self, subject=subject, approval=approval, rule=rule)

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """Everything that it may be exchanged for, each once; empty for none."""
        if self.exchange is None:
            return ()
        return tuple(dict.fromkeys(exchange for _, exchange in self.by_issuer)) or (self.exchange,)

    def exchange_of(self, issuer: str) -> Exchange | None:
        """Return what a subject token of this trusted issuer is exchanged for."""
        return dict(self.by_issuer).get(issuer, self.exchange)
