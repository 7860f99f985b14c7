"""One answer never becomes two, and a broken one never a whole: every way to frame a response that two readers take
differently, from an upstream that means harm.

What the caller gets is held against a strict reading of what the upstream sent: that answer, a 502, or one that is cut.
"""

import asyncio
import re
from pathlib import Path

import pytest

from tests.attacks.answers import answer, cases
from tests.attacks.recorder import conversation
from tests.attacks.strict import Rest, responses
from tests.support.gateway import running_gateway
from tests.support.raw_upstream import Peer, RawUpstream

CONFIG = """
gateway: {listen: '127.0.0.1:0'}
routes:
  - name: any
    match: {path_prefix: /}
    upstream: {url: 'http://127.0.0.1:PORT', read_idle: 300ms, response_timeout: 300ms}
    exchange: none
"""
CASES = cases()


async def hostile(peer: Peer) -> None:
    """Answer /attack/N with the case N, and end or stay; /good/N with its number."""
    while True:
        kind, number, stays = (await peer.head()).split(b" ", 2)[1].strip(b"/").split(b"/")
        if kind == b"good":
            await peer.send(answer(b"Content-Length: %d" % (5 + len(number)), body=b"good " + number))
            continue
        await peer.send(CASES[int(number)])
        if stays == b"0":
            return


def problem_of(number: int, raw: bytes) -> str | None:
    """What is wrong with what the caller got for an attack and the good request behind it; None if nothing is."""
    meant = next((message for message in responses(CASES[number])[0] if message.status >= 200), None)
    final = [message for message in responses(raw)[0] if message.status >= 200]
    for place, message in enumerate(final):
        whole = message.body == b"good %d" % number if place else meant is not None and message.body == meant.body
        if not whole and message.status not in (502, 504):
            return f"answer {place} is {message.status} {message.body!r}"
    if len(final) > 2:
        return f"{len(final)} answers to two requests"
    if len(final) == 2 and responses(raw)[1] is not Rest.NOTHING:
        return "something behind the last answer"
    if re.search(rb"\r\n(Set-Cookie: b=c|\x1b)", raw):
        return "a field that the upstream did not send as one"
    return None


@pytest.mark.threat("S31", "S32", "S33", "S37", "S39")
async def test_no_response_makes_two_answers_of_one(tmp_path: Path) -> None:
    together = asyncio.Semaphore(48)
    wrong: list[str] = []
    outcomes = {"relayed": 0, "refused": 0, "cut": 0}

    async def attempt(port: int, number: int, stays: bool) -> None:
        async with together:
            raw = await conversation(
                port,
                b"GET /attack/%d/%d HTTP/1.1\r\nHost: a\r\n\r\n" % (number, stays)
                + b"GET /good/%d/1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % number,
            )
        if (problem := problem_of(number, raw)) is not None:
            wrong.append(f"{CASES[number][:200]!r}: {problem}: {raw[:600]!r}")
        final = [message for message in responses(raw)[0] if message.status >= 200]
        outcomes["cut" if len(final) < 2 else "refused" if final[0].status >= 500 else "relayed"] += 1

    async with (
        RawUpstream(hostile) as upstream,
        running_gateway(tmp_path, CONFIG.replace("PORT", str(upstream.port))) as gateway,
    ):
        await asyncio.gather(
            *(attempt(gateway.port(), number, stays) for number in range(len(CASES)) for stays in (False, True))
        )
    assert wrong == []
    assert len(CASES) > 600
    assert min(outcomes.values()) > 20, outcomes
