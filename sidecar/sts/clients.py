"""Client authentication at the token endpoint (RFC 6749 §2.3): exactly one method in one request.

A client may use only the methods its configuration lists. How assertions and certificates are judged stands in the
modules of these names; what an authenticated client may have is decided elsewhere.
"""

import base64
import binascii
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field

from sidecar.model.clock import Clock
from sidecar.sts.assertions import Assertions
from sidecar.sts.certificates import Certificates
from sidecar.sts.config import AuthMethod, Client, Config
from sidecar.sts.errors import Code, TokenError
from sidecar.sts.form import Form, form_decode
from sidecar.sts.issuers import KeysUnavailable


@dataclass(frozen=True, slots=True)
class _Offer:
    """What a request offers as proof: whose, by which method, and the secret or the assertion."""

    method: AuthMethod
    client_id: str
    proof: str = field(default="", repr=False)


class Authenticator:
    """Tells which client asks."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._clients = {client.client_id: client for client in config.clients}
        self._assertions = Assertions(config, clock)
        self._certificates = Certificates(config.mtls)

    async def authenticate(self, authorization: Sequence[str], form: Form, certificate: bytes | None = None) -> Client:
        """Return the client that a request comes from, given its ``Authorization`` lines, its parameters, and the
        certificate of its connection (DER), which counts where nothing else is offered.

        TokenError: ``invalid_request`` for none or several methods, ``invalid_client`` for anything that is no proof.
        """
        offer = self._offer(authorization, form)
        client = self._clients.get(offer.client_id)
        if client is None:
            raise _failed()
        method = offer.method
        if method is AuthMethod.NONE and certificate is not None:
            method = self._certificates.method(client, certificate) or method
        if method not in client.auth_methods or not await self._proven(client, method, offer.proof):
            raise _failed()
        return client

    async def _proven(self, client: Client, method: AuthMethod, proof: str) -> bool:
        match method:
            case AuthMethod.NONE | AuthMethod.TLS | AuthMethod.SELF_SIGNED_TLS:
                return True  # there is nothing to prove, or the certificate was judged already
            case AuthMethod.BASIC | AuthMethod.POST:
                secret = client.secret
                return bool(secret) and hmac.compare_digest((secret or "").encode(), proof.encode())
            case _:
                try:
                    return await self._assertions.proves(client, method, proof)
                except KeysUnavailable:
                    raise TokenError(Code.TEMPORARILY_UNAVAILABLE, "the keys of its platform can't be had") from None

    def _offer(self, authorization: Sequence[str], form: Form) -> _Offer:
        client_id, secret = form.one("client_id"), form.one("client_secret")
        assertion, assertion_type = form.one("client_assertion"), form.one("client_assertion_type")
        asserted = assertion is not None or assertion_type is not None
        if len(authorization) + (secret is not None) + asserted > 1:
            raise TokenError(Code.INVALID_REQUEST, "more than one client authentication method")
        if authorization:
            named, proof = _basic(authorization[0])
            offer = _Offer(AuthMethod.BASIC, named, proof)
        elif asserted:
            claim = None if assertion is None else self._assertions.claim(assertion, assertion_type)
            if claim is None:
                raise TokenError(Code.INVALID_REQUEST, "client_assertion and client_assertion_type do not fit")
            offer = _Offer(*claim, assertion or "")
        elif client_id is None:
            raise TokenError(Code.INVALID_CLIENT, "no client authentication")
        elif secret is not None:
            offer = _Offer(AuthMethod.POST, client_id, secret)
        else:
            offer = _Offer(AuthMethod.NONE, client_id)
        if client_id not in (None, offer.client_id):
            # An assertion that names nobody we know is no proof, whatever stands beside it.
            if not offer.client_id:
                raise _failed()
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


def _failed() -> TokenError:
    return TokenError(Code.INVALID_CLIENT, "client authentication failed")
