"""What a flush takes, beside a model of what is kept; and that no exchange under way brings it back."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sidecar.exchange.cache import TokenCache
from sidecar.exchange.exchanger import Exchanger
from sidecar.exchange.plan import Plan
from sidecar.model.decision import CacheResult, Exchanged, Grant
from sidecar.model.flush import Selection
from sidecar.model.refusal import Kind, Refused
from sidecar.model.tokens import Subject
from sidecar.oauth.server import ErrorReply
from tests.exchange.servers import FakeServer, granted, plan
from tests.support.clock import FakeClock
from tests.support.values import exchange, request, route, subject

BOUND = 10
EVERYTHING = Selection()


class Book:
    def looked_up(self, route: str, result: CacheResult) -> None:
        pass

    async def exchanged(self, record: Exchanged) -> str:
        return ""


class Rig:
    """Four routes at two servers, two of which ask for the same; and five subjects of two issuers."""

    def __init__(self) -> None:
        self.time = FakeClock()
        self.corp, self.partner = FakeServer(self.time), FakeServer(self.time)
        self.partner.name = "partner"
        self.evicted: list[str] = []
        cache = TokenCache(max_entries=1000, max_bytes=1 << 26, negative_lifetime=10.0, on_evict=self.evicted.append)
        self.exchanger = Exchanger(cache, Book(), clock=self.time.clock, jitter=lambda: 0.0)
        billing = exchange(audience=("billing-api",))
        abroad = exchange(authorization_server="partner")
        self.plans = {
            "orders": plan(self.corp, route("orders")),
            "again": plan(self.corp, route("again")),
            "billing": plan(self.corp, route("billing", asks=billing)),
            "abroad": plan(self.partner, route("abroad", asks=abroad)),
        }
        self.subjects = [
            subject(f"{iss}-{sub}", iss=f"https://{iss}", sub=sub, expires_at=self.time.wall + 10**6)
            for iss, sub in (("a", "alice"), ("a", "bob"), ("b", "alice"), ("b", "carol"))
        ]
        self.subjects.append(replace(self.subjects[0], token="a-alice-again", digest=b"2"))

    @property
    def exchanges(self) -> int:
        return len(self.corp.asked) + len(self.partner.asked)

    async def get(self, by: Plan, who: Subject) -> Grant:
        async with asyncio.timeout(BOUND):
            return await self.exchanger.obtain(by, who, request())

    async def refused(self, by: Plan, who: Subject) -> Kind:
        with pytest.raises(Refused) as caught:
            await self.get(by, who)
        return caught.value.refusal.kind

    def selection(self, what: str, which: int) -> Selection:
        who = self.subjects[which % len(self.subjects)]
        name = list(self.plans)[which % len(self.plans)]
        return {
            "subject": Selection(iss=who.iss, sub=who.sub),
            "issuer": Selection(iss=who.iss),
            "route": Selection(route=name, asked=frozenset({self.plans[name].asker.asked})),
            "server": Selection(server=("corp", "partner")[which % 2]),
            "all": EVERYTHING,
        }[what]


class Flushing(RuleBasedStateMachine):
    """A request causes an exchange where the model has nothing for it, and none where it has."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.rig = Rig()
        self.kept: set[tuple[str, str]] = set()  # what a route asks for, and whose token

    def teardown(self) -> None:
        self.loop.run_until_complete(self.rig.exchanger.close())
        self.loop.close()

    @rule(name=st.sampled_from(["orders", "again", "billing", "abroad"]), index=st.integers(0, 4))
    def request(self, name: str, index: int) -> None:
        who, before = self.rig.subjects[index], self.rig.exchanges
        self.loop.run_until_complete(self.rig.get(self.rig.plans[name], who))
        key = ("orders" if name == "again" else name, who.token)
        assert self.rig.exchanges - before == (0 if key in self.kept else 1)
        self.kept.add(key)

    @rule(what=st.sampled_from(["subject", "issuer", "route", "server", "all"]), which=st.integers(0, 19))
    def flush(self, what: str, which: int) -> None:
        subjects = {who.token: who for who in self.rig.subjects}
        chosen = self.rig.subjects[which % len(self.rig.subjects)]
        name = list(self.rig.plans)[which % len(self.rig.plans)]
        gone = {
            (asked, token)
            for asked, token in self.kept
            if {
                "subject": (subjects[token].iss, subjects[token].sub) == (chosen.iss, chosen.sub),
                "issuer": subjects[token].iss == chosen.iss,
                "route": asked == ("orders" if name == "again" else name),
                "server": (asked == "abroad") is (which % 2 == 1),
                "all": True,
            }[what]
        }
        tokens, refusals, exchanges = self.rig.exchanger.flush(self.rig.selection(what, which).takes)
        assert (tokens, refusals, exchanges) == (len(gone), 0, 0)
        self.kept -= gone

    @invariant()
    def counted(self) -> None:
        assert len(self.rig.exchanger.cache) == len(self.kept)


TestFlushing = Flushing.TestCase
TestFlushing.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@pytest.fixture
async def rig() -> Rig:
    return Rig()


async def started(rig: Rig, *names: str, index: int = 0) -> list[asyncio.Task[Grant]]:
    """Begin requests, and let them come to where they wait."""
    made = [asyncio.create_task(rig.get(rig.plans[name], rig.subjects[index])) for name in names]
    for _ in range(5):
        await asyncio.sleep(0)
    return made


async def test_what_is_under_way_answers_those_who_wait_and_nobody_after_the_flush(rig: Rig) -> None:
    rig.corp.gate.clear()
    before = await started(rig, "orders", "again")
    assert rig.exchanger.flush(EVERYTHING.takes) == (0, 0, 1)
    after = await started(rig, "orders", "again")
    assert rig.exchanges == 2
    assert rig.exchanger.in_flight == 2
    rig.corp.gate.set()
    old, new = {(await each).exchange_id for each in before}, {(await each).exchange_id for each in after}
    assert (len(old), len(new)) == (1, 1)
    assert old != new
    assert {(await rig.get(rig.plans["orders"], rig.subjects[0])).exchange_id} == new
    assert rig.exchanger.in_flight == 0


@pytest.mark.parametrize("late", [False, True])
async def test_the_order_in_which_they_end_does_not_matter(rig: Rig, late: bool) -> None:
    """Also where the one that was overtaken ends last, and its token would live longer."""
    gates = [asyncio.Event(), asyncio.Event()]
    answered = iter(gates)

    class InTurn(FakeServer):
        async def token_request(self, pairs, key):  # type: ignore[no-untyped-def]
            await next(answered).wait()
            return await super().token_request(pairs, key)

    by = plan(InTurn(rig.time))

    async def get() -> Grant:
        return await rig.get(by, rig.subjects[0])

    old = asyncio.create_task(get())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    rig.exchanger.flush(EVERYTHING.takes)
    new = asyncio.create_task(get())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for number in (1, 0) if late else (0, 1):
        gates[number].set()
        await (old, new)[number]
        rig.time.advance(5)
    assert (await get()).exchange_id == (await new).exchange_id != (await old).exchange_id


async def test_what_was_not_selected_goes_on_as_it_was(rig: Rig) -> None:
    rig.corp.gate.clear()
    waiting = await started(rig, "orders", "billing")
    billing = Selection(route="billing", asked=frozenset({rig.plans["billing"].asker.asked}))
    assert rig.exchanger.flush(billing.takes) == (0, 0, 1)
    joined = await started(rig, "orders")
    assert rig.exchanges == 2
    rig.corp.gate.set()
    assert (await waiting[0]).exchange_id == (await joined[0]).exchange_id
    assert len(rig.exchanger.cache) == 1


async def test_a_refresh_does_not_bring_a_token_back(rig: Rig) -> None:
    by, who = rig.plans["orders"], rig.subjects[0]
    first = await rig.get(by, who)
    rig.time.advance(0.9 * (first.lifetime - 60))
    rig.corp.gate.clear()
    assert (await rig.get(by, who)).cache is CacheResult.REFRESHED
    await asyncio.sleep(0)
    assert rig.exchanger.flush(EVERYTHING.takes) == (1, 0, 1)
    rig.corp.gate.set()
    await rig.exchanger.settled()
    assert len(rig.exchanger.cache) == 0
    assert (await rig.get(by, who)).cache is CacheResult.MISS
    assert rig.evicted == ["flush"]


async def test_refusals_are_forgotten_also_those_that_come_after(rig: Rig) -> None:
    by, who = rig.plans["orders"], rig.subjects[0]
    rig.corp.answer = lambda _: ErrorReply(400, "invalid_grant", None)
    assert [await rig.refused(by, who) for _ in range(3)] == [Kind.INVALID_TOKEN] * 3
    assert rig.exchanges == 1
    assert rig.exchanger.flush(rig.selection("subject", 1).takes) == (0, 0, 0)
    assert rig.exchanger.flush(rig.selection("subject", 0).takes) == (0, 1, 0)
    rig.corp.gate.clear()
    waiting = asyncio.create_task(rig.refused(by, who))
    for _ in range(5):
        await asyncio.sleep(0)
    rig.exchanger.flush(EVERYTHING.takes)
    rig.corp.gate.set()
    assert await waiting is Kind.INVALID_TOKEN
    rig.corp.answer = granted
    assert (await rig.get(by, who)).cache is CacheResult.MISS


async def test_a_close_ends_what_a_flush_overtook(rig: Rig) -> None:
    rig.corp.gate.clear()
    (waiting,) = await started(rig, "orders")
    rig.exchanger.flush(EVERYTHING.takes)
    async with asyncio.timeout(BOUND):
        await rig.exchanger.close()
    with pytest.raises(Refused) as caught:
        await waiting
    assert caught.value.refusal.kind is Kind.EXCHANGE_UNAVAILABLE
    assert (rig.exchanger.in_flight, rig.corp.under_way) == (0, 0)
