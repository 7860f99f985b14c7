"""A sink that others move, remove and replace while it is written to."""

import os
from pathlib import Path

import pytest

from sidecar.observe import chain
from sidecar.observe.sink import Sink, SinkError


def put(sink: Sink, text: bytes) -> None:
    assert sink.write(memoryview(text)) == len(text)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "receipts"


def test_a_file_that_was_moved_is_left_for_the_one_with_its_name(path: Path) -> None:
    sink = Sink(str(path), chained=False)
    put(sink, b"1\n")
    moved = path.rename(path.with_name("receipts.1"))
    put(sink, b"2\n")  # between the move and the next look
    sink.follow()
    put(sink, b"3\n")
    sink.follow()
    put(sink, b"4\n")
    sink.close()
    assert (moved.read_bytes(), path.read_bytes()) == (b"1\n2\n", b"3\n4\n")
    assert path.stat().st_mode & 0o777 & ~0o640 == 0


def test_one_that_was_removed_is_made_anew_and_one_that_was_replaced_is_appended_to(path: Path) -> None:
    sink = Sink(str(path), chained=False)
    path.unlink()
    sink.follow()
    put(sink, b"1\n")
    path.unlink()
    path.write_bytes(b"there already\n")
    sink.follow()
    put(sink, b"2\n")
    sink.close()
    assert path.read_bytes() == b"there already\n2\n"


def test_one_that_was_truncated_is_the_same(path: Path) -> None:
    sink = Sink(str(path), chained=False)
    put(sink, b"1\n")
    os.truncate(path, 0)
    sink.follow()
    put(sink, b"2\n")
    sink.close()
    assert path.read_bytes() == b"2\n"


@pytest.mark.parametrize("what", ["folder", "pipe", "no place"])
def test_what_can_not_be_followed_leaves_the_one_at_hand(path: Path, what: str) -> None:
    path = path.with_name("logs") / "receipts"
    path.parent.mkdir()
    sink = Sink(str(path), chained=False)
    moved = path.parent.rename(path.parent.with_name("old")) / "receipts"
    reader = -1
    if what != "no place":
        path.parent.mkdir()
        path.mkdir() if what == "folder" else os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(SinkError, match={"folder": "EISDIR", "pipe": "no file", "no place": "ENOENT"}[what]):
        sink.follow()
    put(sink, b"1\n")
    assert moved.read_bytes() == b"1\n"
    if reader >= 0:
        os.close(reader)
        path.rmdir() if what == "folder" else path.unlink()
        sink.follow()  # now it can
        put(sink, b"2\n")
        assert path.read_bytes() == b"2\n"
    sink.close()


def test_a_chain_goes_on_in_the_next_file_which_has_one_writer_again(path: Path) -> None:
    sink = Sink(str(path), chained=True)
    assert sink.chain is not None
    first = sink.chain.link('{"a":1}\n').encode()
    put(sink, first)
    path.rename(path.with_name("receipts.1"))
    sink.follow()
    second = sink.chain.link('{"b":1}\n').encode()
    put(sink, second)
    assert chain.named(path.read_bytes()) == chain.digest(first)
    with pytest.raises(SinkError, match="one writer"):
        Sink(str(path), chained=True)
    sink.close()


def test_a_chain_does_not_go_on_in_a_file_that_another_process_writes(path: Path) -> None:
    sink = Sink(str(path), chained=True)
    path.rename(path.with_name("receipts.1"))
    other = Sink(str(path), chained=True)
    with pytest.raises(SinkError, match="one writer"):
        sink.follow()
    put(sink, b"1\n")
    other.close()
    sink.follow()
    put(sink, b"2\n")
    sink.close()
    assert path.read_bytes() == b"2\n"


def test_no_descriptor_is_left_over(path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    sink = Sink(str(path), chained=True)
    for number in range(5):
        path.rename(path.with_name(f"receipts.{number}"))
        sink.follow()
    with pytest.raises(SinkError):
        Sink(str(path), chained=True)
    path.unlink()
    path.mkdir()
    with pytest.raises(SinkError):
        sink.follow()
    sink.close()
    assert len(os.listdir("/proc/self/fd")) == before
