"""W3C Trace Context: what ``traceparent`` says, and how it is written. Pure; nothing else of a trace is read.

What is not exactly of the form is as if it were not there (§3.2, §4.3): it could be anything, even a token.
"""

import re
from dataclasses import dataclass
from typing import Final

#: Version 00, or a later one, which may have more after a hyphen (§3.2.4).
_FORM: Final = re.compile(rb"(?!ff)([0-9a-f]{2})-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED: Final = 0x01


@dataclass(frozen=True, slots=True)
class TraceParent:
    """The trace that a request belongs to, the span it comes from, and whether that one is recorded."""

    trace_id: str
    span_id: str
    sampled: bool

    def __bytes__(self) -> bytes:
        """The field's value."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}".encode("ascii")


def read(values: list[bytes]) -> TraceParent | None:
    """Return what the field says; None where it is missing, given twice, or not of the form."""
    form = _FORM.fullmatch(values[0]) if len(values) == 1 else None
    if form is None or (form[1] == b"00" and form[5] is not None):
        return None
    return TraceParent(form[2].decode(), form[3].decode(), bool(int(form[4], 16) & _SAMPLED))
