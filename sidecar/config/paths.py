"""The paths that routes match: exact ones, templates with ``{name}`` segments, and prefixes.

Only canonical spellings are taken (RFC 3986 §6.2.2): a rule that no canonical request can meet would look like
protection and be none. Each function raises ValueError with a message that says what would be right and never
repeats the text.
"""

import re
from typing import Final
from urllib.parse import unquote_to_bytes

_LITERAL: Final = re.compile(r"(?:[A-Za-z0-9._~:@!$&'()*+,;=-]|%[0-9A-F]{2})*")
_VARIABLE: Final = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")
_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def exact_path(text: str) -> str:
    """Check a path, in which whole segments may be ``{name}``."""
    segments = _segments(text)
    variables = [segment for segment in segments if _VARIABLE.fullmatch(segment)]
    if len(set(variables)) != len(variables):
        raise ValueError("should name each variable once")
    for segment in segments:
        if segment not in variables:
            _literal(segment)
    return text


def path_prefix(text: str) -> str:
    """Check a prefix of whole segments; ``/`` is every path."""
    if text != "/" and text.endswith("/"):
        raise ValueError("should have no slash at its end; a prefix is of whole segments anyway")
    for segment in _segments(text):
        _literal(segment)
    return text


def needed_relaxations(text: str) -> list[tuple[str, str]]:
    """Return what ``match.allow`` must hold for a request with this path to get in at all, each with what needs it."""
    wanted = {
        "encoded-slash": ("an encoded slash", "%2F" in text or "%5C" in text),
        "empty-segment": ("an empty segment", "//" in text),
        "path-parameters": ("a semicolon", ";" in text),
    }
    return [(name, what) for name, (what, needed) in wanted.items() if needed]


def _segments(text: str) -> list[str]:
    if not text.startswith("/"):
        raise ValueError("should begin with /")
    return text[1:].split("/")


def _literal(segment: str) -> None:
    if "{" in segment or "}" in segment:
        raise ValueError("a variable should be a whole segment of a path, such as /orders/{id}; a prefix has none")
    if not _LITERAL.fullmatch(segment):
        raise ValueError("should hold a path's characters only, others as %XX in capitals, without query and fragment")
    for encoded in re.findall("%..", segment):
        byte = unquote_to_bytes(encoded)[0]
        if byte in _UNRESERVED:
            raise ValueError("should have letters, digits, '-', '.', '_' and '~' as they are, not percent-encoded")
        if byte < 0x20 or byte == 0x7F:
            raise ValueError("should have no control characters, percent-encoded or not")
    if segment.partition(";")[0] in (".", ".."):
        raise ValueError("should have no dot segments")
