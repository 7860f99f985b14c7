"""What ``decide`` came to: how far the request got, and either a token for the upstream or a refusal."""

from dataclasses import dataclass, field
from enum import StrEnum

from sidecar.model.approval import Approval
from sidecar.model.operation import Operation
from sidecar.model.refusal import Refusal
from sidecar.model.request import RequestHead
from sidecar.model.route import Exchange, Route
from sidecar.model.tokens import IssuedToken, Subject, WorkloadToken


class CacheResult(StrEnum):
    """How an issued token was come by; the values of the metric's ``result`` and the receipt's ``cache``."""

    HIT = "hit"
    MISS = "miss"
    COALESCED = "coalesced"
    REFRESHED = "refreshed"
    NEGATIVE = "negative"


@dataclass(frozen=True, slots=True)
class Exchanged:
    """One exchange that was made, also a failed one: what its receipt and its metrics tell.

    request: the one that caused it; others may have waited for it. exchange: what was asked for.
    cache: MISS, or REFRESHED for one ahead of time.
    issued: None where it failed; refusal: None where it did not. lifetime, duration: seconds.
    asked: whether the server was asked and had its time to answer; else this says nothing of the server.
    approval: the yes that the request had.
    """

    exchange_id: str
    request: RequestHead
    route: Route
    exchange: Exchange
    subject: Subject
    actor: WorkloadToken | None
    cache: CacheResult
    issued: IssuedToken | None
    lifetime: float
    refusal: Refusal | None
    duration: float
    asked: bool
    approval: Approval | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """An issued token in use, and how it was come by.

    exchange_id: names the exchange whose receipt tells of it. lifetime: seconds it was issued for.
    fragment: what every receipt of its use has in common. waited: seconds this request waited for an exchange.
    key: what it is kept under. sent: the monotonic instant when it was asked for.
    """

    token: IssuedToken
    actor: WorkloadToken | None
    exchange_id: str
    lifetime: float
    cache: CacheResult
    fragment: str = field(default="", repr=False)
    waited: float = 0.0
    key: bytes = field(default=b"", repr=False)
    sent: float = 0.0


@dataclass(frozen=True, slots=True)
class Decision:
    """How far a request came. Without a refusal it may be forwarded: with the grant's token, or with none on a route
    whose ``exchange`` is ``none``.

    preflight: it is a CORS preflight, and allowed; it goes on without any credential.
    route: as it is for the operation, where it has rules for some.
    operation: what it asks a tool server to do, where its route reads that and it came so far.
    websocket: it is a WebSocket handshake, and well-formed, on a route that passes them on.
    left_behind: what to search for to find the caller's token, which must not be in anything that goes upstream or is
        written down.
    approval: what an approver said, where one was asked.
    """

    route: Route | None = None
    subject: Subject | None = None
    grant: Grant | None = None
    refusal: Refusal | None = None
    preflight: bool = False
    websocket: bool = False
    operation: Operation | None = None
    left_behind: tuple[bytes, ...] = field(default=(), repr=False)
    approval: Approval | None = None
