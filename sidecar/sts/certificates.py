"""Certificates as proof of a client (RFC 8705 §2), and the context of the listener on which clients show them.

The handshake proves that a client holds the key, and that the certificate is in time and known here at all; whose it is
is judged afterwards, in the request. Only an authority that the file names vouches for a subject.
"""

import ssl
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from sidecar.sts.config import AuthMethod, Client, MutualTLS, SubjectKind

_TEXT_NAMES: Final[Mapping[SubjectKind, type[x509.GeneralName]]] = {
    SubjectKind.SAN_DNS: x509.DNSName,
    SubjectKind.SAN_URI: x509.UniformResourceIdentifier,
    SubjectKind.SAN_EMAIL: x509.RFC822Name,
}


class Certificates:
    """Judges certificates."""

    def __init__(self, mtls: MutualTLS | None) -> None:
        self._authorities = mtls.authorities if mtls is not None else ()

    def method(self, client: Client, certificate: bytes) -> AuthMethod | None:
        """Return the method by which a certificate (DER, as the handshake had it) proves this client; None: by none."""
        read = x509.load_der_x509_certificate(certificate)
        if read in client.certificates:
            return AuthMethod.SELF_SIGNED_TLS
        if client.subject is None or not any(_issued(read, authority) for authority in self._authorities):
            return None
        return AuthMethod.TLS if is_subject(read, *client.subject) else None


def is_subject(certificate: x509.Certificate, kind: SubjectKind, value: str) -> bool:
    """Whether a certificate is of this subject (RFC 8705 §2.1.2). ValueError: the value can't be of that kind."""
    if kind is SubjectKind.DN:
        return certificate.subject == x509.Name.from_rfc4514_string(value)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    if kind is SubjectKind.SAN_IP:
        return ip_address(value) in names.get_values_for_type(x509.IPAddress)
    texts = [name.value for name in names if isinstance(name, _TEXT_NAMES[kind])]
    return value in texts


def server_context(clients: Iterable[Client], mtls: MutualTLS) -> ssl.SSLContext:
    """Return the context that asks for a certificate, and takes those of the authorities and of the clients themselves.

    Another one ends the handshake; none at all is for the request to refuse. OSError, ValueError: the files are no
    certificate and key that belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(mtls.cert_file, mtls.key_file, password=lambda: b"")
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a client's own certificate is trusted as it is
    trusted = [*mtls.authorities, *(certificate for client in clients for certificate in client.certificates)]
    if trusted:
        context.load_verify_locations(cadata="".join(each.public_bytes(Encoding.PEM).decode() for each in trusted))
    return context


def _issued(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether this authority itself issued it. A client's own certificate, trusted in the handshake too, is none."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, TypeError, ValueError):
        return False
    return True
