"""One request never becomes two: every way to frame a request that two readers could take differently.

What the upstream gets is held against a strict reading of what was sent: it is that reading's beginning, or nothing.
"""

import asyncio
import re
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from tests.attacks.framing import CHUNKED, MARK, cases
from tests.attacks.recorder import Recorder, conversation
from tests.attacks.strict import Message, Rest, requests, responses
from tests.support.gateway import running_gateway
from tests.support.raw_upstream import Peer, RawUpstream

CONFIG = """
gateway: {listen: '127.0.0.1:0', header_timeout: 1s}
routes:
  - name: any
    match: {path_prefix: /}
    upstream: {url: 'http://127.0.0.1:PORT', send_idle: 500ms}
    exchange: none
"""
PROBE = b"GET /probe/MARK HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
CASES = sorted({data: name for name, data in cases()}.items())


def gist(message: Message) -> tuple[bytes, bytes, bytes]:
    """What must arrive as it was sent."""
    return message.start[0], message.target, message.body


def in_pieces(data: bytes, random: Random) -> list[bytes]:
    """Cut anywhere, most of all near line ends."""
    places = {random.randrange(len(data)) for _ in range(3)}
    places |= {found.end() - random.randrange(3) for found in re.finditer(rb"\r?\n", data) if random.random() < 0.3}
    return [data[start:end] for start, end in pairwise([0, *sorted(places - {0}), len(data)])]


@pytest.mark.parametrize("apart", [False, True], ids=["at once", "in pieces"])
@pytest.mark.threat("S31", "S32", "S33", "S34", "S28")
async def test_no_framing_makes_two_requests_of_one(
    apart: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sidecar.inbound.incoming.LINGERING", 0.05)  # all is read that comes to the end of a connection
    recorder = Recorder()
    answers: dict[int, bytes] = {}
    together = asyncio.Semaphore(48)
    random = Random(31)

    def sent(number: int) -> bytes:
        return (CASES[number][0] + PROBE).replace(MARK, b"%d" % number)

    async def attempt(port: int, number: int) -> None:
        async with together:
            pieces = in_pieces(sent(number), random) if apart else [sent(number)]
            answers[number] = await conversation(port, *pieces)

    async with (
        RawUpstream(recorder.serve) as upstream,
        running_gateway(tmp_path, CONFIG.replace("PORT", str(upstream.port))) as gateway,
    ):
        await asyncio.gather(*(attempt(gateway.port(), number) for number in range(len(CASES))))
    arrived: dict[int, list[Message]] = {}
    for message in recorder.messages:
        arrived.setdefault(int(message.target.rsplit(b"/", 1)[1]), []).append(message)
    wrong: list[str] = []
    forwarded = 0
    for number, (_, name) in enumerate(CASES):
        meant, _ = requests(sent(number))
        came = arrived.pop(number, [])
        said, rest = responses(answers[number])
        final = [message.status for message in said if message.status >= 200]
        if not (
            [gist(message) for message in came] == [gist(message) for message in meant][: len(came)]
            and rest is Rest.NOTHING
            and len(came) <= len(final) <= len(meant) + 1
            and final[: len(came)] == [200] * len(came)
            and all(status >= 400 for status in final[len(came) :])
        ):
            wrong.append(f"{name}: {sent(number)!r}: {[gist(message) for message in came]} {answers[number]!r}")
        forwarded += len(came) == len(meant) > 0
    assert wrong == []
    assert arrived == {}
    assert recorder.strange == []
    assert len(CASES) > 1500
    assert forwarded > 35


@pytest.mark.parametrize("start", [b"5\r\nhello", b"5\r\nhello\r", b"5\r\nhello\r\n", b"6\r\nhello"])
@pytest.mark.parametrize(
    "end", [b"0\x00\r\n\r\n", b"0\r\n X: y\r\n\r\n", b"x\r\n", b"-1\r\n", b"\n0\r\n\r\n", b"0\n\n"]
)
@pytest.mark.threat("S32")
async def test_a_body_that_breaks_while_more_is_awaited_never_looks_whole(
    start: bytes, end: bytes, tmp_path: Path
) -> None:
    there = asyncio.Event()
    received: list[bytes] = []

    async def script(peer: Peer) -> None:
        head = await peer.until(b"hello")
        there.set()
        received.append(head + await peer.rest())

    async with (
        RawUpstream(script) as upstream,
        running_gateway(tmp_path, CONFIG.replace("PORT", str(upstream.port))) as gateway,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port())
        writer.write(plain(start, CHUNKED))
        async with asyncio.timeout(10):
            await there.wait()
            writer.write((b"\r\n" if start.endswith(b"hello") else b"\n" if start.endswith(b"\r") else b"") + end)
            assert b" 400 " in await reader.readuntil(b"\r\n")
        writer.close()
    [sent] = received
    assert requests(sent) == ([], Rest.PART)


def plain(body: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join([b"POST /x HTTP/1.1", b"Host: a", *fields, b"", b""]) + body


@pytest.mark.parametrize(
    ("data", "bodies", "rest"),
    [
        (plain(b""), [b""], Rest.NOTHING),
        (plain(b"hello", b"Content-Length: 5"), [b"hello"], Rest.NOTHING),
        (plain(b"hell", b"Content-Length: 5"), [], Rest.PART),
        (plain(b"hello", b"Content-Length: 5", b"Content-Length: 5"), [], Rest.BAD),
        (plain(b"hello", b"Content-Length: +5"), [], Rest.BAD),
        (plain(b"0\r\n\r\n", b"Content-Length: 5", b"Transfer-Encoding: chunked"), [], Rest.BAD),
        (plain(b"5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n", b"Transfer-Encoding: chunked"), [b"hello"], Rest.NOTHING),
        (plain(b"5\r\nhello\n0\r\n\r\n", b"Transfer-Encoding: chunked"), [], Rest.BAD),
        (plain(b"5\r\nhello\r\n", b"Transfer-Encoding: chunked"), [], Rest.PART),
        (plain(b"") + plain(b"x", b"Content-Length: 1") + b"GET", [b"", b"x"], Rest.PART),
        (plain(b"hello"), [b""], Rest.PART),
        (plain(b"", b"X : y"), [], Rest.BAD),
        (plain(b"", b" X: y"), [], Rest.BAD),
        (plain(b"", b"X: a\nb"), [], Rest.BAD),
    ],
)
def test_the_strict_reading_is_one(data: bytes, bodies: list[bytes], rest: Rest) -> None:
    """What everything above is held against."""
    found, left = requests(data)
    assert [message.body for message in found] == bodies
    assert left is rest


def test_the_strict_reading_takes_any_pieces_for_the_same() -> None:
    data = plain(b"5\r\nhello\r\n0\r\n\r\n", b"Transfer-Encoding: chunked") + plain(b"x", b"Content-Length: 1")
    for end in range(len(data)):
        found, rest = requests(data[:end])
        assert rest is not Rest.BAD
        assert found == requests(data)[0][: len(found)]
