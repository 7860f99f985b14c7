"""Files that are replaced, swapped, cut short, removed: what is in use afterwards, and what is counted."""

import asyncio
import gc
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.rotation import FileError, Rotated, Rotation, read_file
from tests.support.canary import Canary, search


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_bytes(b"first")
    return path


def no_bad(contents: Sequence[bytes]) -> bytes:
    joined = b"+".join(contents)
    if b"bad" in joined:
        raise FileError("bad")
    return joined


def rotated(*paths: Path) -> tuple[Rotated[bytes], list[str]]:
    outcomes: list[str] = []
    value = Rotated([str(path) for path in paths], no_bad)
    value.observed = outcomes.append
    return value, outcomes


# --- reading


def test_what_is_no_file_is_an_error(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (str(tmp_path / "missing"), str(tmp_path), str(pipe), "/dev/zero"):
        with pytest.raises(FileError) as caught:
            Rotated([path], no_bad)
        assert path in str(caught.value)
    with pytest.raises(FileError):
        read_file("nul\0byte", 10)


def test_a_file_within_its_limit(file: Path) -> None:
    assert read_file(str(file), 5) == b"first"
    with pytest.raises(FileError, match="larger than 4 bytes"):
        read_file(str(file), 4)


def test_files_that_are_no_good_are_an_error_at_once(file: Path) -> None:
    file.write_bytes(b"bad")
    with pytest.raises(FileError, match="bad"):
        rotated(file)


# --- changes


def test_a_change_is_taken_when_it_was_seen_twice(file: Path) -> None:
    value, outcomes = rotated(file)
    file.write_bytes(b"second")
    value.look()
    assert (value.value, value.generation) == (b"first", 0)
    value.look()
    assert (value.value, value.generation) == (b"second", 1)
    value.look()
    assert outcomes == ["success"]


def test_content_counts_and_not_what_stat_says(file: Path) -> None:
    value, outcomes = rotated(file)
    before = file.stat()
    file.write_bytes(b"other")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    for _ in range(2):
        value.look()
    assert value.value == b"other"
    file.touch()
    for _ in range(2):
        value.look()
    assert (value.generation, outcomes) == (1, ["success"])


def test_a_swapped_symlink_is_a_change(tmp_path: Path) -> None:
    """As a Kubernetes volume does it: the file is a link through ``..data``, which is replaced whole."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "secret").write_text(name)
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "secret").symlink_to("..data/secret")
    value, _ = rotated(tmp_path / "secret")
    (tmp_path / "..data_tmp").symlink_to("two")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    for _ in range(2):
        value.look()
    assert value.value == b"two"


def test_what_is_still_being_written_is_not_taken(file: Path) -> None:
    value, outcomes = rotated(file)
    for length in range(1, 6):
        file.write_bytes(b"whole"[:length])
        value.look()
        assert value.value == b"first"
    value.look()
    assert (value.value, outcomes) == (b"whole", ["success"])


def test_what_can_not_be_used_leaves_the_last_good_value_and_counts_once(file: Path) -> None:
    value, outcomes = rotated(file)
    spoils: list[Callable[[], object]] = [lambda: file.write_bytes(b"bad"), file.unlink]
    for spoil in spoils:
        spoil()
        for _ in range(5):
            value.look()
        assert value.value == b"first"
    assert outcomes == ["failure", "failure"]
    file.write_bytes(b"first")
    for _ in range(3):
        value.look()
    assert (value.generation, outcomes) == (0, ["failure", "failure"])
    file.write_bytes(b"bad")
    for _ in range(3):
        value.look()
    assert outcomes == ["failure"] * 3  # the same again, after it was good


def test_rereading_does_not_wait(file: Path) -> None:
    value, outcomes = rotated(file)
    value.reread()
    assert (value.generation, outcomes) == (0, [])
    file.write_bytes(b"second")
    value.reread()
    assert (value.value, value.generation, outcomes) == (b"second", 1, ["success"])


def test_files_that_belong_together_change_together(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"a1")
    two.write_bytes(b"b1")
    value, outcomes = rotated(one, two)
    one.write_bytes(b"bad")
    for _ in range(3):
        value.look()
    assert value.value == b"a1+b1"
    one.write_bytes(b"a2")
    two.write_bytes(b"b2")
    for _ in range(2):
        value.look()
    assert value.value == b"a2+b2"
    assert outcomes == ["failure", "success"]
    assert rotated(one, two)[0].value != rotated(two, one)[0].value


def test_files_that_change_while_they_are_read_are_not_taken(file: Path) -> None:
    """What reads the paths itself, as TLS does, may have got something else than what was looked at."""
    racing = iter([b"", b"third", b"", b""])

    def make(_: object) -> bytes:
        value = file.read_bytes()
        if later := next(racing):
            file.write_bytes(later)
        return value

    value = Rotated([str(file)], make)
    file.write_bytes(b"second")
    value.reread()
    assert value.value == b"first"
    value.reread()
    assert value.value == b"third"


@given(st.lists(st.sampled_from([b"a", b"b", b"bad", b"", None]), max_size=12))
def test_whatever_happens_the_value_was_good_and_ends_as_what_is_there(
    tmp_path_factory: pytest.TempPathFactory, steps: list[bytes | None]
) -> None:
    file = tmp_path_factory.mktemp("f") / "secret"
    file.write_bytes(b"first")
    value, _ = rotated(file)
    good = [b"first"]
    for step in steps:
        if step is None:
            file.unlink(missing_ok=True)
        else:
            file.write_bytes(step)
            if step != b"bad":
                good.append(step)
        value.look()
        assert value.value in good
    value.look()
    if steps and steps[-1] is not None and steps[-1] != b"bad":
        assert value.value == steps[-1]


# --- the watch


async def test_all_that_is_in_use_is_looked_at(tmp_path: Path) -> None:
    seen: list[tuple[str, str]] = []
    rotation = Rotation(lambda name, outcome: seen.append((name, outcome)))
    paths = [tmp_path / name for name in ("a", "b")]
    for path in paths:
        path.write_bytes(b"1")
    one, two = (rotation.watch(Rotated([str(path)], no_bad)) for path in paths)
    fixed = rotation.watch(Rotated([], lambda _: b"fixed"))
    assert rotation.names() == {str(path) for path in paths}
    paths[0].write_bytes(b"2")
    paths[1].write_bytes(b"bad")
    for _ in range(2):
        await rotation.look()
    assert (one.value, two.value, fixed.value) == (b"2", b"1", b"fixed")
    assert sorted(seen) == [(str(paths[0]), "success"), (str(paths[1]), "failure")]
    del two
    gc.collect()
    assert rotation.names() == {str(paths[0])}
    await rotation.look()


async def test_nobody_waits_for_a_slow_disk(tmp_path: Path) -> None:
    """Files are read beside the loop, which goes on meanwhile."""
    path = tmp_path / "a"
    path.write_bytes(b"1")
    loop, held = asyncio.get_running_loop(), asyncio.Event()

    def make(contents: Sequence[bytes]) -> bytes:
        if contents[0] == b"2":
            asyncio.run_coroutine_threadsafe(held.wait(), loop).result(5)
        return contents[0]

    rotation = Rotation()
    value = rotation.watch(Rotated([str(path)], make))
    path.write_bytes(b"2")
    await rotation.look()
    looking = asyncio.create_task(rotation.look())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not looking.done()
    held.set()
    await asyncio.wait_for(looking, 5)
    assert value.value == b"2"


def test_what_is_shared_is_made_once_while_it_is_in_use(file: Path) -> None:
    rotation = Rotation()
    made: list[Rotated[bytes]] = []

    def make() -> Rotated[bytes]:
        made.append(Rotated([str(file)], no_bad))
        return made[-1]

    one = rotation.shared("key", make)
    assert rotation.shared("key", make) is one
    assert rotation.shared("other", make) is not one
    assert len(made) == 2
    made.clear()
    del one
    gc.collect()
    rotation.shared("key", make)
    assert len(made) == 1


def test_a_value_never_shows(file: Path) -> None:
    canary = Canary.fresh("secret")
    file.write_text(canary.text)
    value, _ = rotated(file)
    with pytest.raises(FileError) as caught:
        read_file(str(file), 3)
    shown = f"{value!r} {caught.value!r} {caught.value.__cause__!r}"
    assert str(file) in shown
    assert not search(shown.encode(), canary)
