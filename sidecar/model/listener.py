"""A listener as the layers below ``app`` know it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

#: What the decision listener is called; no other one is.
DECISION: Final = "decision"
#: What the control socket is called.
CONTROL: Final = "control"


class Direction(StrEnum):
    """On which side of the application it stands."""

    INGRESS = "ingress"
    EGRESS = "egress"


class Form(StrEnum):
    """How a proxy that asks for a decision names the request that it asks about."""

    FORWARDED = "forwarded"
    ENVOY = "envoy"


@dataclass(frozen=True, slots=True)
class Listener:
    """One listener. scheme: ``http``, or ``https`` where it terminates TLS.

    form: how requests are named on the decision listener; None on a gateway's, where they are what they are.
    """

    name: str
    direction: Direction
    scheme: str
    max_header_bytes: int
    form: Form | None = None
