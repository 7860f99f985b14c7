"""Spans on their way: in batches, bounded, counted, and in nobody's way."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sidecar.observe.span_export import BATCH, Delivery, SpanExporter
from sidecar.observe.spans import Span, SpanKind
from tests.support.collector import read

BOUND = 10.0


def span(number: int = 1) -> Span:
    return Span("0af7651916cd43dd8448eb211c80319c", f"{number:016x}", None, "x", SpanKind.SERVER, 1, 2)


class Sink:
    """Stands for a collector: takes what it is told to take. ready: sends wait for it."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.deliveries: list[Delivery] = []
        self.ready = asyncio.Event()
        self.ready.set()
        self.began = asyncio.Event()
        self.counted: Counter[str] = Counter()

    async def send(self, body: bytes) -> Delivery:
        spans = read(body).resource_spans[0].scope_spans[0].spans
        self.batches.append(len(spans))
        self.began.set()
        await self.ready.wait()
        return self.deliveries.pop(0) if self.deliveries else Delivery()

    def count(self, outcome: str, number: int) -> None:
        self.counted[outcome] += number

    async def asked(self) -> None:
        async with asyncio.timeout(BOUND):
            await self.began.wait()

    async def until(self, **counted: int) -> None:
        async with asyncio.timeout(BOUND):
            while dict(self.counted) != counted:  # noqa: ASYNC110 - counted where nobody tells of it
                await asyncio.sleep(0.001)


@asynccontextmanager
async def exporting(sink: Sink, max_waiting: int = 8192, gather: float = 0.01) -> AsyncIterator[SpanExporter]:
    exporter = SpanExporter(
        sink.send, {"service.name": "s"}, sink.count, max_waiting=max_waiting, gather=gather, first_pause=0.001
    )
    try:
        yield exporter
    finally:
        sink.ready.set()
        await exporter.close(BOUND)


async def test_requests_share_a_batch() -> None:
    sink = Sink()
    async with exporting(sink) as exporter:
        exporter.offer([span(1), span(2)])
        exporter.offer([span(3)])
        await sink.until(exported=3)
    assert sink.batches == [3]


async def test_a_batch_is_no_larger_than_it_may_be_and_a_full_one_does_not_wait() -> None:
    sink = Sink()
    async with exporting(sink, gather=3600.0) as exporter:
        exporter.offer([span(number + 1) for number in range(BATCH + 5)])
        await sink.until(exported=BATCH + 5)
    assert sink.batches == [BATCH, 5]


async def test_what_is_too_much_is_dropped_whole_and_counted() -> None:
    sink = Sink()
    sink.ready.clear()
    async with exporting(sink, max_waiting=4) as exporter:
        exporter.offer([span(1), span(2), span(3)])
        await sink.asked()
        exporter.offer([span(4), span(5)])  # what is being sent counts, too
        exporter.offer([span(6)])
        sink.ready.set()
        await sink.until(exported=4, dropped=2)


async def test_what_may_help_is_tried_again_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    sink = Sink()
    sink.deliveries = [Delivery("no connection", again=True), Delivery("busy", again=True, retry_after=0.001)]
    with caplog.at_level(logging.WARNING, "sidecar.tracing"):
        async with exporting(sink) as exporter:
            exporter.offer([span()])
            await sink.until(exported=1)
    assert sink.batches == [1, 1, 1]
    assert [record.message for record in caplog.records] == ["spans can't be exported", "spans are taken again"]


async def test_what_does_not_help_is_not(caplog: pytest.LogCaptureFixture) -> None:
    sink = Sink()
    sink.deliveries = [Delivery("the collector said 401"), Delivery("the collector said 401")]
    with caplog.at_level(logging.WARNING, "sidecar.tracing"):
        async with exporting(sink) as exporter:
            exporter.offer([span()])
            await sink.until(dropped=1)
            exporter.offer([span()])
            await sink.until(dropped=2)
            exporter.offer([span()])
            await sink.until(dropped=2, exported=1)
    assert [record.message for record in caplog.records] == ["spans can't be exported", "spans are taken again"]


@pytest.mark.parametrize("said", [2, 100])
async def test_what_a_collector_rejects_is_dropped(said: int) -> None:
    sink = Sink()
    sink.deliveries = [Delivery(rejected=said)]
    async with exporting(sink) as exporter:
        exporter.offer([span(1), span(2), span(3)])
        await sink.until(**({"exported": 1, "dropped": 2} if said == 2 else {"exported": 0, "dropped": 3}))


async def test_the_last_ones_are_sent_at_the_end() -> None:
    sink = Sink()
    async with exporting(sink, gather=3600.0) as exporter:
        exporter.offer([span()])
    assert sink.counted == {"exported": 1}
    exporter.offer([span()])
    assert sink.counted == {"exported": 1, "dropped": 1}


async def test_an_end_waits_for_no_collector() -> None:
    sink = Sink()
    sink.ready.clear()
    exporter = SpanExporter(sink.send, {}, sink.count, gather=0.001)
    exporter.offer([span()])
    await sink.asked()
    exporter.offer([span(), span()])
    await exporter.close(0.01)
    assert sink.counted == {"dropped": 3}


async def test_an_end_comes_whatever_became_of_the_sending() -> None:
    counted: Counter[str] = Counter()

    async def broken(_: bytes) -> Delivery:
        raise RuntimeError("a bug")

    exporter = SpanExporter(broken, {}, lambda outcome, number: counted.update({outcome: number}), gather=0.001)
    exporter.offer([span()])
    await asyncio.sleep(0.05)
    exporter.offer([span()])
    await exporter.close(BOUND)
    assert counted == {"dropped": 2}


async def test_without_spans_nothing_is_begun() -> None:
    sink = Sink()
    async with exporting(sink):
        assert len(asyncio.all_tasks()) == 1
    assert sink.batches == []
