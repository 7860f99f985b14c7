"""Clients that send what they have: a name, a name and a secret (RFC 6749 §2.3.1), a name beside a certificate.

The certificate itself goes with the connection (RFC 8705 §2), which is ``sidecar.oauth.http``'s.
"""

import ssl
from base64 import b64encode
from urllib.parse import quote

from sidecar.oauth.client_auth.base import ClientAuthentication, Credentials, TokenEndpoint
from sidecar.rotation import Rotated


class NoAuthentication(ClientAuthentication):
    """A public client, named where the server asks for a name."""

    def __init__(self, client_id: str | None = None) -> None:
        super().__init__(None)
        self._pairs = () if client_id is None else (("client_id", client_id),)

    def credentials(self, _endpoint: TokenEndpoint, _now: float, /) -> Credentials:
        """Return the client's name, if it has one."""
        return Credentials(self._pairs)


class ClientSecretBasic(ClientAuthentication):
    """HTTP Basic (RFC 6749 §2.3.1).

    form_encoding: percent-encode name and secret first, as the RFC has it; False where a server never decodes.
    """

    def __init__(self, client_id: str, secret: Rotated[bytes], *, form_encoding: bool = True) -> None:
        super().__init__(secret)
        self._client_id = client_id.encode()
        self._secret = secret
        self._form_encoding = form_encoding

    def credentials(self, _endpoint: TokenEndpoint, _now: float, /) -> Credentials:
        """Return the Authorization header."""
        name, secret = self._client_id, self._secret.value
        if self._form_encoding:  # space is %20, not +: every server that decodes understands that
            name, secret = quote(name, safe="").encode(), quote(secret, safe="").encode()
        return Credentials(headers=(("Authorization", f"Basic {b64encode(name + b':' + secret).decode()}"),))


class ClientSecretPost(ClientAuthentication):
    """Name and secret in the form (RFC 6749 §2.3.1). A secret that is not UTF-8 can only be refused by the server."""

    def __init__(self, client_id: str, secret: Rotated[bytes]) -> None:
        super().__init__(secret)
        self._client_id = client_id
        self._secret = secret

    def credentials(self, _endpoint: TokenEndpoint, _now: float, /) -> Credentials:
        """Return name and secret as form pairs."""
        secret = self._secret.value.decode("utf-8", "replace")
        return Credentials((("client_id", self._client_id), ("client_secret", secret)))


class TLSClientAuth(ClientAuthentication):
    """A certificate, issued by an authority or by ourselves (RFC 8705 §2.1, §2.2); the name goes into the form.

    context: what the connections to the server are made with.
    """

    mutual_tls = True

    def __init__(self, client_id: str, context: Rotated[ssl.SSLContext]) -> None:
        super().__init__(context)
        self._pairs = (("client_id", client_id),)

    def credentials(self, _endpoint: TokenEndpoint, _now: float, /) -> Credentials:
        """Return the client's name, which has to stand beside a certificate."""
        return Credentials(self._pairs)
