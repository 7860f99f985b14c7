"""TLS as we speak it, to peers and on listeners: always verified, built where the files are read.

Whoever needs a context gets it here, so that there is one place to look at for what is accepted. Contexts that are
made of files are made anew when those are replaced: ``client_tls`` and ``ServerTLS``.
"""

import ssl
from asyncio import BaseTransport
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from sidecar.model.route import TLS
from sidecar.rotation import FileError, Rotated

#: Gives a peer's context; ``client_tls``, or what has it watched.
Contexts = Callable[[TLS], Rotated[ssl.SSLContext]]


class TLSError(FileError):
    """A file can't be used. The message names the file, never content."""


class KeyPairError(TLSError):
    """It is the certificate or its key that can't be used."""


def client_tls(tls: TLS) -> Rotated[ssl.SSLContext]:
    """Return the context for speaking to a peer, as it is now. TLSError: a file is missing or no good."""
    paths = [path for path in (tls.cert_file, tls.key_file, tls.ca_file) if path is not None]
    with _as_tls_errors():
        return Rotated(paths, lambda _: client_context(tls))  # ssl reads files by their names only


class ServerTLS(Rotated[ssl.SSLContext]):
    """TLS on a listener. Whoever connects after its files were replaced meets the new ones; no socket is closed.

    TLSError: at construction, a file is missing or no good.
    """

    def __init__(self, cert_file: str, key_file: str, client_ca_file: str | None) -> None:
        paths = [path for path in (cert_file, key_file, client_ca_file) if path is not None]
        with _as_tls_errors():
            super().__init__(paths, lambda _: server_context(cert_file, key_file, client_ca_file))
        #: To listen with.
        self.context = self.value
        # Called in every handshake, also without a name; certificate and authorities are those of the context set here.
        self.context.sni_callback = self._switch

    def _switch(self, connection: Any, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self.value


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
        # A resumed session would vouch for a certificate whose authority may have been taken away since.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1"])
    return context


def ended_properly(transport: BaseTransport) -> bool:
    """Whether the end of a stream was the peer's own: over TLS only a closing alert says so (RFC 9112 §9.8)."""
    tls = transport.get_extra_info("ssl_object")
    if tls is None:
        return True
    try:
        return not tls.read(1)
    except ssl.SSLError:
        return False


@contextmanager
def _as_tls_errors() -> Iterator[None]:
    try:
        yield
    except TLSError:
        raise
    except FileError as error:
        raise TLSError(str(error)) from None


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
        raise KeyPairError(
            f"{cert_file} and {key_file} are no certificate and private key that belong together"
        ) from None
