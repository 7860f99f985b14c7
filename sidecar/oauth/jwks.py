"""The keys of one issuer: where they are, how long they are good for, when to look again (RFC 7517, RFC 8725 §3.10).

Nothing in a token decides where keys are fetched: a ``kid`` that is not in the set causes one look in 30 s at the one
place that the configuration names, and that is all it can do. Keys are lost only to a newer set that lacks them, or to
age; a set that can't be read, or has no usable key, takes none away.
"""

from collections.abc import Callable, Sequence
from random import SystemRandom
from typing import Any, Final, Protocol

from sidecar.model.clock import SYSTEM_CLOCK, Clock
from sidecar.oauth import jwt
from sidecar.oauth.flight import Flight
from sidecar.oauth.http import MAX_DOCUMENT_BYTES, PeerClient, PeerError, PeerReplyUnusable
from sidecar.oauth.jwt import KeyFormatError, SignedToken, UnknownKeyError, VerificationKeys, strict_json
from sidecar.oauth.metadata import MetadataSource, MetadataUnavailable
from sidecar.rotation import FileError, read_file

UNKNOWN_KEY_EVERY: Final = 30.0  # seconds between two looks that unknown keys may cause
LOOK_FIRST: Final = -1  # no generation: what was remembered is not to be trusted before somebody looked
_RANDOM: Final = SystemRandom()


class IssuerUnavailable(Exception):
    """There are no keys of this issuer. retry_after: seconds; reason: constant text."""

    def __init__(self, retry_after: float, reason: str) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.reason = reason


class KeysUnavailable(Exception):
    """A set can't be had just now. The message is constant, but for a configured file's name.

    retry_after: seconds for which whoever has it asks to be left alone, or None.
    """

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class KeyLocation(Protocol):
    """Where a set is. max_age: seconds after which a set in use is looked at again, in the background."""

    max_age: float

    async def read(self) -> Any:
        """Return the set, as JSON. KeysUnavailable: it can't be had."""
        ...


class PublishedKeys:
    """A set at a URL: the issuer's ``jwks_uri``, from the configuration or from its metadata."""

    max_age = 300.0

    def __init__(self, client: PeerClient, where: str | MetadataSource) -> None:
        self._client = client
        self._where = where

    async def read(self) -> Any:
        """Fetch the set. KeysUnavailable: it or the metadata can't be had, or the metadata names none."""
        try:
            uri = self._where if isinstance(self._where, str) else (await self._where.metadata()).jwks_uri
            if uri is None:
                raise KeysUnavailable("metadata: no jwks_uri")
            return await self._client.document(uri)
        except PeerError as error:
            retry_after = error.retry_after if isinstance(error, PeerReplyUnusable) else None
            raise KeysUnavailable(f"keys: {error.reason}", retry_after) from None
        except MetadataUnavailable as error:
            raise KeysUnavailable(error.reason) from None


class FileKeys:
    """A set in a file, looked at once a second while it is in use."""

    max_age = 1.0

    def __init__(self, path: str) -> None:
        self._path = path

    async def read(self) -> Any:
        """Read the file. KeysUnavailable: it can't be read or is no JSON."""
        try:
            return strict_json(read_file(self._path, MAX_DOCUMENT_BYTES))
        except FileError as error:
            raise KeysUnavailable(f"keys: {error}") from None
        except (ValueError, RecursionError):
            raise KeysUnavailable("keys: the file is not JSON") from None


class KeySource:
    """The keys of one issuer, fetched on first use and kept.

    keys_stale: seconds that the last good keys serve while no newer ones can be had.
    observed: called with ``success`` or ``failure`` after every look; the last one says whether the issuer is
    available.

    generation: another number whenever the keys are others: what was verified under an older one must be forgotten.
    """

    def __init__(
        self,
        location: KeyLocation,
        *,
        keys_stale: float,
        clock: Clock = SYSTEM_CLOCK,
        observed: Callable[[str], None] | None = None,
    ) -> None:
        self.generation = 0
        self._location = location
        self._keys_stale = keys_stale
        self._clock = clock
        self._observed = observed
        self._flight = Flight(self._read, clock)
        self._document: Any = None
        self._keys: VerificationKeys | None = None
        self._good_until = self._look_at = self._looked_at = self._unknown_at = float("-inf")
        self._reason = "keys: not read yet"
        self._available = False

    @property
    def available(self) -> bool:
        """Whether the last look succeeded; False before the first."""
        return self._available

    @property
    def age(self) -> float | None:
        """Seconds since the keys in use were last read; None where there are none."""
        return None if self._keys is None else self._clock.monotonic() - (self._good_until - self._keys_stale)

    @property
    def serve(self) -> float | None:
        """Seconds for which the keys in use serve if no newer ones can be had; None where there are none."""
        return None if self._keys is None else max(0.0, self._good_until - self._clock.monotonic())

    def use(self) -> int:
        """Return the generation, for whoever remembers what was verified; to be called on every use of such a memory.

        LOOK_FIRST, which matches no memory, where `keys` would wait for a look: then verify again. It starts a look in
        the background when one is due, and forgets keys that are too old, as `keys` does. Needs a running event loop.
        """
        now = self._clock.monotonic()
        if now >= self._look_at:
            if self._keys is not None and now >= self._good_until:
                self._forget()
            self._flight.start()
        # A key that was taken back while nobody asked is not used even once more.
        long_idle = self._flight.under_way and now - self._looked_at >= 2 * self._location.max_age
        return LOOK_FIRST if self._keys is None or long_idle else self.generation

    async def keys(self) -> VerificationKeys:
        """Return the keys, without waiting where somebody looked of late.

        IssuerUnavailable: none could be had yet, or the last ones are older than keys_stale.
        """
        if self.use() == LOOK_FIRST:
            await self._flight.join()
        if self._keys is None:
            raise IssuerUnavailable(self._flight.retry_after, self._reason)
        return self._keys

    async def verify(self, token: str, algorithms: Sequence[str]) -> SignedToken:
        """Check a token's signature as `jwt.verify` does, looking for newer keys where none fits.

        IssuerUnavailable: there are no keys. JWTError, UnknownKeyError: see there.
        """
        keys = await self.keys()
        try:
            return jwt.verify(token, keys, algorithms)
        except UnknownKeyError:
            newer = await self._look_again()
            if newer is None or newer is keys:
                raise
        return jwt.verify(token, newer, algorithms)

    async def look(self) -> bool:
        """Look at the set, however fresh it is, and return whether that worked.

        Not more often than after failures it may be: then it is what the last look told.
        """
        self._flight.start()
        await self._flight.join()
        return self._available

    async def close(self) -> None:
        """Give up a look under way."""
        await self._flight.close()

    async def _look_again(self) -> VerificationKeys | None:
        """Look because of an unknown key, at most once in 30 s, or wait for the look under way."""
        now = self._clock.monotonic()
        if now - self._unknown_at >= UNKNOWN_KEY_EVERY and not self._flight.under_way:
            self._unknown_at = now
            self._flight.start()
        await self._flight.join()
        return self._keys

    async def _read(self) -> bool:
        try:
            document = await self._location.read()
            if document != self._document:
                self._take(document)
        except (KeysUnavailable, KeyFormatError) as error:
            self._reason = str(error)
            self._available = False
            if isinstance(error, KeysUnavailable) and error.retry_after is not None:
                self._flight.hold(error.retry_after)
        else:
            now = self._clock.monotonic()
            self._look_at = now + self._location.max_age * _RANDOM.uniform(0.9, 1.1)
            self._good_until = now + self._keys_stale
            self._available = True
        self._looked_at = self._clock.monotonic()
        if self._observed is not None:
            self._observed("success" if self._available else "failure")
        return self._available

    def _take(self, document: Any) -> None:
        keys = VerificationKeys.from_jwks(document)
        if not keys:
            raise KeyFormatError("keys: the set has no key that may verify signatures")
        self._keys, self._document = keys, document
        self.generation += 1

    def _forget(self) -> None:
        self._keys = self._document = None
        self.generation += 1
