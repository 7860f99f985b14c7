"""A workload token that an authorization server gives us for ourselves (RFC 6749 §4.4).

One is held and used until shortly before it ends; a newer one is asked for ahead of that, as ``schedule`` says, by one
request at a time that no caller owns. It is never written down.
"""

import asyncio
import logging
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from sidecar.exchange.dialects import Dialect
from sidecar.exchange.dialects.errors import KINDS
from sidecar.exchange.failures import failure_of
from sidecar.exchange.reply import bearer_token, lifetime
from sidecar.exchange.schedule import REFRESH_INTERVAL, Lifetimes, Schedule, schedule
from sidecar.exchange.workload.source import workload_token
from sidecar.model.claims import ClaimError, instant
from sidecar.model.clock import SYSTEM_CLOCK, Clock
from sidecar.model.refusal import Kind, Refusal, Refused, refuse
from sidecar.model.request import RequestHead
from sidecar.model.tokens import WorkloadToken
from sidecar.oauth.server import AuthorizationServer, ErrorReply, ServerError, TokenReply

log = logging.getLogger("sidecar.exchange")

_NONE: Final = "The gateway has no token of its own."


@dataclass(frozen=True, slots=True)
class _Held:
    token: WorkloadToken
    schedule: Schedule


class ClientCredentials:
    """One workload token. token_type: the URI an exchange calls it by. scope: asked for; empty leaves it to the server.

    jitter: a random number from -1 to 1.
    """

    def __init__(
        self,
        name: str,
        token_type: str,
        *,
        server: AuthorizationServer,
        dialect: Dialect,
        scope: Sequence[str],
        lifetimes: Lifetimes,
        clock: Clock = SYSTEM_CLOCK,
        jitter: Callable[[], float] = lambda: random.uniform(-1, 1),  # noqa: S311 - spreads refreshes, hides nothing
    ) -> None:
        self.name = name
        self.token_type = token_type
        self._server = server
        self._dialect = dialect
        self._form = [("grant_type", "client_credentials"), *([("scope", " ".join(scope))] if scope else [])]
        self._path = ("workload_tokens", name, "client_credentials")
        self._key = sha256("/".join(self._path).encode()).digest()
        self._lifetimes = lifetimes
        self._clock = clock
        self._jitter = jitter
        self._held: _Held | None = None
        self._refresh_at = math.inf
        self._flight: asyncio.Task[_Held | Refusal] | None = None
        self._overtaken: set[asyncio.Task[_Held | Refusal]] = set()  # by ``forget``: what they bring is not held

    async def current(self, _: RequestHead) -> WorkloadToken:
        """Return the token held, or wait for one.

        Refused: EXCHANGE_MISCONFIGURED where the server gives us none; else with the kind that the failure maps to.
        """
        now, held = self._clock.monotonic(), self._held
        if held is not None and now < held.schedule.deadline:
            if now >= self._refresh_at and self._flight is None:
                self._refresh_at = now + REFRESH_INTERVAL
                self._start()
            return held.token
        outcome = await asyncio.shield(self._flight or self._start())
        if isinstance(outcome, Refusal):
            raise Refused(outcome)
        return outcome.token

    def doubt(self) -> None:
        """Take note that a server refused what it was asked under this token, which may have been withdrawn.

        The next use has a newer one asked for in the background, at most once in 10 seconds.
        """
        now, held = self._clock.monotonic(), self._held
        if held is not None and now >= held.schedule.sent + REFRESH_INTERVAL:
            self._refresh_at = min(self._refresh_at, now)

    def forget(self, server: str | None = None) -> int:
        """Forget the token held, where a server of this name gave it, or any; return how many that were.

        One that is under way is for those alone who wait for it already.
        """
        if server not in (None, self._server.name):
            return 0
        held, self._held = self._held, None
        if self._flight is not None:
            self._overtaken.add(self._flight)
            self._flight = None
        return int(held is not None)

    async def close(self) -> None:
        """Give up asking."""
        flights = [*self._overtaken, *([self._flight] if self._flight is not None else [])]
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    def _start(self) -> "asyncio.Task[_Held | Refusal]":
        self._flight = flight = asyncio.create_task(self._fetch())
        flight.add_done_callback(self._landed)
        return flight

    def _landed(self, flight: "asyncio.Task[_Held | Refusal]") -> None:
        if flight in self._overtaken:
            self._overtaken.remove(flight)
        else:
            self._flight = None

    async def _fetch(self) -> _Held | Refusal:
        """Ask once, and hold what came. Raises nothing but cancellation."""
        try:
            held = self._read(await self._asked())
        except Refused as refused:
            return refused.refusal
        except Exception as error:  # noqa: BLE001 - whoever waits must be answered, and its text may quote anything
            log.error("asking for workload_tokens.%s broke off: %s", self.name, type(error).__name__)
            return Refusal(Kind.EXCHANGE_UNUSABLE, _NONE, finding=type(error).__name__)
        if held.schedule.kept and asyncio.current_task() not in self._overtaken:
            self._held, self._refresh_at = held, held.schedule.refresh_at
        return held

    async def _asked(self) -> TokenReply:
        try:
            answer = await self._server.token_request(self._form, self._key)
        except ServerError as error:
            refusal = failure_of(error, self._server.name).refusal
            raise Refused(replace(refusal, key=refusal.key or self._path)) from None
        if not isinstance(answer, ErrorReply):
            return answer
        cause = self._dialect.cause_of(answer.error, answer.description) if answer.error is not None else None
        finding = f"workload_tokens.{self.name}: the authorization server said {answer.status}"
        finding += f" {answer.error}" if cause is not None else " without an OAuth error code that is known"
        if cause is not None and KINDS[cause] is Kind.EXCHANGE_UNAVAILABLE:
            raise refuse(Kind.EXCHANGE_UNAVAILABLE, _NONE, finding=finding, retry_after=1, key=self._path)
        raise refuse(Kind.EXCHANGE_MISCONFIGURED, _NONE, finding=finding, key=self._path)

    def _read(self, reply: TokenReply) -> _Held:
        text = bearer_token(reply.members)
        token = workload_token(self.name, self.token_type, text)
        try:
            expires_at = instant(token.claims, "exp")
        except ClaimError as error:
            finding = f"workload_tokens.{self.name}: {error}"
            raise refuse(Kind.EXCHANGE_UNUSABLE, _NONE, finding=finding) from None
        times = schedule(
            self._lifetimes,
            sent=reply.sent,
            sent_wall=reply.sent_wall,
            expires_in=lifetime(reply.members),
            issued_exp=expires_at,
            subject_exp=math.inf,
            jitter=self._jitter(),
        )
        return _Held(token, times)
