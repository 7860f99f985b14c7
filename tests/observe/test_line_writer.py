import asyncio
import json
import logging
import os
import select
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sidecar.observe import chain, line_writer
from sidecar.observe.line_writer import LineWriter
from sidecar.observe.sink import SinkError

TIMEOUT = 10.0


@asynccontextmanager
async def _writer(path: str | None, max_bytes: int = 1 << 20) -> AsyncIterator[tuple[LineWriter, list[int]]]:
    lost: list[int] = []
    writer = LineWriter(path, lost.append, max_bytes=max_bytes)
    writer.start()
    try:
        yield writer, lost
    finally:
        await writer.close(TIMEOUT)


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """A named pipe and the end that reads it; nothing is read until a test does."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield str(path), reader
    os.close(reader)


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_writer, "RETRY_SECONDS", 0.01)


def _read(reader: int) -> bytes:
    try:
        return os.read(reader, 1 << 16)
    except BlockingIOError:
        return b""


async def _drain(reader: int, size: int) -> bytes:
    found = b""
    async with asyncio.timeout(TIMEOUT):
        while len(found) < size:
            found += _read(reader)
            await asyncio.sleep(0.001)
    return found


async def test_lines_are_written_in_order_whoever_waits(tmp_path: Path) -> None:
    path = tmp_path / "receipts"
    async with _writer(str(path)) as (writer, lost):
        assert writer.offer("1\n")
        assert writer.offer("2\n")
        assert await writer.write("3\n", TIMEOUT)
        assert path.read_text() == "1\n2\n3\n"
        assert writer.offer("4\n")
    assert path.read_text() == "1\n2\n3\n4\n"
    assert lost == []


async def test_lines_nobody_waits_for_are_written_soon(tmp_path: Path) -> None:
    path = tmp_path / "receipts"
    async with _writer(str(path)) as (writer, _):
        for batch in ("1\n", "2\n"):
            writer.offer(batch)
            async with asyncio.timeout(TIMEOUT):
                while not path.read_text().endswith(batch):  # noqa: ASYNC110  # a file tells nobody
                    await asyncio.sleep(0.005)


async def test_a_file_is_appended_to_and_not_for_everybody(tmp_path: Path) -> None:
    path = tmp_path / "receipts"
    path.write_text("before\n")
    async with _writer(str(path)) as (writer, _), _writer(str(path)) as (other, _):
        await writer.write("one\n", TIMEOUT)
        await other.write("two\n", TIMEOUT)
        await writer.write("three\n", TIMEOUT)
    assert path.read_text() == "before\none\ntwo\nthree\n"
    async with _writer(str(tmp_path / "new")):
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) & 0o007 == 0


async def test_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    async with _writer(None) as (writer, _):
        assert await writer.write("line\n", TIMEOUT)
    assert capfd.readouterr().out == "line\n"
    sys.stdout.write("")  # closing the writer left standard output open
    os.fstat(1)


@pytest.mark.parametrize(("name", "error"), [("missing/receipts", "ENOENT"), (".", "EISDIR")])
async def test_a_file_that_cannot_be_opened(tmp_path: Path, name: str, error: str) -> None:
    with pytest.raises(SinkError, match=f"^{error}$"):
        LineWriter(str(tmp_path / name), lambda _: None).start()


async def test_a_pipe_without_a_reader_is_no_sink(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SinkError, match="ENXIO"):
        LineWriter(str(tmp_path / "pipe"), lambda _: None).start()


async def test_a_full_pipe_stalls_nobody_and_loses_nothing_it_took(
    pipe: tuple[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    path, reader = pipe
    line = "x" * 999 + "\n"
    async with _writer(path, max_bytes=400 * len(line)) as (writer, lost):
        offered = [writer.offer(line) for _ in range(500)]
        assert offered == [True] * 400 + [False] * 100
        assert sum(lost) == 100
        assert writer.failing
        assert not writer.room
        assert not await writer.flush(0.05)
        assert await _drain(reader, 400 * len(line)) == line.encode() * 400
        assert await writer.flush(TIMEOUT)
        assert not writer.failing
        assert writer.room
        assert writer.offer(line)
        assert await writer.flush(TIMEOUT)
    assert [record.message for record in caplog.records] == ["receipts can't be written", "receipts are written again"]
    assert sum(lost) == 100


async def test_the_loop_runs_on_while_the_pipe_is_full(pipe: tuple[str, int]) -> None:
    path, reader = pipe
    async with _writer(path) as (writer, _):
        waiting = asyncio.create_task(writer.write("x" * 200_000 + "\n", TIMEOUT))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not waiting.done()
        await _drain(reader, 200_001)
        assert await waiting


async def test_a_waiter_that_gives_up_disturbs_nobody(pipe: tuple[str, int]) -> None:
    path, reader = pipe
    async with _writer(path) as (writer, lost):
        first = asyncio.create_task(writer.write("a" * 200_000 + "\n", TIMEOUT))
        second = asyncio.create_task(writer.write("b\n", TIMEOUT))
        await asyncio.sleep(0.05)
        first.cancel()
        assert (await _drain(reader, 200_003)).endswith(b"a\nb\n")
        assert await second
        assert first.cancelled()
    assert lost == []


async def test_a_write_that_fails_is_tried_again(
    pipe: tuple[str, int], quick_retries: None, caplog: pytest.LogCaptureFixture
) -> None:
    path, reader = pipe
    spare = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    async with _writer(path) as (writer, lost):
        os.dup2(os.open(os.devnull, os.O_RDONLY), reader)
        os.close(spare)
        assert not await writer.write("1\n", 0.1)
        assert writer.failing
        again = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        assert await writer.write("2\n", TIMEOUT)
        assert _read(again) == b"1\n2\n"
        assert not writer.failing
        os.close(again)
    assert lost == []
    assert [(record.message, getattr(record, "cause", None)) for record in caplog.records] == [
        ("receipts can't be written", "EPIPE"),
        ("receipts are written again", None),
    ]


async def test_what_is_left_at_the_end_is_counted_as_lost(
    pipe: tuple[str, int], quick_retries: None, caplog: pytest.LogCaptureFixture
) -> None:
    path, reader = pipe
    lost: list[int] = []
    writer = LineWriter(path, lost.append)
    writer.start()
    os.dup2(os.open(os.devnull, os.O_RDONLY), reader)
    for _ in range(3):
        writer.offer("line\n")
    await writer.close(0.05)
    assert lost == [3]
    assert caplog.records[-1].message == "receipts were lost at the end"
    assert caplog.records[-1].levelno == logging.ERROR


async def test_a_write_to_a_pipe_is_whole_lines_that_nobody_can_tear(tmp_path: Path) -> None:
    lines = [f"{'x' * (size % 1500)}\n" for size in range(0, 40_000, 97)]
    chunks = list(line_writer._chunks([*lines, "y" * 9000 + "\n", "z\n"], select.PIPE_BUF))
    assert b"".join(chunks) == ("".join(lines) + "y" * 9000 + "\nz\n").encode()
    assert all(chunk.endswith(b"\n") for chunk in chunks)
    assert all(len(chunk) <= select.PIPE_BUF or chunk.count(b"\n") == 1 for chunk in chunks)
    assert len(chunks) < len(lines) / 2
    assert list(line_writer._chunks([], 10)) == []


@asynccontextmanager
async def _chained(path: str | None) -> AsyncIterator[LineWriter]:
    writer = LineWriter(path, lambda _: None, chained=True)
    writer.start()
    try:
        yield writer
    finally:
        await writer.close(TIMEOUT)


async def test_a_chain_goes_on_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "receipts"
    for _ in range(3):
        async with _chained(str(path)) as writer:
            for number in range(3):
                assert await writer.write(f'{{"number":{number}}}\n', TIMEOUT)
    lines = path.read_bytes().splitlines(keepends=True)
    assert [chain.named(line) for line in lines] == [chain.NONE, *map(chain.digest, lines[:-1])]
    assert len(lines) == 9


async def test_a_chain_goes_on_after_a_line_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "receipts"
    path.write_bytes(b'{"prev":"')
    async with _chained(str(path)) as writer:
        assert await writer.write('{"a":1}\n', TIMEOUT)
    torn, line = path.read_bytes().splitlines(keepends=True)
    assert torn == b'{"prev":"\n'
    assert chain.named(line) == chain.digest(torn)


async def test_a_chain_outlives_the_copy_and_truncation_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "receipts"
    async with _chained(str(path)) as writer:
        assert await writer.write('{"a":1}\n', TIMEOUT)
        first = path.read_bytes()
        os.truncate(path, 0)
        assert await writer.write('{"b":1}\n', TIMEOUT)
    assert chain.named(path.read_bytes()) == chain.digest(first)


async def test_nothing_is_lost_over_many_rotations_under_way(tmp_path: Path) -> None:
    path = tmp_path / "receipts"
    async with _chained(str(path)) as writer:
        for number in range(200):
            assert writer.offer(f'{{"number":{number}}}\n')
            if number % 20 == 10:
                await asyncio.to_thread(path.rename, tmp_path / f"receipts.{number:03d}")
            await asyncio.sleep(0.002)
            if number % 20 == 0:
                assert await writer.flush(TIMEOUT)
    files = [*(tmp_path / f"receipts.{number:03d}" for number in range(10, 200, 20)), path]
    lines = [line for file in files for line in file.read_bytes().splitlines(keepends=True)]
    assert len(files) == 11
    assert [json.loads(line)["number"] for line in lines] == list(range(200))
    assert [chain.named(line) for line in lines] == [chain.NONE, *map(chain.digest, lines[:-1])]


async def test_a_file_that_can_not_be_followed_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "receipts"
    async with _writer(str(path)) as (writer, lost):
        assert await writer.write("1\n", TIMEOUT)
        moved = path.rename(tmp_path / "receipts.1")
        path.mkdir()
        for line in ("2\n", "3\n"):
            assert await writer.write(line, TIMEOUT)
        path.rmdir()
        assert await writer.write("4\n", TIMEOUT)
        path.rename(tmp_path / "receipts.2")
        path.mkdir()
        assert await writer.write("5\n", TIMEOUT)
    assert moved.read_text() == "1\n2\n3\n"
    assert (tmp_path / "receipts.2").read_text() == "4\n5\n"
    assert lost == []
    said = [(record.message, getattr(record, "cause", None)) for record in caplog.records]
    assert said == [("receipts go on in the file that was moved away", "EISDIR")] * 2


async def test_lost_lines_leave_a_line_in_their_place(pipe: tuple[str, int]) -> None:
    path, reader = pipe
    lost: list[int] = []
    writer = LineWriter(path, lost.append, gap=lambda count: f"gap {count}\n", max_bytes=200_000)
    writer.start()
    taken = 0
    while writer.offer(f"{taken:05d}{'x' * 4000}\n"):
        taken += 1
    assert not writer.offer("y" * 150_000)
    size = taken * 4006 + len("gap 2\n")
    lines = (await _drain(reader, size)).splitlines()
    assert [line[:5] for line in lines] == [*(f"{number:05d}".encode() for number in range(taken)), b"gap 2"]
    assert await writer.write("after\n", TIMEOUT)
    assert await _drain(reader, 6) == b"after\n"
    await writer.close(TIMEOUT)
    assert sum(lost) == 2


async def test_the_line_about_lost_ones_is_written_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "receipts"
    writer = LineWriter(str(path), lambda _: None, gap=lambda count: f"gap {count}\n", max_bytes=10)
    writer.start()
    assert writer.offer("12345\n")
    assert not writer.offer("67890\n")
    await writer.close(TIMEOUT)
    assert path.read_text() == "12345\ngap 1\n"


async def test_a_chain_has_one_writer(tmp_path: Path) -> None:
    path = str(tmp_path / "receipts")
    async with _chained(path):
        with pytest.raises(SinkError, match="one writer"):
            LineWriter(path, lambda _: None, chained=True).start()
    async with _chained(path) as after:
        assert await after.write('{"a":1}\n', TIMEOUT)


async def test_a_chain_in_a_pipe(pipe: tuple[str, int]) -> None:
    path, reader = pipe
    async with _chained(path) as writer:
        assert await writer.write('{"a":1}\n', TIMEOUT)
        assert chain.named(await _drain(reader, 8)) == chain.NONE
