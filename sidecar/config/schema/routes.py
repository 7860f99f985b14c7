"""The section about routes: which requests, from whom, to where, with which token."""

from collections.abc import Mapping
from typing import Annotated, Literal

from sidecar.config.schema.accept import AcceptedInRoute
from sidecar.config.schema.base import Section, key, section
from sidecar.config.schema.markers import Limit, OneOf
from sidecar.config.schema.mcp import Operations
from sidecar.config.schema.servers import PeerTLS
from sidecar.config.schema.types import (
    AbsoluteURI,
    ActorPattern,
    Asked,
    AtLeastOne,
    AuthenticationContext,
    AuthorizationDetail,
    ClaimPath,
    ClaimValues,
    Count,
    Duration,
    ExactPath,
    HeaderName,
    HeaderValue,
    HostPattern,
    Many,
    Method,
    Name,
    Origin,
    PathPrefix,
    PositiveDuration,
    ResourceURL,
    RouteName,
    Scope,
    Size,
    Text,
    TokenHeader,
    TokenType,
    TunnelLifetime,
    UpstreamURL,
    WholeSeconds,
)


@section
class Match(Section):
    """Which requests a route takes."""

    hosts: AtLeastOne[HostPattern] | None = key("Names or *.example.com; left out: any.", default=None)
    path: ExactPath | None = key("A path, in which whole segments may be {name}.", default=None)
    path_prefix: PathPrefix | None = key("A prefix of whole segments; / takes every path.", default=None)
    methods: AtLeastOne[Method] | None = key(
        "GET includes HEAD; left out: every one but CONNECT and TRACE.", default=None
    )
    headers: Mapping[HeaderName, HeaderValue] = key(
        "Header fields that must be there with exactly this value.", default={}
    )
    allow: Many[Literal["encoded-slash", "empty-segment", "path-parameters"]] = key(
        "What paths may hold besides; ordinary bytes then, never separators.", default=()
    )


@section
class Upstream(Section):
    """Where a route forwards to."""

    url: UpstreamURL = key("http, https or unix:/path; its path goes before the request's.")
    strip_prefix: bool = key("Remove match.path_prefix from the path.", default=False)
    preserve_host: bool = key("Send the caller's Host instead of the upstream's.", default=False)
    connect_timeout: PositiveDuration = key("Until connected.", default="2s")
    response_timeout: PositiveDuration = key("From the request's end to the response's head.", default="60s")
    send_idle: PositiveDuration = key("Longest silence of the request's body.", default="60s")
    read_idle: PositiveDuration = key("Longest silence of the response's body.", default="5m")
    max_connections: Count = key("Connections at once.", default=1024)
    max_connection_age: PositiveDuration = key("Not used again after this.", default="60s")
    max_body_bytes: Size | None = key("A request's body; null: as the gateway says.", default=None)
    tls: PeerTLS | None = key("TLS to the upstream.", default=None)
    allow_plain_http: bool = key("The network encrypts: allow an http URL that is not loopback.", default=False)
    token_header: TokenHeader = key("Authorization carries Bearer; any other the token alone.", default="Authorization")
    drop_cookies: bool = key("Forward no cookies.", default=False)
    websocket: bool = key("Pass WebSocket handshakes on; elsewhere Upgrade is removed.", default=False)
    websocket_max_lifetime: TunnelLifetime = key(
        "How long a WebSocket may stay open: token, as long as the issued token lives, or a duration.", default="token"
    )


@section
class Subject(Section):
    """What is asked of the caller's token."""

    issuers: Many[Name] = key("Trusted issuers; may be left out where only one is defined.", default=())
    header: TokenHeader = key("Any other carries the token alone, from trusted_proxies only.", default="Authorization")
    require_scope: Many[Scope] = key("All of these.", default=())
    require_claims: Mapping[ClaimPath, ClaimValues] = key(
        "Dotted path to a value, or a list of which one must be.", default={}
    )
    clients: Many[Text] = key("The token's client_id or azp is one of these.", default=())
    acr_values: Many[AuthenticationContext] = key("The login was one of these (acr), or else: step-up.", default=())
    max_age: WholeSeconds | None = key("The login is no older (auth_time), or else: step-up.", default=None)
    require_actor: bool = key("The token shows who acts (act).", default=False)
    allowed_actors: Many[ActorPattern] = key("If somebody acts, one of these: the outermost act alone.", default=())
    max_actor_depth: Annotated[int, Limit(ge=0, le=32)] = key("Longest chain of actors.", default=3)


@section
class Expect(Section):
    """What is expected of the issued token; what is left out is as the dialect says."""

    audience: Asked | None = key("asked, any, or a list: these and nothing beyond.", default=None)
    extra_audience: Many[Text] | None = key("May be there too.", default=None)
    scope: Asked | None = key("asked, any, or a list: these and nothing beyond.", default=None)
    extra_scope: Many[Scope] | None = key("May be there too.", default=None)
    subject: Literal["same", "any"] | None = key("Whether it must be the caller's.", default=None)


@section
class ByIssuer(Section):
    """The subject token's issuer chooses the authorization server."""

    by_issuer: Mapping[Name, Name] = key("Each trusted issuer of the route, and where its tokens are exchanged.")


@section
class Exchange(Section):
    """What the caller's token is exchanged for."""

    authorization_server: Annotated[Name | ByIssuer, OneOf()] | None = key(
        "Whom to ask; may be left out where only one is defined.", default=None
    )
    audience: Many[Text] = key("RFC 8693 §2.1.", default=())
    resource: Many[AbsoluteURI] = key("RFC 8707 §2.", default=())
    scope: Many[Scope] = key("RFC 6749 §3.3.", default=())
    requested_token_type: TokenType | None = key("A short name or a URI; sent only when given.", default=None)
    subject_token: Name = key("Whose token is exchanged: the caller's, or a workload token.", default="caller")
    actor_token: Name | None = key("A workload token.", default=None)
    authorization_details: Many[AuthorizationDetail] = key("RFC 9396 §2; each with its type.", default=())
    semantics: Literal["any", "delegation", "impersonation"] | None = key(
        "Whether the issued token must show an actor; delegation where actor_token is set, else any.", default=None
    )
    expect: Expect = key("What the issued token is held against on every use.", default={})


@section
class Approval(Section):
    """Somebody else's yes, which every request needs before its token is exchanged."""

    by: Name = key("Whom to ask: one of approvers.")
    max_age: Duration = key("A yes counts again so long for the same; 0s: every request is asked about.", default="0s")
    bind: Many[Literal["path"]] = key(
        "What a yes counts for besides: path, the same host, path and query; [], whatever the route takes.",
        default=("path",),
    )
    reason_header: TokenHeader | None = key(
        "The field in which callers claim what they are at; told to the approver, never forwarded.", default=None
    )


@section
class Cors(Section):
    """Which web pages may call a route and read what it answers."""

    origins: AtLeastOne[Origin] = key(
        "As browsers write them, such as https://app.example.com; null for pages without one; or * alone."
    )
    max_age: Duration = key("How long browsers may remember the answer to a preflight.", default="10m")


@section
class ResourceMetadata(Section):
    """What callers are told of the tokens that the route takes (RFC 9728)."""

    resource: ResourceURL = key("Its identifier: the URL by which callers reach it; the metadata is served below it.")
    scopes_supported: Many[Scope] | None = key(
        "Scopes that callers may need; left out: subject.require_scope.", default=None
    )


@section
class Route(Section):
    """One route."""

    name: RouteName = key("Unique; names it in metrics, receipts and commands.")
    listener: Name | None = key("Where it exists; required where there are two or more listeners.", default=None)
    match: Match = key("Which requests it takes.")
    upstream: Upstream = key("Where it forwards to.")
    subject: Subject = key("What is asked of the caller's token.", default={})
    exchange: Annotated[Literal["none"] | Exchange, OneOf()] = key(
        "What the caller's token is exchanged for; none: no credential needed, none forwarded."
    )
    approval: Approval | None = key("Whose yes is needed before the exchange.", default=None)
    mcp: Operations | None = key("The Model Context Protocol: what the messages in bodies may ask for.", default=None)
    preflight: Literal["refuse", "forward", "answer"] | None = key(
        "What becomes of a CORS preflight; refuse by default, forward with exchange: none.", default=None
    )
    cors: Cors | None = key("Which web pages may call it; needed to answer preflights.", default=None)
    resource_metadata: ResourceMetadata | None = key(
        "Metadata served by the gateway, and named in its challenges.", default=None
    )
    accept: AcceptedInRoute = key("Findings of sidecar check that are meant, each with the reason why.", default={})
