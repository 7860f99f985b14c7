"""A listener as the layers below ``app`` know it."""

from dataclasses import dataclass
from enum import StrEnum


class Direction(StrEnum):
    """On which side of the application it stands."""

    INGRESS = "ingress"
    EGRESS = "egress"


@dataclass(frozen=True, slots=True)
class Listener:
    """One gateway listener. scheme: ``http``, or ``https`` where it terminates TLS."""

    name: str
    direction: Direction
    scheme: str
    max_header_bytes: int
