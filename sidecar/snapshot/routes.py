"""Compiles the routes section: schema in, values of ``model.route`` out. Pure."""

from collections.abc import Mapping

from sidecar.config.addresses import URL
from sidecar.config.loaded import Loaded
from sidecar.config.matches import match_of
from sidecar.config.schema import Approval as ApprovalSection
from sidecar.config.schema import Config, PeerTLS
from sidecar.config.schema import Cors as CorsSection
from sidecar.config.schema import Route as RouteSection
from sidecar.exchange.dialects import Dialect
from sidecar.model.approval import ApprovalPolicy
from sidecar.model.route import (
    TLS,
    Cors,
    Preflight,
    Route,
    SubjectPolicy,
    Upstream,
)
from sidecar.snapshot.exchanges import compile_exchanges
from sidecar.snapshot.operations import compile_mcp
from sidecar.snapshot.resource_metadata import resource_metadata_of


def compile_route(loaded: Loaded, index: int, dialects: Mapping[str, Dialect]) -> Route:
    """Return one route. dialects: by the name of the authorization server, with the overrides of the file."""
    config = loaded.config
    section = config.routes[index]
    exchange, by_issuer = (
        (None, ()) if section.exchange == "none" else compile_exchanges(config, section.exchange, dialects)
    )
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
        exchange=exchange,
        by_issuer=by_issuer,
        approval=_approval(section.approval),
        resource_metadata=resource_metadata_of(config, section),
        preflight=_preflight(section),
        cors=_cors(section.cors),
        mcp=compile_mcp(section.mcp),
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


def _bare_host(url: URL) -> str | None:
    return url.host.strip("[]") if url.host is not None else None
