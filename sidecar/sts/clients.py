"""Client authentication at the token endpoint (RFC 6749 §2.3, RFC 7523 §2.2): exactly one method in one request.

A client may use only the methods its configuration lists. What an authenticated client may have is decided elsewhere.
"""

import base64
import binascii
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from sidecar.model.clock import Clock
from sidecar.oauth.jwt import ALGORITHMS, JWTError, VerificationKeys, peek, verify
from sidecar.sts.claims import audiences, numeric_date, time_problem, token_typ
from sidecar.sts.config import AuthMethod, Client, Config
from sidecar.sts.errors import Code, TokenError
from sidecar.sts.form import Form, form_decode

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MAX_ASSERTION_LIFETIME: Final = 120  # seconds
MAX_JTI: Final = 256  # characters
_ASSERTION_TYPS: Final = (None, "jwt", "client-authentication+jwt")


@dataclass(frozen=True, slots=True)
class _Offer:
    """What a request offers as proof: whose, by which method, and the secret or the assertion."""

    method: AuthMethod
    client_id: str
    proof: str = field(default="", repr=False)


class Authenticator:
    """Tells which client asks. Remembers the assertions it has seen, so that none is used twice."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._clients = {client.client_id: client for client in config.clients}
        self._audience = frozenset((config.issuer, config.token_endpoint))
        self._clock = clock
        self._seen: dict[tuple[str, str], float] = {}

    def authenticate(self, authorization: Sequence[str], form: Form) -> Client:
        """Return the client that a request comes from, given its ``Authorization`` lines and its parameters.

        TokenError: ``invalid_request`` for none or several methods, ``invalid_client`` for anything that is no proof.
        """
        offer = _offer(authorization, form)
        client = self._clients.get(offer.client_id)
        if client is None or offer.method not in client.auth_methods or not self._proven(client, offer):
            raise _failed()
        return client

    def _proven(self, client: Client, offer: _Offer) -> bool:
        match offer.method:
            case AuthMethod.NONE:
                return True
            case AuthMethod.PRIVATE_KEY_JWT:
                return client.keys is not None and self._asserted(client.client_id, client.keys, offer.proof)
            case _:
                secret = client.secret
                return bool(secret) and hmac.compare_digest((secret or "").encode(), offer.proof.encode())

    def _asserted(self, client_id: str, keys: VerificationKeys, assertion: str) -> bool:
        """Whether the assertion is the client's own, for us, short-lived and new (RFC 7523 §3)."""
        try:
            signed = verify(assertion, keys, tuple(ALGORITHMS))
        except JWTError:
            return False
        claims, now = signed.claims, self._clock.wall()
        if token_typ(signed.header) not in _ASSERTION_TYPS or time_problem(claims, now) is not None:
            return False
        if (numeric_date(claims["exp"]) or 0.0) > now + MAX_ASSERTION_LIFETIME:
            return False
        # One audience only: an assertion that is good at two servers can be replayed by one of them at the other.
        named = audiences(claims)
        if claims.get("iss") != client_id or claims.get("sub") != client_id:
            return False
        return len(named) == 1 and named <= self._audience and self._first_use(client_id, claims.get("jti"))

    def _first_use(self, client_id: str, jti: object) -> bool:
        if not isinstance(jti, str) or not jti or len(jti) > MAX_JTI:
            return False
        now = self._clock.monotonic()
        while self._seen and (oldest := next(iter(self._seen.items())))[1] <= now:
            del self._seen[oldest[0]]
        if (client_id, jti) in self._seen:
            return False
        # No accepted assertion lives longer than this, so insertion order is also the order of forgetting.
        self._seen[client_id, jti] = now + MAX_ASSERTION_LIFETIME
        return True


def _offer(authorization: Sequence[str], form: Form) -> _Offer:
    client_id, secret = form.one("client_id"), form.one("client_secret")
    assertion, assertion_type = form.one("client_assertion"), form.one("client_assertion_type")
    asserted = assertion is not None or assertion_type is not None
    if len(authorization) + (secret is not None) + asserted > 1:
        raise TokenError(Code.INVALID_REQUEST, "more than one client authentication method")
    if authorization:
        named, proof = _basic(authorization[0])
        offer = _Offer(AuthMethod.BASIC, named, proof)
    elif asserted:
        if assertion is None or assertion_type != ASSERTION_TYPE:
            raise TokenError(Code.INVALID_REQUEST, "client_assertion and client_assertion_type do not fit")
        offer = _Offer(AuthMethod.PRIVATE_KEY_JWT, _claimed_client(assertion), assertion)
    elif client_id is None:
        raise TokenError(Code.INVALID_CLIENT, "no client authentication")
    elif secret is not None:
        offer = _Offer(AuthMethod.POST, client_id, secret)
    else:
        offer = _Offer(AuthMethod.NONE, client_id)
    if client_id not in (None, offer.client_id):
        raise TokenError(Code.INVALID_REQUEST, "client_id names another client")
    return offer


def _basic(value: str) -> tuple[str, str]:
    """Read Basic credentials, each half form-encoded as RFC 6749 §2.3.1 demands."""
    scheme, _, credentials = value.partition(" ")
    try:
        text = base64.b64decode(credentials.strip(" "), validate=True).decode("ascii")
        client_id, colon, secret = text.partition(":")
        if scheme.lower() != "basic" or not colon:
            raise _failed()
        return form_decode(client_id), form_decode(secret)
    except (binascii.Error, ValueError):
        raise _failed() from None


def _claimed_client(assertion: str) -> str:
    try:
        sub = peek(assertion).claims.get("sub")
    except JWTError:
        raise _failed() from None
    return sub if isinstance(sub, str) else ""


def _failed() -> TokenError:
    return TokenError(Code.INVALID_CLIENT, "client authentication failed")
