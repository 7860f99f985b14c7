"""Our own tokens: read as they are now, and counted as whom they are."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.exchange.workload import workload_token, workload_token_file
from sidecar.model.tokens import JWT, WorkloadToken, token_id
from sidecar.oauth.jwt import generate_key, sign
from sidecar.rotation import FileError

KEY = generate_key("ES256", "k")


def jwt(**claims: object) -> bytes:
    return sign({"iss": "https://k8s", "sub": "gateway", **claims}, KEY, "ES256").encode()


def token(text: bytes) -> WorkloadToken:
    return workload_token("self", JWT, text)


def identity(text: bytes) -> bytes:
    return token(text).identity


def test_the_token_as_it_is_now(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(b"first-token\n")
    workload = workload_token_file("self", JWT, str(path))
    first = workload.current()
    assert (first.name, first.token_type, first.token) == ("self", JWT, "first-token")
    assert first.token_id == token_id("first-token")
    assert workload.current() is first  # parsed once, not on every request
    path.write_bytes(b"a-second-token\n")
    workload.file.reread()
    assert workload.current().token == "a-second-token"
    spoils: list[Callable[[], object]] = [
        lambda: path.write_bytes(b"two words"),
        lambda: path.write_bytes(b""),
        path.unlink,
    ]
    for spoil in spoils:
        spoil()
        workload.file.reread()
        assert workload.current().token == "a-second-token"  # the last good one


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


def test_a_jwt_is_counted_by_whom_it_names_and_anything_else_by_its_text() -> None:
    assert identity(jwt(jti="1")) == identity(jwt(jti="2", exp=2_000_000_000))
    others = [jwt(), jwt(sub="other"), jwt(iss="https://other"), jwt(iss=None), jwt(sub=7), b"opaque", b"opaque2"]
    assert len({identity(text) for text in others}) == len(others)
    # Framed by length: the same letters cut otherwise are another actor.
    assert identity(jwt(iss="https://ab", sub="c")) != identity(jwt(iss="https://a", sub="bc"))


def test_a_jwt_is_named_by_its_jti() -> None:
    assert token(jwt(jti="j-7")).token_id == "jti:j-7"


def test_a_jwt_tells_who_we_are() -> None:
    assert token(jwt(email="agent@example.com")).claims["email"] == "agent@example.com"
    assert token(b"opaque").claims == {}


def test_no_token_in_a_repr(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"canary-token")
    workload = workload_token_file("self", JWT, str(tmp_path / "token"))
    assert "canary" not in repr((workload, workload.current()))
