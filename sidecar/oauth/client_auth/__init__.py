"""Client authentication at a token endpoint: one small class for each method, by its name in the configuration.

A method says what a request carries, and nothing else: it sends nothing and knows no endpoint but the one it is told.
Adding one is a class and a line in CLIENT_AUTHENTICATION (RFC 6749 §2.3, RFC 7523 §2.2, RFC 8705 §2).
"""

from collections.abc import Callable, Mapping
from typing import Final

from sidecar.oauth.client_auth.base import ClientAuthentication, Credentials, TokenEndpoint
from sidecar.oauth.client_auth.presented import JWTFile, SpiffeJWT
from sidecar.oauth.client_auth.signed import ClientSecretJWT, PrivateKeyJWT
from sidecar.oauth.client_auth.simple import ClientSecretBasic, ClientSecretPost, NoAuthentication, TLSClientAuth

__all__ = ["CLIENT_AUTHENTICATION", "ClientAuthentication", "Credentials", "TokenEndpoint"]

CLIENT_AUTHENTICATION: Final[Mapping[str, Callable[..., ClientAuthentication]]] = {
    "none": NoAuthentication,
    "client_secret_basic": ClientSecretBasic,
    "client_secret_post": ClientSecretPost,
    "client_secret_jwt": ClientSecretJWT,
    "private_key_jwt": PrivateKeyJWT,
    # To us they are one: what a server holds the certificate against is its own affair.
    "tls_client_auth": TLSClientAuth,
    "self_signed_tls_client_auth": TLSClientAuth,
    "jwt_file": JWTFile,
    "spiffe_jwt": SpiffeJWT,
}
