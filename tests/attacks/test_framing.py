"""One request never becomes two: every way to frame a request that two readers could take differently.

What the upstream gets is held against a strict reading of what was sent: it is that reading's beginning, or nothing.
"""

import asyncio
from pathlib import Path

import pytest

from tests.attacks.framing import MARK, cases
from tests.attacks.recorder import Recorder, conversation
from tests.attacks.strict import Message, Rest, requests, responses
from tests.support.gateway import running_gateway
from tests.support.raw_upstream import RawUpstream

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


@pytest.mark.threat("S31", "S32", "S33", "S34", "S28")
async def test_no_framing_makes_two_requests_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.inbound.incoming.LINGERING", 0.05)  # all is read that comes to the end of a connection
    recorder = Recorder()
    answers: dict[int, bytes] = {}
    together = asyncio.Semaphore(48)

    def sent(number: int) -> bytes:
        return (CASES[number][0] + PROBE).replace(MARK, b"%d" % number)

    async def attempt(port: int, number: int) -> None:
        async with together:
            answers[number] = await conversation(port, sent(number))

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
