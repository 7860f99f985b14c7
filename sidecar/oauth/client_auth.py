"""Client authentication at a token endpoint (RFC 6749 §2.3, RFC 7523 §2.2): one small class for each method.

A method says what a request carries, and nothing else: it sends nothing and knows no endpoint but the one it is told.
The assertion is Authlib's, called so that its lifetime is short and its ``jti`` fresh; keys and their rules are those
of ``jwt``. Adding a method is a class and a line in CLIENT_AUTHENTICATION.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol
from urllib.parse import quote

from joserfc.jwk import Key

from sidecar.oauth.jwt import KeyFormatError, private_key
from sidecar.oauth.secrets import Secret

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LIFETIME: Final = 60  # seconds; some servers refuse more than 120


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


class ClientAuthentication(Protocol):
    """One client's way to authenticate."""

    def credentials(self, endpoint: TokenEndpoint, now: float, /) -> Credentials:
        """Return what the next request carries; fresh on every call. ``now`` is wall-clock seconds."""
        ...

    def reread(self) -> bool:
        """Look for a new secret or key at once; True where there is one."""
        ...


class NoAuthentication:
    """A public client, named where the server asks for a name."""

    def __init__(self, client_id: str | None = None) -> None:
        self._pairs = () if client_id is None else (("client_id", client_id),)

    def credentials(self, _endpoint: TokenEndpoint, _now: float, /) -> Credentials:
        """Return the client's name, if it has one."""
        return Credentials(self._pairs)

    def reread(self) -> bool:
        """Return False: there is no secret."""
        return False


class ClientSecretBasic:
    """HTTP Basic (RFC 6749 §2.3.1).

    form_encoding: percent-encode name and secret first, as the RFC has it; False where a server never decodes.
    """

    def __init__(self, client_id: str, secret: Secret, *, form_encoding: bool = True) -> None:
        self._client_id = client_id.encode()
        self._secret = secret
        self._form_encoding = form_encoding

    def credentials(self, _endpoint: TokenEndpoint, _now: float, /) -> Credentials:
        """Return the Authorization header."""
        name, secret = self._client_id, self._secret.value()
        if self._form_encoding:  # space is %20, not +: every server that decodes understands that
            name, secret = quote(name, safe="").encode(), quote(secret, safe="").encode()
        return Credentials(headers=(("Authorization", f"Basic {b64encode(name + b':' + secret).decode()}"),))

    def reread(self) -> bool:
        """Look for a new secret."""
        return self._secret.reread()


class ClientSecretPost:
    """Name and secret in the form (RFC 6749 §2.3.1). A secret that is not UTF-8 can only be refused by the server."""

    def __init__(self, client_id: str, secret: Secret) -> None:
        self._client_id = client_id
        self._secret = secret

    def credentials(self, _endpoint: TokenEndpoint, _now: float, /) -> Credentials:
        """Return name and secret as form pairs."""
        secret = self._secret.value().decode("utf-8", "replace")
        return Credentials((("client_id", self._client_id), ("client_secret", secret)))

    def reread(self) -> bool:
        """Look for a new secret."""
        return self._secret.reread()


class PrivateKeyJWT:
    """A signed assertion (RFC 7523 §2.2, §3), another one for every request.

    key: PEM or JWK that fits the algorithm; a rotated one that does not leaves the last good one in use.
    audience: whom it is for: the ``issuer`` (where it is known), or the ``token_endpoint`` for servers that still
        want that.
    typ: the header's type, where it must be another than ``JWT``.

    KeyFormatError: at construction, the key is none for this algorithm.
    """

    def __init__(
        self,
        client_id: str,
        key: Secret,
        algorithm: str,
        *,
        key_id: str | None = None,
        audience: Literal["issuer", "token_endpoint"] = "issuer",
        typ: str | None = None,
    ) -> None:
        self._client_id = client_id
        self._secret = key
        self._algorithm = algorithm
        self._audience = audience
        self._header = {name: value for name, value in (("kid", key_id), ("typ", typ)) if value is not None}
        self._text = key.value()
        self._key = private_key(self._text, algorithm)

    def credentials(self, endpoint: TokenEndpoint, now: float, /) -> Credentials:
        """Return a fresh assertion as form pairs."""
        # Imported here because it brings 40 modules along that no other method needs.
        from authlib.oauth2.rfc7523 import private_key_jwt_sign  # noqa: PLC0415

        issuer = endpoint.issuer if self._audience == "issuer" else None
        assertion = private_key_jwt_sign(
            self._current_key(),
            self._client_id,
            issuer or endpoint.url,
            alg=self._algorithm,
            header=dict(self._header),  # it is written to
            issued_at=int(now),
            expires_at=int(now) + ASSERTION_LIFETIME,  # the default is an hour
        )
        return Credentials((("client_assertion_type", ASSERTION_TYPE), ("client_assertion", assertion)))

    def reread(self) -> bool:
        """Look for a new key."""
        return self._secret.reread()

    def _current_key(self) -> Key:
        text = self._secret.value()
        if text != self._text:
            self._text = text
            with suppress(KeyFormatError):
                self._key = private_key(text, self._algorithm)
        return self._key


CLIENT_AUTHENTICATION: Final[Mapping[str, Callable[..., ClientAuthentication]]] = {
    "none": NoAuthentication,
    "client_secret_basic": ClientSecretBasic,
    "client_secret_post": ClientSecretPost,
    "private_key_jwt": PrivateKeyJWT,
}
