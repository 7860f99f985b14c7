"""TLS as we speak it, to peers and on listeners: always verified, built where the files are read.

Whoever needs a context gets it here, so that there is one place to look at for what is accepted.
"""

import ssl
from functools import cache

from sidecar.model.route import TLS


class TLSError(Exception):
    """A file can't be used. The message names the file, never content."""


def client_context(tls: TLS) -> ssl.SSLContext:
    """Return the context for speaking to a peer; it verifies the certificate and the name.

    Peers without settings of their own share one context: reading the system's authorities costs time and memory.
    TLSError: a file is missing or no good.
    """
    if tls.ca_file is None and tls.cert_file is None:
        return _system_context()
    context = _client_context(tls.ca_file)
    if tls.cert_file is not None:
        _load_chain(context, tls.cert_file, tls.key_file)
    return context


def server_context(cert_file: str, key_file: str, client_ca_file: str | None) -> ssl.SSLContext:
    """Return the context for a listener; with client_ca_file callers must show a certificate of that authority.

    TLSError: a file is missing or no good.
    """
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=client_ca_file)
    except (OSError, ValueError):
        raise TLSError(f"{client_ca_file} holds no certificates that can be used") from None
    _load_chain(context, cert_file, key_file)
    if client_ca_file is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["http/1.1"])
    return context


@cache
def _system_context() -> ssl.SSLContext:
    return _client_context(None)


def _client_context(ca_file: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError):
        raise TLSError(f"{ca_file} holds no certificates that can be used") from None
    context.set_alpn_protocols(["http/1.1"])
    return context


def _load_chain(context: ssl.SSLContext, cert_file: str, key_file: str | None) -> None:
    try:
        # A password is never asked for on the terminal: an encrypted key is an error.
        context.load_cert_chain(cert_file, key_file, password=lambda: b"")
    except (OSError, ValueError):
        raise TLSError(f"{cert_file} and {key_file} are no certificate and private key that belong together") from None
