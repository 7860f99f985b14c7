"""Tokens that only this server can read: random text, and what each of them stands for, in memory.

They are told apart by digest, so that the store holds none of them. What a token must say to be traded is judged in
``sidecar.sts.tokens``; who is told what it says, in ``sidecar.sts.introspection``.
"""

from collections.abc import Mapping
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any, Final

from sidecar.model.clock import Clock

MOST: Final = 10_000  # at once; the oldest go first


class OpaqueTokens:
    """Issues and reads them. Times are those of the claims: ``exp``, in wall-clock seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._claims: dict[bytes, Mapping[str, Any]] = {}

    def issue(self, claims: Mapping[str, Any]) -> str:
        """Return a new token that stands for these claims until their ``exp``."""
        while len(self._claims) >= MOST:
            del self._claims[next(iter(self._claims))]
        token = token_urlsafe(32)
        self._claims[_digest(token)] = claims
        return token

    def claims(self, token: str) -> Mapping[str, Any] | None:
        """Return what a token stands for; None where it is none of ours, or no longer."""
        digest = _digest(token)
        claims = self._claims.get(digest)
        if claims is not None and claims["exp"] <= self._clock.wall():
            del self._claims[digest]
            return None
        return claims


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()
