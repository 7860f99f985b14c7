import asyncio
import contextlib
import hashlib
import hmac
import json
import os
import re
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from sidecar.model.clock import Clock
from sidecar.model.flush import Flushed, Selection
from sidecar.model.receipt import Occasion, Receipt, Standing
from sidecar.model.refusal import Kind, Refusal
from sidecar.model.tokens import ACCESS_TOKEN, Actor, Subject
from sidecar.observe import receipts as module
from sidecar.observe.line_writer import LineWriter
from sidecar.observe.receipts import ReceiptNotWritten, Receipts, dropped

TIMEOUT = 10.0
RECEIPT = Receipt(Occasion("r-1", "GET", b"/"))
REFUSED = Receipt(Occasion("r-2", "GET", b"/"), refusal=Refusal(Kind.NO_ROUTE, "No route."))
AGENT = Actor(None, "agent")
SUBJECT = Subject(
    issuer="corp",
    iss="https://i",
    sub="alice",
    token_type=ACCESS_TOKEN,
    token_id="jti:1",
    expires_at=2e9,
    scope=frozenset(),
    client_id=None,
    acr=None,
    actors=(AGENT,),
    digest=b"",
    token="",
    claims={},
)


class Sink:
    """A file with a writer on it, or a pipe that nobody reads from."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self.lost = 0
        self.writer = LineWriter(str(path), self._lose, max_bytes=max_bytes)
        self.writer.start()

    def _lose(self, lines: int) -> None:
        self.lost += lines

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()]


@pytest.fixture
async def sink(tmp_path: Path) -> AsyncIterator[Sink]:
    sink = Sink(tmp_path / "receipts", 1 << 20)
    yield sink
    await sink.writer.close(TIMEOUT)


@pytest.fixture
async def stuck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sink]:
    """A sink whose pipe is full: nothing more is ever written."""
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    sink = Sink(tmp_path / "pipe", 200_000)
    filler = os.open(tmp_path / "pipe", os.O_WRONLY | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while os.write(filler, bytes(4096)):
            pass
    yield sink
    await sink.writer.close(0.01)
    os.close(filler)
    os.close(reader)


async def test_every_event_is_written_under_its_name(sink: Sink) -> None:
    receipts = Receipts(sink.writer)
    assert receipts.use(RECEIPT)
    await receipts.exchange(RECEIPT)
    assert receipts.refusal(REFUSED)
    assert await receipts.flush(TIMEOUT)
    assert [line["event"] for line in sink.lines()] == ["use", "exchange", "refusal"]


async def test_an_exchange_is_on_the_disk_when_the_call_returns(sink: Sink) -> None:
    receipts = Receipts(sink.writer)
    for number in range(1, 4):
        await receipts.exchange(RECEIPT)
        assert len(sink.lines()) == number


async def test_many_exchanges_at_once_are_all_whole(sink: Sink) -> None:
    receipts = Receipts(sink.writer)
    async with asyncio.timeout(TIMEOUT):
        await asyncio.gather(*(receipts.exchange(Receipt(Occasion(f"r-{n}", "GET", b"/"))) for n in range(300)))
    assert sorted(line["request_id"] for line in sink.lines()) == sorted(f"r-{n}" for n in range(300))


async def test_time_is_utc_with_milliseconds(sink: Sink) -> None:
    now = iter([0.0, 0.9996, 1.25, 1767323045.006])
    receipts = Receipts(sink.writer, clock=Clock(wall=lambda: next(now)))
    for _ in range(4):
        receipts.use(RECEIPT)
    await receipts.flush(TIMEOUT)
    assert [line["time"] for line in sink.lines()] == [
        "1970-01-01T00:00:00.000Z",
        "1970-01-01T00:00:00.999Z",
        "1970-01-01T00:00:01.250Z",
        "2026-01-02T03:04:05.006Z",
    ]


def test_lost_ones_leave_a_line_of_their_own() -> None:
    line = json.loads(dropped(12))
    assert (line["event"], line["count"], line.keys()) == ("dropped", 12, {"time", "event", "count"})
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    assert abs(datetime.fromisoformat(line["time"]).timestamp() - time.time()) < 60


async def test_without_uses_exchanges_and_refusals_remain(sink: Sink) -> None:
    receipts = Receipts(sink.writer, uses=False)
    assert receipts.use(RECEIPT)
    receipts.refusal(REFUSED)
    await receipts.exchange(RECEIPT)
    assert [line["event"] for line in sink.lines()] == ["refusal", "exchange"]


async def test_without_a_sink_nothing_is_made_and_nothing_refused() -> None:
    receipts = Receipts(None, refuse=True)
    assert receipts.accepting
    assert receipts.fragment(Standing(SUBJECT)) == ""
    await receipts.exchange(RECEIPT)
    assert receipts.use(RECEIPT)
    assert receipts.refusal(REFUSED)
    assert await receipts.flush(TIMEOUT)
    await receipts.close(TIMEOUT)


@pytest.mark.parametrize("sub", ["alice", "ålice", "\ud800"])
async def test_a_hashed_subject_is_an_hmac_that_its_key_can_repeat(sink: Sink, sub: str) -> None:
    subject = replace(SUBJECT, sub=sub)
    fragment = Receipts(sink.writer, subject_key=b"key").fragment(Standing(subject))
    members = json.loads("{" + fragment[1:] + "}")
    expected = hmac.new(b"key", sub.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32]
    assert members["subject"]["sub"] == f"hmac:{expected}"
    assert members["actor"] == [{"sub": "agent"}]
    other = Receipts(sink.writer, subject_key=b"other").fragment(Standing(subject))
    assert other != fragment


async def test_a_plain_subject_is_itself(sink: Sink) -> None:
    fragment = Receipts(sink.writer).fragment(Standing(SUBJECT))
    assert json.loads("{" + fragment[1:] + "}")["subject"] == {"iss": "https://i", "sub": "alice"}


async def test_refuse_an_exchange_whose_line_is_not_written(stuck: Sink) -> None:
    receipts = Receipts(stuck.writer, refuse=True)
    for _ in range(2):
        with pytest.raises(ReceiptNotWritten):
            await receipts.exchange(RECEIPT)
    assert stuck.lost == 0


async def test_refuse_before_the_queue_is_full_so_that_what_is_under_way_still_fits(stuck: Sink) -> None:
    receipts = Receipts(stuck.writer, refuse=True)
    admitted = 0
    while receipts.accepting:
        assert receipts.use(RECEIPT)
        admitted += 1
    assert admitted > 100
    for _ in range(admitted - 2):
        assert receipts.use(RECEIPT)
    assert stuck.lost == 0
    while receipts.use(RECEIPT):
        pass
    assert stuck.lost == 1
    with pytest.raises(ReceiptNotWritten):
        await receipts.exchange(RECEIPT)


async def test_continue_waits_once_then_goes_on_and_counts_what_is_lost(stuck: Sink) -> None:
    receipts = Receipts(stuck.writer)
    await receipts.exchange(RECEIPT)
    assert stuck.writer.failing
    task = asyncio.create_task(receipts.exchange(RECEIPT))
    await asyncio.sleep(0)
    assert task.done()
    while receipts.use(RECEIPT):
        pass
    assert receipts.accepting
    assert not receipts.refusal(REFUSED)
    await receipts.exchange(RECEIPT)
    assert stuck.lost == 3


async def test_what_was_queued_is_written_at_the_end(tmp_path: Path) -> None:
    sink = Sink(tmp_path / "receipts", 1 << 20)
    receipts = Receipts(sink.writer)
    receipts.use(RECEIPT)
    await receipts.close(TIMEOUT)
    assert [line["event"] for line in sink.lines()] == ["use"]


async def test_a_flush_is_told_by_what_was_selected_and_how_much_it_was(sink: Sink) -> None:
    receipts = Receipts(sink.writer, subject_key=b"k", clock=Clock(wall=lambda: 0.0))
    alice = Selection(iss="https://i", sub="alice")
    assert receipts.flushed("r-1", alice, Flushed(issued_tokens=3, exchanges=1))
    assert receipts.flushed("r-2", Selection(iss="https://i"), Flushed())
    assert receipts.flushed("r-3", Selection(route="orders", asked=frozenset({b"x"})), Flushed())
    assert receipts.flushed("r-4", Selection(server="corp"), Flushed())
    assert receipts.flushed("r-5", Selection(), Flushed())
    assert await receipts.flush(TIMEOUT)
    told = sink.lines()
    assert told[0] == {
        "time": "1970-01-01T00:00:00.000Z",
        "event": "flush",
        "request_id": "r-1",
        "subject": {"iss": "https://i", "sub": module.hashed(b"k", "alice")},
        "flushed": {
            "issued_tokens": 3,
            "refusals": 0,
            "exchanges": 1,
            "verified_tokens": 0,
            "introspections": 0,
            "workload_tokens": 0,
            "approvals": 0,
        },
    }
    names = ("subject", "route", "authorization_server")
    assert [{name: line[name] for name in names if name in line} for line in told[1:]] == [
        {"subject": {"iss": "https://i"}},
        {"route": "orders"},
        {"authorization_server": "corp"},
        {},
    ]
    assert Receipts(None).flushed("r-6", alice, Flushed())
