"""Many users at once: a cold start, and tokens that all end in the same second. What does the server see of it?"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import cast

import pytest

from sidecar.exchange.cache import TokenCache
from sidecar.exchange.exchanger import Exchanger
from sidecar.exchange.schedule import JITTER, Lifetimes, schedule
from sidecar.model.decision import CacheResult, Exchanged
from sidecar.model.refusal import Kind, Refused
from sidecar.oauth.client_auth import TokenEndpoint
from sidecar.oauth.client_auth.simple import NoAuthentication
from sidecar.oauth.http import PeerClient, Reply
from sidecar.oauth.server import AuthorizationServer
from tests.exchange.servers import plan
from tests.support.clock import FakeClock
from tests.support.values import request, subject

AT_ONCE = 64
USERS = 10_000
TYPE = "urn:ietf:params:oauth:token-type:access_token"


class Endpoint:
    """A token endpoint for the real authorization server: it answers when told to, and counts who is there."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.at_once = self.most = self.asked = 0

    async def post_form(self, url: str, pairs: Sequence[tuple[str, str]], headers: dict[str, str]) -> Reply:
        self.asked += 1
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await self.gate.wait()
            await asyncio.sleep(0)
        finally:
            self.at_once -= 1
        token = dict(pairs)["subject_token"]
        members = (
            f'{{"access_token":"for-{token}","token_type":"Bearer","expires_in":300,"issued_token_type":"{TYPE}"}}'
        )
        return Reply(200, "application/json", None, members.encode())


TYPE = "urn:ietf:params:oauth:token-type:access_token"


class Quiet:
    """A journal that keeps nothing but the number of lookups by result."""

    def __init__(self) -> None:
        self.lookups: Counter[CacheResult] = Counter()

    def looked_up(self, route: str, result: CacheResult) -> None:
        self.lookups[result] += 1

    async def exchanged(self, record: Exchanged) -> str:
        return ""


class Crowd:
    """Many users of one route, an exchanger, and an authorization server of the real kind."""

    def __init__(self) -> None:
        self.time = FakeClock()
        self.endpoint = Endpoint()
        self.book = Quiet()
        self.server = AuthorizationServer(
            "corp",
            endpoint=TokenEndpoint("https://as.example/token"),
            client=cast(PeerClient, self.endpoint),
            client_auth=NoAuthentication("gateway"),
            timeout=30,
            max_in_flight=AT_ONCE,
            clock=self.time.clock,
        )
        tokens = TokenCache(max_entries=USERS, max_bytes=1 << 30, negative_lifetime=10)
        chance = random.Random(8693)
        self.exchanger = Exchanger(tokens, self.book, clock=self.time.clock, jitter=lambda: chance.uniform(-1, 1))
        self.plan = plan(self.server)

    async def ask(self, number: int) -> str:
        """One request of a user; returns the token it goes on with, or the kind of refusal."""
        who = subject(f"user-{number}", sub=f"user-{number}", expires_at=self.time.wall + 10**6)
        try:
            return (await self.exchanger.obtain(self.plan, who, request())).token.token
        except Refused as refused:
            return refused.refusal.kind.value

    async def settled(self) -> None:
        async with asyncio.timeout(30):
            while self.exchanger.in_flight:  # noqa: ASYNC110 - it has no event for this
                await asyncio.sleep(0)


@pytest.fixture
async def crowd() -> AsyncIterator[Crowd]:
    crowd = Crowd()
    yield crowd
    await crowd.exchanger.close()


@pytest.mark.threat("S19")
async def test_a_cold_start_is_bounded_by_the_queue(crowd: Crowd) -> None:
    """All of them come before the first is answered: some are served, the rest are told at once to come again."""
    crowd.endpoint.gate.clear()
    waiting = [asyncio.create_task(crowd.ask(number)) for number in range(2000)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert (crowd.server.in_flight, crowd.server.queued) == (AT_ONCE, AT_ONCE)
    told = [task.result() for task in waiting if task.done()]
    assert told == [Kind.OVERLOADED.value] * (2000 - 2 * AT_ONCE)
    crowd.endpoint.gate.set()
    answers = await asyncio.gather(*waiting)
    assert sum(answer.startswith("for-user-") for answer in answers) == 2 * AT_ONCE
    assert (crowd.endpoint.most, crowd.endpoint.asked) == (AT_ONCE, 2 * AT_ONCE)
    while any(answer == Kind.OVERLOADED.value for answer in answers):  # they come again, as many as may
        batch = [number for number, answer in enumerate(answers) if answer == Kind.OVERLOADED.value][: 2 * AT_ONCE]
        for number, answer in zip(batch, await asyncio.gather(*map(crowd.ask, batch)), strict=True):
            answers[number] = answer
    assert answers == [f"for-user-{number}" for number in range(2000)]
    assert (crowd.endpoint.most, crowd.endpoint.asked) == (AT_ONCE, 2000)


async def test_tokens_that_end_together_are_not_renewed_together(crowd: Crowd) -> None:
    """600 users, tokens got in the same instant, each used every five seconds until all are renewed."""
    users = 600
    for first in range(0, users, AT_ONCE):
        await asyncio.gather(*(crowd.ask(number) for number in range(first, min(first + AT_ONCE, users))))
    assert crowd.endpoint.asked == users
    crowd.endpoint.most = 0
    per_step: list[int] = []
    for _ in range(300 // 5):
        crowd.time.advance(5)
        before = crowd.endpoint.asked
        for number in range(users):
            assert await crowd.ask(number) == f"for-user-{number}"
            if number % 20 == 0:
                await crowd.settled()
        await crowd.settled()
        per_step.append(crowd.endpoint.asked - before)
    assert crowd.book.lookups[CacheResult.MISS] == users  # the first time, and nobody waited since
    assert sum(per_step) >= users
    # Jitter of ±10 % of 216 s is 43 s, nearly nine steps: no step has many more than its share.
    assert max(per_step) <= 2 * users / (2 * JITTER * 216 / 5)
    assert crowd.endpoint.most <= AT_ONCE


async def test_a_renewal_never_takes_the_place_of_somebody_without_a_token(crowd: Crowd) -> None:
    warm = 500
    for first in range(0, warm, AT_ONCE):
        await asyncio.gather(*(crowd.ask(number) for number in range(first, min(first + AT_ONCE, warm))))
    crowd.time.advance(250)  # all of them are due
    crowd.endpoint.gate.clear()
    assert [await crowd.ask(number) for number in range(warm)] == [f"for-user-{number}" for number in range(warm)]
    assert crowd.exchanger.in_flight == AT_ONCE / 2
    cold = [asyncio.create_task(crowd.ask(number)) for number in range(warm, warm + AT_ONCE)]
    for _ in range(10):
        await asyncio.sleep(0)
    crowd.endpoint.gate.set()
    assert await asyncio.gather(*cold) == [f"for-user-{number}" for number in range(warm, warm + AT_ONCE)]


def test_ten_thousand_tokens_of_one_second_are_renewed_over_forty() -> None:
    chance = random.Random(8693)
    seconds: Counter[int] = Counter()
    for _ in range(USERS):
        times = schedule(
            Lifetimes(),
            sent=1000,
            sent_wall=0,
            expires_in=300,
            issued_exp=None,
            subject_exp=3600,
            jitter=chance.uniform(-1, 1),
        )
        assert times.refresh_at < times.deadline
        seconds[int(times.refresh_at)] += 1
    assert len(seconds) >= 40
    assert max(seconds.values()) <= 1.5 * USERS / len(seconds)
