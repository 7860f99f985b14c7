"""Clients that present a JWT which their platform made for them and rotates in a file.

A Kubernetes projected service account token is a client assertion of RFC 7523 §2.2; a JWT-SVID is one of a type of its
own (draft-ietf-oauth-spiffe-client-auth §3.1). Neither is made fresh here: a file is presented until it is replaced.
"""

from typing import ClassVar

from sidecar.oauth.client_auth.base import ClientAuthentication, Credentials, TokenEndpoint
from sidecar.oauth.client_auth.signed import ASSERTION_TYPE
from sidecar.oauth.jwt import JWTError, peek
from sidecar.rotation import Rotated


class JWTFile(ClientAuthentication):
    """A JWT of another issuer that the server trusts for this client.

    client_id: sent where the server asks for a name beside the assertion.
    """

    assertion_type: ClassVar[str] = ASSERTION_TYPE

    def __init__(self, client_id: str | None, token: Rotated[str]) -> None:
        super().__init__(token)
        self._token = token
        self._pairs = () if client_id is None else (("client_id", client_id),)

    def credentials(self, _endpoint: TokenEndpoint, _now: float, /) -> Credentials:
        """Return the assertion as it is now."""
        assertion = (("client_assertion_type", self.assertion_type), ("client_assertion", self._token.value))
        return Credentials((*self._pairs, *assertion))


class SpiffeJWT(JWTFile):
    """A JWT-SVID."""

    assertion_type: ClassVar[str] = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"


def presented_jwt(text: bytes) -> str:
    """Read a JWT. ValueError: it is none."""
    token = text.strip().decode("ascii", "replace")
    try:
        peek(token)
    except JWTError as error:
        raise ValueError(str(error)) from None
    return token
