"""Keys and certificates as the embedded server's file names them: PEM, JWK Sets, certificates in ``x5c``."""

import base64
from typing import Any

from cryptography import x509
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from sidecar.oauth.jwt import KeyFormatError, VerificationKeys, strict_json


def verification_keys(data: bytes) -> VerificationKeys:
    """Read a PEM public key or a JWK Set. KeyFormatError: it is neither, or no key of it can verify signatures."""
    if b"-----BEGIN" in data:
        return VerificationKeys([public_key(data)])
    try:
        keys = VerificationKeys.from_jwks(_json(data))
    except KeyFormatError:
        raise KeyFormatError("not a JWK Set and not a PEM public key") from None
    if not len(keys):
        raise KeyFormatError("no key of the set can verify signatures")
    return keys


def public_key(pem: bytes) -> Key:
    """Read a PEM public key. KeyFormatError: it is none."""
    for kind in (ECKey, RSAKey, OKPKey):
        try:
            key = kind.import_key(pem)
        except (JoseError, ValueError, TypeError):
            continue
        if not key.is_private:
            return key
    raise KeyFormatError("not a PEM public key")


def certificates(data: bytes) -> tuple[x509.Certificate, ...]:
    """Read PEM certificates, or the first of each ``x5c`` of a JWK Set (RFC 8705 §2.2.2). KeyFormatError: none."""
    try:
        if b"-----BEGIN" in data:
            return tuple(x509.load_pem_x509_certificates(data))
        members = _json(data)["keys"]
        found = tuple(x509.load_der_x509_certificate(base64.b64decode(key["x5c"][0], validate=True)) for key in members)
    except (ValueError, TypeError, KeyError, IndexError):
        found = ()
    if not found:
        raise KeyFormatError("no PEM certificates and no JWK Set with x5c")
    return found


def _json(data: bytes) -> Any:
    try:
        return strict_json(data)
    except (ValueError, RecursionError):
        return None
