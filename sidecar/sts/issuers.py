"""Whose signatures are believed: this server's own, and those of the trusted issuers, each by its own keys only.

A trusted issuer's JWK Set is fetched here and nowhere else, from the configured place, never from anywhere a token
names (RFC 8725 §3.8, §3.10). What a token's claims must say is judged in ``sidecar.sts.tokens``.
"""

import asyncio
from typing import Final

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar

from sidecar.model.clock import Clock
from sidecar.oauth.jwt import (
    ALGORITHMS,
    JWTError,
    KeyFormatError,
    SignedToken,
    UnknownKeyError,
    VerificationKeys,
    peek,
    strict_json,
    verify,
)
from sidecar.sts.config import Config, TrustedIssuer
from sidecar.sts.keys import SigningKeys
from sidecar.sts.opaque import OpaqueTokens

MAX_AGE: Final = 300  # seconds after which a set is read again, so that a withdrawn key dies
REFETCH: Final = 30  # seconds between two reads because of a key nobody knows
RETRY: Final = 1  # seconds after a failed read
TIMEOUT: Final = 5  # seconds for one read
MAX_BYTES: Final = 64 * 1024

_ACCEPTED: Final = tuple(ALGORITHMS)


class KeysUnavailable(Exception):
    """A trusted issuer's keys could not be read, and none are known from before."""


class NotOurs(JWTError):
    """A token of another issuer than this server."""


class Issuers:
    """Checks signatures, by the issuer that a token claims. opaque: this server's tokens that have none."""

    def __init__(self, config: Config, own: SigningKeys, clock: Clock) -> None:
        self._issuer = config.issuer
        self._own = own
        self.opaque = OpaqueTokens(clock)
        self._trusted = {trusted.issuer: RemoteKeys(trusted, clock) for trusted in config.trusted_issuers}

    async def verify(self, token: str) -> SignedToken:
        """Return what the token says, once its signature was checked with a key of the issuer it names.

        An opaque token of ours says what it stands for. JWTError: it is not signed by an issuer we trust.
        KeysUnavailable: that can't be told now.
        """
        try:
            return self.own(token)
        except NotOurs:
            iss = peek(token).claims.get("iss")
        remote = self._trusted.get(iss) if isinstance(iss, str) else None
        if remote is None:
            raise JWTError("issuer is not trusted")
        return await remote.verify(token)

    def own(self, token: str) -> SignedToken:
        """Return what a token of this server says. NotOurs: it is not one; JWTError: nor is it signed by us."""
        if (claims := self.opaque.claims(token)) is not None:
            return SignedToken({"typ": "at+jwt"}, claims)
        if peek(token).claims.get("iss") != self._issuer:
            raise NotOurs("the issuer is another one")
        return verify(token, self._own.verification(), _ACCEPTED)


class RemoteKeys:
    """One trusted issuer's keys. The last good set serves on while a newer one can't be read."""

    def __init__(self, trusted: TrustedIssuer, clock: Clock) -> None:
        self._uri = trusted.jwks_uri
        self._clock = clock
        self._keys = trusted.keys if trusted.jwks_uri is None else None
        self._stale_at = 0.0
        self._next_read = float("-inf")
        self._reading = asyncio.Lock()

    async def verify(self, token: str) -> SignedToken:
        """Return what a token says, once its signature was checked. JWTError, KeysUnavailable: as above."""
        keys = self._keys
        if keys is None or (self._uri is not None and self._clock.monotonic() >= self._stale_at):
            keys = await self._read()
        try:
            return verify(token, keys, _ACCEPTED)
        except UnknownKeyError:
            return verify(token, await self._read(), _ACCEPTED)

    async def _read(self) -> VerificationKeys:
        """The newest set that can be had, read at most as often as the constants above allow."""
        if self._uri is not None:
            async with self._reading:
                if self._clock.monotonic() >= self._next_read:
                    await self._fetch(self._uri)
        if self._keys is None:
            raise KeysUnavailable
        return self._keys

    async def _fetch(self, uri: str) -> None:
        try:
            self._keys = await fetch_keys(uri)
        except KeysUnavailable:
            self._next_read = self._clock.monotonic() + RETRY
        else:
            self._next_read = self._clock.monotonic() + REFETCH
            self._stale_at = self._clock.monotonic() + MAX_AGE


async def fetch_keys(uri: str) -> VerificationKeys:
    """Read a JWK Set over HTTP: status 200, at most 64 KiB, strict JSON, no redirect followed, nothing inflated.

    KeysUnavailable: it can't be had.
    """
    headers = {"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"}
    try:
        async with (
            ClientSession(
                timeout=ClientTimeout(total=TIMEOUT),
                cookie_jar=DummyCookieJar(),
                auto_decompress=False,
                headers=headers,
            ) as session,
            session.get(uri, allow_redirects=False) as response,
        ):
            if response.status != 200 or response.headers.get("Content-Encoding", "identity") != "identity":
                raise KeysUnavailable
            body = bytearray()
            async for chunk in response.content.iter_chunked(MAX_BYTES):
                body += chunk
                if len(body) > MAX_BYTES:
                    raise KeysUnavailable
        return VerificationKeys.from_jwks(strict_json(bytes(body)))
    except (ClientError, TimeoutError, OSError, ValueError, RecursionError, KeyFormatError):
        raise KeysUnavailable from None
