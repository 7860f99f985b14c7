"""Compiles ``client_auth``: how we authenticate at one authorization server, from what files or variables.

A method gets its class from ``CLIENT_AUTHENTICATION``; here it gets what that class takes.
"""

import ssl
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, TypeVar

from sidecar.config import schema
from sidecar.exchange.dialects import Dialect
from sidecar.oauth.client_auth import CLIENT_AUTHENTICATION, ClientAuthentication
from sidecar.oauth.client_auth.presented import presented_jwt
from sidecar.oauth.client_auth.signed import secret_key, signing_key
from sidecar.oauth.secrets import env_secret, file_secret
from sidecar.rotation import Rotated, Rotation

#: The keys that say where we have our proof from; what is wrong with it is told at the first that is there.
SOURCES: Final = ("client_secret_file", "client_secret_env", "cert_file", "key_file", "jwt_file")

T = TypeVar("T")


def source_of(section: schema.ClientAuth) -> str:
    """Return the key that says where the secret is, or ``method`` where there is none."""
    return next((name for name in SOURCES if getattr(section, name, None) is not None), "method")


def compile_client_auth(
    section: schema.ClientAuth,
    dialect: Dialect,
    rotation: Rotation,
    environ: Mapping[str, str],
    context: Callable[[], Rotated[ssl.SSLContext]],
) -> ClientAuthentication:
    """Return one client's way to authenticate, its secret or key read and watched.

    context: gives the TLS context of the connections to the server. FileError: a file or variable is no good.
    """
    make = CLIENT_AUTHENTICATION[section.method]
    match section:
        case schema.NoClientAuth():
            return make(section.client_id)
        case schema.CertificateClientAuth():
            return make(section.client_id, context())
        case schema.JWTClientAuth():
            return make(section.client_id, rotation.watch(file_secret(section.jwt_file, presented_jwt)))
        case schema.KeyClientAuth():
            key = file_secret(section.key_file, partial(signing_key, algorithm=section.algorithm))
            return make(
                section.client_id,
                rotation.watch(key),
                section.algorithm,
                key_id=section.key_id,
                audience=dialect.assertion_audience,
            )
        case schema.SecretJWTClientAuth():
            secret = _secret(section, partial(secret_key, algorithm=section.algorithm), rotation, environ)
            return make(section.client_id, secret, section.algorithm, audience=dialect.assertion_audience)
        case schema.SecretClientAuth():
            text = _secret(section, bytes, rotation, environ)
            if section.method == "client_secret_basic":
                return make(section.client_id, text, form_encoding=dialect.form_encoding)
            return make(section.client_id, text)


def _secret(
    section: schema.SecretClientAuth | schema.SecretJWTClientAuth,
    make: Callable[[bytes], T],
    rotation: Rotation,
    environ: Mapping[str, str],
) -> Rotated[T]:
    if section.client_secret_file is not None:
        return rotation.watch(file_secret(section.client_secret_file, make))
    return env_secret(section.client_secret_env or "", make, environ)
