"""The snapshot itself, and how it is built: compile everything, report every problem, or return a whole."""

import asyncio
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from sidecar.approval.approver import Approver
from sidecar.approval.question import Question
from sidecar.caller.take import needle
from sidecar.caller.verify import Verifier
from sidecar.config.addresses import Network
from sidecar.config.loaded import Loaded
from sidecar.config.problems import ConfigError, ConfigProblem
from sidecar.config.schema import AuthorizationServer as ServerSection
from sidecar.exchange.ask import Asker
from sidecar.exchange.grants import GRANTS
from sidecar.exchange.plan import Plan
from sidecar.exchange.workload.source import WorkloadSource
from sidecar.inbound.accept import GUARDED
from sidecar.inbound.named import NAMING
from sidecar.model.approval import Approval, ApprovalPolicy
from sidecar.model.clock import SYSTEM_CLOCK, Clock
from sidecar.model.listener import Listener
from sidecar.model.mcp import Rule
from sidecar.model.operation import Operation
from sidecar.model.refusal import Kind, refuse
from sidecar.model.request import RequestHead
from sidecar.model.route import Exchange, Route
from sidecar.model.tokens import Subject
from sidecar.oauth.probe import Probe
from sidecar.oauth.server import AuthorizationServer
from sidecar.observe.metrics import Metrics
from sidecar.observe.tracing import Tracer
from sidecar.rotation import Rotation
from sidecar.routing.precedence import conflicts
from sidecar.routing.table import Table
from sidecar.snapshot.approvers import compile_approvers
from sidecar.snapshot.in_use import InUse
from sidecar.snapshot.listeners import compile_listener_tls, compile_listeners
from sidecar.snapshot.operations import narrowed
from sidecar.snapshot.parts import Parts
from sidecar.snapshot.peers import Peers, compile_peers
from sidecar.snapshot.resource_metadata import Documents, documents_of, flaws
from sidecar.snapshot.routes import compile_route
from sidecar.snapshot.tracing import compile_tracing
from sidecar.snapshot.ways import watched_tls
from sidecar.snapshot.workload import compile_workload_tokens, lifetimes_of
from sidecar.tls import ServerTLS
from sidecar.upstream.errors import UpstreamConfigError
from sidecar.upstream.pool import Pool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything requests are decided by.

    listeners, tls: by listener name; tls has those that serve https. plans, pools: by route name; plans_by_issuer: by
    route and trusted issuer, where the issuer chooses the authorization server. operations: by route and rule's key,
    see ``narrowed``; plans_by_rule: by these and the trusted issuer, empty where it chooses nothing. approvers,
    servers: by name. documents: see ``snapshot.resource_metadata``.
    guarded: see ``inbound.accept``. credentials: see ``faces.forward``. workload_headers: those of them that trusted
    hops put tokens of ours into.
    probes: by peer. tracer: None where requests are not traced. in_use: entered by whoever decides on a request, until
    the head of its response is there.
    """

    listeners: Mapping[str, Listener]
    tls: Mapping[str, ServerTLS] = field(repr=False)
    routes: Mapping[str, Route]
    table: Table
    verifier: Verifier
    plans: Mapping[str, Plan]
    plans_by_issuer: Mapping[tuple[str, str], Plan]
    operations: Mapping[tuple[str, tuple[str, ...]], Route]
    plans_by_rule: Mapping[tuple[str, tuple[str, ...], str], Plan]
    pools: Mapping[str, Pool]
    approvers: Mapping[str, Approver]
    documents: Documents
    servers: Mapping[str, AuthorizationServer]
    guarded: frozenset[bytes]
    credentials: frozenset[bytes]
    workload_headers: frozenset[bytes]
    trusted_proxies: Sequence[Network]
    parts: Parts = field(repr=False)
    probes: Mapping[str, Probe] = field(repr=False)
    tracer: Tracer | None = field(default=None, repr=False)
    in_use: InUse = field(default_factory=InUse, repr=False)

    def trusts(self, peer: str | None) -> bool:
        """Whether what a peer says in forwarding fields is believed (``gateway.trusted_proxies``)."""
        return _trusts(self.trusted_proxies, peer)

    def plan(self, route: Route, subject: Subject | None) -> Plan:
        """Return by which plan a route exchanges the caller's token, or one of ours where it asks for none."""
        if route.rule is not None:
            issuer = subject.issuer if route.by_issuer and subject is not None else ""
            return self.plans_by_rule[route.name, route.rule.key, issuer]
        if route.by_issuer and subject is not None:
            return self.plans_by_issuer[route.name, subject.issuer]
        return self.plans[route.name]

    def narrowed(self, route: Route, rule: Rule | None) -> Route:
        """Return a route as it is under one of its rules for operations; None: as it is."""
        return route if rule is None else self.operations[route.name, rule.key]

    async def approve(
        self,
        policy: ApprovalPolicy,
        plan: Plan,
        subject: Subject | None,
        request: RequestHead,
        operation: Operation | None,
    ) -> Approval:
        """Ask a route's approver about a request. Refused: there is nobody to ask about, or no token of ours."""
        if subject is None:
            raise refuse(Kind.APPROVAL_DENIED, "Nobody is known who could be approved.", key=("approval",))
        question = Question(policy, plan.route, plan.exchange, subject, await plan.acting(request), request, operation)
        return await self.approvers[policy.by].approve(question)

    def borne(self, request: RequestHead) -> tuple[bytes, ...]:
        """Return what to search for to find the workload tokens that trusted hops put into a request."""
        if not self.workload_headers:
            return ()
        return tuple(needle(value) for name in self.workload_headers for value in request.values(name))

    def start(self) -> None:
        """Begin to look at those we speak to, in the background. Needs a running event loop."""
        for probe in self.probes.values():
            probe.start()

    async def stop(self, after: "Snapshot | None" = None) -> None:
        """End the looks that the following one did not take over."""
        kept = set(map(id, after.probes.values())) if after is not None else set()
        for probe in self.probes.values():
            if id(probe) not in kept:
                await probe.close()

    async def close(self, after: "Snapshot | None" = None, grace: float | None = None) -> None:
        """Close all connections that this snapshot's peers hold, but for those that the following one took over.

        Pools wait for responses under way, for at most ``grace`` seconds, and cut off what is left then.
        """
        await self.stop(after)
        kept = set(map(id, after.pools.values())) if after is not None else set()
        pools = [pool for pool in self.pools.values() if id(pool) not in kept]
        closing = [asyncio.create_task(pool.close()) for pool in pools]
        try:
            if closing:
                await asyncio.wait(closing, timeout=grace)
        finally:
            for task in closing:
                task.cancel()
            await asyncio.gather(*closing, return_exceptions=True)
            for close in self.parts.closers(after.parts if after is not None else None):
                await close()


def build(
    loaded: Loaded,
    metrics: Metrics,
    clock: Clock = SYSTEM_CLOCK,
    rotation: Rotation | None = None,
    before: Snapshot | None = None,
) -> Snapshot:
    """Compile a loaded file. Nothing is connected to. rotation: looks after the files that were read; else nobody does.

    before: the snapshot that this one is to follow: what is the same in both is shared, with its connections, keys and
    memories. ConfigError: with every problem that only shows when parts meet; nothing is changed then.
    """
    rotation = rotation or Rotation()
    parts = Parts(before.parts if before is not None else None)
    peers = compile_peers(loaded, clock, metrics, rotation, parts)
    issuers = tuple(peers.issuers.values())
    verifier = parts.keep(("verifier",), issuers, partial(Verifier, issuers, clock))
    trusted_proxies = loaded.config.gateway.trusted_proxies
    trusts = partial(_trusts, trusted_proxies)
    tokens = compile_workload_tokens(loaded, peers, verifier, trusts, rotation, parts, clock)
    approvers = compile_approvers(loaded, peers, clock, metrics, rotation, parts)
    problems = list(peers.problems)
    tls = compile_listener_tls(loaded, rotation, problems)
    compiled = [compile_route(loaded, index, peers.dialects) for index in range(len(loaded.config.routes))]
    index_of = {route.name: index for index, route in enumerate(compiled)}
    problems += [
        loaded.problem(("routes", index_of[conflict.route], "match"), conflict.why) for conflict in conflicts(compiled)
    ]
    problems += [
        loaded.problem(("routes", number, "resource_metadata", *([key] if key else [])), why)
        for number, key, why in flaws(compiled)
    ]
    pools = _pools(loaded, compiled, clock, rotation, parts, problems)
    tracer = compile_tracing(loaded, metrics, rotation, parts, problems, clock)
    if problems:
        raise ConfigError(problems)
    parts.settle()
    operations = [
        under for index, route in enumerate(compiled) for under in narrowed(loaded, index, route, peers.dialects)
    ]
    workload_headers = _workload_headers(loaded)
    credentials = _credentials(compiled) | workload_headers
    return Snapshot(
        listeners=compile_listeners(loaded),
        tls=tls,
        routes={route.name: route for route in compiled},
        table=Table(compiled),
        verifier=verifier,
        plans={route.name: _plan(loaded, route, route.exchange, peers, tokens) for route in compiled if route.exchange},
        plans_by_issuer={
            (route.name, issuer): _plan(loaded, route, exchange, peers, tokens)
            for route in compiled
            for issuer, exchange in route.by_issuer
        },
        operations={(route.name, route.rule.key): route for route in operations if route.rule is not None},
        plans_by_rule={
            (route.name, route.rule.key, issuer): _plan(loaded, route, exchange, peers, tokens)
            for route in operations
            if route.rule is not None
            for issuer, exchange in route.by_issuer or (("", route.exchange),)
            if exchange is not None
        },
        pools=pools,
        approvers=approvers,
        documents=documents_of(compiled),
        servers=peers.servers,
        guarded=GUARDED | credentials | (NAMING if loaded.config.decision is not None else frozenset()),
        credentials=credentials,
        workload_headers=workload_headers,
        trusted_proxies=trusted_proxies,
        parts=parts,
        probes=peers.probes,
        tracer=tracer,
    )


def _trusts(networks: Sequence[Network], peer: str | None) -> bool:
    if peer is None or not networks:
        return False
    address = ipaddress.ip_address(peer)
    if address.version == 6 and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in networks)


def _pools(
    loaded: Loaded,
    routes: list[Route],
    clock: Clock,
    rotation: Rotation,
    parts: Parts,
    problems: list[ConfigProblem],
) -> dict[str, Pool]:
    pools: dict[str, Pool] = {}
    for index, route in enumerate(routes):
        try:
            pools[route.name] = parts.keep(
                ("pool", route.name),
                route.upstream,
                partial(Pool, route.upstream, clock=clock, contexts=partial(watched_tls, rotation)),
            )
        except UpstreamConfigError as error:
            problems.append(loaded.problem(("routes", index, "upstream", "tls"), error.reason))
    return pools


def _plan(loaded: Loaded, route: Route, exchange: Exchange, peers: Peers, tokens: Mapping[str, WorkloadSource]) -> Plan:
    section = loaded.config.authorization_servers[exchange.authorization_server]
    asker = Asker(
        exchange,
        GRANTS[peers.dialects[exchange.authorization_server].grant],
        server=exchange.authorization_server,
        endpoint=_counted(loaded, section),
        client_id=section.client_auth.client_id or "",
        extra_params=section.extra_params,
    )
    return Plan(
        route=route,
        exchange=exchange,
        server=peers.servers[exchange.authorization_server],
        dialect=peers.dialects[exchange.authorization_server],
        asker=asker,
        subject=tokens[exchange.subject_token] if exchange.subject_token is not None else None,
        actor=tokens[exchange.actor_token] if exchange.actor_token is not None else None,
        client=_client(section),
        lifetimes=lifetimes_of(loaded, exchange.authorization_server),
        issued_keys=peers.issued_keys,
        introspection=peers.introspections.get(exchange.authorization_server),
    )


def _counted(loaded: Loaded, section: ServerSection) -> str:
    """What a cache key counts as the token endpoint: itself, or where it is discovered, and every setting of the server
    that decides what its tokens are worth; what was got before one of them changed can't be reached any more.
    """
    config = loaded.config
    keys = [
        (issuer.jwks_uri, issuer.jwks_file, issuer.discovery_url, issuer.algorithms, issuer.tls)
        for issuer in config.trusted_issuers.values()
        if config.issuer_of(issuer) == section.issuer
    ]
    settings = replace(section, timeout=0, max_in_flight=0, probe=None)  # these only decide how it is asked
    return repr((settings, keys, config.cache.max_lifetime))


def _client(section: ServerSection) -> dict[str, str]:
    """Who we are to an authorization server, as an actor."""
    client_id = section.client_auth.client_id
    known = {"iss": section.issuer, "sub": client_id, "client_id": client_id}
    return {name: value for name, value in known.items() if value}


def _credentials(routes: list[Route]) -> frozenset[bytes]:
    """The fields that carry a token on any route, either way."""
    ways_out = {route.upstream.token_header.lower() for route in routes}
    return frozenset(ways_out | {route.subject.header.encode() for route in routes})


def _workload_headers(loaded: Loaded) -> frozenset[bytes]:
    """The fields in which trusted hops hand us tokens of ours."""
    tokens = loaded.config.workload_tokens.values()
    return frozenset(token.header.lower().encode() for token in tokens if token.header is not None)
