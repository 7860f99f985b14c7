"""The paths that routes match: exact ones, templates with ``{name}`` segments, and prefixes.

Only what requests can meet is taken, by the same reading that requests get (``wire.target.canonical``): a rule that no
request can meet would look like protection and be none. Each check raises ValueError with a message that says what
would be right and never repeats the text.
"""

import re
from typing import Final

from sidecar.wire.grammar import GrammarError
from sidecar.wire.target import EMPTY_SEGMENT, ENCODED_SLASH, PATH_PARAMETERS, canonical

_VARIABLE: Final = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")
_FEATURES: Final = {
    ENCODED_SLASH: "an encoded slash",
    EMPTY_SEGMENT: "an empty segment",
    PATH_PARAMETERS: "a semicolon",
}


def exact_path(text: str) -> str:
    """Check a path, in which whole segments may be ``{name}``."""
    variables = [segment for segment in text.split("/") if _VARIABLE.fullmatch(segment)]
    if len(set(variables)) != len(variables):
        raise ValueError("should name each variable once")
    _check(_example(text))
    return text


def path_prefix(text: str) -> str:
    """Check a prefix of whole segments; ``/`` is every path."""
    if text != "/" and text.endswith("/"):
        raise ValueError("should have no slash at its end; a prefix is of whole segments anyway")
    _check(text)
    return text


def needed_relaxations(text: str) -> list[tuple[str, str]]:
    """Return what ``match.allow`` must hold for a request with this path to get in at all, each with what needs it.

    Empty for a text that is no path.
    """
    try:
        _, features = canonical(_bytes(_example(text)))
    except GrammarError:
        return []
    return [(name, what) for name, what in _FEATURES.items() if name in features]


def _example(text: str) -> str:
    """A path that meets a template: an ordinary segment in each variable's place."""
    return "/".join("x" if _VARIABLE.fullmatch(segment) else segment for segment in text.split("/"))


def _check(path: str) -> None:
    if not path.startswith("/"):
        raise ValueError("should begin with /")
    if "{" in path or "}" in path:
        raise ValueError("a variable should be a whole segment of a path, such as /orders/{id}; a prefix has none")
    try:
        matched, _ = canonical(_bytes(path))
    except GrammarError as error:
        raise ValueError(f"should be a path that requests can have: {error}") from None
    if matched != _bytes(path):
        raise ValueError("should have letters, digits, '-', '.', '_' and '~' as they are, others as %XX in capitals")


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogatepass")  # what is not ASCII no path may hold, and the grammar says so
