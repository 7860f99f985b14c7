"""What a server publishes about itself: where it takes requests, where its keys are (RFC 8414, OpenID discovery).

A document is used only when it names the very issuer that was asked for (RFC 8414 §3.3), and it never leads from https
to plain http, nor in plain http to another machine where the configuration does not allow that. Members that the
gateway does not use are not judged: Authlib's model of this document is stricter than that (https only, also on
loopback and inside a mesh; ``response_types_supported`` also of servers that have none), so it is not used here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from sidecar.model.clock import SYSTEM_CLOCK, Clock
from sidecar.oauth.flight import Flight
from sidecar.oauth.http import PeerClient, PeerError, PeerReplyUnusable, is_endpoint
from sidecar.wire.grammar import is_loopback

MAX_AGE: Final = 300.0  # seconds after which a document in use is read again, in the background


class MetadataUnavailable(Exception):
    """There is no usable document yet. retry_after: seconds; reason: constant text."""

    def __init__(self, retry_after: float, reason: str) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.reason = reason


class MetadataError(Exception):
    """A document must not be used. The message is constant."""


@dataclass(frozen=True, slots=True)
class ServerMetadata:
    """The part of a document that the gateway uses; an endpoint that is not published is None.

    mtls_token_endpoint: the one among ``mtls_endpoint_aliases`` (RFC 8705 §5), for clients that show a certificate.
    """

    issuer: str
    token_endpoint: str | None
    jwks_uri: str | None
    introspection_endpoint: str | None = None
    mtls_token_endpoint: str | None = None
    mtls_introspection_endpoint: str | None = None


class MetadataSource:
    """One server's metadata, read on first use and kept.

    issuer: whom the document must name; None takes the document's word, which needs a discovery_url.
    discovery_url: where the document is, instead of the places that derive from the issuer.
    plain_http: whether other machines may be asked without TLS.

    ValueError: at construction, neither is a URL that can be asked (an issuer has no query and no fragment).

    A document older than five minutes is read again in the background while it stays in use, for as long as it takes.
    """

    def __init__(
        self,
        client: PeerClient,
        *,
        issuer: str | None,
        discovery_url: str | None = None,
        plain_http: bool = False,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if discovery_url is not None and is_endpoint(discovery_url):
            self._locations: tuple[str, ...] = (discovery_url,)
        elif discovery_url is None and issuer is not None and is_endpoint(issuer) and "?" not in issuer:
            self._locations = locations(issuer)
        else:
            raise ValueError("no http or https URL that can be asked for metadata")
        self._client = client
        self._issuer = issuer
        self._plain_http = plain_http
        self._clock = clock
        self._flight = Flight(self._read, clock)
        self._metadata: ServerMetadata | None = None
        self._read_at = float("-inf")
        self._available = False
        self._reason = "metadata was not read yet"

    async def metadata(self) -> ServerMetadata:
        """Return the document, at once where it was read before. MetadataUnavailable: it never could be."""
        if self._clock.monotonic() - self._read_at >= MAX_AGE:
            self._flight.start()
        if self._metadata is None:
            await self._flight.join()
        if self._metadata is None:
            raise MetadataUnavailable(self._flight.retry_after, self._reason)
        return self._metadata

    async def look(self) -> bool:
        """Read the document again, however old it is, and return whether that worked.

        Not more often than after failures it may be: then it is what the last one told.
        """
        self._flight.start()
        await self._flight.join()
        return self._available

    async def close(self) -> None:
        """Give up a fetch under way."""
        await self._flight.close()

    async def _read(self) -> bool:
        self._available = await self._found()
        return self._available

    async def _found(self) -> bool:
        reason = ""
        for location in self._locations:
            try:
                document = await self._client.document(location)
                metadata = read_metadata(document, self._issuer, location, plain_http=self._plain_http)
            except PeerReplyUnusable as error:
                reason = reason or error.reason  # not here: the next place may have it
                if error.retry_after is not None:
                    self._flight.hold(error.retry_after)
                    break
            except MetadataError as error:
                reason = str(error)
            except PeerError as error:
                reason = error.reason
                break
            else:
                self._metadata, self._read_at = metadata, self._clock.monotonic()
                return True
        self._reason = f"metadata: {reason}"
        return False


def locations(issuer: str) -> tuple[str, ...]:
    """Return where an issuer's document may be, in the order to ask: RFC 8414 §3.1, then §5, then OpenID discovery."""
    scheme, authority, path, _, _ = urlsplit(issuer)
    path = path.rstrip("/")
    origin = f"{scheme}://{authority}"
    return tuple(
        dict.fromkeys(
            (
                f"{origin}/.well-known/oauth-authorization-server{path}",
                f"{origin}/.well-known/openid-configuration{path}",
                f"{origin}{path}/.well-known/openid-configuration",
            )
        )
    )


def read_metadata(
    document: Mapping[str, Any], issuer: str | None, location: str, *, plain_http: bool = False
) -> ServerMetadata:
    """Read a document that was found at ``location``; see ``MetadataSource`` for the others.

    MetadataError: it names another issuer, or an endpoint that is no URL or less protected than the document itself.
    """
    named = document.get("issuer")
    if not isinstance(named, str) or not named or (issuer is not None and named != issuer):
        raise MetadataError("the document names another issuer")
    aliases = document.get("mtls_endpoint_aliases")
    if aliases is None:
        aliases = {}
    if not isinstance(aliases, Mapping):
        raise MetadataError("mtls_endpoint_aliases is no object")
    read = partial(_endpoint, location=location, plain_http=plain_http)
    return ServerMetadata(
        named,
        token_endpoint=read(document, "token_endpoint"),
        jwks_uri=read(document, "jwks_uri"),
        introspection_endpoint=read(document, "introspection_endpoint"),
        mtls_token_endpoint=read(aliases, "token_endpoint"),
        mtls_introspection_endpoint=read(aliases, "introspection_endpoint"),
    )


def _endpoint(document: Mapping[str, Any], member: str, *, location: str, plain_http: bool) -> str | None:
    url = document.get(member)
    if url is None:
        return None
    if not isinstance(url, str) or not is_endpoint(url):
        raise MetadataError(f"{member} is no http or https URL")
    if url.startswith("https:"):
        return url
    if location.startswith("https:"):
        raise MetadataError(f"{member} leads from https to plain http")
    if not plain_http and not is_loopback(urlsplit(url).hostname or ""):
        raise MetadataError(f"{member} leads to plain http on another machine")
    return url
