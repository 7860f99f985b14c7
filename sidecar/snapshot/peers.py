"""Compiles those we speak to: trusted issuers and authorization servers.

Each has an HTTP client of its own, so that one that hangs holds up nobody else. Nothing is asked of anybody here: a
gateway starts with everything down. Whatever is kept open or remembered is a part that the next snapshot may take over.
"""

import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from prometheus_client import Gauge

from sidecar.caller.profiles import Profile
from sidecar.caller.verify import TrustedIssuer
from sidecar.config import schema
from sidecar.config.loaded import Loaded
from sidecar.config.problems import ConfigProblem, Path
from sidecar.exchange.dialects import DIALECTS, Dialect
from sidecar.exchange.dialects.overrides import with_overrides
from sidecar.exchange.plan import IssuedKeys
from sidecar.model.clock import Clock
from sidecar.model.route import TLS
from sidecar.model.tokens import ACCESS_TOKEN
from sidecar.oauth.client_auth import ClientAuthentication, TokenEndpoint
from sidecar.oauth.http import PeerClient
from sidecar.oauth.introspection import Introspection
from sidecar.oauth.jwks import FileKeys, KeyLocation, KeySource, PublishedKeys
from sidecar.oauth.jwt import DEFAULT_ALGORITHMS
from sidecar.oauth.metadata import MetadataSource
from sidecar.oauth.probe import Probe
from sidecar.oauth.server import AuthorizationServer
from sidecar.observe.metrics import Metrics
from sidecar.rotation import FileError, Rotation
from sidecar.snapshot.client_auth import compile_client_auth, source_of
from sidecar.snapshot.parts import Parts
from sidecar.snapshot.routes import peer_tls
from sidecar.snapshot.ways import DOCUMENT_TIMEOUT, NoProof, Way, Ways, watched_tls
from sidecar.tls import KeyPairError, TLSError

#: Questions to one issuer about tokens, at once; as many again wait.
INTROSPECTIONS: Final = 64
#: How long a server's own keys serve while they can't be fetched.
SERVER_KEYS_STALE: Final = 24 * 3600.0


@dataclass(slots=True)
class Peers:
    """Those we speak to, by their names in the file; issued_keys by ``iss``.

    probes: by peer; to be started. clients: all that speak to a peer, by its section's path: ``trusted_issuers.NAME``.
    """

    issuers: dict[str, TrustedIssuer] = field(default_factory=dict)
    dialects: dict[str, Dialect] = field(default_factory=dict)
    servers: dict[str, AuthorizationServer] = field(default_factory=dict)
    issued_keys: dict[str, IssuedKeys] = field(default_factory=dict)
    introspections: dict[str, Introspection] = field(default_factory=dict)
    probes: dict[str, Probe] = field(default_factory=dict)
    clients: dict[str, list[PeerClient]] = field(default_factory=dict)
    problems: list[ConfigProblem] = field(default_factory=list)


def compile_peers(
    loaded: Loaded,
    clock: Clock,
    metrics: Metrics,
    rotation: Rotation,
    parts: Parts,
    environ: Mapping[str, str] = os.environ,
) -> Peers:
    """Return all peers of a file that could be made, and the problems of those that could not.

    parts: where they have what they keep open or remember.
    """
    return _Compiler(loaded, clock, metrics, rotation, parts, environ).compile()


class _Compiler:
    def __init__(
        self,
        loaded: Loaded,
        clock: Clock,
        metrics: Metrics,
        rotation: Rotation,
        parts: Parts,
        environ: Mapping[str, str],
    ) -> None:
        self._loaded = loaded
        self._clock = clock
        self._metrics = metrics
        self._rotation = rotation
        self._contexts = partial(watched_tls, rotation)
        self._parts = parts
        self._environ = environ
        self._ways = Ways(clock, rotation, parts)
        self._peers = Peers(clients=self._ways.clients)

    def compile(self) -> Peers:
        config = self._loaded.config
        for name, server in config.authorization_servers.items():
            self._peers.dialects[name] = _dialect(server)
        for name, issuer in config.trusted_issuers.items():
            with self._collecting(("trusted_issuers", name)):
                self._issuer(name, issuer, config.issuer_of(issuer))
        for name, server in config.authorization_servers.items():
            path = ("authorization_servers", name)
            with self._collecting(path):
                self._server(name, server)
        return self._peers

    @contextmanager
    def _collecting(self, path: Path) -> Iterator[None]:
        """Turn what can't be made into a problem at its place in the file."""
        try:
            yield
        except NoProof as error:
            self._peers.problems.append(self._loaded.problem(error.path, str(error)))
        except TLSError as error:
            self._peers.problems.append(self._loaded.problem((*path, "tls"), str(error)))
        except (FileError, ValueError) as error:
            self._peers.problems.append(self._loaded.problem(path, str(error)))

    def _issuer(self, name: str, section: schema.TrustedIssuer, iss: str) -> None:
        path = ("trusted_issuers", name)
        profile, keys, metadata = Profile(section.token_profile), None, None
        introspection = section.introspection
        endpoint = introspection.endpoint if introspection is not None else None
        discovers = section.jwks_file is None and section.jwks_uri is None and profile is not Profile.OPAQUE
        discovers = discovers or (introspection is not None and endpoint is None)
        documents = (section.discovery_url or iss) if discovers else None
        way = self._ways.way(path, section, peer_tls(section.tls), [documents, section.jwks_uri, endpoint])
        if discovers:
            metadata = self._metadata(way, iss, section)
        if profile is not Profile.OPAQUE:
            made_of, location = self._issuer_keys(way, section, metadata)
            keys = self._parts.keep(
                ("keys", way.peer),
                (iss, made_of, section.keys_stale),
                lambda: KeySource(
                    location, keys_stale=section.keys_stale, clock=self._clock, observed=self._keys_observer(name)
                ),
                KeySource.close,
            )
            if section.probe is not None:
                self._probe(way.peer, section.probe, keys, keys.look)
            self._peers.issued_keys.setdefault(iss, IssuedKeys(keys, tuple(section.algorithms)))
        token_type = self._loaded.config.token_type_of(section)
        asked = None
        if introspection is not None:
            where = metadata if introspection.endpoint is None else TokenEndpoint(introspection.endpoint, iss)
            asked = self._introspection(name, way, section, introspection, where, token_type)
        self._peers.issuers[name] = TrustedIssuer(
            name=name,
            iss=iss,
            audience=frozenset(section.audience),
            profile=profile,
            token_type=token_type,
            algorithms=tuple(section.algorithms),
            scope_claims=tuple(section.scope_claim),
            audience_claim=section.audience_claim,
            leeway=section.leeway,
            keys=keys,
            introspection=asked,
        )

    def _issuer_keys(
        self, way: Way, section: schema.TrustedIssuer, metadata: MetadataSource | None
    ) -> tuple[object, KeyLocation]:
        """Where an issuer's keys are, and what that is made of."""
        if section.jwks_file is not None:
            return section.jwks_file, FileKeys(section.jwks_file)
        where = section.jwks_uri or metadata
        if where is None:
            raise ValueError("needs an issuer, a discovery_url, a jwks_uri or a jwks_file")
        client = self._ways.documents(way, "keys")
        return (client, where), PublishedKeys(client, where)

    def _introspection(
        self,
        name: str,
        way: Way,
        issuer: schema.TrustedIssuer,
        section: schema.Introspection,
        where: MetadataSource | TokenEndpoint | None,
        token_type: str,
    ) -> Introspection:
        """Who is asked about an issuer's tokens: its endpoint, seen as an authorization server of its own."""
        if where is None:
            raise ValueError("needs an issuer, a discovery_url or an introspection.endpoint")
        dialect = self._peers.dialects.get(issuer.authorization_server or "", DIALECTS["rfc8693"])
        path = ("trusted_issuers", name, "introspection", "client_auth")
        client_auth, tls = self._client_auth(path, section.client_auth, issuer.tls, dialect)
        way = replace(way, tls=tls, bearer=way.bearer if section.client_auth.method == "none" else None)
        client = self._ways.client(way, "introspection", DOCUMENT_TIMEOUT, INTROSPECTIONS)
        available = self._metrics.trusted_issuer_available
        introspection = self._asked_about(
            way.peer,
            (name, where, client, client_auth, DOCUMENT_TIMEOUT, INTROSPECTIONS),
            (token_type, section.max_age),
            lambda outcome: available.labels(name).set(outcome == "success"),
        )
        if issuer.probe is not None and issuer.token_profile == "opaque":  # there are no keys to look at
            self._probe(way.peer, issuer.probe, introspection, _look(introspection.look, available, name))
        return introspection

    def _asked_about(
        self,
        peer: str,
        whom: tuple[str, MetadataSource | TokenEndpoint, PeerClient, ClientAuthentication, float, int],
        what: tuple[str, float],
        observed: Callable[[str], None] | None = None,
    ) -> Introspection:
        """Return who asks about tokens. whom: name, endpoint, client, our proof, timeout and how many at once; what:
        the tokens' type, and how long an answer is believed.
        """
        name, endpoint, client, client_auth, timeout, at_once = whom
        token_type, max_age = what

        def make() -> Introspection:
            server = AuthorizationServer(
                name,
                endpoint=endpoint,
                member="introspection_endpoint",
                client=client,
                client_auth=client_auth,
                timeout=timeout,
                max_in_flight=at_once,
                clock=self._clock,
            )
            return Introspection(server, token_type=token_type, max_age=max_age, clock=self._clock, observed=observed)

        return self._parts.keep(("introspection", peer), (whom, what), make, Introspection.close)

    def _server(self, name: str, section: schema.AuthorizationServer) -> None:
        path = ("authorization_servers", name)
        client_auth, tls = self._client_auth(
            (*path, "client_auth"), section.client_auth, section.tls, self._peers.dialects[name]
        )
        way = self._ways.way(path, section, tls, [section.discovery_url or section.issuer])
        client = self._ways.client(replace(way, bearer=None), "tokens", section.timeout, section.max_in_flight)
        metadata = None
        if section.issuer is not None or section.discovery_url is not None:
            metadata = self._metadata(way, section.issuer, section)
        endpoint: TokenEndpoint | MetadataSource | None = metadata
        if section.token_endpoint is not None:
            endpoint = TokenEndpoint(section.token_endpoint, section.issuer)
        if endpoint is None:
            raise ValueError("needs an issuer, a discovery_url or a token_endpoint")
        server = self._peers.servers[name] = self._parts.keep(
            ("server", name),
            (endpoint, client, client_auth, replace(section, probe=None)),
            lambda: AuthorizationServer(
                name,
                endpoint=endpoint,
                client=client,
                client_auth=client_auth,
                timeout=section.timeout,
                max_in_flight=section.max_in_flight,
                clock=self._clock,
            ),
        )
        if section.probe is not None:
            available = self._metrics.authorization_server_available
            self._probe(way.peer, section.probe, server, _look(server.look, available, name))
        if section.verify_issued == "introspection" and metadata is not None:
            bare = replace(way, bearer=None)
            asking = self._ways.client(bare, "introspection", section.timeout, section.max_in_flight)
            whom = (name, metadata, asking, client_auth, section.timeout, section.max_in_flight)
            self._peers.introspections[name] = self._asked_about(way.peer, whom, (ACCESS_TOKEN, 0.0))
        if metadata is not None and section.issuer is not None and section.issuer not in self._peers.issued_keys:
            documents = self._ways.documents(way, "keys")
            keys = self._parts.keep(
                ("keys", way.peer),
                (documents, metadata),
                lambda: KeySource(PublishedKeys(documents, metadata), keys_stale=SERVER_KEYS_STALE, clock=self._clock),
                KeySource.close,
            )
            self._peers.issued_keys[section.issuer] = IssuedKeys(keys, DEFAULT_ALGORITHMS)

    def _probe(self, peer: str, every: float, made_of: object, look: Callable[[], Awaitable[object]]) -> None:
        self._peers.probes[peer] = self._parts.keep(("probe", peer), (every, made_of), lambda: Probe(every, look))

    def _client_auth(
        self, path: Path, section: schema.ClientAuth, peer: schema.PeerTLS | None, dialect: Dialect
    ) -> tuple[ClientAuthentication, TLS]:
        """How we authenticate to a peer, and the TLS settings of every connection to it: our certificate is in them."""
        tls = peer_tls(peer)
        if isinstance(section, schema.CertificateClientAuth):
            tls = replace(tls, cert_file=section.cert_file, key_file=section.key_file)
        try:
            made = self._parts.keep(
                tuple(map(str, path)),
                (section, tls, dialect),
                lambda: compile_client_auth(
                    section, dialect, self._rotation, self._environ, context=lambda: self._contexts(tls)
                ),
            )
        except KeyPairError as error:
            raise NoProof((*path, "cert_file"), str(error)) from None
        except TLSError:
            raise
        except FileError as error:
            raise NoProof((*path, source_of(section)), str(error)) from None
        return made, tls

    def _metadata(
        self, way: Way, issuer: str | None, section: schema.TrustedIssuer | schema.AuthorizationServer
    ) -> MetadataSource:
        client = self._ways.documents(way, "metadata")
        place, plain_http = section.discovery_url, section.allow_plain_http
        return self._parts.keep(
            ("metadata", way.peer),
            (client, issuer, place, plain_http),
            lambda: MetadataSource(
                client, issuer=issuer, discovery_url=place, plain_http=plain_http, clock=self._clock
            ),
            MetadataSource.close,
        )

    def _keys_observer(self, issuer: str) -> Callable[[str], None]:
        metrics = self._metrics  # alone: holding self would keep the whole loaded file in memory

        def observed(outcome: str) -> None:
            metrics.jwks_refreshes.labels(issuer, outcome).inc()
            metrics.trusted_issuer_available.labels(issuer).set(outcome == "success")

        return observed


def _dialect(section: schema.AuthorizationServer) -> Dialect:
    """The server's dialect, with the file's grant and switches."""
    dialect = with_overrides(DIALECTS[section.dialect], section.dialect_overrides)
    return replace(dialect, grant=section.grant or dialect.grant)


def _look(look: Callable[[], Awaitable[bool | None]], available: Gauge, name: str) -> Callable[[], Awaitable[None]]:
    """A look, and what a gauge makes of it."""

    async def looked() -> None:
        if (there := await look()) is not None:
            available.labels(name).set(there)

    return looked
