"""Secrets that rotate, vanish, and never show themselves."""

import os
from pathlib import Path

import pytest

from sidecar.oauth.secrets import MAX_SECRET_BYTES, EnvSecret, FileSecret, SecretError, read_file
from tests.support.canary import Canary, search
from tests.support.clock import FakeClock


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_bytes(b"first")
    return path


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"secret", b"secret"),
        (b"secret\n", b"secret"),
        (b"secret\r\n", b"secret"),
        (b"secret\n\n", b"secret\n"),
        (b"secret\r", b"secret\r"),
        (b" secret ", b" secret "),
        (b"\xff\x00\n", b"\xff\x00"),
    ],
)
def test_one_newline_at_the_end_is_not_part_of_it(file: Path, content: bytes, value: bytes) -> None:
    file.write_bytes(content)
    assert FileSecret(str(file)).value() == value


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n", b"a" * (MAX_SECRET_BYTES + 1)])
def test_empty_or_too_large_is_an_error(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(SecretError, match="secret"):
        FileSecret(str(file))


def test_what_is_no_file_is_an_error(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (tmp_path / "missing", tmp_path, pipe, Path("/dev/zero")):
        with pytest.raises(SecretError) as caught:
            FileSecret(str(path))
        assert str(path) in str(caught.value)
    with pytest.raises(SecretError):
        FileSecret("nul\0byte")


def test_a_changed_file_is_read_again(file: Path) -> None:
    fake = FakeClock()
    secret = FileSecret(str(file), clock=fake.clock)
    file.write_bytes(b"second")
    fake.advance(0.9)
    assert secret.value() == b"first"  # not looked at more than once a second
    fake.advance(0.1)
    assert secret.value() == b"second"


def test_a_swapped_symlink_is_a_change(tmp_path: Path) -> None:
    """As a Kubernetes volume does it: file → ..data/file, and ..data moves."""
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "secret").write_text(version)
    same_time = (1_700_000_000, 1_700_000_000)
    for version in ("v1", "v2"):
        os.utime(tmp_path / version / "secret", same_time)
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "secret").symlink_to("..data/secret")
    fake = FakeClock()
    secret = FileSecret(str(tmp_path / "secret"), clock=fake.clock)
    assert secret.value() == b"v1"
    (tmp_path / "..next").symlink_to("v2")
    (tmp_path / "..next").rename(tmp_path / "..data")
    fake.advance(1)
    assert secret.value() == b"v2"


def test_a_file_that_becomes_unreadable_leaves_the_last_good_value(file: Path) -> None:
    fake, outcomes = FakeClock(), list[str]()
    secret = FileSecret(str(file), clock=fake.clock, observed=outcomes.append)
    file.write_bytes(b"")
    fake.advance(1)
    assert secret.value() == b"first"
    file.unlink()
    fake.advance(1)
    assert secret.value() == b"first"
    fake.advance(1)
    assert secret.value() == b"first"
    assert outcomes == ["failure", "failure"]  # once for each change
    file.write_bytes(b"third")
    fake.advance(1)
    assert secret.value() == b"third"
    assert outcomes == ["failure", "failure", "success"]


def test_rereading_does_not_wait_and_says_whether_it_helped(file: Path) -> None:
    outcomes: list[str] = []
    secret = FileSecret(str(file), clock=FakeClock().clock, observed=outcomes.append)
    assert not secret.reread()
    signature = file.stat()
    file.write_bytes(b"other")
    os.utime(file, ns=(signature.st_atime_ns, signature.st_mtime_ns))  # a change that stat does not show
    assert secret.reread()
    assert secret.value() == b"other"
    file.unlink()
    assert not secret.reread()
    assert secret.value() == b"other"
    assert outcomes == ["success", "failure"]


def test_works_without_anyone_watching(file: Path) -> None:
    secret = FileSecret(str(file))
    file.unlink()
    assert not secret.reread()


def test_a_variable() -> None:
    secret = EnvSecret("CLIENT_SECRET", {"CLIENT_SECRET": "s ü\n"})
    assert secret.value() == "s ü\n".encode()
    assert not secret.reread()
    for environ in ({}, {"CLIENT_SECRET": ""}):
        with pytest.raises(SecretError, match="CLIENT_SECRET"):
            EnvSecret("CLIENT_SECRET", environ)


def test_a_file_within_its_limit(file: Path) -> None:
    assert read_file(str(file), 5) == b"first"
    with pytest.raises(SecretError, match="larger than 4 bytes"):
        read_file(str(file), 4)


def test_a_secret_never_shows(file: Path) -> None:
    canary = Canary.fresh("secret")
    file.write_text(canary.text)
    shown = f"{FileSecret(str(file))!r} {EnvSecret('S', {'S': canary.text})!r}"
    assert str(file) in shown
    with pytest.raises(SecretError) as caught:
        read_file(str(file), 3)
    assert not search(f"{shown} {caught.value!r} {caught.value.__cause__!r}".encode(), canary)
