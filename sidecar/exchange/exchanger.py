"""Key → cache → single flight → token endpoint → check: how a route comes by a token for its upstream.

Each exchange runs in a task of its own that no request owns: the request that started it may leave, and a failure
answers all who wait for it at once. Nothing is forwarded under an issued token before its exchange is written down.
"""

import asyncio
import logging
import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol
from uuid import uuid4

from cachetools import LRUCache

from sidecar.exchange.ask import Ask
from sidecar.exchange.cache import Entry, TokenCache
from sidecar.exchange.expect import judge
from sidecar.exchange.failures import NotAsked
from sidecar.exchange.plan import Plan
from sidecar.exchange.schedule import REFRESH_INTERVAL
from sidecar.model.approval import Approval
from sidecar.model.clock import SYSTEM_CLOCK, Clock
from sidecar.model.decision import CacheResult, Exchanged, Grant
from sidecar.model.flush import About
from sidecar.model.refusal import Kind, Refusal, Refused
from sidecar.model.request import RequestHead
from sidecar.model.route import Expect, Route
from sidecar.model.tokens import Subject, WorkloadToken

#: What a server may say where it is a token of ours that it does not accept.
_MAY_BE_OURS: Final = frozenset({Kind.INVALID_TOKEN, Kind.EXCHANGE_MISCONFIGURED, Kind.EXCHANGE_DENIED})

log = logging.getLogger("sidecar.exchange")

#: Keys of which it is remembered when their token was given up; each is there for seconds.
MAX_GIVEN_UP: Final = 10_000


class Journal(Protocol):
    """Where lookups and exchanges are counted and written down."""

    def looked_up(self, route: str, result: CacheResult) -> None:
        """Count one lookup."""

    async def exchanged(self, record: Exchanged) -> str:
        """Count an exchange and write its receipt; return what the receipts of its uses will have in common.

        Refused: the receipt must be written before anything is forwarded, and can't be.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Errand:
    """One request's need of a token."""

    plan: Plan
    ask: Ask
    subject: Subject
    actor: WorkloadToken | None
    request: RequestHead
    approval: Approval | None

    @property
    def flight(self) -> tuple[bytes, Expect]:
        """Which requests one exchange answers: those that ask for the same and expect the same of what comes.

        The token is judged by what the first one's route expects; a refusal of that must not be another route's.
        """
        return self.ask.key, self.plan.exchange.expect

    @property
    def approved_until(self) -> float:
        return math.inf if self.approval is None else self.approval.until


@dataclass(frozen=True, slots=True, eq=False)
class _Flight:
    """An exchange under way. errand: that of the request that began it."""

    errand: _Errand
    task: "asyncio.Task[Entry | Refusal]"


class Exchanger:
    """Comes by issued tokens for all routes of a process; outlives reloads, so that tokens do."""

    def __init__(
        self,
        cache: TokenCache,
        journal: Journal,
        *,
        clock: Clock = SYSTEM_CLOCK,
        jitter: Callable[[], float] = lambda: random.uniform(-1, 1),  # noqa: S311 - spreads refreshes, hides nothing
    ) -> None:
        self.cache = cache
        self._journal = journal
        self._clock = clock
        self._jitter = jitter
        self._given_up: LRUCache[bytes, float] = LRUCache(MAX_GIVEN_UP)  # until when not again
        self._refreshing: Counter[str] = Counter()
        self._flights: dict[tuple[bytes, Expect], _Flight] = {}
        self._overtaken: set[_Flight] = set()  # by a flush: nobody joins them, and nothing of them is kept

    @property
    def in_flight(self) -> int:
        """How many exchanges are under way."""
        return len(self._flights) + len(self._overtaken)

    async def obtain(
        self, plan: Plan, presented: Subject | None, request: RequestHead, approval: Approval | None = None
    ) -> Grant:
        """Return a token for a route's upstream, judged by what that route expects.

        presented: the caller's verified token; None where the route asks for none and exchanges one of ours.
        approval: the yes that this request has; what is got under it is kept no longer than it counts.
        Refused: with the kind of refusal that the failure maps to; nothing may be forwarded then.
        """
        subject, actor, ask = await plan.ask(presented, request)
        now = self._clock.monotonic()
        entry, result = self.cache.get(ask.key, now), CacheResult.HIT
        if entry is not None and entry.passed is not None and now < entry.refresh_at:
            # The token, the expectation and the subject never change: what was judged of these very three stays true.
            expect, whose, grant = entry.passed
            if expect is plan.exchange.expect and whose is subject:
                self._journal.looked_up(plan.route.name, result)
                return grant
        if entry is None:
            entry, result = await self._missed(_Errand(plan, ask, subject, actor, request, approval), now)
        refusal = judge(entry.token, plan.exchange.expect, subject)
        if (
            refusal is None
            and result is CacheResult.HIT
            and now >= entry.refresh_at
            and self._refresh(_Errand(plan, ask, subject, actor, request, approval), entry, now)
        ):
            result = CacheResult.REFRESHED
        self._journal.looked_up(plan.route.name, result)
        if refusal is not None:
            raise Refused(refusal)
        waited = self._clock.monotonic() - now if result in (CacheResult.MISS, CacheResult.COALESCED) else 0.0
        grant = Grant(
            token=entry.token,
            actor=entry.actor,
            exchange_id=entry.exchange_id,
            lifetime=entry.schedule.life,
            cache=result,
            fragment=entry.fragment,
            waited=waited,
            key=ask.key,
            sent=entry.schedule.sent,
        )
        if result is CacheResult.HIT:
            entry.passed = plan.exchange.expect, subject, grant
        return grant

    def give_up(self, grant: Grant) -> bool:
        """Forget a token that the upstream does not accept; whether it makes sense to ``obtain`` another now.

        It does where a newer one is there or on its way, or where the last one of this key was given up 10 seconds ago
        or longer: an upstream that accepts none must not have the authorization server asked for every request.
        """
        now = self._clock.monotonic()
        entry = self.cache.get(grant.key, now)
        if entry is not None and entry.token.token != grant.token.token:
            return True
        if any(key == grant.key for key, _ in self._flights):
            self.cache.discard(grant.key, "refused")
            return True
        if now < self._given_up.get(grant.key, now):
            return False
        self._given_up[grant.key] = now + REFRESH_INTERVAL
        self.cache.discard(grant.key, "refused")
        return True

    def flush(self, takes: Callable[[About], bool]) -> tuple[int, int, int]:
        """Forget what ``takes`` says; return how many issued tokens, refusals and exchanges under way that were.

        Whoever waits for one of those exchanges gets what comes of it; nobody else does.
        """
        overtaken = [key for key, flight in self._flights.items() if takes(flight.errand.ask.about)]
        self._overtaken.update(self._flights.pop(key) for key in overtaken)
        return *self.cache.flush(takes), len(overtaken)

    async def settled(self) -> None:
        """Return when the exchanges that are under way now have ended."""
        if tasks := self._tasks():
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Break off all exchanges under way; each is written down, since what was sent may have been granted."""
        tasks = self._tasks()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _tasks(self) -> "list[asyncio.Task[Entry | Refusal]]":
        return [flight.task for flight in (*self._flights.values(), *self._overtaken)]

    async def _missed(self, errand: _Errand, now: float) -> tuple[Entry, CacheResult]:
        """Wait for an exchange, another's if one is under way."""
        route = errand.plan.route.name
        if (refusal := self.cache.refusal(errand.ask.key, now)) is not None:
            self._journal.looked_up(route, CacheResult.NEGATIVE)
            raise Refused(refusal)
        flight, result = self._flights.get(errand.flight), CacheResult.COALESCED
        if flight is None:
            flight, result = self._fly(errand, CacheResult.MISS), CacheResult.MISS
        outcome = await asyncio.shield(flight.task)
        if isinstance(outcome, Refusal):
            self._journal.looked_up(route, result)
            raise Refused(_of(errand.plan.route, outcome))
        return outcome, result

    def _refresh(self, errand: _Errand, entry: Entry, now: float) -> bool:
        """Start an exchange in the background where one is due; the entry serves meanwhile.

        Not while it would have to wait, nor where refreshes are half of what the server may be asked at once: whoever
        has no token yet goes first, and a server that is left alone is.
        Nor under an approval that ends before the entry does.
        """
        if errand.flight in self._flights or errand.approved_until <= entry.schedule.deadline:
            return False
        server = errand.plan.server
        if not server.ready or 2 * self._refreshing[server.name] >= max(server.max_in_flight, 2):
            return False
        entry.refresh_at = now + REFRESH_INTERVAL
        self._refreshing[server.name] += 1
        flight = self._fly(errand, CacheResult.REFRESHED)
        flight.task.add_done_callback(lambda _: self._refreshing.subtract((server.name,)))
        return True

    def _fly(self, errand: _Errand, cause: CacheResult) -> _Flight:
        flight = _Flight(errand, asyncio.create_task(self._exchange(errand, cause)))
        self._flights[errand.flight] = flight
        flight.task.add_done_callback(lambda _: self._landed(flight))
        return flight

    def _landed(self, flight: _Flight) -> None:
        if flight in self._overtaken:
            self._overtaken.remove(flight)
        else:
            del self._flights[flight.errand.flight]

    def _still_wanted(self, errand: _Errand) -> bool:
        """Whether what comes of this task's exchange may be kept: no flush has overtaken it."""
        flight = self._flights.get(errand.flight)
        return flight is not None and flight.task is asyncio.current_task()

    async def _exchange(self, errand: _Errand, cause: CacheResult) -> Entry | Refusal:
        """Make one exchange, write it down, keep what may be kept. Raises nothing but cancellation.

        Cancelled while the server is asked, it is written down as broken off.
        """
        exchange_id = uuid4().hex
        began = self._clock.monotonic()
        try:
            outcome, asked = await self._ask(errand, exchange_id)
            record = self._record(errand, cause, exchange_id, outcome, began, asked=asked)
            fragment = await self._journal.exchanged(record)
        except Refused as refused:
            return refused.refusal
        except Exception as error:  # noqa: BLE001 - as in _ask; what is not on record must not be used
            return _broken_off(errand, error)
        if isinstance(outcome, Entry):
            outcome.fragment = fragment
            if self._still_wanted(errand):
                self._keep(errand.ask, outcome)
            return outcome
        if outcome.kind in _MAY_BE_OURS:
            errand.plan.doubt()
        if outcome.kind is Kind.INVALID_TOKEN and cause is CacheResult.MISS and self._still_wanted(errand):
            self.cache.put_refusal(errand.ask.key, outcome, errand.ask.about, self._clock.monotonic())
        return outcome

    async def _ask(self, errand: _Errand, exchange_id: str) -> tuple[Entry | Refusal, bool]:
        """Return what came of it, and whether the server was asked and had its time to answer."""
        try:
            until = errand.approved_until
            token, times = await errand.plan.carry_out(errand.ask, errand.subject, self._jitter(), until)
            return Entry(token, errand.actor, exchange_id, times, errand.ask.about), True
        except NotAsked as refused:
            return refused.refusal, False
        except Refused as refused:
            return refused.refusal, True
        except asyncio.CancelledError:  # by ``close``, and by nobody else
            return Refusal(Kind.EXCHANGE_UNAVAILABLE, "The gateway stops.", retry_after=1, finding="broken off"), False
        except Exception as error:  # noqa: BLE001 - whoever waits must be answered, whatever broke
            return _broken_off(errand, error), True

    def _record(
        self,
        errand: _Errand,
        cause: CacheResult,
        exchange_id: str,
        outcome: Entry | Refusal,
        began: float,
        *,
        asked: bool,
    ) -> Exchanged:
        issued = outcome if isinstance(outcome, Entry) else None
        return Exchanged(
            exchange_id=exchange_id,
            request=errand.request,
            route=errand.plan.route,
            exchange=errand.plan.exchange,
            subject=errand.subject,
            actor=errand.actor,
            cache=cause,
            issued=issued.token if issued else None,
            lifetime=issued.schedule.life if issued else 0.0,
            refusal=outcome if isinstance(outcome, Refusal) else None,
            duration=self._clock.monotonic() - began,
            asked=asked,
            approval=errand.approval,
        )

    def _keep(self, ask: Ask, entry: Entry) -> None:
        """Keep an entry unless it is for now only, or the one there lives longer: some servers give the same again."""
        there = self.cache.get(ask.key, self._clock.monotonic())
        if entry.schedule.kept and (there is None or there.schedule.deadline < entry.schedule.deadline):
            self.cache.put(ask.key, entry)


def _of(route: Route, refusal: Refusal) -> Refusal:
    """A shared exchange's refusal as one route's: where a scope is missing, all that the next token needs at once."""
    if refusal.kind is not Kind.INSUFFICIENT_SCOPE:
        return refusal
    return replace(refusal, scope=tuple(dict.fromkeys((*route.subject.require_scope, *refusal.scope))))


def _broken_off(errand: _Errand, error: Exception) -> Refusal:
    """Name what broke by its class alone: its text may quote anything."""
    name = type(error).__name__
    log.error("an exchange with %s broke off: %s", errand.plan.server.name, name)
    return Refusal(Kind.EXCHANGE_UNUSABLE, "The exchange broke off.", finding=name)
