"""The token request's parameters, strictly (RFC 6749 §3.2, Appendix B): form-encoded UTF-8, each at most once.

Only ``audience`` and ``resource`` may be repeated (RFC 8693 §2.1). A parameter without a value counts as left out.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote_plus

from sidecar.sts.errors import Code, TokenError

REPEATABLE: Final = frozenset(("audience", "resource"))
MAX_PARAMETERS: Final = 100

_BAD_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*")


@dataclass(frozen=True, slots=True)
class Form:
    """A token request's parameters; never printed, since tokens and secrets are among them."""

    values: Mapping[str, tuple[str, ...]] = field(repr=False)

    def one(self, name: str) -> str | None:
        """A parameter's value, or None where it was left out."""
        return self.values.get(name, (None,))[0]

    def required(self, name: str) -> str:
        """A parameter's value. TokenError: it was left out."""
        value = self.one(name)
        if value is None:
            raise TokenError(Code.INVALID_REQUEST, f"{name} is missing")
        return value

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of a repeatable parameter, in order and each once."""
        return tuple(dict.fromkeys(self.values.get(name, ())))

    def scope(self) -> tuple[str, ...]:
        """The scopes asked for, in order and each once (RFC 6749 §3.3). TokenError: the text is no list of scopes."""
        text = self.one("scope")
        if text is None:
            return ()
        if not _SCOPE.fullmatch(text):
            raise TokenError(Code.INVALID_SCOPE, "scope is malformed")
        return tuple(dict.fromkeys(text.split(" ")))


def parse_form(body: bytes) -> Form:
    """Read a request body. TokenError: it is not form-encoded UTF-8, or repeats what must come once."""
    try:
        text = body.decode("ascii")
        if _BAD_PERCENT.search(text):
            raise ValueError("bad percent-encoding")
        pairs = (
            parse_qsl(text, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=MAX_PARAMETERS)
            if text
            else []
        )
    except ValueError:
        raise TokenError(Code.INVALID_REQUEST, "the body is not form-encoded UTF-8") from None
    values: dict[str, tuple[str, ...]] = {}
    for name, value in pairs:
        if name in values and name not in REPEATABLE:
            raise TokenError(Code.INVALID_REQUEST, "a parameter is repeated")
        values[name] = (*values.get(name, ()), value)
    given = {name: tuple(filter(None, several)) for name, several in values.items()}
    return Form({name: several for name, several in given.items() if several})


def form_decode(text: str) -> str:
    """Undo form-encoding of one value (RFC 6749 Appendix B). ValueError: it is not encoded so."""
    if not text.isascii() or _BAD_PERCENT.search(text):
        raise ValueError("not form-encoded")
    return unquote_plus(text, errors="strict")
