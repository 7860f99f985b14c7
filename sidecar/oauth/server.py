"""One authorization server as we see it: a form goes to one of its endpoints, a reply or an error comes back.

Here is in which order a request waits, is sent, and is tried again, and when none is sent at all. Each of these has a
module of its own: ``turns``, ``attempt``, ``retries``, ``pause``, ``breaker``; what a reply says is read in ``answer``.
What is asked for and remembering answers is not its business (RFC 6749 §3.2; RFC 9110 §10.2.3).
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from typing import Final

from sidecar.model.clock import SYSTEM_CLOCK, Clock
from sidecar.oauth.answer import (
    AskedToWait,
    ErrorReply,
    Health,
    MayHavePassed,
    ServerError,
    ServerNotAsked,
    ServerOverloaded,
    ServerReplyUnusable,
    ServerTimeout,
    ServerUnavailable,
    TokenReply,
)
from sidecar.oauth.attempt import Member, attempt
from sidecar.oauth.breaker import Breaker, BreakerState
from sidecar.oauth.client_auth import ClientAuthentication, TokenEndpoint
from sidecar.oauth.http import PeerClient, PeerTimeout, is_endpoint
from sidecar.oauth.jwks import KeySource
from sidecar.oauth.metadata import MetadataSource
from sidecar.oauth.pause import Pause
from sidecar.oauth.retries import RetryBudget
from sidecar.oauth.turns import Turns

__all__ = [
    "AuthorizationServer",
    "ErrorReply",
    "ServerError",
    "ServerNotAsked",
    "ServerOverloaded",
    "ServerReplyUnusable",
    "ServerTimeout",
    "ServerUnavailable",
    "TokenReply",
]

log = logging.getLogger("sidecar.oauth")

LONGEST_RETRY_WAIT: Final = 0.2  # seconds before the one retry; how much of it is random
_OURSELVES_REFUSED: Final = frozenset({"invalid_client", "unauthorized_client"})


class AuthorizationServer:
    """One authorization server.

    endpoint: as configured, or the metadata that tells. member: which endpoint of the metadata.
    timeout: seconds for one request: waiting for its turn, discovery, every attempt.
    max_in_flight: requests at once; as many again may wait.
    key_source: the keys that verify what it issues, where they are known.
    uniform: a random number between two others; it spreads retries, probes and what comes after a pause.

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
        member: Member = "token_endpoint",
        clock: Clock = SYSTEM_CLOCK,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        if isinstance(endpoint, TokenEndpoint) and not is_endpoint(endpoint.url):
            raise ValueError("the endpoint is no http or https URL without a fragment")
        self.name = name
        self.key_source = key_source
        self._endpoint = endpoint
        self._client = client
        self._client_auth = client_auth
        self._timeout = timeout
        self._member: Member = member
        self._clock = clock
        self._uniform = uniform
        self.max_in_flight = max_in_flight
        self._turns = Turns(max_in_flight)
        self._pause = Pause(uniform)
        self._breaker = Breaker(uniform)
        self._retries = RetryBudget()

    @property
    def in_flight(self) -> int:
        """How many requests are under way."""
        return self._turns.held

    @property
    def queued(self) -> int:
        """How many requests wait for their turn."""
        return self._turns.waiting

    @property
    def breaker(self) -> BreakerState:
        """The state of its breaker now."""
        return self._breaker.state(self._clock.monotonic())

    @property
    def pause_left(self) -> float:
        """Seconds for which the server asked to be left alone, or 0."""
        return self._pause.left(self._clock.monotonic())

    @property
    def ready(self) -> bool:
        """Whether a request would be sent at once: it need not wait for its turn, and the server is not left alone."""
        return self._turns.free and not self.pause_left and not self._breaker.wait(self._clock.monotonic())

    async def token_request(self, pairs: Sequence[tuple[str, str]], key: bytes) -> TokenReply | ErrorReply:
        """Send a form to the token endpoint, client authentication added. key: by which the breaker tells asks apart.

        One failure that may have passed is tried again once, as far as the retry budget goes: a connection that broke
        before the reply's first byte, or 502, 503, 504 without Retry-After. A refusal of our own credentials is tried
        again where they turn out to have changed.

        ServerOverloaded, ServerTimeout, ServerUnavailable, ServerReplyUnusable; ServerNotAsked at once, while the
        server asked to be left alone or its breaker is open. Cancelling gives up the request.
        """
        self._refuse_while_left_alone()
        period: int | None = None
        health = Health.UNTOLD
        try:
            async with asyncio.timeout(self._timeout), self._turns:
                if (delay := self._pause.delay(self._clock.monotonic())) > 0:
                    await asyncio.sleep(delay)
                period = self._enter()
                answer = await self._asked(pairs)
            health = answer.health
            return answer
        except (TimeoutError, PeerTimeout):
            health = Health.FAILED
            raise ServerTimeout("no answer in time") from None
        except ServerError as error:
            health = error.health
            raise
        finally:
            if period is not None:
                self._note(period, health, key)

    async def look(self) -> bool | None:
        """Look whether it is there, without asking for a token: whether its metadata can be read.

        None: that says nothing, because the token endpoint is not discovered, because the server asked to be left
        alone, or because its breaker is not closed: then exchanges tell.
        """
        if not isinstance(self._endpoint, MetadataSource) or self.pause_left:
            return None
        there = await self._endpoint.look()
        return None if there and self.breaker is not BreakerState.CLOSED else there

    async def _asked(self, pairs: Sequence[tuple[str, str]]) -> TokenReply | ErrorReply:
        used = self._client_auth.generation
        try:
            answer = await self._attempt(pairs)
        except MayHavePassed:
            if self._client_auth.mutual_tls:  # a certificate that is refused may show as a broken connection
                await self._renewed(used)
            if self.breaker is not BreakerState.CLOSED or not self._retries.spend():
                raise
            await asyncio.sleep(self._uniform(0.0, LONGEST_RETRY_WAIT))
            if self.pause_left:
                raise
            answer = await self._attempt(pairs)
        else:
            if answer.health is Health.ANSWERED:
                self._retries.earn()
        refused = isinstance(answer, ErrorReply) and answer.error in _OURSELVES_REFUSED
        if refused and not self.pause_left and await self._renewed(used):
            return await self._attempt(pairs)
        return answer

    async def _renewed(self, used: int) -> bool:
        """Whether there is something newer to authenticate with than what was used."""
        if self._client_auth.generation == used:
            await asyncio.to_thread(self._client_auth.reread)
        return self._client_auth.generation != used

    async def _attempt(self, pairs: Sequence[tuple[str, str]]) -> TokenReply | ErrorReply:
        try:
            return await attempt(pairs, self._endpoint, self._member, self._client, self._client_auth, self._clock)
        except AskedToWait as error:
            self._pause.begin(error.pause, self._clock.monotonic())
            raise

    def _refuse_while_left_alone(self) -> None:
        if (pause := self.pause_left) > 0:
            raise ServerNotAsked("the server asked to be left alone", pause)
        if (wait := self._breaker.wait(self._clock.monotonic())) > 0:
            raise ServerNotAsked("the server failed too often", wait)

    def _enter(self) -> int:
        """Pass the breaker; it may have opened while this request waited for its turn."""
        self._refuse_while_left_alone()
        period = self._breaker.enter(self._clock.monotonic())
        if period is None:
            raise ServerNotAsked("the server failed too often")
        return period

    def _note(self, period: int, health: Health, key: bytes) -> None:
        """Tell the breaker how a request ended, and the log where that opened or closed it."""
        was_closed, now = self.breaker is BreakerState.CLOSED, self._clock.monotonic()
        match health:
            case Health.ANSWERED:
                self._breaker.succeeded(period)
            case Health.FAILED:
                self._breaker.failed(period, key, now)
            case Health.UNTOLD:
                self._breaker.given_up(period, now)
        closed = self.breaker is BreakerState.CLOSED
        about = {"authorization_server": self.name, "endpoint": self._member}
        if was_closed and not closed:
            log.warning("requests fail: the breaker opens", extra=about)
        elif closed and not was_closed:
            log.info("a request was answered: the breaker closes", extra=about)
