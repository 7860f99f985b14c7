"""HTTP as we speak it to an authorization server or an issuer: a few small requests, and nothing taken on trust.

One client per peer and purpose, with a pool of its own, so that one that hangs holds up nobody else. What a reply
means is judged by the callers; here it is made sure that there is one: bounded, uncompressed, not redirected, in time
(RFC 6749 §3.2, RFC 9700 §4.12, RFC 9110 §10.2.3). aiohttp's exceptions end here.
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
from aiohttp.tracing import Trace
from yarl import URL

from sidecar.model.clock import SYSTEM_CLOCK, Clock
from sidecar.model.route import TLS
from sidecar.oauth.jwt import strict_json
from sidecar.oauth.resolver import Resolver
from sidecar.rotation import Rotated
from sidecar.tls import Contexts, client_tls
from sidecar.wire.grammar import B64TOKEN

MAX_REPLY_BYTES: Final = 64 * 1024
MAX_DOCUMENT_BYTES: Final = 1024 * 1024
KEEPALIVE: Final = 4.0  # seconds idle; below the 5 s after which some servers close
_HEADERS: Final = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "token-exchange-sidecar",
}
_ENDPOINT: Final = re.compile(r"https?://[!-~]+")


class Flaw(StrEnum):
    """Why a reply can't be used; constant text, safe to show to operators."""

    NOT_HTTP = "the reply is not HTTP"
    REDIRECT = "the reply is a redirect"
    STATUS = "the reply's status is not 200"
    CODED = "the reply has a content coding"
    CONTENT_TYPE = "the reply's content type is not JSON"
    TOO_LARGE = "the reply is too large"
    NOT_JSON = "the reply is not a JSON object"


class PeerError(Exception):
    """A peer gave no usable reply. ``reason`` is constant text."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class PeerUnreachable(PeerError):
    """There is no connection, or it broke.

    before_reply: not one byte of a reply had come, as far as can be told; asking once more may help.
    """

    def __init__(self, reason: str, *, before_reply: bool) -> None:
        super().__init__(reason)
        self.before_reply = before_reply


class PeerTimeout(PeerError):
    """The whole of a request took longer than it may."""


class PeerReplyUnusable(PeerError):
    """There is a reply, and it must not be used; ``reason`` is a Flaw.

    retry_after: seconds for which the peer asks to be left alone (Retry-After with 429 or 5xx); None where it does not.
    """

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply that is no redirect.

    content_type: lower-case, without parameters; empty where there is none.
    retry_after: seconds, never negative, or None where the reply does not say or can't be understood.
    body: empty where the status is 400 or more and the body was not JSON, coded or too large: the status counts.
    """

    status: int
    content_type: str
    retry_after: float | None
    body: bytes = field(repr=False)

    def json_object(self) -> dict[str, Any]:
        """Return the body as a JSON object, read strictly. PeerReplyUnusable: it is none."""
        try:
            members = strict_json(self.body)
        except (ValueError, RecursionError):
            members = None
        if not isinstance(members, dict):
            raise PeerReplyUnusable(Flaw.NOT_JSON)
        return members


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token of ours that a peer asks for (RFC 6750 §2.1), and the origins that it may be sent to."""

    token: Rotated[str]
    origins: frozenset[str]


class PeerClient:
    """HTTP to one peer. To be closed.

    timeout: seconds that a whole request may take: name, connection, TLS, sending, reading.
    max_in_flight: requests at once; further ones wait, within their timeout.

    proxy: an http URL of a proxy that all requests go through, by CONNECT where they are https (RFC 9110 §9.3.6), of
    which it sees nothing but the host. None: directly; what the environment says of proxies never counts.
    bearer: sent with every request to one of its origins that does not say otherwise who we are.
    contexts: gives the TLS context; what is connected after it was renewed uses the new one, and no connection that was
    made with an older one.

    TLSError: at construction, a TLS file is missing or no good. Every request raises PeerUnreachable,
    PeerTimeout or PeerReplyUnusable. A POST is sent once; aiohttp sends a GET again where a kept connection broke.
    """

    def __init__(
        self,
        *,
        timeout: float,
        max_in_flight: int,
        tls: TLS | None = None,
        clock: Clock = SYSTEM_CLOCK,
        contexts: Contexts = client_tls,
        proxy: str | None = None,
        bearer: Bearer | None = None,
    ) -> None:
        self._proxy = proxy
        self._bearer = bearer
        self._timeout = timeout
        self._max_in_flight = max_in_flight
        # aiohttp made a verifying context for itself when it was imported; another would hold all authorities again.
        self._tls = contexts(tls) if tls is not None and tls != TLS(server_name=tls.server_name) else None
        self._server_name = tls.server_name if tls else None
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        self._dated: tuple[str, str, float] | None = None

    @property
    def ahead(self) -> float | None:
        """Seconds that the peer's clock is ahead of ours, to the second: by the last Date (RFC 9110 §6.6.1).

        None: there was no reply, or it did not say.
        """
        if self._dated is None:
            return None
        date, age, received = self._dated
        then = _instant(date)
        # What a cache on the way kept is as old as it says (RFC 9111 §5.1).
        return None if then is None else then + (float(age[:9]) if _is_number(age) else 0.0) - received

    async def post_form(self, url: str, pairs: Sequence[tuple[str, str]], headers: dict[str, str]) -> Reply:
        """Send a form and return the reply, of at most 64 KiB. The body, not the URL, carries the form."""
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self._request("POST", url, {**form, **headers}, urlencode(pairs).encode(), MAX_REPLY_BYTES)

    async def post_json(self, url: str, body: bytes) -> Reply:
        """Send a JSON text and return the reply, of at most 64 KiB."""
        return await self._request("POST", url, {"Content-Type": "application/json"}, body, MAX_REPLY_BYTES)

    async def document(self, url: str) -> dict[str, Any]:
        """Fetch a JSON object of at most 1 MiB. PeerReplyUnusable: also where the status is not 200."""
        reply = await self._request("GET", url, {}, None, MAX_DOCUMENT_BYTES)
        if reply.status != 200:
            busy = reply.status == 429 or reply.status >= 500
            raise PeerReplyUnusable(Flaw.STATUS, reply.retry_after if busy else None)
        return reply.json_object()

    async def close(self) -> None:
        """Close all connections; what is under way, and what is asked for later, is PeerUnreachable."""
        self._closed = True
        if self._session is not None:
            await self._session.close()

    async def _request(self, method: str, url: str, headers: dict[str, str], body: bytes | None, limit: int) -> Reply:
        if self._closed:
            raise PeerUnreachable("the client is closed", before_reply=False)
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._open().request(
                    method,
                    URL(url, encoded=True),
                    headers=self._authorized(url, headers),
                    data=body,
                    proxy=self._proxy,
                    allow_redirects=False,  # the default would carry credentials elsewhere
                    server_hostname=self._server_name,
                    # Connections are kept by the context they were made with: those of an older one are left to end.
                    ssl=True if self._tls is None else self._tls.value,
                ) as response,
            ):
                return await self._read(response, limit)
        except TimeoutError:
            raise PeerTimeout("no reply in time") from None
        except aiohttp.ClientHttpProxyError:
            raise PeerUnreachable("the proxy gives no connection", before_reply=True) from None
        except (aiohttp.ClientResponseError, aiohttp.InvalidURL):
            raise PeerReplyUnusable(Flaw.NOT_HTTP) from None
        except (aiohttp.ClientError, OSError, UnicodeError) as error:
            raise _unreachable(error) from None

    def _authorized(self, url: str, headers: dict[str, str]) -> dict[str, str]:
        """The headers of a request, with the bearer token where its peer may have it."""
        if self._bearer is None or "Authorization" in headers or origin(url) not in self._bearer.origins:
            return headers
        return {**headers, "Authorization": f"Bearer {self._bearer.token.value}"}

    def _open(self) -> aiohttp.ClientSession:
        """The session, made in the running loop; where a default is unsafe for us, it is named."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=_Connector(limit=self._max_in_flight, keepalive_timeout=KEEPALIVE, resolver=Resolver()),
                headers=_HEADERS,
                cookie_jar=aiohttp.DummyCookieJar(),  # a shared jar would send one user's cookie with another's token
                auto_decompress=False,  # a bomb is not unpacked
                trust_env=False,  # no proxy and no netrc from the environment
                raise_for_status=False,
                timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
            )
        return self._session

    async def _read(self, response: aiohttp.ClientResponse, limit: int) -> Reply:
        content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        retry_after = self._retry_after(response.headers.get("Retry-After"))
        if (date := response.headers.get("Date")) is not None:
            self._dated = date, response.headers.get("Age", ""), self._clock.wall()
        try:
            body = await _body(response, content_type, limit)
        except PeerReplyUnusable:
            if response.status < 400:
                raise
            body = b""
        return Reply(response.status, content_type, retry_after, body)

    def _retry_after(self, value: str | None) -> float | None:
        """Seconds (RFC 9110 §10.2.3: a number of them, or a date)."""
        if value is None:
            return None
        if _is_number(value):
            return float(value[:9])
        date = _instant(value)
        return None if date is None else max(0.0, date - self._clock.wall())


def is_endpoint(url: object) -> bool:
    """Whether this is an absolute http or https URL that may be asked: ASCII, without user and fragment."""
    if not isinstance(url, str) or "#" in url or not _ENDPOINT.fullmatch(url):
        return False
    try:
        parsed = URL(url, encoded=True)
        return bool(parsed.host and parsed.port) and parsed.raw_user is None and parsed.raw_password is None
    except ValueError:
        return False


def _is_number(value: str) -> bool:
    return value.isascii() and value.isdigit()


def _instant(date: str) -> float | None:
    """Return an HTTP date as seconds since the epoch, None where it is none."""
    try:
        parsed = parsedate_to_datetime(date)
        return parsed.replace(tzinfo=parsed.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError):
        return None


def origin(url: str) -> str:
    """Return the origin of an http or https URL (RFC 6454 §6.2), its port left out where it is the scheme's."""
    return str(URL(url, encoded=True).origin()).lower()


def bearer_token(text: bytes) -> str:
    """Read a token that may stand in a header. ValueError: it is none."""
    if not B64TOKEN.fullmatch(text.strip()):
        raise ValueError("no bearer token")
    return text.strip().decode("ascii")


class _Connector(aiohttp.TCPConnector):
    """Gives out no kept connection on which something came in while it was idle.

    Those bytes would be taken for the next reply: one user's token for another. aiohttp looks only at the time.
    """

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.connector.Connection:
        for _ in range(self.limit + 1):  # so many may be idle, and a new one is clean
            connection = await super().connect(req, traces, timeout)
            try:
                for _ in range(2):  # let what has arrived be seen: one turn of the loop to poll, one to read
                    await asyncio.sleep(0)
            except asyncio.CancelledError:
                connection.close()  # else nobody would
                raise
            if connection.protocol is not None and not connection.protocol.should_close:
                return connection
            connection.close()
        raise aiohttp.ClientConnectionError


async def _body(response: aiohttp.ClientResponse, content_type: str, limit: int) -> bytes:
    if 300 <= response.status < 400:
        raise PeerReplyUnusable(Flaw.REDIRECT)
    if any(coding.strip().lower() != "identity" for coding in response.headers.getall("Content-Encoding", [])):
        raise PeerReplyUnusable(Flaw.CODED)
    if content_type != "application/json" and not (
        content_type.startswith("application/") and content_type.endswith("+json")
    ):
        raise PeerReplyUnusable(Flaw.CONTENT_TYPE)
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            raise PeerReplyUnusable(Flaw.TOO_LARGE)
    return bytes(body)


def _unreachable(error: Exception) -> PeerUnreachable:
    """Name what broke, in constant words, and whether a reply had begun."""
    match error:
        case aiohttp.ClientProxyConnectionError():
            return PeerUnreachable("no connection to the proxy", before_reply=True)
        case aiohttp.ClientConnectorDNSError() | UnicodeError():  # the latter from a name that can't be one
            return PeerUnreachable("the name does not resolve", before_reply=True)
        case aiohttp.ClientConnectorCertificateError():
            return PeerUnreachable("the certificate is not trusted", before_reply=True)
        case aiohttp.ClientSSLError():
            return PeerUnreachable("TLS failed", before_reply=True)
        case aiohttp.ClientConnectorError():
            return PeerUnreachable("no connection", before_reply=True)
        case aiohttp.ServerDisconnectedError():
            # aiohttp puts the head that was cut short in the place of the message.
            return PeerUnreachable("the connection was closed", before_reply=isinstance(error.message, str))
        case aiohttp.ClientPayloadError():
            return PeerUnreachable("the connection broke within the reply", before_reply=False)
        case _:
            return PeerUnreachable("the connection broke", before_reply=True)
