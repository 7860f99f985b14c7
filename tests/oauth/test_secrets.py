"""Secrets from files and variables, as they are and as what is made of them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.oauth.secrets import MAX_SECRET_BYTES, env_secret, file_secret
from sidecar.rotation import FileError
from tests.support.canary import Canary, search


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_bytes(b"first")
    return path


def no_good(_: bytes) -> bytes:
    raise ValueError("no good")


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
    assert file_secret(str(file), bytes).value == value


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n", b"a" * (MAX_SECRET_BYTES + 1)])
@pytest.mark.threat("S62")
def test_empty_or_too_large_is_an_error_and_later_a_change_that_is_not_taken(file: Path, content: bytes) -> None:
    secret = file_secret(str(file), bytes)
    file.write_bytes(content)
    with pytest.raises(FileError, match=str(file)):
        file_secret(str(file), bytes)
    secret.reread()
    assert secret.value == b"first"


def test_what_is_made_of_it(file: Path) -> None:
    assert file_secret(str(file), len).value == 5
    with pytest.raises(FileError, match=f"{file}: no good"):
        file_secret(str(file), no_good)


def test_a_variable() -> None:
    secret = env_secret("CLIENT_SECRET", bytes, {"CLIENT_SECRET": "s ü\n"})
    assert secret.value == "s ü\n".encode()
    secret.reread()
    assert (secret.value, secret.generation) == ("s ü\n".encode(), 0)
    for environ in ({}, {"CLIENT_SECRET": ""}):
        with pytest.raises(FileError, match="CLIENT_SECRET"):
            env_secret("CLIENT_SECRET", bytes, environ)
    with pytest.raises(FileError, match="the environment variable S: no good"):
        env_secret("S", no_good, {"S": "x"})


def test_a_secret_never_shows(file: Path) -> None:
    canary = Canary.fresh("secret")
    file.write_text(canary.text)
    shown = f"{file_secret(str(file), bytes)!r} {env_secret('S', bytes, {'S': canary.text})!r}"
    makes: list[Callable[[], object]] = [
        lambda: file_secret(str(file), no_good),
        lambda: env_secret("S", no_good, {"S": canary.text}),
    ]
    for make in makes:
        with pytest.raises(FileError) as caught:
            make()
        shown += f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__suppress_context__}"
    assert str(file) in shown
    assert not search(shown.encode(), canary)
