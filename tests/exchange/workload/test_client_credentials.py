"""A token that a server gives us for ourselves: asked for once, in time, by one request at a time."""

import asyncio
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.exchange.dialects import Dialect
from sidecar.exchange.schedule import REFRESH_INTERVAL, Lifetimes
from sidecar.exchange.workload.client_credentials import ClientCredentials
from sidecar.model.refusal import Kind, Refusal, Refused
from sidecar.model.tokens import ACCESS_TOKEN
from sidecar.oauth.jwt import generate_key, sign
from sidecar.oauth.server import (
    AuthorizationServer,
    ErrorReply,
    ServerOverloaded,
    ServerReplyUnusable,
    ServerTimeout,
    ServerUnavailable,
)
from tests.exchange.servers import Answer, FakeServer, Form
from tests.support.canary import Canary, search
from tests.support.clock import FakeClock
from tests.support.values import request

CANARY = Canary.fresh("own-token")
KEY = generate_key("ES256", "k")


def given_out(number: int, **changes: Any) -> dict[str, Any]:
    members = {"access_token": f"{CANARY.text}-{number}", "token_type": "Bearer", "expires_in": 300, **changes}
    return {name: value for name, value in members.items() if value is not None}


class Rig:
    """One token, and the server that gives it: each time with another number."""

    def __init__(self, **changes: Any) -> None:
        self.time = FakeClock()
        self.server = FakeServer(self.time)
        self.server.answer = lambda _: given_out(len(self.server.asked), **changes)
        self.source = ClientCredentials(
            "self",
            ACCESS_TOKEN,
            server=cast(AuthorizationServer, self.server),
            dialect=Dialect(),
            scope=("act", "read"),
            lifetimes=Lifetimes(),
            clock=self.time.clock,
            jitter=lambda: 0.0,
        )

    async def number(self) -> int:
        async with asyncio.timeout(5):
            return int((await self.source.current(request())).token.rsplit("-", 1)[1])

    async def refusal(self) -> Refusal:
        with pytest.raises(Refused) as caught:
            await self.source.current(request())
        assert not search(repr(caught.value.refusal).encode(), CANARY)
        return caught.value.refusal


async def landed(rig: Rig) -> None:
    if rig.source._flight is not None:
        await asyncio.wait([rig.source._flight])
        await asyncio.sleep(0)


async def test_it_is_asked_for_once() -> None:
    rig = Rig()
    assert [await rig.number() for _ in range(3)] == [1, 1, 1]
    assert rig.server.asked == [{"grant_type": "client_credentials", "scope": "act read"}]
    token = await rig.source.current(request())
    assert (token.name, token.token_type) == ("self", ACCESS_TOKEN)
    assert not search(repr((rig.source, vars(rig.source), token)).encode(), CANARY)


async def test_all_who_come_at_once_wait_for_one_answer() -> None:
    rig = Rig()
    rig.server.gate.clear()
    leaving = asyncio.create_task(rig.number())
    staying = [asyncio.create_task(rig.number()) for _ in range(5)]
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    rig.server.gate.set()
    assert await asyncio.gather(*staying) == [1] * 5
    assert len(rig.server.asked) == 1


async def test_a_newer_one_is_asked_for_ahead_of_time() -> None:
    rig = Rig()
    assert await rig.number() == 1
    rig.time.advance(215)
    assert await rig.number() == 1
    await landed(rig)
    assert len(rig.server.asked) == 1
    rig.time.advance(2)  # 300 s, 30 s of which are margin; 80 % of the rest
    assert await rig.number() == 1  # nobody waits
    await landed(rig)
    assert await rig.number() == 2


async def test_the_old_one_serves_to_its_end_while_no_newer_one_is_to_be_had() -> None:
    rig = Rig()
    await rig.number()
    rig.server.answer = lambda _: ServerUnavailable("no connection")
    for _ in range(5):
        rig.time.advance(53)
        assert await rig.number() == 1
        await landed(rig)
    asked = len(rig.server.asked)
    assert await rig.number() == 1
    await landed(rig)
    assert len(rig.server.asked) == asked  # at most once in 10 seconds
    rig.time.advance(10)
    assert (await rig.refusal()).kind is Kind.EXCHANGE_UNAVAILABLE


async def test_one_that_lives_for_a_moment_serves_those_who_wait_alone() -> None:
    rig = Rig(expires_in=1)
    assert [await rig.number(), await rig.number()] == [1, 2]


async def test_its_own_end_counts() -> None:
    rig = Rig()
    token = sign({"iss": "a", "sub": "b", "exp": rig.time.wall + 20, "n": CANARY.text}, KEY, "ES256")
    rig.server.answer = lambda _: given_out(1, access_token=token)
    await rig.source.current(request())
    rig.time.advance(16)
    await rig.source.current(request())
    assert len(rig.server.asked) == 2


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (ServerUnavailable("no connection", 7), Kind.EXCHANGE_UNAVAILABLE),
        (ServerTimeout("slow"), Kind.EXCHANGE_TIMEOUT),
        (ServerOverloaded("full"), Kind.OVERLOADED),
        (ServerReplyUnusable("a page"), Kind.EXCHANGE_UNUSABLE),
        (ErrorReply(401, "invalid_client", CANARY.text), Kind.EXCHANGE_MISCONFIGURED),
        (ErrorReply(400, "invalid_scope", None), Kind.EXCHANGE_MISCONFIGURED),
        (ErrorReply(400, "invalid_grant", None), Kind.EXCHANGE_MISCONFIGURED),
        (ErrorReply(403, "access_denied", None), Kind.EXCHANGE_MISCONFIGURED),
        (ErrorReply(400, CANARY.text, None), Kind.EXCHANGE_MISCONFIGURED),
        (ErrorReply(400, None, None), Kind.EXCHANGE_MISCONFIGURED),
        (ErrorReply(503, "temporarily_unavailable", None), Kind.EXCHANGE_UNAVAILABLE),
        (RuntimeError(CANARY.text), Kind.EXCHANGE_UNUSABLE),
        (given_out(1, access_token=None), Kind.EXCHANGE_UNUSABLE),
        (given_out(1, access_token=[CANARY.text]), Kind.EXCHANGE_UNUSABLE),
        (given_out(1, access_token=f"{CANARY.text}\r\nX: y"), Kind.EXCHANGE_UNUSABLE),
        (given_out(1, token_type="DPoP"), Kind.EXCHANGE_UNUSABLE),
        (given_out(1, expires_in="soon"), Kind.EXCHANGE_UNUSABLE),
        (given_out(1, access_token=sign({"exp": "soon"}, KEY, "ES256")), Kind.EXCHANGE_UNUSABLE),
    ],
)
async def test_whatever_fails_callers_are_not_told_to_bring_another_token(
    answer: Answer, kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig()
    rig.server.answer = lambda _: answer
    refusal = await rig.refusal()
    assert refusal.kind is kind
    assert not search(caplog.text.encode(), CANARY)
    rig.server.answer = lambda _: given_out(9)
    assert await rig.number() == 9  # nothing of the failure was kept


async def test_one_that_a_server_no_longer_knows_is_replaced() -> None:
    rig = Rig()
    rig.source.doubt()
    await rig.number()
    rig.source.doubt()
    assert await rig.number() == 1
    await landed(rig)
    assert len(rig.server.asked) == 1  # it is as new as can be
    rig.time.advance(REFRESH_INTERVAL)
    rig.source.doubt()
    await rig.number()
    await landed(rig)
    assert await rig.number() == 2


async def test_the_end() -> None:
    rig = Rig()
    rig.server.gate.clear()
    waiting = asyncio.create_task(rig.number())
    await asyncio.sleep(0)
    await rig.source.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


@given(life=st.integers(2, 400), steps=st.lists(st.floats(0, 120), max_size=15))
def test_none_is_used_past_its_end(life: int, steps: list[float]) -> None:
    rig = Rig(expires_in=life)
    ends: dict[int, float] = {}

    def answer(_: Form) -> Answer:
        ends[len(rig.server.asked)] = rig.time.monotonic + life
        return given_out(len(rig.server.asked), expires_in=life)

    rig.server.answer = answer

    async def play() -> None:
        for step in steps:
            rig.time.advance(step)
            assert rig.time.monotonic < ends.get(number := await rig.number(), 0), number
            await landed(rig)

    asyncio.run(play())


async def test_what_is_forgotten_is_asked_for_again() -> None:
    rig = Rig()
    assert await rig.number() == 1
    assert rig.source.forget("another") == 0
    assert await rig.number() == 1
    assert rig.source.forget("corp") == 1
    assert rig.source.forget() == 0
    assert [await rig.number(), await rig.number()] == [2, 2]


async def test_one_under_way_is_for_those_who_wait_alone() -> None:
    rig = Rig()
    rig.server.gate.clear()
    before = asyncio.create_task(rig.source.current(request()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    rig.source.forget()
    after = asyncio.create_task(rig.source.current(request()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(rig.server.asked) == 2
    rig.server.gate.set()
    await before
    newer = await after
    assert await rig.source.current(request()) is newer
    assert len(rig.server.asked) == 2


async def test_a_close_ends_one_that_was_forgotten() -> None:
    rig = Rig()
    rig.server.gate.clear()
    waiting = asyncio.create_task(rig.source.current(request()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    rig.source.forget()
    async with asyncio.timeout(5):
        await rig.source.close()
    assert rig.server.under_way == 0
    with pytest.raises(asyncio.CancelledError):
        await waiting
