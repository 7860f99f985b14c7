import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.addresses import upstream_url
from sidecar.config.teams.patterns import (
    allowed_host,
    allowed_scope,
    allowed_text,
    covers_host,
    covers_path,
    covers_text,
    upstream_pattern,
)


@pytest.mark.parametrize(
    ("pattern", "urls", "others"),
    [
        (
            "http://127.0.0.1:*",
            ["http://127.0.0.1:9000", "http://127.0.0.1", "http://127.0.0.1:1/"],
            [
                "https://127.0.0.1:9000",
                "http://127.0.0.1:9000/x",
                "http://127.0.0.2:9000",
                "unix:/run/x",
                "http://[::1]",
            ],
        ),
        ("http://orders:8080", ["http://ORDERS:8080"], ["http://orders", "http://orders:8081", "http://x.orders:8080"]),
        ("https://orders", ["https://orders:443", "https://orders/"], ["http://orders:443", "https://orders:8443"]),
        (
            "https://*.a.svc/base/*",
            ["https://x.a.svc/base", "https://y.x.a.svc/base/z/"],
            ["https://a.svc/base", "https://xa.svc/base", "https://x.a.svc/", "https://x.a.svc/based"],
        ),
        (
            "http://h/*",
            ["http://h", "http://h/x/y"],
            ["http://h/%2e%2e;/x", "http://h/..;/x", "http://h/x%2fy", "http://h/%61", "http://h/a;b", "http://i/x"],
        ),
        ("http://[::1]:*/x", ["http://[0:0::1]:5/x"], ["http://[::1]:5", "http://[::2]:5/x"]),
        ("unix:/run/a.sock", ["unix:/run/a.sock"], ["unix:/run/b.sock", "unix:/run/../run/a.sock", "http://localhost"]),
    ],
)
def test_what_a_pattern_covers(pattern: str, urls: list[str], others: list[str]) -> None:
    read = upstream_pattern(pattern)
    assert read.text == pattern
    assert [url for url in urls if not read.covers(upstream_url(url))] == []
    assert [url for url in others if read.covers(upstream_url(url))] == []


@pytest.mark.parametrize(
    "pattern",
    [
        *("*", "", "http://*", "*://h", "http://h*", "http://a.*.h", "http://h:80*", "http://h:80:*", "http://h:*:*"),
        *("http://h/*/x", "http://h/x*", "http://u@h:*", "http://h:*?x", "http://h/x?y", "http://*.127.0.0.1:*"),
        *(
            "http://*.[::1]",
            "unix:/run/*",
            "unix:x",
            "ftp://h",
            "http://h/../*",
            "http://h//*",
            "http://h:99999",
            5,
            None,
        ),
    ],
)
def test_what_is_no_pattern(pattern: object) -> None:
    with pytest.raises(ValueError, match="should"):
        upstream_pattern(pattern)


@pytest.mark.parametrize(
    ("allowed", "host", "covered"),
    [
        ("a.example.com", "a.example.com", True),
        ("a.example.com", "x.a.example.com", False),
        ("a.example.com", "*.a.example.com", False),
        ("*.a.example.com", "x.a.example.com", True),
        ("*.a.example.com", "*.a.example.com", True),
        ("*.a.example.com", "*.x.a.example.com", True),
        ("*.a.example.com", "a.example.com", False),
        ("*.a.example.com", "*.example.com", False),
        ("*.a.example.com", "xa.example.com", False),
        ("*", "*.com", True),
        ("*", "anything", True),
    ],
)
def test_hosts(allowed: str, host: str, covered: bool) -> None:
    assert covers_host(allowed, host) is covered


@pytest.mark.parametrize(
    ("allowed", "path", "covered"),
    [
        ("/a", "/a", True),
        ("/a", "/a/", True),
        ("/a", "/a/{x}", True),
        ("/a", "/ab", False),
        ("/a", "/{x}", False),
        ("/a", "/{a}/a", False),
        ("/a", "/", False),
        ("/a/b", "/a", False),
        ("/a", "/A", False),
        ("/", "/", True),
        ("/", "/{x}", True),
    ],
)
def test_paths(allowed: str, path: str, covered: bool) -> None:
    assert covers_path(allowed, path) is covered


@pytest.mark.parametrize(
    ("allowed", "text", "covered"),
    [
        ("a-orders", "a-orders", True),
        ("a-orders", "a-orders-x", False),
        ("a-*", "a-orders", True),
        ("a-*", "a-", True),
        ("a-*", "b-a-orders", False),
        ("a-*", "A-orders", False),
        ("a-*", "a-orders b-orders", False),
        ("a-*", "a-orders,b-orders", False),
        ("a-*", "a-*", False),
        ("a-*", "a-%2e", False),
        ("https://h/a/*", "https://h/a/x", True),
        ("https://h/a/*", "https://h/a/../b", False),
        ("*", "anything", True),
        ("*", "*", False),
    ],
)
def test_texts(allowed: str, text: str, covered: bool) -> None:
    assert covers_text(allowed, text) is covered


@given(st.text(max_size=8), st.text(max_size=12))
def test_without_a_star_only_the_same_text_is_covered(allowed: str, text: str) -> None:
    if not allowed.endswith("*"):
        assert covers_text(allowed, text) is (allowed == text)


def test_how_entries_are_written() -> None:
    assert allowed_host("*") == "*"
    assert allowed_host("*.A.example") == "*.a.example"
    assert allowed_text("a b*") == "a b*"
    assert allowed_scope("a.*") == "a.*"
    for check, wrong in (
        *((allowed_host, text) for text in ("*a", "**", "a.*", "")),
        *((allowed_text, text) for text in ("a*b", "**", " a", "")),
        *((allowed_scope, text) for text in ("a*b", "**", "a b", "")),
    ):
        with pytest.raises(ValueError, match="should"):
            check(wrong)
