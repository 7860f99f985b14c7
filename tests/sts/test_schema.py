from typing import Any

import pytest
from pydantic import ValidationError

from sidecar.sts.schema import ConfigFile, PolicySection

BASE: dict[str, Any] = {"issuer": "https://a.example", "listen": "127.0.0.1:1", "clients": {}}


def accepts(**values: Any) -> bool:
    try:
        ConfigFile.model_validate({**BASE, **values})
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(("text", "seconds"), [("1s", 1), ("90s", 90), ("5m", 300), ("1h", 3600)])
def test_durations(text: str, seconds: int) -> None:
    assert ConfigFile.model_validate({**BASE, "lifetime": text}).lifetime == seconds


@pytest.mark.parametrize("value", ["0s", "5", 5, "1d", "-1s", "1.5s", " 1s", "1s\n", True, None, "9999999s"])
def test_what_is_no_duration(value: object) -> None:
    assert not accepts(lifetime=value)


@pytest.mark.parametrize(
    "issuer", ["http://127.0.0.1:8090", "https://a.example/", "https://a.example/x/y", "http://[::1]:1/x/"]
)
def test_issuers(issuer: str) -> None:
    assert accepts(issuer=issuer)


@pytest.mark.parametrize(
    "issuer",
    [
        "",
        "a.example",
        "ftp://a.example",
        "https://",
        "https://a.example?x",
        "https://a.example#x",
        "https://u@a.example",
        "https://a.example//x",
        'https://a.example/"',
        "https://a.example/{x}",
        "https://a.example/\n",
        7,
    ],
)
def test_what_is_no_issuer(issuer: object) -> None:
    assert not accepts(issuer=issuer)


@pytest.mark.parametrize("listen", ["127.0.0.1", ":80", "127.0.0.1:0", "127.0.0.1:65536", "::1:80", 8090, "a b:1"])
def test_what_is_no_address(listen: object) -> None:
    assert not accepts(listen=listen)


@pytest.mark.parametrize("algorithm", ["none", "HS256", "es256", 256])
def test_only_asymmetric_algorithms(algorithm: object) -> None:
    assert not accepts(algorithm=algorithm)


def test_who_is_meant() -> None:
    def subjects(value: object) -> list[tuple[str | None, str]]:
        section = PolicySection.model_validate({"client": "c", "audience": ["a"], "subjects": value})
        return [(pattern.iss, pattern.sub) for pattern in section.subjects]

    assert subjects("any") == [("*", "*")]
    assert subjects(["alice", {"iss": "https://x", "sub": "a-*"}]) == [(None, "alice"), ("https://x", "a-*")]
    others: list[object] = [[], "alice", {}, None, [7], [{"iss": "https://x"}], [""], [{"sub": "a", "aud": "b"}]]
    for value in others:
        with pytest.raises(ValidationError):
            subjects(value)


@pytest.mark.parametrize("claims", [{"sub": "x"}, {"cnf": {}}, {"exp": 1}, {"when": object()}, {"n": float("nan")}])
def test_claims_that_can_not_be_set(claims: dict[str, Any]) -> None:
    client = {
        "auth_methods": ["client_secret_post"],
        "secret_env": "S",
        "client_credentials": {"audience": ["a"], "claims": claims},
    }
    assert not accepts(clients={"c": client})
    client["client_credentials"] = {"audience": ["a"], "claims": {"acr": "mfa"}}
    assert accepts(clients={"c": client})
