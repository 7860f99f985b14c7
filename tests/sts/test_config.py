import pytest

from sidecar.sts.config import ANYONE, AuthMethod, Client, Config, Pattern


@pytest.mark.parametrize(
    ("pattern", "iss", "sub", "matches"),
    [
        (Pattern("https://a", "alice"), "https://a", "alice", True),
        (Pattern("https://a", "alice"), "https://b", "alice", False),
        (Pattern("https://a", "alice"), "https://a", "alice2", False),
        (Pattern("https://a", "alice"), "https://a", "Alice", False),
        (Pattern("https://a", "agent-*"), "https://a", "agent-7", True),
        (Pattern("https://a", "agent-*"), "https://a", "agent-", False),
        (Pattern("https://a", "agent-*"), "https://a", "my-agent-7", False),
        (Pattern("https://a*", "alice"), "https://ab", "alice", False),
        (Pattern("*", "alice"), "https://b", "alice", True),
        (Pattern("https://a", "*-7"), "https://a", "agent-7", False),
        (ANYONE, "https://b", "x", True),
    ],
)
def test_pattern(pattern: Pattern, iss: str, sub: str, matches: bool) -> None:
    assert pattern.matches(iss, sub) is matches


@pytest.mark.parametrize(
    ("issuer", "path", "token"),
    [
        ("https://a.example", "", "https://a.example/token"),
        ("https://a.example/", "", "https://a.example/token"),
        ("https://a.example/x/y", "/x/y", "https://a.example/x/y/token"),
        ("https://a.example/x/y/", "/x/y", "https://a.example/x/y/token"),
    ],
)
def test_endpoints_lie_below_the_issuer(issuer: str, path: str, token: str) -> None:
    config = Config(issuer)
    assert (config.path, config.token_endpoint) == (path, token)
    assert config.jwks_uri == token.removesuffix("token") + "jwks"


def test_secrets_are_not_shown() -> None:
    assert "hush" not in repr(Config("https://a", clients=(Client("c", (AuthMethod.BASIC,), "hush"),)))
