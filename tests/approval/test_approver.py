"""One approver against sockets that answer whatever a test says; no answer, and no odd one, is ever a yes."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.approval.approver import AT_ONCE, Approver
from sidecar.approval.question import Question
from sidecar.model.approval import Approval, ApprovalPolicy, Verdict
from sidecar.model.refusal import Kind, Refusal
from sidecar.oauth.http import PeerClient, Reply
from tests.oauth.peers import RawPeer, never, raw_peer, reply
from tests.support.clock import FakeClock
from tests.support.values import NOW, exchange, request, route, subject

TIMEOUT = 5.0


def answer(members: Any, status: int = 200, content_type: str = "application/json", **fields: str) -> bytes:
    return reply(status, members, content_type, **fields)


YES, NO = answer({"result": True}), answer({"result": False})


def question(max_age: float = 0.0, **changes: Any) -> Question:
    policy = ApprovalPolicy("desk", max_age)
    return replace(Question(policy, route(), exchange(), subject(), None, request()), **changes)


@dataclass
class Desk:
    approver: Approver
    peer: RawPeer
    observed: list[tuple[str, Kind | None]] = field(default_factory=list)

    async def ask(self, asked: Question | None = None) -> Approval:
        async with asyncio.timeout(10):
            return await self.approver.approve(asked or question())

    async def put(self, questions: int) -> None:
        """Wait until so many questions have arrived."""
        async with asyncio.timeout(10):
            while len(self.peer.seen) < questions:  # noqa: ASYNC110 - the peer has no event for it
                await asyncio.sleep(0.001)

    async def refused(self) -> tuple[Approval, Refusal]:
        approval = await self.ask()
        assert approval.refusal is not None
        return approval, approval.refusal


@asynccontextmanager
async def desk(*answers: Any, form: str = "opa", timeout: float = TIMEOUT, time: FakeClock | None = None) -> Any:
    clock = (time or FakeClock()).clock
    async with raw_peer(*answers) as peer:
        client = PeerClient(timeout=timeout, max_in_flight=AT_ONCE, clock=clock)
        observed: list[tuple[str, Kind | None]] = []
        approver = Approver(
            "desk",
            form=form,
            url=f"http://127.0.0.1:{peer.port}/v1/data/approve",
            client=client,
            timeout=timeout,
            observed=lambda name, kind, _: observed.append((name, kind)),
            clock=clock,
        )
        try:
            yield Desk(approver, peer, observed)
        finally:
            await approver.close()
            await client.close()


async def test_a_yes_of_opa() -> None:
    said = {"allow": True, "reason": "within hours", "approval_id": "a-1"}
    async with desk(answer({"result": said})) as here:
        approval = await here.ask()
        assert (approval.verdict, approval.by, approval.id, approval.reason) == (
            Verdict.APPROVED,
            "desk",
            "a-1",
            "within hours",
        )
        [seen] = here.peer.seen
        assert (seen.method, seen.target) == ("POST", "/v1/data/approve")
        assert seen.value("content-type") == "application/json"
        assert json.loads(seen.body)["input"] == question().members(NOW)
        assert here.observed == [("orders", None)]


async def test_a_yes_of_a_decision_point() -> None:
    async with desk(answer({"decision": True}), form="authzen") as here:
        assert (await here.ask()).verdict is Verdict.APPROVED
        assert here.peer.seen[0].target == "/v1/data/approve/access/v1/evaluation"
        assert json.loads(here.peer.seen[0].body)["subject"]["id"] == "alice"


@pytest.mark.parametrize("form", ["opa", "authzen"])
async def test_a_no(form: str) -> None:
    said = {"allow": False, "reason": "after hours"}
    members = {"result": said} if form == "opa" else {"decision": False, "context": {"reason": "after hours"}}
    async with desk(answer(members), form=form) as here:
        approval, refusal = await here.refused()
        assert (approval.verdict, approval.reason) == (Verdict.DENIED, "after hours")
        assert refusal.kind is Kind.APPROVAL_DENIED
        assert "after hours" not in refusal.reason + refusal.finding
        assert here.observed == [("orders", Kind.APPROVAL_DENIED)]


#: Answers that are none; the approver's own words must not become ours.
NO_ANSWERS: dict[str, list[bytes]] = {
    "HTML with 200": [answer(b"<html>canary-html</html>", content_type="text/html")],
    "text with 200": [answer(b"true", content_type="text/plain")],
    "no JSON": [answer(b"{canary")],
    "nothing": [answer(b"")],
    "a bare true": [answer(True)],
    "a list": [answer([{"result": True}])],
    "a yes twice": [answer(b'{"result": false, "result": true}')],
    "not a number": [answer(b'{"result": {"allow": true, "expires_at": NaN}}')],
    "too large": [answer({"result": True, "padding": "x" * 70_000})],
    "a yes with 201": [answer({"result": True}, 201)],
    "a yes with 202": [answer({"result": True}, 202)],
    "a yes with 204": [answer({"result": True}, 204)],
    "a yes with 400": [answer({"result": True}, 400)],
    "a yes with 401": [answer({"result": True}, 401)],
    "a yes with 403": [answer({"result": True}, 403)],
    "a yes with 500": [answer({"result": True}, 500)],
    "a yes with 503": [answer({"result": True}, 503)],
    "a redirect": [answer({"result": True}, 307, Location="/other"), YES],
    "packed": [answer({"result": True}, Content_Encoding="gzip")],
    "cut short": [YES[:-1], b""],
    "a closed connection, twice": [b"", b"", YES],
    "no HTTP": [b"canary\r\n\r\n"],
    "another form's yes": [answer({"decision": True})],
    "undefined": [answer({})],
}


@pytest.mark.threat("S69")
@pytest.mark.parametrize("name", NO_ANSWERS)
async def test_what_is_no_answer_is_no_yes(name: str) -> None:
    async with desk(*NO_ANSWERS[name], timeout=0.5 if name == "cut short" else TIMEOUT) as here:
        approval, refusal = await here.refused()
        assert refusal.kind is Kind.APPROVAL_UNAVAILABLE
        assert (approval.verdict, refusal.retry_after) == (Verdict.UNAVAILABLE, 1)
        assert "canary" not in repr(approval)
        assert here.observed == [("orders", Kind.APPROVAL_UNAVAILABLE)]


async def test_a_connection_that_closes_before_a_reply_is_tried_once_more() -> None:
    async with desk(b"", YES) as here:
        assert (await here.ask()).refusal is None
        assert len(here.peer.seen) == 2


async def test_an_approver_that_is_not_there() -> None:
    async with desk(YES) as here:
        gone = here.approver
    approval = await gone.approve(question())
    assert approval.verdict is Verdict.UNAVAILABLE


async def test_an_approver_that_hangs_is_asked_by_so_many_at_once_and_holds_nobody_longer() -> None:
    async with desk(never(), timeout=0.3) as here:
        approvals = await asyncio.gather(*(here.ask() for _ in range(3 * AT_ONCE)))
        assert {approval.verdict for approval in approvals} == {Verdict.UNAVAILABLE}
        findings = [approval.refusal.finding for approval in approvals if approval.refusal is not None]
        assert findings.count("approver desk: too many questions are waiting for it") == AT_ONCE
        assert findings.count("approver desk: no answer in time") == 2 * AT_ONCE


async def test_a_yes_that_has_expired_is_a_no() -> None:
    said = answer({"result": {"allow": True, "expires_at": NOW - 1}})
    async with desk(said, answer({"result": {"allow": True, "expires_at": NOW}})) as here:
        for _ in range(2):
            _, refusal = await here.refused()
            assert refusal.kind is Kind.APPROVAL_DENIED


async def test_without_max_age_every_request_is_asked_about() -> None:
    async with desk(YES) as here:
        approvals = await asyncio.gather(*(here.ask() for _ in range(5)))
        assert len(here.peer.seen) == 5
        # What is got under it serves one request alone.
        assert all(approval.until <= here.approver._clock.monotonic() for approval in approvals)


async def test_one_question_answers_all_who_wait() -> None:
    release = asyncio.Event()

    async def slow(_: object, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.write(YES)

    async with desk(slow) as here:
        asking = [asyncio.create_task(here.ask(question(60))) for _ in range(20)]
        other = asyncio.create_task(here.ask(question(60, request=request(path=b"/orders/2"))))
        await here.put(2)
        asking[0].cancel()  # whoever began it may leave
        release.set()
        results = await asyncio.gather(*asking[1:], other)
        assert {approval.verdict for approval in results} == {Verdict.APPROVED}
        assert len(here.peer.seen) == 2
        assert len(here.observed) == 2


async def test_a_no_is_never_remembered() -> None:
    async with desk(NO, YES, NO) as here:
        asked = question(60)
        assert [(await here.ask(asked)).verdict for _ in range(3)] == [
            Verdict.DENIED,
            Verdict.APPROVED,
            Verdict.APPROVED,
        ]
        assert (await here.ask(question(60, subject=subject("another-token")))).verdict is Verdict.DENIED
        assert len(here.peer.seen) == 3


async def test_a_change_of_mind_counts_when_the_yes_has_ended() -> None:
    time = FakeClock()
    async with desk(YES, NO, time=time) as here:
        assert (await here.ask(question(60))).verdict is Verdict.APPROVED
        time.advance(30)
        kept = await here.ask(question(60))
        assert (kept.verdict, kept.age, kept.until) == (Verdict.APPROVED, 30.0, 1060.0)
        time.advance(30)
        assert (await here.ask(question(60))).verdict is Verdict.DENIED
        time.monotonic -= 45  # a clock that would make the yes young again does not: it is forgotten
        assert (await here.ask(question(60))).verdict is Verdict.DENIED


async def test_a_jump_of_the_wall_clock_makes_no_yes_older_or_younger() -> None:
    time = FakeClock()
    said = answer({"result": {"allow": True, "expires_at": NOW + 60}})
    async with desk(said, NO, time=time) as here:
        assert (await here.ask(question(3600))).until == 1060.0
        time.wall -= 10_000
        time.monotonic += 59
        assert (await here.ask(question(3600))).verdict is Verdict.APPROVED
        time.monotonic += 1
        assert (await here.ask(question(3600))).verdict is Verdict.DENIED


async def test_a_route_that_lets_a_yes_count_shorter_is_not_given_an_old_one() -> None:
    """After a reload with another ``max_age`` the same approver goes on."""
    time = FakeClock()
    async with desk(YES, NO, time=time) as here:
        await here.ask(question(60))
        time.advance(10)
        assert (await here.ask(question(9))).verdict is Verdict.DENIED


class Told:
    """A client that says yes, and until when; it counts."""

    def __init__(self, time: FakeClock, life: float | None) -> None:
        self.time, self.life, self.asked = time, life, list[float]()

    async def post_json(self, _: str, __: bytes) -> Reply:
        self.asked.append(self.time.monotonic)
        result: dict[str, Any] = {"allow": True}
        if self.life is not None:
            result["expires_at"] = self.time.wall + self.life
        return Reply(200, "application/json", None, json.dumps({"result": result}).encode())


@given(
    st.integers(1, 100),
    st.none() | st.integers(1, 100),
    st.lists(st.tuples(st.integers(0, 120), st.integers(0, 2)), max_size=30),
)
@pytest.mark.threat("S71")
def test_no_yes_is_used_longer_than_it_counts(max_age: int, life: int | None, steps: list[tuple[int, int]]) -> None:
    """Whatever happens when: an answer is used for its own token alone, and within its time."""
    time = FakeClock()
    told = Told(time, life)
    approver = Approver(
        "desk",
        form="opa",
        url="http://127.0.0.1:1/",
        client=told,  # type: ignore[arg-type]
        timeout=1,
        observed=lambda *_: None,
        clock=time.clock,
    )
    counts = max_age if life is None else min(max_age, life)
    said: dict[int, float] = {}

    async def play() -> None:
        for pause, token in steps:
            time.advance(pause)
            before = len(told.asked)
            approval = await approver.approve(question(max_age, subject=subject(f"token-{token}")))
            assert approval.refusal is None
            fresh = token not in said or time.monotonic - said[token] >= counts
            assert len(told.asked) - before == fresh
            if fresh:
                said[token] = time.monotonic
            assert approval.age == pytest.approx(time.monotonic - said[token])
            assert approval.until == pytest.approx(said[token] + counts)

    asyncio.run(play())


async def test_closing_ends_what_is_under_way() -> None:
    async with desk(never()) as here:
        waiting = asyncio.create_task(here.ask(question(60)))
        await here.put(1)
        await here.approver.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_a_yes_is_forgotten_by_subject_and_by_route() -> None:
    alice, bob = question(60), question(60, subject=subject("other", sub="bob"))
    elsewhere = question(60, route=route("billing"))
    async with desk(*[YES] * 9) as here:

        async def asked() -> list[int]:
            """Which of the three had to be asked about."""
            counts = [len(here.peer.seen)]
            for each in (alice, bob, elsewhere):
                await here.ask(each)
                counts.append(len(here.peer.seen))
            return [after - before for before, after in pairwise(counts)]

        assert await asked() == [1, 1, 1]
        assert await asked() == [0, 0, 0]
        assert here.approver.forget(lambda iss, sub, _: (iss, sub) == ("https://issuer.example", "bob")) == 1
        assert await asked() == [0, 1, 0]
        assert here.approver.forget(lambda _, __, name: name == "billing") == 1
        assert await asked() == [0, 0, 1]
        assert here.approver.forget(lambda *_: True) == 3
        assert await asked() == [1, 1, 1]


async def test_a_yes_that_is_on_its_way_is_for_those_who_wait_alone() -> None:
    release = asyncio.Event()

    async def slowly(_: object, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.write(YES)

    async with desk(slowly, YES) as here:
        before = asyncio.create_task(here.ask(question(60)))
        await here.put(1)
        here.approver.forget(lambda *_: True)
        after = asyncio.create_task(here.ask(question(60)))
        await here.put(2)
        assert (await after).verdict is Verdict.APPROVED
        release.set()
        assert (await before).verdict is Verdict.APPROVED
        assert (await here.ask(question(60))).verdict is Verdict.APPROVED
        assert len(here.peer.seen) == 2
        assert here.approver._flights._overtaken == set()
