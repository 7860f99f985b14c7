"""Clients that sign assertions themselves (RFC 7523 §2.2, §3), another one for every request.

The assertion is Authlib's, called so that its lifetime is short and its ``jti`` fresh; keys and their rules are those
of ``sidecar.oauth.jwt``.
"""

from typing import Final, Literal

from joserfc.jwk import Key, OctKey

from sidecar.oauth.client_auth.base import ClientAuthentication, Credentials, TokenEndpoint
from sidecar.oauth.jwt import KeyFormatError, private_key
from sidecar.rotation import Rotated

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LIFETIME: Final = 60  # seconds; some servers refuse more than 120
#: The least secret for each algorithm, in bytes: as long as its hash (RFC 7518 §3.2).
SECRET_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}

Audience = Literal["issuer", "token_endpoint"]


class _SignedAssertion(ClientAuthentication):
    """audience: whom it is for: the ``issuer`` (where it is known), or the ``token_endpoint`` for servers that still
    want that. typ: the header's type, where it must be another than ``JWT``.
    """

    def __init__(
        self,
        client_id: str,
        key: Rotated[Key],
        algorithm: str,
        *,
        key_id: str | None = None,
        audience: Audience = "issuer",
        typ: str | None = None,
    ) -> None:
        # Imported here because it brings 40 modules along that no other method needs, and not at the first request,
        # which would wait for them.
        from authlib.oauth2.rfc7523.assertion import sign_jwt_bearer_assertion  # noqa: PLC0415

        super().__init__(key)
        self._sign = sign_jwt_bearer_assertion
        self._client_id = client_id
        self._key = key
        self._algorithm = algorithm
        self._audience = audience
        self._header = {name: value for name, value in (("kid", key_id), ("typ", typ)) if value is not None}

    def credentials(self, endpoint: TokenEndpoint, now: float, /) -> Credentials:
        """Return a fresh assertion as form pairs."""
        issuer = endpoint.issuer if self._audience == "issuer" else None
        assertion = self._sign(
            self._key.value,
            self._client_id,
            issuer or endpoint.url,
            self._client_id,
            header=dict(self._header),  # it is written to
            issued_at=int(now),
            expires_at=int(now) + ASSERTION_LIFETIME,  # the default is an hour
            alg=self._algorithm,
        )
        return Credentials((("client_assertion_type", ASSERTION_TYPE), ("client_assertion", assertion)))


class PrivateKeyJWT(_SignedAssertion):
    """Signed with a private key, made by ``signing_key``."""


class ClientSecretJWT(_SignedAssertion):
    """Signed with a secret, made by ``secret_key``."""


def signing_key(text: bytes, algorithm: str) -> Key:
    """Read a PEM or JWK private key. ValueError: it is none for this algorithm."""
    try:
        return private_key(text, algorithm)
    except KeyFormatError as error:
        raise ValueError(str(error)) from None


def secret_key(text: bytes, algorithm: str) -> Key:
    """Read a secret as a key. ValueError: it is shorter than the algorithm's hash (RFC 7518 §3.2)."""
    if len(text) < SECRET_BYTES[algorithm]:
        raise ValueError(f"{algorithm} needs a secret of at least {SECRET_BYTES[algorithm]} bytes (RFC 7518 §3.2)")
    return OctKey.import_key(text)
