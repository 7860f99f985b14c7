"""The snapshot itself, and how it is built: compile everything, report every problem, or return a whole."""

import ipaddress
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from sidecar.caller.verify import Verifier
from sidecar.config.addresses import Network
from sidecar.config.loaded import Loaded
from sidecar.config.problems import ConfigError, ConfigProblem
from sidecar.config.schema import AuthorizationServer as ServerSection
from sidecar.exchange.ask import Asker
from sidecar.exchange.grants import GRANTS
from sidecar.exchange.plan import Plan
from sidecar.exchange.schedule import Lifetimes
from sidecar.inbound.accept import GUARDED
from sidecar.model.clock import SYSTEM_CLOCK, Clock
from sidecar.model.listener import Listener
from sidecar.model.route import Exchange, Route
from sidecar.model.tokens import Subject
from sidecar.observe.metrics import Metrics
from sidecar.rotation import Rotation
from sidecar.routing.precedence import conflicts
from sidecar.routing.table import Table
from sidecar.snapshot.listeners import compile_listener_tls, compile_listeners
from sidecar.snapshot.peers import Peers, compile_peers, watched_tls
from sidecar.snapshot.routes import compile_route
from sidecar.tls import ServerTLS
from sidecar.upstream.errors import UpstreamConfigError
from sidecar.upstream.pool import Pool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything requests are decided by.

    listeners, tls: by listener name; tls has those that serve https. plans, pools: by route name; plans_by_issuer: by
    route and trusted issuer, where the issuer chooses the authorization server.
    guarded: see ``inbound.accept``. credentials: see ``faces.forward``.
    include_problems: why the present files of some includes are not in use, a line each with its place.
    """

    listeners: Mapping[str, Listener]
    tls: Mapping[str, ServerTLS] = field(repr=False)
    routes: Mapping[str, Route]
    table: Table
    verifier: Verifier
    plans: Mapping[str, Plan]
    plans_by_issuer: Mapping[tuple[str, str], Plan]
    pools: Mapping[str, Pool]
    guarded: frozenset[bytes]
    credentials: frozenset[bytes]
    trusted_proxies: Sequence[Network]
    include_problems: tuple[str, ...]
    _closers: Sequence[Callable[[], Awaitable[None]]] = field(repr=False)

    def trusts(self, peer: str | None) -> bool:
        """Whether what a peer says in forwarding fields is believed (``gateway.trusted_proxies``)."""
        if peer is None or not self.trusted_proxies:
            return False
        address = ipaddress.ip_address(peer)
        if address.version == 6 and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self.trusted_proxies)

    def plan(self, route: Route, subject: Subject) -> Plan:
        """Return by which plan a route exchanges a subject token."""
        if route.by_issuer:
            return self.plans_by_issuer[route.name, subject.issuer]
        return self.plans[route.name]

    async def close(self) -> None:
        """Close all connections that this snapshot's peers hold; pools wait for responses under way."""
        for pool in self.pools.values():
            await pool.close()
        for close in self._closers:
            await close()


def build(loaded: Loaded, metrics: Metrics, clock: Clock = SYSTEM_CLOCK, rotation: Rotation | None = None) -> Snapshot:
    """Compile a loaded file. Nothing is connected to. rotation: looks after the files that were read; else nobody does.

    ConfigError: with every problem that only shows when parts meet.
    """
    rotation = rotation or Rotation()
    peers = compile_peers(loaded, clock, metrics, rotation)
    problems = list(peers.problems)
    tls = compile_listener_tls(loaded, rotation, problems)
    compiled = [compile_route(loaded, index, peers.dialects) for index in range(len(loaded.config.routes))]
    index_of = {route.name: index for index, route in enumerate(compiled)}
    problems += [
        loaded.problem(("routes", index_of[conflict.route], "match"), conflict.why) for conflict in conflicts(compiled)
    ]
    pools = _pools(loaded, compiled, clock, rotation, problems)
    if problems:
        raise ConfigError(problems)
    metrics.define_includes({included.name: not included.problems for included in loaded.includes})
    return Snapshot(
        listeners=compile_listeners(loaded),
        tls=tls,
        routes={route.name: route for route in compiled},
        table=Table(compiled),
        verifier=Verifier(tuple(peers.issuers.values()), clock),
        plans={route.name: _plan(loaded, route, route.exchange, peers) for route in compiled if route.exchange},
        plans_by_issuer={
            (route.name, issuer): _plan(loaded, route, exchange, peers)
            for route in compiled
            for issuer, exchange in route.by_issuer
        },
        pools=pools,
        guarded=GUARDED | _credentials(compiled),
        credentials=_credentials(compiled),
        trusted_proxies=loaded.config.gateway.trusted_proxies,
        include_problems=tuple(str(problem) for included in loaded.includes for problem in included.problems),
        _closers=peers.closers,
    )


def _pools(
    loaded: Loaded, routes: list[Route], clock: Clock, rotation: Rotation, problems: list[ConfigProblem]
) -> dict[str, Pool]:
    pools: dict[str, Pool] = {}
    for index, route in enumerate(routes):
        try:
            pools[route.name] = Pool(route.upstream, clock=clock, contexts=partial(watched_tls, rotation))
        except UpstreamConfigError as error:
            problems.append(loaded.problem(("routes", index, "upstream", "tls"), error.reason))
    return pools


def _plan(loaded: Loaded, route: Route, exchange: Exchange, peers: Peers) -> Plan:
    section = loaded.config.authorization_servers[exchange.authorization_server]
    cache = loaded.config.cache
    asker = Asker(
        exchange,
        GRANTS[peers.dialects[exchange.authorization_server].grant],
        server=exchange.authorization_server,
        endpoint=_endpoint(section),
        client_id=section.client_auth.client_id or "",
        extra_params=section.extra_params,
    )
    return Plan(
        route=route,
        exchange=exchange,
        server=peers.servers[exchange.authorization_server],
        dialect=peers.dialects[exchange.authorization_server],
        asker=asker,
        actor=peers.workload_tokens[exchange.actor_token] if exchange.actor_token is not None else None,
        lifetimes=Lifetimes(
            early_expiry=cache.early_expiry,
            refresh_ahead=cache.refresh_ahead,
            max_lifetime=cache.max_lifetime,
            default_lifetime=section.default_lifetime,
        ),
        issued_keys=peers.issued_keys,
    )


def _endpoint(section: ServerSection) -> str:
    """What a cache key counts as the token endpoint: itself, or where it is discovered."""
    return section.token_endpoint or section.discovery_url or section.issuer or ""


def _credentials(routes: list[Route]) -> frozenset[bytes]:
    """The fields that carry a token on any route, either way."""
    ways_out = {route.upstream.token_header.lower() for route in routes}
    return frozenset(ways_out | {route.subject.header.encode() for route in routes})
