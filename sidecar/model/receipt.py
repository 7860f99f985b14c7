"""Receipts as values: which request, on whose behalf and by which tokens, and what came of it.

How they are written is ``observe.receipts``'s business. Nothing here is a token's text; the path is without its query,
and whoever makes an ``Occasion`` vouches that no token was pasted into it.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from sidecar.model.approval import Approval
from sidecar.model.decision import CacheResult
from sidecar.model.refusal import Refusal
from sidecar.model.route import Exchange
from sidecar.model.tokens import IssuedToken, Subject, WorkloadToken


class Event(StrEnum):
    """What a line tells of: one exchange, one use of what it gave, a refusal, tokens that were flushed, or receipts
    that were never written.
    """

    EXCHANGE = "exchange"
    USE = "use"
    REFUSAL = "refusal"
    FLUSH = "flush"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Occasion:
    """The request that a receipt tells of.

    path: as it came, without the query; None where the request's head was not accepted.
    traceparent: as it came; it is kept only in its W3C form.
    upstream: the resource server, see ``resource_server``. tool: that was called, as far as it may be shown.
    """

    request_id: str
    method: str
    path: bytes | None = field(default=None, repr=False)
    traceparent: bytes | None = field(default=None, repr=False)
    route: str | None = None
    upstream: str | None = None
    tool: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Standing:
    """What stays the same for every use of one issued token: who, by which tokens, for what.

    Whatever is not known yet, or never came to be, is None: a failed exchange has no issued token, a refusal before
    the exchange only a subject. lifetime: seconds.
    """

    subject: Subject | None = None
    exchange: Exchange | None = None
    exchange_id: str | None = None
    actor_token: WorkloadToken | None = None
    issued_token: IssuedToken | None = None
    lifetime: float | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """One receipt, all but its time and event.

    fragment: what ``observe.receipts.Receipts.fragment`` made of the standing; empty where nothing is known.
    refusal: why it did not go on, None where it was allowed. status: the upstream's. approval: what an approver said
    of it. duration: seconds.
    """

    occasion: Occasion
    fragment: str = field(default="", repr=False)
    refusal: Refusal | None = None
    cache: CacheResult | None = None
    status: int | None = None
    duration: float = 0.0
    approval: Approval | None = None
