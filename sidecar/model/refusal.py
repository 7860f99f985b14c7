"""Why a request does not go on.

A refusal names its kind and gives constant text; what it becomes on the wire (status, challenge, body) is decided in
``faces.problems`` and nowhere else. Nothing from a token, a header or an authorization server's text may be put into
``reason``: it is shown to callers. ``finding`` may name such data, since only receipts and commands show it.
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The kinds of refusal; their values are used in problem types, metric labels and receipts."""

    INVALID_REQUEST = "invalid-request"
    MISSING_TOKEN = "missing-token"
    INVALID_TOKEN = "invalid-token"
    STEP_UP_REQUIRED = "step-up-required"
    INSUFFICIENT_SCOPE = "insufficient-scope"
    POLICY_DENIED = "policy-denied"
    APPROVAL_DENIED = "approval-denied"
    EXCHANGE_DENIED = "exchange-denied"
    NO_ROUTE = "no-route"
    TOO_LARGE = "too-large"
    REQUEST_TIMEOUT = "request-timeout"
    EXPECTATION_FAILED = "expectation-failed"
    UPGRADE_REQUIRED = "upgrade-required"
    VERSION_NOT_SUPPORTED = "version-not-supported"
    NOT_SUPPORTED = "not-supported"
    EXCHANGE_MISCONFIGURED = "exchange-misconfigured"
    EXCHANGE_UNUSABLE = "exchange-unusable"
    ISSUED_TOKEN_REFUSED = "issued-token-refused"
    LEAK_GUARD = "leak-guard"
    UPSTREAM_UNAVAILABLE = "upstream-unavailable"
    EXCHANGE_UNAVAILABLE = "exchange-unavailable"
    ISSUER_UNAVAILABLE = "issuer-unavailable"
    APPROVAL_UNAVAILABLE = "approval-unavailable"
    OVERLOADED = "overloaded"
    UPSTREAM_TIMEOUT = "upstream-timeout"
    EXCHANGE_TIMEOUT = "exchange-timeout"
    LOOP = "loop"


class Oversize(StrEnum):
    """What was too large: it decides between 413, 414 and 431."""

    BODY = "body"
    TARGET = "target"
    HEADERS = "headers"


@dataclass(frozen=True, slots=True)
class StepUp:
    """What a new login has to be like (RFC 9470 §3). Nothing given: whoever asks for it does not say.

    acr_values: one of these, the preferred first. max_age: seconds since it. claims: Base64 of a JSON object with what
    else is asked for, as Entra's clients understand it.
    """

    acr_values: tuple[str, ...] = ()
    max_age: int | None = None
    claims: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refusal.

    reason: one constant sentence, safe to show to the caller.
    scope: the scopes an ``insufficient_scope`` challenge names (RFC 6750 §3).
    retry_after: seconds after which asking again makes sense, or None.
    oversize: for TOO_LARGE, what was.
    finding: for operators only: what was found and which key of the configuration would allow it.
    close: the connection's framing can't be trusted any more.
    key: of the configuration, the key that decided, or that would allow it; from the route's on where its first name is
        one of a route's, else from the top of the file. Empty where no key does.
    step_up: for STEP_UP_REQUIRED, what is asked for.
    """

    kind: Kind
    reason: str
    scope: tuple[str, ...] = ()
    retry_after: float | None = None
    oversize: Oversize | None = None
    finding: str = ""
    close: bool = False
    key: tuple[str, ...] = ()
    step_up: StepUp | None = None


class Refused(Exception):
    """Carries a refusal out of a step of ``decide``; caught there and in the faces, nowhere else."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.kind.value)
        self.refusal = refusal


def refuse(
    kind: Kind,
    reason: str,
    *,
    scope: tuple[str, ...] = (),
    retry_after: float | None = None,
    oversize: Oversize | None = None,
    finding: str = "",
    close: bool = False,
    key: tuple[str, ...] = (),
    step_up: StepUp | None = None,
) -> Refused:
    """Return the exception for a refusal, to be raised: ``raise refuse(Kind.NO_ROUTE, "…")``."""
    return Refused(Refusal(kind, reason, scope, retry_after, oversize, finding, close, key, step_up))
