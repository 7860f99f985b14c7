"""Our own tokens: read as they are now, and counted as whom they are."""

from pathlib import Path

import pytest

from sidecar.exchange.workload import WorkloadTokenFile
from sidecar.model.refusal import Kind, Refused
from sidecar.model.tokens import JWT, token_id
from sidecar.oauth.jwt import generate_key, sign
from sidecar.oauth.secrets import FileSecret
from tests.support.clock import FakeClock

KEY = generate_key("ES256", "k")


class Fixed:
    """A secret that is what a test says."""

    def __init__(self, value: bytes) -> None:
        self.text = value

    def value(self) -> bytes:
        return self.text

    def reread(self) -> bool:
        return False


def jwt(**claims: object) -> bytes:
    return sign({"iss": "https://k8s", "sub": "gateway", **claims}, KEY, "ES256").encode()


def identity(text: bytes) -> bytes:
    return WorkloadTokenFile("self", JWT, Fixed(text)).current().identity


def test_the_token_as_it_is_now(tmp_path: Path) -> None:
    path, time = tmp_path / "token", FakeClock()
    path.write_bytes(b"first-token\n")
    workload = WorkloadTokenFile("self", JWT, FileSecret(str(path), clock=time.clock))
    first = workload.current()
    assert (first.name, first.token_type, first.token) == ("self", JWT, "first-token")
    assert first.token_id == token_id("first-token")
    assert workload.current() is first  # parsed once, not on every request
    path.write_bytes(b"a-second-token\n")
    time.advance(1)
    assert workload.current().token == "a-second-token"
    path.unlink()
    time.advance(1)
    assert workload.current().token == "a-second-token"  # the last good one


@pytest.mark.parametrize("text", [b"token", b"token\n", b"  token \r\n", b"\n\ntoken"])
def test_white_space_around_it_is_not_the_tokens(text: bytes) -> None:
    assert WorkloadTokenFile("self", JWT, Fixed(text)).current().token == "token"


@pytest.mark.parametrize(
    "text", [b" ", b"\n", b"two words", b"two\nlines", b"a\tb", b"caf\xc3\xa9", b"a\x00b", b"\xff"]
)
def test_what_is_not_one_token(text: bytes) -> None:
    with pytest.raises(Refused) as caught:
        WorkloadTokenFile("self", JWT, Fixed(text)).current()
    refusal = caught.value.refusal
    assert (refusal.kind, refusal.reason) == (Kind.EXCHANGE_MISCONFIGURED, "The gateway's own token can't be read.")
    assert refusal.finding == "workload_tokens.self: the file does not hold one token"


def test_a_token_that_went_bad_is_refused_until_it_is_good_again() -> None:
    secret = Fixed(b"good-token")
    workload = WorkloadTokenFile("self", JWT, secret)
    workload.current()
    secret.text = b"not good"
    for _ in range(2):
        with pytest.raises(Refused):
            workload.current()
    secret.text = b"good-token"
    assert workload.current().token == "good-token"


def test_a_jwt_is_counted_by_whom_it_names_and_anything_else_by_its_text() -> None:
    assert identity(jwt(jti="1")) == identity(jwt(jti="2", exp=2_000_000_000))
    others = [jwt(), jwt(sub="other"), jwt(iss="https://other"), jwt(iss=None), jwt(sub=7), b"opaque", b"opaque2"]
    assert len({identity(text) for text in others}) == len(others)
    # Framed by length: the same letters cut otherwise are another actor.
    assert identity(jwt(iss="https://ab", sub="c")) != identity(jwt(iss="https://a", sub="bc"))


def test_a_jwt_is_named_by_its_jti() -> None:
    assert WorkloadTokenFile("self", JWT, Fixed(jwt(jti="j-7"))).current().token_id == "jti:j-7"


def test_no_token_in_a_repr() -> None:
    workload = WorkloadTokenFile("self", JWT, Fixed(b"canary-token"))
    workload.current()
    assert "canary" not in repr(workload)
