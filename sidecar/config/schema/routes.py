"""The section about routes: which requests, from whom, to where, with which token."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from sidecar.config.schema.base import Section, key
from sidecar.config.schema.servers import PeerTLS
from sidecar.config.schema.types import (
    AbsoluteURI,
    Asked,
    AtLeastOne,
    ClaimPath,
    ClaimValues,
    Count,
    ExactPath,
    HeaderName,
    HeaderValue,
    HostPattern,
    Many,
    Method,
    Name,
    PathPrefix,
    PositiveDuration,
    RouteName,
    Scope,
    Size,
    Text,
    TokenHeader,
    TokenType,
    UpstreamURL,
)


class Match(Section):
    """Which requests a route takes."""

    hosts: AtLeastOne[HostPattern] | None = key(None, "Names or *.example.com; left out: any.")
    path: ExactPath | None = key(None, "A path, in which whole segments may be {name}.")
    path_prefix: PathPrefix | None = key(None, "A prefix of whole segments; / takes every path.")
    methods: AtLeastOne[Method] | None = key(None, "GET includes HEAD; left out: every one but CONNECT and TRACE.")
    headers: Mapping[HeaderName, HeaderValue] = key({}, "Header fields that must be there with exactly this value.")
    allow: Many[Literal["encoded-slash", "empty-segment", "path-parameters"]] = key(
        (), "What paths may hold besides; ordinary bytes then, never separators."
    )


class Upstream(Section):
    """Where a route forwards to."""

    url: UpstreamURL = Field(description="http, https or unix:/path; its path goes before the request's.")
    strip_prefix: bool = key(False, "Remove match.path_prefix from the path.")
    preserve_host: bool = key(False, "Send the caller's Host instead of the upstream's.")
    connect_timeout: PositiveDuration = key("2s", "Until connected.")
    response_timeout: PositiveDuration = key("60s", "From the request's end to the response's head.")
    send_idle: PositiveDuration = key("60s", "Longest silence of the request's body.")
    read_idle: PositiveDuration = key("5m", "Longest silence of the response's body.")
    max_connections: Count = key(1024, "Connections at once.")
    max_connection_age: PositiveDuration = key("60s", "Not used again after this.")
    max_body_bytes: Size | None = key(None, "A request's body; null: as the gateway says.")
    tls: PeerTLS | None = key(None, "TLS to the upstream.")
    allow_plain_http: bool = key(False, "The network encrypts: allow an http URL that is not loopback.")
    token_header: TokenHeader = key("Authorization", "Authorization carries Bearer; any other the token alone.")
    drop_cookies: bool = key(False, "Forward no cookies.")


class Subject(Section):
    """What is asked of the caller's token."""

    issuers: Many[Name] = key((), "Trusted issuers; may be left out where only one is defined.")
    header: TokenHeader = key("Authorization", "Any other carries the token alone, from trusted_proxies only.")
    require_scope: Many[Scope] = key((), "All of these.")
    require_claims: Mapping[ClaimPath, ClaimValues] = key({}, "Dotted path to a value, or a list of which one must be.")
    clients: Many[Text] = key((), "The token's client_id or azp is one of these.")
    max_actor_depth: Annotated[int, Field(ge=0, le=32)] = key(3, "Longest chain of actors.")


class Expect(Section):
    """What is expected of the issued token; what is left out is as the dialect says."""

    audience: Asked | None = key(None, "asked, any, or a list: these and nothing beyond.")
    extra_audience: Many[Text] | None = key(None, "May be there too.")
    scope: Asked | None = key(None, "asked, any, or a list: these and nothing beyond.")
    extra_scope: Many[Scope] | None = key(None, "May be there too.")
    subject: Literal["same", "any"] | None = key(None, "Whether it must be the caller's.")


class Exchange(Section):
    """What the caller's token is exchanged for."""

    authorization_server: Name | None = key(None, "Whom to ask; may be left out where only one is defined.")
    audience: Many[Text] = key((), "RFC 8693 §2.1.")
    resource: Many[AbsoluteURI] = key((), "RFC 8707 §2.")
    scope: Many[Scope] = key((), "RFC 6749 §3.3.")
    requested_token_type: TokenType | None = key(None, "A short name or a URI; sent only when given.")
    actor_token: Name | None = key(None, "A workload token.")
    semantics: Literal["any", "delegation", "impersonation"] | None = key(
        None, "Whether the issued token must show an actor; delegation where actor_token is set, else any."
    )
    expect: Expect = key({}, "What the issued token is held against on every use.")


def _word_or_mapping(value: object) -> str:
    return "mapping" if isinstance(value, dict | Exchange) else "word"


class Route(Section):
    """One route."""

    name: RouteName = Field(description="Unique; names it in metrics, receipts and commands.")
    listener: Name | None = key(None, "Where it exists; required where there are two or more listeners.")
    match: Match = Field(description="Which requests it takes.")
    upstream: Upstream = Field(description="Where it forwards to.")
    subject: Subject = key({}, "What is asked of the caller's token.")
    exchange: Annotated[
        Annotated[Literal["none"], Tag("word")] | Annotated[Exchange, Tag("mapping")], Discriminator(_word_or_mapping)
    ] = Field(description="What the caller's token is exchanged for; none: no credential needed, none forwarded.")
