"""The server's own signing keys: one that signs, and replaced ones for as long as their tokens live.

Keys are made in memory and never written anywhere. The public half is the JWK Set document (RFC 7517 §5).
"""

from collections.abc import Mapping
from secrets import token_hex
from typing import Any

from joserfc.jwk import Key

from sidecar.model.clock import SYSTEM_CLOCK, Clock
from sidecar.oauth.jwt import VerificationKeys, generate_key, jwk_set, sign


class SigningKeys:
    """Signs with the newest key, ``current``. A replaced key stays in the set for ``retention`` seconds, the longest
    life of a token it signed.
    """

    def __init__(self, algorithm: str, retention: float, clock: Clock = SYSTEM_CLOCK) -> None:
        self._algorithm = algorithm
        self._retention = retention
        self._clock = clock
        self.current = generate_key(algorithm, token_hex(8))
        self._replaced: list[tuple[float, Key]] = []

    def rotate(self) -> None:
        """Sign with a new key from now on."""
        self._replaced.append((self._clock.monotonic() + self._retention, self.current))
        self.current = generate_key(self._algorithm, token_hex(8))

    def sign(self, claims: Mapping[str, Any], header: Mapping[str, Any] | None = None) -> str:
        """Return the claims as a signed access token (``typ`` ``at+jwt``, RFC 9068 §2.1, unless ``header`` differs)."""
        default = {"typ": "at+jwt", "kid": self.current.get("kid")}
        return sign(claims, self.current, self._algorithm, {**default, **(header or {})})

    def document(self) -> dict[str, Any]:
        """The public JWK Set."""
        return jwk_set(self._living())

    def verification(self) -> VerificationKeys:
        """The same keys, for checking tokens of this server itself."""
        return VerificationKeys(self._living())

    def _living(self) -> list[Key]:
        now = self._clock.monotonic()
        self._replaced = [(until, key) for until, key in self._replaced if until > now]
        return [self.current, *(key for _, key in self._replaced)]
