"""Somebody else's yes: what a route asks for, and what came of asking.

Who is asked how, and when a yes may be used again, is ``sidecar.approval``'s business. Nothing here is a token's text;
what an approver or a caller said is cut and printable.
"""

import math
from dataclasses import dataclass, field
from enum import StrEnum

from sidecar.model.refusal import Kind, Refusal

#: The longest text of a caller or an approver that is told to anybody.
MAX_TEXT = 128


class Verdict(StrEnum):
    """What came of asking; the values of a receipt's ``approval.decision``."""

    APPROVED = "approved"
    DENIED = "denied"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class ApprovalPolicy:
    """Whose yes a route needs.

    by: the approver's name. max_age: seconds for which a yes is used again; 0: every request is asked about.
    bind_path: a yes counts for one host, path and query; otherwise for whatever the route takes.
    reason_header: lower-case name of the field in which callers claim what they are at; it never goes upstream.
    """

    by: str
    max_age: float = 0.0
    bind_path: bool = True
    reason_header: str | None = None


@dataclass(frozen=True, slots=True)
class Approval:
    """What an approver said of one request.

    refusal: why the request does not go on; None where it was approved. id, reason: the approver's own words.
    age: seconds since the approver was asked. until: the monotonic instant from which nothing that was got under it may
    be kept. arguments: a digest of what a tool is called with, see ``Question``. claimed_task: the caller's claim.
    """

    by: str
    refusal: Refusal | None = None
    id: str | None = None
    reason: str | None = None
    age: float = 0.0
    until: float = math.inf
    arguments: str | None = None
    claimed_task: str | None = field(default=None, repr=False)

    @property
    def verdict(self) -> Verdict:
        """What came of it, in a word."""
        if self.refusal is None:
            return Verdict.APPROVED
        return Verdict.DENIED if self.refusal.kind is Kind.APPROVAL_DENIED else Verdict.UNAVAILABLE


def cut(text: str) -> str:
    """Return the first 128 printable characters of a text that others wrote."""
    return "".join(filter(str.isprintable, text))[:MAX_TEXT]
