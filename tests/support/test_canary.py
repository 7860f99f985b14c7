import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.canary import Canary, search

secrets = st.text(min_size=8, max_size=60)


def forms(haystack: bytes, secret: str) -> set[str]:
    return {finding.form for finding in search(haystack, secret)}


def test_markers_are_unique() -> None:
    assert Canary.fresh("a") != Canary.fresh("a")
    assert "subject" in Canary.fresh("subject").text


@given(st.binary(max_size=50), secrets, st.binary(max_size=50))
def test_finds_base64_at_every_offset(before: bytes, secret: str, after: bytes) -> None:
    message = before + secret.encode() + after
    assert "base64" in forms(b"x " + base64.b64encode(message) + b" y", secret)
    assert "base64" in forms(b"x " + base64.urlsafe_b64encode(message).rstrip(b"=") + b" y", secret)


@given(secrets)
def test_finds_every_other_form(secret: str) -> None:
    assert "raw" in forms(b"<" + secret.encode() + b">", secret)
    assert "hex" in forms(secret.encode().hex().encode(), secret)
    assert "percent-encoded" in forms("".join(f"%{byte:02X}" for byte in secret.encode()).encode(), secret)
    assert forms(quote(secret, safe="").encode(), secret)
    assert forms(quote_plus(secret).encode(), secret)
    assert forms(json.dumps({"a": secret}).encode(), secret)


def test_says_where_and_finds_nothing_else() -> None:
    canary, other = Canary.fresh("a"), Canary.fresh("b")
    findings = search(b"12345" + canary.text.encode(), canary, other)
    assert [(finding.secret, finding.form, finding.offset) for finding in findings] == [(canary.text, "raw", 5)]
    assert search(b"", canary) == []


def test_refuses_what_would_be_found_by_chance() -> None:
    with pytest.raises(ValueError, match="too short"):
        search(b"abc", "abc")
