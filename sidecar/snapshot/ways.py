"""How a peer is reached: by what TLS settings, through which proxy, with which token where its documents ask for one.

A client goes one way, to one peer, for one purpose. Who is asked what over it is ``peers``' business.
"""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from sidecar.config import schema
from sidecar.config.problems import Path
from sidecar.model.clock import Clock
from sidecar.model.route import TLS
from sidecar.oauth.http import Bearer, PeerClient, bearer_token, origin
from sidecar.oauth.secrets import file_secret
from sidecar.rotation import FileError, Rotated, Rotation
from sidecar.snapshot.parts import Parts
from sidecar.tls import client_tls

#: An issuer's documents are few and small; whoever needs one waits no longer than for an exchange.
DOCUMENT_TIMEOUT: Final = 5.0
DOCUMENT_CONNECTIONS: Final = 4


class NoProof(Exception):
    """What we present to a peer can't be used. path: of the key that says where it is."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path


@dataclass(frozen=True, slots=True)
class Way:
    """The way to one peer. peer: its section's path, as ``trusted_issuers.NAME``."""

    peer: str
    tls: TLS
    proxy: str | None
    bearer: Bearer | None


class Ways:
    """Makes the ways of one snapshot, and the clients that go them.

    clients: all that were made, by peer.
    """

    def __init__(self, clock: Clock, rotation: Rotation, parts: Parts) -> None:
        self.clients: dict[str, list[PeerClient]] = {}
        self._clock = clock
        self._rotation = rotation
        self._parts = parts

    def way(
        self,
        path: Path,
        section: schema.TrustedIssuer | schema.AuthorizationServer | schema.Tracing,
        tls: TLS,
        places: Sequence[str | None],
    ) -> Way:
        """Return the way to the peer of a section.

        places: where its documents are, as the file says; what these lead to on other origins gets no token.
        NoProof: the token's file is no good. ValueError: a place is no URL.
        """
        file = section.bearer_file
        bearer = None if file is None else self.bearer((*path, "bearer_file"), file, places)
        return Way(".".join(map(str, path)), tls, section.proxy_url, bearer)

    def bearer(self, path: Path, file: str, places: Sequence[str | None]) -> Bearer:
        """Return the token in a file, for the origins of these places; read once for a section.

        path: of the key that names the file. NoProof: it is no good. ValueError: a place is no URL.
        """
        try:
            token = self._parts.keep(
                ("bearer", *map(str, path[:2])), file, lambda: self._rotation.watch(file_secret(file, bearer_token))
            )
        except FileError as error:
            raise NoProof(path, str(error)) from None
        return Bearer(token, frozenset(origin(place) for place in places if place is not None))

    def client(self, way: Way, what: str, timeout: float, at_once: int) -> PeerClient:
        """Return the client for one purpose. TLSError: a TLS file is no good."""
        client = self._parts.keep(
            ("client", way.peer, what),
            (way, timeout, at_once),
            lambda: PeerClient(
                timeout=timeout,
                max_in_flight=at_once,
                tls=way.tls,
                clock=self._clock,
                contexts=partial(watched_tls, self._rotation),
                proxy=way.proxy,
                bearer=way.bearer,
            ),
            PeerClient.close,
        )
        self.clients.setdefault(way.peer, []).append(client)
        return client

    def documents(self, way: Way, what: str) -> PeerClient:
        """Return a client for metadata or keys."""
        return self.client(way, what, DOCUMENT_TIMEOUT, DOCUMENT_CONNECTIONS)


def watched_tls(rotation: Rotation, tls: TLS) -> Rotated[ssl.SSLContext]:
    """Return the watched context for these settings, one for all who have the same. TLSError: a file is no good."""
    return rotation.shared(tls, lambda: client_tls(tls))
