"""Secrets that can be found again: unique markers, and a search for them in whatever a sink recorded.

A secret that leaks seldom leaks as it was: the search also knows it percent-encoded, in Base64 at any offset, in hex
and escaped as JSON.
"""

import base64
import json
from dataclasses import dataclass
from secrets import token_hex
from urllib.parse import quote, quote_plus

_ROWS = 4  # characters at either end of a Base64 text that its neighbours may change


@dataclass(frozen=True, slots=True)
class Canary:
    """A marker that occurs nowhere else. Put ``text`` into a secret, then search for the canary."""

    text: str

    @classmethod
    def fresh(cls, label: str) -> "Canary":
        """A new marker; the label tells where a found one belongs."""
        return cls(f"canary-{label}-{token_hex(8)}")


@dataclass(frozen=True, slots=True)
class Finding:
    """One secret found, in one form, at one place (bytes from the start of the haystack)."""

    secret: str
    form: str
    offset: int


def search(haystack: bytes, *secrets: Canary | str) -> list[Finding]:
    """Every form in which these secrets occur, each at its first place; empty where none does."""
    findings = []
    for secret in secrets:
        text = secret.text if isinstance(secret, Canary) else secret
        for form, needles in _forms(text).items():
            places = [place for needle in needles if (place := haystack.find(needle)) >= 0]
            if places:
                findings.append(Finding(text, form, min(places)))
    return findings


def _forms(text: str) -> dict[str, set[bytes]]:
    raw = text.encode()
    if len(raw) < 8:
        raise ValueError("too short to be searched for: it would be found by chance")
    every = "".join(f"%{byte:02x}" for byte in raw)
    forms = {
        "raw": {raw},
        "percent-encoded": {every.encode(), every.upper().encode(), quote(text, safe="").encode()}
        | {quote_plus(text, safe="").encode(), quote(text).encode()},
        "base64": _base64_forms(raw),
        "hex": {raw.hex().encode(), raw.hex().upper().encode()},
        "json": {json.dumps(text)[1:-1].encode()},
    }
    return {form: needles - {raw} if form != "raw" else needles for form, needles in forms.items()}


def _base64_forms(raw: bytes) -> set[bytes]:
    """The parts of the secret's Base64 that are the same whatever stands before and behind it."""
    forms = set()
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + raw).rstrip(b"=")
        inner = encoded[_ROWS if before else 0 : -_ROWS]
        forms |= {inner, inner.replace(b"+", b"-").replace(b"/", b"_")}
    return forms
