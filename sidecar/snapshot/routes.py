"""Compiles the routes section: schema in, values of ``model.route`` out. Pure."""

import json
from collections.abc import Iterator, Mapping, Sequence

from sidecar.config.addresses import URL
from sidecar.config.loaded import Loaded
from sidecar.config.matches import match_of
from sidecar.config.schema import Approval as ApprovalSection
from sidecar.config.schema import Config, PeerTLS
from sidecar.config.schema import Cors as CorsSection
from sidecar.config.schema import Exchange as ExchangeSection
from sidecar.config.schema import Expect as ExpectSection
from sidecar.config.schema import Route as RouteSection
from sidecar.exchange.dialects import Dialect
from sidecar.model.approval import ApprovalPolicy
from sidecar.model.route import (
    TLS,
    Cors,
    Exchange,
    Expect,
    Expected,
    Preflight,
    Route,
    SubjectPolicy,
    Upstream,
)
from sidecar.model.tokens import Semantics


def compile_route(loaded: Loaded, index: int, dialects: Mapping[str, Dialect]) -> Route:
    """Return one route. dialects: by the name of the authorization server, with the overrides of the file."""
    config = loaded.config
    section = config.routes[index]
    exchange = None if section.exchange == "none" else section.exchange
    asked = dict(_exchanges(config, exchange, dialects)) if exchange is not None else {}
    return Route(
        name=section.name,
        listener=config.listener_of(section),
        match=match_of(section.match),
        upstream=_upstream(section, config),
        subject=SubjectPolicy(
            issuers=frozenset(config.issuers_of(section)),
            header=section.subject.header.lower(),
            require_scope=section.subject.require_scope,
            require_claims=tuple(section.subject.require_claims.items()),
            clients=frozenset(section.subject.clients),
            acr_values=section.subject.acr_values,
            max_age=section.subject.max_age,
            require_actor=section.subject.require_actor,
            allowed_actors=frozenset(section.subject.allowed_actors),
            max_actor_depth=section.subject.max_actor_depth,
        ),
        exchange=next(iter(asked.values()), None),
        by_issuer=tuple((issuer, each) for issuer, each in asked.items() if issuer is not None),
        approval=_approval(section.approval),
        preflight=_preflight(section),
        cors=_cors(section.cors),
        place=loaded.place(("routes", index)),
    )


def _preflight(section: RouteSection) -> Preflight:
    if section.preflight is not None:
        return Preflight(section.preflight)
    return Preflight.FORWARD if section.exchange == "none" else Preflight.REFUSE


def _approval(section: ApprovalSection | None) -> ApprovalPolicy | None:
    if section is None:
        return None
    header = section.reason_header.lower() if section.reason_header is not None else None
    return ApprovalPolicy(section.by, section.max_age, "path" in section.bind, header)


def _cors(section: CorsSection | None) -> Cors | None:
    if section is None:
        return None
    return Cors(frozenset(origin.encode() for origin in section.origins), int(section.max_age))


def peer_tls(section: PeerTLS | None) -> TLS:
    """Return how to speak TLS to a peer."""
    if section is None:
        return TLS()
    return TLS(section.ca_file, section.cert_file, section.key_file, section.server_name)


def _upstream(route: RouteSection, config: Config) -> Upstream:
    section, url = route.upstream, route.upstream.url
    most = section.max_body_bytes if section.max_body_bytes is not None else config.gateway.max_body_bytes
    return Upstream(
        host=_bare_host(url),
        port=url.port,
        unix_path=url.unix_path,
        base_path=url.path.rstrip("/").encode(),
        host_header=url.authority.encode() or b"localhost",
        tls=peer_tls(section.tls) if url.secure else None,
        strip_prefix=(route.match.path_prefix or "").rstrip("/").encode() if section.strip_prefix else b"",
        preserve_host=section.preserve_host,
        connect_timeout=section.connect_timeout,
        response_timeout=section.response_timeout,
        send_idle=section.send_idle,
        read_idle=section.read_idle,
        max_connections=section.max_connections,
        max_connection_age=section.max_connection_age,
        max_body_bytes=most,
        token_header=section.token_header.encode(),
        drop_cookies=section.drop_cookies,
        websocket=section.websocket,
        websocket_max_lifetime=section.websocket_max_lifetime,
    )


def _client_id(config: Config, server: str) -> str | None:
    return config.authorization_servers[server].client_auth.client_id


def _bare_host(url: URL) -> str | None:
    return url.host.strip("[]") if url.host is not None else None


def _exchanges(
    config: Config, section: ExchangeSection, dialects: Mapping[str, Dialect]
) -> Iterator[tuple[str | None, Exchange]]:
    """What is asked for, by the trusted issuer of the subject token; None where that makes no difference."""
    for issuer, server in config.servers_of(section).items():
        yield issuer, _exchange(section, server, dialects[server], _client_id(config, server))


def _exchange(section: ExchangeSection, server: str, dialect: Dialect, client_id: str | None) -> Exchange:
    semantics = section.semantics or ("delegation" if section.actor_token is not None else "any")
    return Exchange(
        authorization_server=server,
        audience=section.audience,
        resource=section.resource,
        scope=section.scope,
        requested_token_type=section.requested_token_type or dialect.requested_token_type,
        subject_token=None if section.subject_token == "caller" else section.subject_token,
        actor_token=section.actor_token,
        authorization_details=tuple(
            json.dumps(detail, sort_keys=True, separators=(",", ":")) for detail in section.authorization_details
        ),
        expect=_expect(section, section.expect, semantics, dialect, client_id),
    )


def _expect(
    exchange: ExchangeSection, section: ExpectSection, semantics: str, dialect: Dialect, client_id: str | None
) -> Expect:
    audience, scope = section.audience, section.scope
    if audience is None and dialect.expect_audience == "client_id":
        audience = (client_id or "",)
    asked_scope = tuple(map(dialect.scope_name, exchange.scope))
    if scope in (None, "asked") and dialect.qualified_scope and ".default" in asked_scope:
        scope = "any"  # whatever was consented to
    extra_audience = dialect.extra_audience if section.extra_audience is None else section.extra_audience
    extra_scope = dialect.extra_scope if section.extra_scope is None else section.extra_scope
    return Expect(
        # All audiences that were asked for must be there; of the scopes, fewer are allowed (RFC 8693 §2.2.1).
        audience=_expected(audience, exchange.audience, exchange.audience, extra_audience),
        scope=_expected(scope, asked_scope, (), extra_scope),
        same_subject=section.subject != "any",
        subject_claim=dialect.subject_claim,
        semantics=None if semantics == "any" else Semantics(semantics),
    )


def _expected(
    choice: str | Sequence[str] | None, asked: Sequence[str], required: Sequence[str], extra: Sequence[str]
) -> Expected:
    """Compile ``asked`` (nothing asked: not checked), ``any``, or a list."""
    if choice == "any" or (choice in (None, "asked") and not asked):
        return Expected()
    if choice in (None, "asked"):
        return Expected(frozenset(required), frozenset([*asked, *extra]))
    return Expected(frozenset(choice or ()), frozenset([*(choice or ()), *extra]))
