"""What ``decide`` came to: how far the request got, and either a token for the upstream or a refusal."""

from dataclasses import dataclass
from enum import StrEnum

from sidecar.model.refusal import Refusal
from sidecar.model.route import Route
from sidecar.model.tokens import IssuedToken, Subject, WorkloadToken


class CacheResult(StrEnum):
    """How an issued token was come by; the values of the metric's ``result`` and the receipt's ``cache``."""

    HIT = "hit"
    MISS = "miss"
    COALESCED = "coalesced"
    REFRESHED = "refreshed"
    NEGATIVE = "negative"


@dataclass(frozen=True, slots=True)
class Grant:
    """An issued token in use, and how it was come by.

    exchange_id: names the exchange whose receipt tells of it.
    lifetime: seconds it was issued for.
    """

    token: IssuedToken
    actor: WorkloadToken | None
    exchange_id: str
    lifetime: float
    cache: CacheResult


@dataclass(frozen=True, slots=True)
class Decision:
    """How far a request came. Without a refusal it may be forwarded, with the grant's token or, on a route with
    ``exchange: none``, with none.

    """

    route: Route | None = None
    subject: Subject | None = None
    grant: Grant | None = None
    refusal: Refusal | None = None
