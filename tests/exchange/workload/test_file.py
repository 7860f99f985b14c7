"""A token of ours in a file: read as it is now."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.exchange.workload.file import read_token, workload_token_file
from sidecar.model.tokens import JWT, WorkloadToken, token_id
from sidecar.rotation import FileError
from tests.support.values import request


def token(text: bytes) -> WorkloadToken:
    return read_token("self", JWT, text)


async def test_the_token_as_it_is_now(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(b"first-token\n")
    workload = workload_token_file("self", JWT, str(path))
    first = await workload.current(request())
    assert (first.name, first.token_type, first.token) == ("self", JWT, "first-token")
    assert first.token_id == token_id("first-token")
    assert (await workload.current(request())) is first  # parsed once, not on every request
    path.write_bytes(b"a-second-token\n")
    workload.file.reread()
    assert (await workload.current(request())).token == "a-second-token"
    spoils: list[Callable[[], object]] = [
        lambda: path.write_bytes(b"two words"),
        lambda: path.write_bytes(b""),
        path.unlink,
    ]
    for spoil in spoils:
        spoil()
        workload.file.reread()
        assert (await workload.current(request())).token == "a-second-token"  # the last good one


@pytest.mark.parametrize("text", [b"token", b"token\n", b"  token \r\n", b"\n\ntoken"])
def test_white_space_around_it_is_not_the_tokens(text: bytes) -> None:
    assert token(text).token == "token"


@pytest.mark.parametrize(
    "text", [b" ", b"\n", b"two words", b"two\nlines", b"a\tb", b"caf\xc3\xa9", b"a\x00b", b"\xff"]
)
def test_what_is_not_one_token(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(text)
    with pytest.raises(FileError, match=f"{path}"):
        workload_token_file("self", JWT, str(path))


async def test_no_token_in_a_repr(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"canary-token")
    workload = workload_token_file("self", JWT, str(tmp_path / "token"))
    assert "canary" not in repr((workload, (await workload.current(request()))))
