"""Assertions as proof of a client (RFC 7523 §3): those it signs itself, and those that its platform made for it.

A client's own assertion is short-lived and good once. A platform's is what a Kubernetes service account token or a
JWT-SVID is (draft-ietf-oauth-spiffe-client-auth §3.1): it is presented until it is renewed, so it can't be good once.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from sidecar.model.clock import Clock
from sidecar.oauth.jwt import ALGORITHMS, JWTError, SignedToken, peek, verify
from sidecar.sts.claims import audiences, numeric_date, time_problem, token_typ
from sidecar.sts.config import AuthMethod, Client, Config, Workload
from sidecar.sts.issuers import RemoteKeys

JWT_BEARER: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
JWT_SPIFFE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
MAX_LIFETIME: Final = 120  # seconds, of a client's own assertion
MAX_JTI: Final = 256  # characters
#: Symmetric algorithms, and the least bytes of a secret for each (RFC 7518 §3.2).
SECRET_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
_TYPS: Final = (None, "jwt", "client-authentication+jwt")


class Assertions:
    """Judges assertions. Remembers those that are good once."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._issuer = config.issuer
        self._endpoints = frozenset(config.token_endpoints)
        self._clock = clock
        self._seen: dict[tuple[str, str], float] = {}
        self._workloads = {
            _claimed(client.workload): client.client_id for client in config.clients if client.workload is not None
        }
        self._keys = {
            client.client_id: RemoteKeys(client.workload.issuer, clock)
            for client in config.clients
            if client.workload is not None
        }

    def claim(self, assertion: str, assertion_type: str | None) -> tuple[AuthMethod, str] | None:
        """Return the method that an assertion is meant for and the client it would prove; nothing is verified yet.

        None: there is no such type of assertions.
        """
        try:
            signed = peek(assertion)
        except JWTError:
            signed = SignedToken({}, {})
        iss, sub = (value if isinstance(value := signed.claims.get(name), str) else "" for name in ("iss", "sub"))
        if assertion_type == JWT_SPIFFE:
            return AuthMethod.SPIFFE_JWT, self._workloads.get(("", sub), "")
        if assertion_type != JWT_BEARER:
            return None
        if iss and (client_id := self._workloads.get((iss, sub))) is not None:
            return AuthMethod.JWT_FILE, client_id
        if signed.header.get("alg") in SECRET_BYTES:
            return AuthMethod.SECRET_JWT, sub
        return AuthMethod.PRIVATE_KEY_JWT, sub

    async def proves(self, client: Client, method: AuthMethod, assertion: str) -> bool:
        """Whether an assertion proves this client by this method. KeysUnavailable: that can't be told now."""
        match method:
            case AuthMethod.PRIVATE_KEY_JWT if client.keys is not None:
                keys = client.keys
                return self._own(client, assertion, lambda text: verify(text, keys, tuple(ALGORITHMS)))
            case AuthMethod.SECRET_JWT if client.secret:
                secret = client.secret.encode()
                return self._own(client, assertion, lambda text: _verify_with_secret(text, secret))
            case AuthMethod.JWT_FILE | AuthMethod.SPIFFE_JWT if client.workload is not None:
                return await self._platforms(client, client.workload, method, assertion)
            case _:
                return False

    def _own(self, client: Client, assertion: str, verified: Callable[[str], SignedToken]) -> bool:
        """Whether the assertion is the client's own, for us, short-lived and new (RFC 7523 §3)."""
        try:
            signed = verified(assertion)
        except JWTError:
            return False
        claims, now = signed.claims, self._clock.wall()
        if token_typ(signed.header) not in _TYPS or time_problem(claims, now) is not None:
            return False
        if (numeric_date(claims["exp"]) or 0.0) > now + MAX_LIFETIME:
            return False
        if claims.get("iss") != client.client_id or claims.get("sub") != client.client_id:
            return False
        ours = self._endpoints | {self._issuer}
        return _for_one_of(claims, ours) and self._first_use(client.client_id, claims.get("jti"))

    async def _platforms(self, client: Client, workload: Workload, method: AuthMethod, assertion: str) -> bool:
        try:
            claims = (await self._keys[client.client_id].verify(assertion)).claims
        except JWTError:
            return False
        # A JWT-SVID names us by our issuer and nothing else.
        ours = {self._issuer} if method is AuthMethod.SPIFFE_JWT else self._endpoints | {self._issuer}
        named = "" if method is AuthMethod.SPIFFE_JWT else claims.get("iss")
        return (
            (named, claims.get("sub")) == _claimed(workload)
            and time_problem(claims, self._clock.wall()) is None
            and _for_one_of(claims, ours)
        )

    def _first_use(self, client_id: str, jti: object) -> bool:
        if not isinstance(jti, str) or not jti or len(jti) > MAX_JTI:
            return False
        now = self._clock.monotonic()
        while self._seen and (oldest := next(iter(self._seen.items())))[1] <= now:
            del self._seen[oldest[0]]
        if (client_id, jti) in self._seen:
            return False
        # No accepted assertion lives longer than this, so insertion order is also the order of forgetting.
        self._seen[client_id, jti] = now + MAX_LIFETIME
        return True


def _claimed(workload: Workload) -> tuple[str, str]:
    """What a platform's token says of itself: issuer and subject; a JWT-SVID's issuer says nothing."""
    return workload.issuer.issuer, workload.sub


def _for_one_of(claims: Mapping[str, Any], ours: frozenset[str] | set[str]) -> bool:
    """Whether we are the one audience: an assertion that is good at two servers can be replayed by one at the other."""
    named = audiences(claims)
    return len(named) == 1 and named <= ours


def _verify_with_secret(assertion: str, secret: bytes) -> SignedToken:
    signed = peek(assertion)
    algorithm = signed.header["alg"]
    if len(secret) < SECRET_BYTES.get(algorithm, len(secret) + 1):
        raise JWTError("algorithm is not allowed")
    try:
        jws.deserialize_compact(assertion, OctKey.import_key(secret), algorithms=[algorithm])
    except (JoseError, ValueError):
        raise JWTError("signature does not verify") from None
    return signed
