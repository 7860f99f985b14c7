"""One authorization server as we see it: a form goes to one of its endpoints, a reply or an error comes back.

It finds the endpoint, authenticates, keeps time, asks again where that can help, and leaves a server alone that asks
for it (RFC 6749 §3.2, §5; RFC 9110 §10.2.3). What is asked for and whether an answer is good enough to be used is not
its business, and neither is remembering answers.
"""

import asyncio
import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Literal
from urllib.parse import unquote

from sidecar.model.clock import SYSTEM_CLOCK, Clock
from sidecar.oauth.client_auth import ClientAuthentication, TokenEndpoint
from sidecar.oauth.http import Flaw, PeerClient, PeerReplyUnusable, PeerTimeout, PeerUnreachable, Reply, is_endpoint
from sidecar.oauth.jwks import KeySource
from sidecar.oauth.metadata import MetadataSource, MetadataUnavailable

LONGEST_PAUSE: Final = 60.0  # seconds that a Retry-After is obeyed for
DEFAULT_PAUSE: Final = 1.0  # seconds, where a server that must be left alone does not say
MAX_DESCRIPTION: Final = 1024  # characters
_PASSING: Final = frozenset({502, 503, 504})
_CODE: Final = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]{1,64}")  # RFC 6749 §5.2
_OURSELVES_REFUSED: Final = frozenset({"invalid_client", "unauthorized_client"})
_LOGIN: Final = ("acr_values", "max_age", "claims")
_SECRET_PAIRS: Final = frozenset({"subject_token", "actor_token", "assertion", "client_secret", "client_assertion"})
_SHORTEST_SECRET: Final = 8  # characters
_SERVER_FAILED: Final = frozenset({"server_error", "temporarily_unavailable"})


class ServerError(Exception):
    """A request to an authorization server came to nothing. ``reason`` is constant text."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ServerUnavailable(ServerError):
    """There is no connection, or the server can't or won't answer now. retry_after: seconds."""

    def __init__(self, reason: str, retry_after: float = DEFAULT_PAUSE) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class ServerOverloaded(ServerError):
    """As many requests as may be are under way, and as many again are waiting."""


class ServerTimeout(ServerError):
    """There was no answer in time."""


class ServerReplyUnusable(ServerError):
    """There is an answer, and it must not be used. astray: it may come from somewhere else than a token endpoint."""

    def __init__(self, reason: str, *, astray: bool = True) -> None:
        super().__init__(reason)
        self.astray = astray


class _MayHavePassed(ServerUnavailable):
    """A failure after which asking once more may help."""


@dataclass(frozen=True, slots=True)
class TokenReply:
    """A success: status 200, a JSON object, no ``error`` in it. A refresh token is not kept.

    sent, sent_wall: when the request was sent, on the monotonic and the wall clock, in seconds.
    """

    members: Mapping[str, Any] = field(repr=False)
    sent: float
    sent_wall: float


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """A refusal.

    error: the OAuth code, at most 64 characters of its charset; None where there is none that is well-formed.
    description: the server's text, cut to 1024 characters: to be compared, never to be shown.
    login: what it says of the login that it wants, as it came: ``acr_values``, ``max_age``, ``claims``; none that
        repeats a token or secret of the request.
    """

    status: int
    error: str | None
    description: str | None = field(repr=False)
    login: Mapping[str, Any] = field(default_factory=dict, repr=False)


class AuthorizationServer:
    """One authorization server.

    endpoint: as configured, or the metadata that tells. member: which endpoint of the metadata.
    timeout: seconds for one request: waiting for its turn, discovery, every attempt.
    max_in_flight: requests at once; as many again may wait.
    key_source: the keys that verify what it issues, where they are known.

    ValueError: at construction, the endpoint is no URL that can be asked: a query is kept, a fragment is an error
    (RFC 6749 §3.2).
    """

    def __init__(
        self,
        name: str,
        *,
        endpoint: TokenEndpoint | MetadataSource,
        client: PeerClient,
        client_auth: ClientAuthentication,
        timeout: float,
        max_in_flight: int,
        key_source: KeySource | None = None,
        member: Literal["token_endpoint", "introspection_endpoint"] = "token_endpoint",
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if isinstance(endpoint, TokenEndpoint) and not is_endpoint(endpoint.url):
            raise ValueError("the endpoint is no http or https URL without a fragment")
        self.name = name
        self.key_source = key_source
        self._client = client
        self._client_auth = client_auth
        self._timeout = timeout
        self._endpoint = endpoint
        self._member = member
        self._clock = clock
        self._places = 2 * max_in_flight
        self._turn = asyncio.Semaphore(max_in_flight)
        self._not_before = float("-inf")

    async def token_request(self, pairs: Sequence[tuple[str, str]]) -> TokenReply | ErrorReply:
        """Send a form to the endpoint, client authentication added.

        One failure that may have passed is tried again once: a connection that broke before the reply's first byte, or
        502, 503, 504 without Retry-After. So is a refusal of our own credentials, where they turn out to have changed.

        ServerOverloaded, ServerTimeout, ServerUnavailable (also at once, while it asked to be left alone),
        ServerReplyUnusable. Cancelling gives up the request.
        """
        if not self._places:
            raise ServerOverloaded("too many requests are waiting for the server")
        self._places -= 1
        try:
            async with asyncio.timeout(self._timeout), self._turn:
                used = self._client_auth.generation
                answer = await self._ask(pairs)
                if isinstance(answer, ErrorReply) and answer.error in _OURSELVES_REFUSED and await self._renewed(used):
                    answer = await self._ask(pairs)
                return answer
        except (TimeoutError, PeerTimeout):
            raise ServerTimeout("no answer in time") from None
        finally:
            self._places += 1

    async def _ask(self, pairs: Sequence[tuple[str, str]]) -> TokenReply | ErrorReply:
        try:
            return await self._attempt(pairs)
        except _MayHavePassed:
            if self._client_auth.mutual_tls:  # a certificate that is refused may show as a broken connection
                await self._renewed(self._client_auth.generation)
        return await self._attempt(pairs)

    async def _renewed(self, used: int) -> bool:
        """Whether there is something newer to authenticate with than what was used."""
        if self._client_auth.generation == used:
            await asyncio.to_thread(self._client_auth.reread)
        return self._client_auth.generation != used

    async def _attempt(self, pairs: Sequence[tuple[str, str]]) -> TokenReply | ErrorReply:
        self._heed_pause()
        endpoint = await self._where()
        sent, sent_wall = self._clock.monotonic(), self._clock.wall()
        credentials = self._client_auth.credentials(endpoint, sent_wall)
        try:
            reply = await self._client.post_form(endpoint.url, [*pairs, *credentials.pairs], dict(credentials.headers))
        except PeerUnreachable as error:
            failure = _MayHavePassed if error.before_reply else ServerUnavailable
            raise failure(error.reason) from None
        except PeerReplyUnusable as error:
            raise ServerReplyUnusable(error.reason) from None
        if reply.status == HTTPStatus.OK:
            return TokenReply(_success(reply), sent, sent_wall)
        return self._failure(reply, _secrets([*pairs, *credentials.pairs], credentials.headers))

    async def _where(self) -> TokenEndpoint:
        endpoint = self._endpoint
        if isinstance(endpoint, MetadataSource):
            endpoint = await self._discovered(endpoint)
        if self._client_auth.mutual_tls and not endpoint.url.startswith("https:"):
            raise ServerReplyUnusable("the endpoint is not https, so it can't see our certificate")
        return endpoint

    async def _discovered(self, source: MetadataSource) -> TokenEndpoint:
        try:
            metadata = await source.metadata()
        except MetadataUnavailable as error:
            raise ServerUnavailable(error.reason, error.retry_after) from None
        url: str | None = getattr(metadata, self._member)
        if self._client_auth.mutual_tls:
            url = getattr(metadata, f"mtls_{self._member}") or url
        if url is None:
            raise ServerReplyUnusable(f"metadata: no {self._member}")
        return TokenEndpoint(url, metadata.issuer)

    def _failure(self, reply: Reply, secrets: Sequence[str]) -> ErrorReply:
        """Judge a reply that is no success: the code decides, the status where there is none."""
        if reply.status < HTTPStatus.BAD_REQUEST:
            raise ServerReplyUnusable(Flaw.STATUS)
        failed, passing = reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR, reply.status in _PASSING
        if reply.status == HTTPStatus.TOO_MANY_REQUESTS or (failed and reply.retry_after is not None):
            pause = DEFAULT_PAUSE if reply.retry_after is None else min(reply.retry_after, LONGEST_PAUSE)
            self._not_before = max(self._not_before, self._clock.monotonic() + pause)
            raise ServerUnavailable("the server asks to be left alone", max(pause, DEFAULT_PAUSE))
        error = _error(reply, secrets)
        if passing and (error.error is None or error.error in _SERVER_FAILED):
            raise _MayHavePassed("the server is not available")
        if failed and error.error is None:
            raise ServerUnavailable("the server failed")
        return error

    def _heed_pause(self) -> None:
        pause = self._not_before - self._clock.monotonic()
        if pause > 0:
            raise ServerUnavailable("the server asked to be left alone", pause)


def _success(reply: Reply) -> Mapping[str, Any]:
    if reply.content_type != "application/json":
        raise ServerReplyUnusable(Flaw.CONTENT_TYPE)
    try:
        members = reply.json_object()
    except PeerReplyUnusable as error:
        raise ServerReplyUnusable(error.reason) from None
    if "error" in members:
        raise ServerReplyUnusable("the reply is a success and an error", astray=False)
    members.pop("refresh_token", None)
    return members


def _error(reply: Reply, secrets: Sequence[str]) -> ErrorReply:
    try:
        members = reply.json_object()
    except PeerReplyUnusable:
        members = {}
    code, description = members.get("error"), members.get("error_description")
    return ErrorReply(
        reply.status,
        code if isinstance(code, str) and _CODE.fullmatch(code) else None,
        description[:MAX_DESCRIPTION] if isinstance(description, str) else None,
        {name: members[name] for name in _LOGIN if name in members and not _repeats(members[name], secrets)},
    )


def _repeats(value: object, secrets: Sequence[str]) -> bool:
    return isinstance(value, str) and any(secret in value for secret in secrets)


def _secrets(pairs: Sequence[tuple[str, str]], headers: Sequence[tuple[str, str]]) -> list[str]:
    """The tokens and secrets of a request, whole and in parts, as far as they are not words that anybody may say."""
    sent = [value for name, value in pairs if name in _SECRET_PAIRS]
    for _, value in headers:
        credential = value.rpartition(" ")[2]
        with suppress(ValueError):  # no Basic credentials
            sent.append(unquote(b64decode(credential, validate=True).decode().partition(":")[2]))
        sent.append(credential)
    return [part for value in sent for part in (value, *value.split(".")) if len(part) >= _SHORTEST_SECRET]
