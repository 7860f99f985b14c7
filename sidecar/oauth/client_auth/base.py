"""What every client authentication is: what it adds to a request, and what of it may be rotated."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

from sidecar.rotation import Rotated


@dataclass(frozen=True, slots=True)
class TokenEndpoint:
    """Where a request goes, and the issuer behind it where that is known."""

    url: str
    issuer: str | None = None


@dataclass(frozen=True, slots=True)
class Credentials:
    """What authenticates one request: further form pairs and headers."""

    pairs: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)


class ClientAuthentication(ABC):
    """One client's way to authenticate.

    rotated: the secret, key or certificate that may be replaced while we run, or None.
    mutual_tls: the connection's certificate is the proof, so it has to go to an endpoint that asks for one.
    """

    mutual_tls: ClassVar[bool] = False

    def __init__(self, rotated: Rotated[Any] | None) -> None:
        self._rotated = rotated

    @property
    def generation(self) -> int:
        """A number that grows when what we authenticate with was replaced."""
        return self._rotated.generation if self._rotated is not None else 0

    def reread(self) -> None:
        """Look for a new secret, key or certificate at once. Reads files: to be called in a thread."""
        if self._rotated is not None:
            self._rotated.reread()

    @abstractmethod
    def credentials(self, endpoint: TokenEndpoint, now: float, /) -> Credentials:
        """Return what the next request carries; fresh on every call. ``now`` is wall-clock seconds."""
