"""The exchanger against a server that counts: who waits, who asks, who is answered with what, and what is kept."""

import asyncio
import logging
import math
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sidecar.exchange.cache import Entry, TokenCache
from sidecar.exchange.exchanger import Exchanger
from sidecar.exchange.plan import Plan
from sidecar.exchange.schedule import Schedule
from sidecar.exchange.workload.file import workload_token_file
from sidecar.model.approval import Approval
from sidecar.model.decision import CacheResult, Exchanged, Grant
from sidecar.model.refusal import Kind, Refused, refuse
from sidecar.model.route import Expect, Expected
from sidecar.model.tokens import JWT, Semantics, Subject
from sidecar.oauth.jwt import generate_key, sign
from sidecar.oauth.server import ErrorReply, ServerNotAsked, ServerOverloaded, ServerTimeout, ServerUnavailable
from tests.exchange.servers import Answer, FakeServer, Form, granted, plan, token_for
from tests.support.clock import FakeClock
from tests.support.values import ABOUT, exchange, issued, request, route, subject

HIT, MISS, COALESCED = CacheResult.HIT, CacheResult.MISS, CacheResult.COALESCED
REFRESHED, NEGATIVE = CacheResult.REFRESHED, CacheResult.NEGATIVE
KEY = generate_key("ES256", "k")
LONG = 10**6  # seconds that a subject token lives where its end does not matter


class Book:
    """What the exchanger reports. failure: raised where a receipt is to be written; hold: until set, none is."""

    def __init__(self) -> None:
        self.lookups: list[tuple[str, CacheResult]] = []
        self.records: list[Exchanged] = []
        self.failure: Exception | None = None
        self.hold = asyncio.Event()
        self.hold.set()

    def looked_up(self, route: str, result: CacheResult) -> None:
        self.lookups.append((route, result))

    async def exchanged(self, record: Exchanged) -> str:
        await self.hold.wait()
        if self.failure is not None:
            raise self.failure
        self.records.append(record)
        return f",receipt of {record.exchange_id}"

    @property
    def results(self) -> list[CacheResult]:
        return [result for _, result in self.lookups]


class Rig:
    """An exchanger with everything around it in a test's hands."""

    def __init__(self, *, jitter: Callable[[], float] | None = lambda: 0.0, **cache: Any) -> None:
        self.time = FakeClock()
        self.server = FakeServer(self.time)
        self.book = Book()
        self.evicted: list[str] = []
        limits = {"max_entries": 10_000, "max_bytes": 1 << 26, "negative_lifetime": 10.0, **cache}
        tokens = TokenCache(**limits, on_evict=self.evicted.append)
        spread: dict[str, Any] = {} if jitter is None else {"jitter": jitter}
        self.exchanger = Exchanger(tokens, self.book, clock=self.time.clock, **spread)
        self.plan = plan(self.server)

    def subject(self, token: str = "alice", lifetime: float = LONG) -> Subject:
        return subject(token, sub=token, expires_at=self.time.wall + lifetime)

    async def get(self, who: Subject, by: Plan | None = None) -> Grant:
        async with asyncio.timeout(10):
            return await self.exchanger.obtain(by or self.plan, who, request())

    async def refusal(self, who: Subject, by: Plan | None = None) -> Kind | None:
        """The kind of refusal that a request meets, or None."""
        try:
            await self.get(who, by)
        except Refused as refused:
            return refused.refusal.kind
        return None

    def start(self, who: Subject, by: Plan | None = None) -> asyncio.Task[Grant]:
        return asyncio.create_task(self.get(who, by))

    @property
    def exchanges(self) -> int:
        return len(self.server.asked)


@pytest.fixture
async def rig() -> Rig:
    return Rig()


async def ticks(count: int = 5) -> None:
    """Let what can go on go on."""
    for _ in range(count):
        await asyncio.sleep(0)


async def settled(rig: Rig) -> None:
    """Let exchanges in the background come to their end."""
    for _ in range(100):
        if not rig.exchanger.in_flight:
            return
        await asyncio.sleep(0)
    raise AssertionError("an exchange does not end")


# --- a hit that is remembered


async def test_what_was_judged_for_one_route_or_subject_is_judged_for_another(rig: Rig) -> None:
    """Also in turns, when the last use passed, and for a subject that only looks like the one it passed for."""
    who = rig.subject()
    strict = plan(rig.server, route(asks=exchange(expect=Expect(semantics=Semantics.DELEGATION))))
    lookalike = replace(who, sub="mallory")  # its token's text is the same, so what is asked for is
    entry = Entry(
        issued(iss=who.iss, sub=who.sub), None, "id", Schedule(300, 1e9, math.inf, kept=True, sent=0.0), ABOUT
    )
    rig.exchanger.cache.put((await rig.plan.ask(who, request()))[2].key, entry)
    for _ in range(3):
        assert (await rig.get(who)).cache is HIT
        assert await rig.refusal(who, strict) is Kind.EXCHANGE_UNUSABLE
        assert await rig.refusal(lookalike) is Kind.EXCHANGE_UNUSABLE
    assert rig.exchanges == 0


async def test_a_hit_that_is_remembered_ends_with_its_token(rig: Rig) -> None:
    who = rig.subject()
    first = await rig.get(who)
    assert [(await rig.get(who)).token for _ in range(3)] == [first.token] * 3
    rig.time.advance(400)
    second = await rig.get(who)
    assert (second.cache, second.exchange_id != first.exchange_id) == (MISS, True)
    assert (await rig.get(who)).exchange_id == second.exchange_id
    assert rig.exchanger.give_up(second)
    assert (await rig.get(who)).exchange_id not in (first.exchange_id, second.exchange_id)


# --- hit and miss


async def test_a_miss_is_a_grant_with_everything_about_it(rig: Rig) -> None:
    rig.server.latency = 0.25
    who = rig.subject()
    grant = await rig.get(who)
    [record] = rig.book.records
    assert (grant.token.token, grant.cache, grant.lifetime) == (token_for("alice"), MISS, 300)
    assert grant.waited == pytest.approx(0.25)
    assert grant.exchange_id == record.exchange_id
    assert grant.fragment == f",receipt of {record.exchange_id}"
    assert (record.cache, record.issued, record.refusal, record.lifetime) == (MISS, grant.token, None, 300)
    assert record.duration == pytest.approx(0.25)
    assert (record.route, record.subject, record.actor) == (rig.plan.route, who, None)
    assert rig.server.under_way == rig.exchanger.in_flight == 0


async def test_a_hit_is_the_same_token_without_waiting(rig: Rig) -> None:
    first = await rig.get(rig.subject())
    rig.time.advance(100)
    second = await rig.get(rig.subject())
    assert (second.cache, second.waited) == (HIT, 0)
    assert (second.token, second.exchange_id, second.fragment) == (first.token, first.exchange_id, first.fragment)
    assert rig.book.results == [MISS, HIT]
    assert (rig.exchanges, len(rig.book.records)) == (1, 1)


async def test_a_hit_does_not_suspend(rig: Rig) -> None:
    await rig.get(rig.subject())
    with pytest.raises(StopIteration) as ended:
        rig.exchanger.obtain(rig.plan, rig.subject(), request()).send(None)
    assert isinstance(ended.value.value, Grant)


async def test_subjects_and_asks_share_nothing(rig: Rig) -> None:
    other = plan(rig.server, route("writes", asks=exchange(scope=("orders.write",))))
    for who in ("alice", "bob"):
        for by in (rig.plan, other, rig.plan, other):
            assert (await rig.get(rig.subject(who), by)).token.token == token_for(who)
    assert rig.exchanges == 4
    assert Counter(rig.book.lookups) == {(name, result): 2 for name in ("orders", "writes") for result in (MISS, HIT)}


async def test_a_token_for_now_only_is_not_kept(rig: Rig) -> None:
    rig.server.answer = lambda form: granted(form, expires_in=1)
    rig.server.gate.clear()
    waiting = [rig.start(rig.subject()) for _ in range(3)]
    await ticks()
    rig.server.gate.set()
    assert Counter(grant.cache for grant in await asyncio.gather(*waiting)) == {MISS: 1, COALESCED: 2}
    assert (await rig.get(rig.subject())).cache is MISS
    assert (rig.exchanges, len(rig.exchanger.cache)) == (2, 0)


@pytest.mark.threat("S15")
async def test_a_token_is_not_used_beyond_the_subject_token(rig: Rig) -> None:
    who = rig.subject(lifetime=60)
    await rig.get(who)
    rig.time.advance(59.9)
    assert (await rig.get(who)).cache is HIT
    rig.time.advance(0.1)
    assert (await rig.get(who)).cache is MISS


# --- the oracle: how often is anybody asked?


async def load(rig: Rig, who: Subject, *, seconds: float, per_second: int) -> list[Grant]:
    """Ask steadily; what goes on in the background ends before the next request comes."""
    grants = []
    for _ in range(round(seconds * per_second)):
        grants.append(await rig.exchanger.obtain(rig.plan, who, request()))
        if rig.exchanger.in_flight:
            await settled(rig)
        rig.time.advance(1 / per_second)
    return grants


async def test_one_subject_of_300_seconds_costs_two_exchanges(rig: Rig) -> None:
    grants = await load(rig, rig.subject(lifetime=300), seconds=299.9, per_second=10)
    assert rig.exchanges == 2
    assert Counter(grant.cache for grant in grants) == {MISS: 1, REFRESHED: 1, HIT: len(grants) - 2}


async def test_steady_load_costs_one_exchange_a_lifetime_and_nobody_waits_after_the_first(rig: Rig) -> None:
    grants = await load(rig, rig.subject(), seconds=20 * 300, per_second=2)
    used = 0.8 * 270  # of each token's life: to its deadline, and the rest is for the refresh
    assert 20 * 300 / (used + 1) <= rig.exchanges <= 20 * 300 / used + 1
    assert [grant.cache for grant in grants if grant.cache not in (HIT, REFRESHED)] == [MISS]
    assert [grant.waited for grant in grants if grant.waited] == []
    assert {record.cache for record in rig.book.records[1:]} == {REFRESHED}


async def test_a_server_that_repeats_a_nearly_expired_token_is_asked_at_most_every_ten_seconds(rig: Rig) -> None:
    rig.server.answer = lambda form: granted(form, expires_in=15)
    grants = await load(rig, rig.subject(), seconds=120, per_second=10)
    gaps = [later - earlier for earlier, later in zip(rig.server.asked_at, rig.server.asked_at[1:], strict=False)]
    assert len(gaps) >= 10
    assert min(gaps) >= 10
    assert [grant.cache for grant in grants].count(MISS) == 1


async def test_a_refresh_that_brings_nothing_newer_keeps_the_old_one_and_is_not_repeated_at_once(rig: Rig) -> None:
    end = rig.time.monotonic + 300
    rig.server.answer = lambda form: granted(form, expires_in=max(0, round(end - rig.time.monotonic)))
    await load(rig, rig.subject(), seconds=295, per_second=10)
    assert rig.exchanges < 10
    assert all(grant.lifetime <= 300 for grant in await load(rig, rig.subject(), seconds=1, per_second=1))


async def test_a_refresh_that_brings_a_shorter_token_keeps_the_longer_one(rig: Rig) -> None:
    issued = iter([("long", 300), ("short", 20), ("next", 300)])

    def answer(form: Form) -> Answer:
        token, expires_in = next(issued)
        return granted(form, access_token=token, expires_in=expires_in)

    rig.server.answer = answer
    grants = await load(rig, rig.subject(), seconds=225, per_second=10)  # refreshed at 216; 20 s would end at 232
    assert (rig.exchanges, grants[-1].token.token) == (2, "long")
    grants = await load(rig, rig.subject(), seconds=20, per_second=10)
    assert (rig.exchanges, grants[-1].token.token) == (3, "next")
    assert all(grant.cache in (HIT, REFRESHED) for grant in grants)


async def test_the_first_use_after_the_refresh_sees_the_new_token(rig: Rig) -> None:
    issued = iter(["one", "two", "three"])
    rig.server.answer = lambda form: granted(form, access_token=next(issued))
    assert (await rig.get(rig.subject())).token.token == "one"
    rig.time.advance(216)
    refreshing = await rig.get(rig.subject())
    assert (refreshing.token.token, refreshing.cache) == ("one", REFRESHED)
    await settled(rig)
    assert ((await rig.get(rig.subject())).token.token, rig.exchanges) == ("two", 2)


async def test_refreshes_are_spread(rig: Rig) -> None:
    spread = Rig(jitter=None)
    for number in range(50):
        await spread.get(spread.subject(f"user-{number}"))
    moments = {entry.refresh_at - 1000 for entry in spread.exchanger.cache._entries.values()}
    assert len(moments) == 50
    assert all(0.9 * 216 <= moment <= 1.1 * 216 for moment in moments)


# --- a refresh that fails


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (ServerUnavailable("down"), Kind.EXCHANGE_UNAVAILABLE),
        (ServerTimeout("slow"), Kind.EXCHANGE_TIMEOUT),
        (ErrorReply(400, "invalid_grant", None), Kind.INVALID_TOKEN),
        (RuntimeError("boom"), Kind.EXCHANGE_UNUSABLE),
    ],
)
async def test_a_failing_refresh_leaves_the_old_token_to_its_deadline(rig: Rig, failure: Answer, kind: Kind) -> None:
    who = rig.subject()
    await rig.get(who)
    rig.time.advance(216)
    rig.server.answer = lambda form: failure
    grants = await load(rig, who, seconds=53.9, per_second=10)  # the deadline is at 270
    assert {grant.token.token for grant in grants} == {token_for("alice")}
    assert {grant.cache for grant in grants} == {HIT, REFRESHED}
    attempts = rig.server.asked_at[1:]
    assert [round(at - 1000) for at in attempts] == [216, 226, 236, 246, 256, 266]
    rig.time.advance(0.2)
    assert await rig.refusal(who) is kind
    assert rig.exchanges == 8  # a failure of a refresh is remembered by nobody: this one was asked for itself
    rig.server.answer = granted
    assert await rig.refusal(who) is (kind if kind is Kind.INVALID_TOKEN else None)


async def test_who_comes_after_the_deadline_waits_for_the_refresh_under_way(rig: Rig) -> None:
    await rig.get(rig.subject())
    rig.time.advance(260)
    rig.server.gate.clear()
    assert (await rig.get(rig.subject())).cache is REFRESHED
    await ticks()
    rig.time.advance(15)  # the next one would be due, and the old token is at its end
    waiting = rig.start(rig.subject())
    await ticks()
    rig.server.gate.set()
    assert ((await waiting).cache, rig.exchanges) == (COALESCED, 2)


async def test_a_refresh_that_takes_long_is_not_doubled(rig: Rig) -> None:
    await rig.get(rig.subject())
    rig.time.advance(216)
    rig.server.gate.clear()
    for _ in range(50):
        assert (await rig.get(rig.subject())).cache in (HIT, REFRESHED)
        await ticks(2)
        rig.time.advance(1)
    assert rig.exchanges == 2
    rig.server.gate.set()
    await settled(rig)


# --- clocks


@pytest.mark.parametrize("jump", [3600, -3600])
async def test_a_wall_clock_that_jumps_neither_fails_a_request_nor_keeps_a_token_alive(rig: Rig, jump: float) -> None:
    who = rig.subject()
    await rig.get(who)
    rig.time.wall += jump
    grants = await load(rig, who, seconds=900, per_second=2)
    assert all(grant.cache in (HIT, REFRESHED) for grant in grants)
    assert rig.exchanges == 5  # at 0, 216, 432, 648, 864: as if nothing had happened
    last = rig.server.asked_at[-1]
    rig.server.answer = lambda form: ServerUnavailable("down")
    rig.time.monotonic = last + 269.9
    assert await rig.refusal(who) is None
    rig.time.monotonic = last + 270
    assert await rig.refusal(who) is Kind.EXCHANGE_UNAVAILABLE


# --- single flight


@pytest.mark.threat("S19")
async def test_a_thousand_at_once_are_one_exchange(rig: Rig) -> None:
    rig.server.gate.clear()
    waiting = [rig.start(rig.subject()) for _ in range(1000)]
    await ticks()
    assert (rig.exchanges, rig.exchanger.in_flight, rig.server.under_way) == (1, 1, 1)
    rig.server.gate.set()
    grants = await asyncio.gather(*waiting)
    assert {grant.token.token for grant in grants} == {token_for("alice")}
    assert Counter(rig.book.results) == {MISS: 1, COALESCED: 999}
    assert (rig.exchanges, len(rig.book.records), rig.exchanger.in_flight, rig.server.under_way) == (1, 1, 0, 0)


async def _at_once(rig: Rig) -> None:
    """Nothing has begun but the request itself."""
    await ticks(1)


async def _at_the_server(rig: Rig) -> None:
    await ticks()
    assert rig.server.under_way == 1


async def _at_the_receipt(rig: Rig) -> None:
    rig.book.hold.clear()
    rig.server.gate.set()
    await ticks(10)
    assert (rig.exchanges, rig.server.under_way, rig.book.records) == (1, 0, [])


@pytest.mark.parametrize("moment", [_at_once, _at_the_server, _at_the_receipt])
@pytest.mark.parametrize("followers", [0, 3])
@pytest.mark.threat("S16")
async def test_a_leader_that_leaves_breaks_it_for_nobody(
    rig: Rig, moment: Callable[[Rig], Awaitable[None]], followers: int
) -> None:
    rig.server.gate.clear()
    leader = rig.start(rig.subject())
    others = [rig.start(rig.subject()) for _ in range(followers)]
    await moment(rig)
    leader.cancel()
    await ticks()
    rig.server.gate.set()
    rig.book.hold.set()
    with pytest.raises(asyncio.CancelledError):
        await leader
    assert {grant.token.token for grant in await asyncio.gather(*others)} <= {token_for("alice")}
    await settled(rig)
    assert (await rig.get(rig.subject())).cache is HIT  # what was paid for is kept
    assert (rig.exchanges, len(rig.book.records), rig.server.under_way) == (1, 1, 0)


async def test_a_failure_answers_all_who_wait(rig: Rig) -> None:
    rig.server.answer = lambda form: ServerUnavailable("down", retry_after=7)
    rig.server.gate.clear()
    waiting = [rig.start(rig.subject()) for _ in range(100)]
    await ticks()
    rig.server.gate.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    refusals = {outcome.refusal for outcome in outcomes if isinstance(outcome, Refused)}
    assert (len(outcomes), [(refusal.kind, refusal.retry_after) for refusal in refusals]) == (
        100,
        [(Kind.EXCHANGE_UNAVAILABLE, 7)],
    )
    assert Counter(rig.book.results) == {MISS: 1, COALESCED: 99}
    [record] = rig.book.records
    assert (record.refusal, record.issued, record.lifetime) == (next(iter(refusals)), None, 0)
    rig.server.answer = granted
    assert (await rig.get(rig.subject())).cache is MISS


@pytest.mark.parametrize("where", ["server", "receipt"])
async def test_whatever_breaks_everybody_is_answered_and_nothing_is_stuck(
    rig: Rig, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    boom = RuntimeError("canary")
    unhandled: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    if where == "server":
        rig.server.answer = lambda form: boom
    else:
        rig.book.failure = boom
    rig.server.gate.clear()
    waiting = [rig.start(rig.subject()) for _ in range(10)]
    await ticks()
    rig.server.gate.set()
    for outcome in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(outcome, Refused)
        assert (outcome.refusal.kind, outcome.refusal.finding) == (Kind.EXCHANGE_UNUSABLE, "RuntimeError")
    assert (rig.exchanger.in_flight, rig.server.under_way, len(rig.exchanger.cache)) == (0, 0, 0)
    assert len(rig.book.records) == (1 if where == "server" else 0)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "canary" not in caplog.text
    rig.server.answer, rig.book.failure = granted, None
    assert await rig.refusal(rig.subject()) is None
    assert unhandled == []


async def test_a_refresh_that_breaks_is_nobodys_unhandled_exception(rig: Rig) -> None:
    unhandled: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    await rig.get(rig.subject())
    rig.time.advance(216)
    rig.book.failure = RuntimeError("boom")
    assert (await rig.get(rig.subject())).cache is REFRESHED
    await settled(rig)
    assert (await rig.get(rig.subject())).cache is HIT
    assert unhandled == []


async def test_closing_ends_what_is_under_way(rig: Rig) -> None:
    rig.server.gate.clear()
    waiting = [rig.start(rig.subject(str(number))) for number in range(5)]
    await ticks()
    assert rig.exchanger.in_flight == 5
    await rig.exchanger.close()
    for outcome in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(outcome, Refused)
        assert outcome.refusal.kind is Kind.EXCHANGE_UNAVAILABLE
    assert (rig.exchanger.in_flight, rig.server.under_way, len(rig.exchanger.cache)) == (0, 0, 0)
    # What was sent may have been granted: it is on record. It says nothing of the server.
    assert Counter(record.subject.sub for record in rig.book.records) == Counter(map(str, range(5)))
    for record in rig.book.records:
        assert (record.issued, record.asked) == (None, False)
        assert record.refusal is not None


async def test_closing_while_a_receipt_is_written_ends_that_too(rig: Rig) -> None:
    rig.book.hold.clear()
    waiting = rig.start(rig.subject())
    await ticks(10)
    await rig.exchanger.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (rig.exchanger.in_flight, len(rig.exchanger.cache)) == (0, 0)


# --- an authorization server that is left alone, or busy


async def test_the_server_is_told_the_key(rig: Rig) -> None:
    who = rig.subject()
    await rig.get(who)
    assert rig.server.keys == [rig.plan.asker.ask(who, None).key]


@pytest.mark.parametrize(
    ("failure", "kind", "asked"),
    [
        (ServerNotAsked("left alone", 5), Kind.EXCHANGE_UNAVAILABLE, False),
        (ServerOverloaded("full"), Kind.OVERLOADED, False),
        (ServerUnavailable("down", 5), Kind.EXCHANGE_UNAVAILABLE, True),
        (ServerTimeout("slow"), Kind.EXCHANGE_TIMEOUT, True),
        (ErrorReply(400, "invalid_grant", None), Kind.INVALID_TOKEN, True),
        (RuntimeError("boom"), Kind.EXCHANGE_UNUSABLE, True),
    ],
)
async def test_the_record_says_whether_the_server_was_asked(rig: Rig, failure: Answer, kind: Kind, asked: bool) -> None:
    rig.server.answer = lambda form: failure
    assert await rig.refusal(rig.subject()) is kind
    assert [record.asked for record in rig.book.records] == [asked]


async def test_nothing_is_refreshed_while_the_server_is_left_alone_or_busy(rig: Rig) -> None:
    await rig.get(rig.subject())
    rig.time.advance(216)
    rig.server.ready = False
    grants = await load(rig, rig.subject(), seconds=50, per_second=10)
    assert {grant.cache for grant in grants} == {HIT}
    assert rig.exchanges == 1
    rig.server.ready = True
    assert (await rig.get(rig.subject())).cache is REFRESHED  # at the first use from then on
    await settled(rig)
    assert rig.exchanges == 2


async def test_between_the_subject_tokens_end_and_leeway_a_second_costs_one_exchange(rig: Rig) -> None:
    who = rig.subject(lifetime=-0.5)
    await load(rig, who, seconds=20, per_second=10)
    assert rig.exchanges <= 21
    assert rig.exchanges >= 19


# --- what each route expects


def signed(form: Form, **claims: Any) -> dict[str, Any]:
    """A reply with a readable token."""
    return granted(form, access_token=sign({"sub": form["subject_token"], "iss": "https://as", **claims}, KEY, "ES256"))


def routes(rig: Rig) -> tuple[Plan, Plan]:
    """Two routes that ask for the same; the second lets pass nothing beyond that, the first anything."""
    strict = Expect(scope=Expected(allowed=frozenset({"orders.read"})))
    return plan(rig.server, route("lenient")), plan(rig.server, route("strict", asks=exchange(expect=strict)))


@pytest.mark.threat("S12")
async def test_every_use_of_a_shared_entry_is_judged_by_its_own_route(rig: Rig) -> None:
    rig.server.answer = lambda form: signed(form, scope="orders.read admin")
    lenient, strict = routes(rig)
    assert await rig.refusal(rig.subject(), lenient) is None
    for _ in range(3):
        assert await rig.refusal(rig.subject(), strict) is Kind.EXCHANGE_UNUSABLE
        assert await rig.refusal(rig.subject(), lenient) is None
    assert rig.exchanges == 1
    assert Counter(rig.book.lookups) == {("lenient", MISS): 1, ("lenient", HIT): 3, ("strict", HIT): 3}


async def test_a_token_that_its_route_refuses_is_not_kept(rig: Rig) -> None:
    rig.server.answer = lambda form: signed(form, scope="orders.read admin")
    lenient, strict = routes(rig)
    assert await rig.refusal(rig.subject(), strict) is Kind.EXCHANGE_UNUSABLE
    assert len(rig.exchanger.cache) == 0
    [record] = rig.book.records
    assert record.refusal is not None
    assert "extra_scope" in record.refusal.finding
    assert await rig.refusal(rig.subject(), lenient) is None
    assert rig.exchanges == 2


async def test_one_routes_expectations_refuse_nobody_who_waits_on_another(rig: Rig) -> None:
    rig.server.answer = lambda form: signed(form, scope="orders.read admin")
    lenient, strict = routes(rig)
    rig.server.gate.clear()
    waiting = [rig.start(rig.subject(), by) for by in (strict, lenient, strict, lenient)]
    await ticks()
    rig.server.gate.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Refused, Grant, Refused, Grant]
    assert rig.exchanges == 2


async def test_who_may_not_use_a_token_does_not_renew_it(rig: Rig) -> None:
    rig.server.answer = lambda form: signed(form, scope="orders.read admin")
    lenient, strict = routes(rig)
    await rig.get(rig.subject(), lenient)
    rig.time.advance(216)
    assert await rig.refusal(rig.subject(), strict) is Kind.EXCHANGE_UNUSABLE
    assert (rig.exchanges, rig.exchanger.in_flight) == (1, 0)
    assert (await rig.get(rig.subject(), lenient)).cache is REFRESHED


# --- receipts


async def test_nothing_is_used_whose_receipt_is_not_written(rig: Rig) -> None:
    rig.book.failure = refuse(Kind.EXCHANGE_UNAVAILABLE, "not on record", retry_after=1)
    for _ in range(2):
        assert await rig.refusal(rig.subject()) is Kind.EXCHANGE_UNAVAILABLE
    assert (rig.exchanges, len(rig.exchanger.cache)) == (2, 0)
    rig.book.failure = None
    assert await rig.refusal(rig.subject()) is None


async def test_a_refresh_whose_receipt_is_not_written_is_not_used(rig: Rig) -> None:
    issued = iter(["one", "two"])
    rig.server.answer = lambda form: granted(form, access_token=next(issued))
    await rig.get(rig.subject())
    rig.time.advance(216)
    rig.book.failure = refuse(Kind.EXCHANGE_UNAVAILABLE, "not on record")
    await rig.get(rig.subject())
    await settled(rig)
    assert (rig.exchanges, (await rig.get(rig.subject())).token.token) == (2, "one")


async def test_nobody_has_the_token_before_its_receipt_is_written(rig: Rig) -> None:
    rig.book.hold.clear()
    waiting = rig.start(rig.subject())
    await ticks(20)
    assert (waiting.done(), rig.exchanges, len(rig.exchanger.cache)) == (False, 1, 0)
    rig.book.hold.set()
    assert (await waiting).cache is MISS


# --- refusals that are remembered


async def test_a_bad_subject_token_is_asked_about_once_in_ten_seconds(rig: Rig) -> None:
    rig.server.answer = lambda form: ErrorReply(400, "invalid_grant", None)
    for _ in range(20):
        assert await rig.refusal(rig.subject()) is Kind.INVALID_TOKEN
        rig.time.advance(0.4)
    assert (rig.exchanges, len(rig.book.records)) == (1, 1)
    assert rig.book.results == [MISS] + [NEGATIVE] * 19
    assert await rig.refusal(rig.subject("bob")) is Kind.INVALID_TOKEN
    rig.time.advance(2.1)
    rig.server.answer = granted
    assert await rig.refusal(rig.subject()) is None


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (ErrorReply(400, "access_denied", None), Kind.EXCHANGE_DENIED),
        (ErrorReply(400, "invalid_scope", None), Kind.INSUFFICIENT_SCOPE),
        (ErrorReply(400, "invalid_target", None), Kind.EXCHANGE_MISCONFIGURED),
        (ErrorReply(401, "invalid_client", None), Kind.EXCHANGE_MISCONFIGURED),
        (ErrorReply(400, "login_required", None), Kind.STEP_UP_REQUIRED),
        (ErrorReply(503, "server_error", None), Kind.EXCHANGE_UNAVAILABLE),
        (ServerUnavailable("down"), Kind.EXCHANGE_UNAVAILABLE),
        (ServerTimeout("slow"), Kind.EXCHANGE_TIMEOUT),
        ({}, Kind.EXCHANGE_UNUSABLE),
    ],
)
@pytest.mark.threat("S16")
async def test_nobody_elses_fault_is_remembered(rig: Rig, failure: Answer, kind: Kind) -> None:
    rig.server.answer = lambda form: failure
    assert await rig.refusal(rig.subject()) is kind
    assert await rig.refusal(rig.subject()) is kind
    assert (rig.exchanges, rig.book.results) == (2, [MISS, MISS])


# --- the actor


async def test_an_actor_that_rotates_stays_the_same_actor(rig: Rig, tmp_path: Path) -> None:
    def actor(**claims: Any) -> str:
        return sign({"iss": "https://k8s", "sub": "gateway", **claims}, KEY, "ES256")

    (tmp_path / "token").write_text(actor(jti="1"))
    workload = workload_token_file("self", JWT, str(tmp_path / "token"))
    by = plan(rig.server, actor=workload)
    first = await rig.get(rig.subject(), by)
    (tmp_path / "token").write_text(actor(jti="2"))
    workload.file.reread()
    second = await rig.get(rig.subject(), by)
    assert (second.cache, second.actor) == (HIT, first.actor)
    assert first.actor is not None
    assert first.actor.token_id == "jti:1"  # the one that was presented
    another = actor(sub="another")
    (tmp_path / "token").write_text(another)
    workload.file.reread()
    assert (await rig.get(rig.subject(), by)).cache is MISS
    assert [form["actor_token"] for form in rig.server.asked] == [first.actor.token, another]
    assert [record.actor and record.actor.token for record in rig.book.records] == [first.actor.token, another]


async def test_a_token_of_ours_is_exchanged_where_nobody_calls(rig: Rig, tmp_path: Path) -> None:
    def own(**claims: Any) -> str:
        return sign({"iss": "https://k8s", "sub": "gateway", **claims}, KEY, "ES256")

    (tmp_path / "token").write_text(own(jti="1"))
    workload = workload_token_file("self", JWT, str(tmp_path / "token"))
    by = plan(rig.server, subject=workload)
    first = await rig.exchanger.obtain(by, None, request())
    (tmp_path / "token").write_text(own(jti="2"))
    workload.file.reread()
    assert (await rig.exchanger.obtain(by, rig.subject(), request())).cache is HIT  # whoever calls, it is for us
    assert (first.cache, rig.exchanges) == (MISS, 1)
    assert [record.subject.sub for record in rig.book.records] == ["gateway"]
    assert rig.book.records[0].subject.workload is not None


@pytest.mark.parametrize("code", ["invalid_grant", "invalid_scope", "interaction_required"])
async def test_what_is_wrong_with_a_token_of_ours_is_no_callers_fault(rig: Rig, tmp_path: Path, code: str) -> None:
    (tmp_path / "token").write_text("an-opaque-token")
    by = plan(rig.server, subject=workload_token_file("self", JWT, str(tmp_path / "token")))
    rig.server.answer = lambda _: ErrorReply(400, code, None)
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            await rig.exchanger.obtain(by, None, request())
        assert caught.value.refusal.kind is Kind.EXCHANGE_MISCONFIGURED
    assert rig.exchanges == 2  # nothing of it is remembered against a caller


@pytest.mark.threat("S4")
async def test_without_any_token_nothing_is_asked(rig: Rig) -> None:
    with pytest.raises(Refused) as caught:
        await rig.exchanger.obtain(rig.plan, None, request())
    assert (caught.value.refusal.kind, rig.exchanges) == (Kind.MISSING_TOKEN, 0)


# --- anything in any order

SUBJECTS = ("alice", "bob", "carol")


@pytest.mark.threat("S16")
async def test_ten_thousand_callers_that_leave_at_random() -> None:
    rig = Rig(max_entries=2)  # so that entries are pushed out all the time
    chance = random.Random(8693)
    waiting: list[tuple[str, asyncio.Task[Grant]]] = []
    outcomes: Counter[type] = Counter()

    def answer(form: Form) -> Answer:
        answers: list[Answer] = [granted(form), granted(form, expires_in=12), ServerTimeout("slow")]
        return chance.choice([*answers, ErrorReply(400, "invalid_grant", None)])

    rig.server.answer = answer
    for _ in range(10_000):
        who = chance.choice(SUBJECTS)
        waiting.append((who, rig.start(rig.subject(who, lifetime=10**6))))
        rig.server.gate.set() if chance.random() < 0.5 else rig.server.gate.clear()
        rig.time.advance(chance.random())
        await ticks(chance.randrange(4))
        waiting[chance.randrange(len(waiting))][1].cancel()
        if len(waiting) > 20:
            rig.server.gate.set()
            who, task = waiting.pop(0)
            [outcome] = await asyncio.gather(task, return_exceptions=True)
            outcomes[type(outcome)] += 1
            if isinstance(outcome, Grant):
                assert outcome.token.token == token_for(who)
    rig.server.gate.set()
    await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)
    await settled(rig)
    assert (rig.exchanger.in_flight, rig.server.under_way) == (0, 0)
    assert outcomes.keys() == {Grant, Refused, asyncio.CancelledError}
    assert len(rig.exchanger.cache) <= 2


class AnyOrder(RuleBasedStateMachine):
    """Callers come, leave and are answered in any order, while the server and the disk do as they like."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.run(self._open())
        self.callers: list[tuple[str, asyncio.Task[Grant]]] = []
        self.gates: list[asyncio.Event] = []

    async def _open(self) -> None:
        self.rig = Rig(max_entries=2)
        self.plans = routes(self.rig)
        inner = self.rig.server.token_request

        async def held(pairs: Any, key: bytes) -> Any:
            gate = asyncio.Event()
            self.gates.append(gate)
            await gate.wait()
            return await inner(pairs, key)

        self.rig.server.token_request = held  # type: ignore[method-assign]

    def run(self, what: Coroutine[Any, Any, None]) -> None:
        self.loop.run_until_complete(what)

    @rule(who=st.sampled_from(SUBJECTS), lenient=st.booleans(), lifetime=st.sampled_from([0, 40, 400]))
    def come(self, who: str, lenient: bool, lifetime: float) -> None:
        async def come() -> None:
            token = self.rig.subject(who, lifetime)
            self.callers.append((who, self.rig.start(token, self.plans[0 if lenient else 1])))
            await ticks(1)

        self.run(come())

    @rule(choice=st.integers(0, 1000))
    def leave(self, choice: int) -> None:
        if self.callers:
            self.callers[choice % len(self.callers)][1].cancel()

    @rule(
        choice=st.integers(0, 1000),
        answer=st.sampled_from(
            [
                granted,
                lambda form: granted(form, expires_in=1),
                lambda form: signed(form, scope="orders.read admin"),
                lambda form: granted(form, access_token=form["subject_token"]),
                lambda form: ErrorReply(400, "invalid_grant", None),
                lambda form: ServerUnavailable("down"),
                lambda form: RuntimeError("boom"),
            ]
        ),
    )
    def answer(self, choice: int, answer: Callable[[Form], Answer]) -> None:
        self.rig.server.answer = answer
        if self.gates:
            self.gates.pop(choice % len(self.gates)).set()
        self.run(ticks())

    @rule(failure=st.sampled_from([None, None, RuntimeError("boom"), refuse(Kind.EXCHANGE_UNAVAILABLE, "disk")]))
    def receipts(self, failure: Exception | None) -> None:
        self.rig.book.failure = failure

    @rule(seconds=st.sampled_from([0.1, 9.9, 50, 217, 301]))
    def time_passes(self, seconds: float) -> None:
        self.rig.time.advance(seconds)
        self.rig.exchanger.cache.sweep(self.rig.time.monotonic)

    @rule()
    def evict(self) -> None:
        for key in list(self.rig.exchanger.cache._entries):
            self.rig.exchanger.cache.discard(key, "replaced")

    @invariant()
    def nobody_has_anothers_token(self) -> None:
        for who, task in self.callers:
            if not task.done() or task.cancelled():
                continue
            error = task.exception()
            if error is None:
                grant = task.result()
                assert whose(grant) == who
                assert grant.fragment == f",receipt of {grant.exchange_id}"
            else:
                assert isinstance(error, Refused)

    @invariant()
    def exchanges_are_counted(self) -> None:
        assert 0 <= self.rig.server.under_way <= self.rig.exchanger.in_flight

    def teardown(self) -> None:
        self.run(self._end())
        self.loop.close()

    async def _end(self) -> None:
        self.rig.server.answer = granted
        while self.gates or self.rig.exchanger.in_flight:
            for gate in self.gates:
                gate.set()
            self.gates.clear()
            await ticks()
        async with asyncio.timeout(10):
            await asyncio.gather(*(task for _, task in self.callers), return_exceptions=True)
        self.nobody_has_anothers_token()
        assert (self.rig.exchanger.in_flight, self.rig.server.under_way) == (0, 0)


def whose(grant: Grant) -> str:
    """Whose token was granted, by the token itself."""
    return grant.token.sub or grant.token.token.removeprefix("issued-for-")


AnyOrder.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAnyOrder = cast(Any, AnyOrder.TestCase)


# --- tokens that an upstream does not accept


async def test_a_token_is_given_up_once_in_ten_seconds(rig: Rig) -> None:
    who = rig.subject()
    first = await rig.get(who)
    assert rig.exchanger.give_up(first)
    assert (len(rig.exchanger.cache), rig.evicted) == (0, ["refused"])
    second = await rig.get(who)
    assert (second.cache, rig.exchanges) == (MISS, 2)
    rig.time.advance(9.9)
    assert not rig.exchanger.give_up(await rig.get(who))
    rig.time.advance(0.1)
    assert rig.exchanger.give_up(await rig.get(who))
    assert rig.evicted == ["refused", "refused"]


async def test_a_newer_token_is_not_given_up_for_an_older_one(rig: Rig) -> None:
    who, other = rig.subject(), rig.subject("bob")
    first, others = await rig.get(who), await rig.get(other)
    older = replace(first, token=replace(first.token, token="an older one"))
    assert rig.exchanger.give_up(older)
    assert (await rig.get(who)).cache is HIT
    assert rig.exchanger.give_up(others)  # one key does not bar another
    assert rig.evicted == ["refused"]


async def test_who_comes_while_the_next_one_is_fetched_waits_for_it(rig: Rig) -> None:
    who = rig.subject()
    grant = await rig.get(who)
    assert rig.exchanger.give_up(grant)
    rig.server.gate.clear()
    waiting = rig.start(who)
    await ticks()
    assert rig.exchanger.give_up(grant)
    also = rig.start(who)
    await ticks()
    rig.server.gate.set()
    assert {(await waiting).cache, (await also).cache} == {MISS, COALESCED}
    assert rig.exchanges == 2


async def test_no_exchange_is_begun_again_after_one_that_failed(rig: Rig) -> None:
    who = rig.subject()
    grant = await rig.get(who)
    assert rig.exchanger.give_up(grant)
    assert not rig.exchanger.give_up(grant)


async def under(rig: Rig, seconds: float, who: Subject | None = None) -> Grant:
    """Get a token under an approval that counts for so long."""
    approval = Approval("desk", until=rig.time.monotonic + seconds)
    return await rig.exchanger.obtain(rig.plan, who or rig.subject(), request(), approval)


async def test_a_token_is_kept_no_longer_than_its_approval_counts(rig: Rig) -> None:
    await under(rig, 60)
    assert rig.book.records[0].approval is not None
    rig.time.advance(59)
    assert (await rig.get(rig.subject())).cache is HIT
    rig.time.advance(1)
    assert (await under(rig, 60)).cache is MISS
    assert rig.exchanges == 2


async def test_what_is_approved_for_one_request_serves_one(rig: Rig) -> None:
    assert [(await under(rig, 0)).cache for _ in range(2)] == [MISS, MISS]
    assert len(rig.exchanger.cache) == 0


async def test_a_token_that_was_there_without_an_approval_stays_as_it_is(rig: Rig) -> None:
    await rig.get(rig.subject())
    assert (await under(rig, 5)).cache is HIT
    rig.time.advance(10)
    assert (await under(rig, 5)).cache is HIT


async def test_no_token_is_refreshed_under_an_approval_that_ends_before_it(rig: Rig) -> None:
    first = await rig.get(rig.subject())
    rig.time.advance(0.9 * first.lifetime - 3)  # within the time to refresh
    assert (await under(rig, 1)).cache is HIT
    assert rig.exchanges == 1
    assert (await rig.get(rig.subject())).cache is REFRESHED
    await settled(rig)


async def test_of_those_who_wait_together_nobody_keeps_more_than_the_first_may(rig: Rig) -> None:
    rig.server.gate.clear()
    one, two = asyncio.create_task(under(rig, 10)), rig.start(rig.subject())
    await ticks()
    rig.server.gate.set()
    assert {(await one).cache, (await two).cache} == {MISS, COALESCED}
    rig.time.advance(10)
    assert (await rig.get(rig.subject())).cache is MISS
