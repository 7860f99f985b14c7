"""Certificates for TLS on loopback: an authority, and what it issues, written as PEM files."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Issued:
    """Paths of a certificate and its key."""

    cert_file: str
    key_file: str

    def server_context(self, client_ca_file: str | None = None) -> ssl.SSLContext:
        """Return a context to listen with; with client_ca_file, a client certificate is required."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.cert_file, self.key_file)
        if client_ca_file is not None:
            context.load_verify_locations(client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


class Authority:
    """A certificate authority in a folder."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._name = _name(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(self._name, self._name, self._key, timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_for_signing_certificates(), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.ca_file = str(_write(folder / f"{name}.pem", certificate.public_bytes(serialization.Encoding.PEM)))

    def issue(self, *names: str, lifetime: timedelta = timedelta(days=1), password: bytes | None = None) -> Issued:
        """Issue a certificate for DNS names, addresses, URIs and mail addresses; the first is its common name, too.

        A negative lifetime makes one that has expired.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subjects = [_subject(name) for name in names]
        certificate = (
            _builder(_name(names[0]), self._name, key, lifetime)
            .add_extension(x509.SubjectAlternativeName(subjects), critical=False)
            # Without it, newer versions of Python take the certificate for malformed.
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return _written(self._folder, certificate, key, password)


def self_signed(folder: Path, name: str, *, ca: bool = False) -> Issued:
    """Make a certificate that its own key signed; ca: one that may sign others, as tools make by default."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(_name(name), _name(name), key, timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _written(folder, certificate, key, None)


def _written(
    folder: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, password: bytes | None
) -> Issued:
    stem = f"{certificate.serial_number:x}"
    protection = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return Issued(
        str(_write(folder / f"{stem}.pem", certificate.public_bytes(pem))),
        str(_write(folder / f"{stem}.key", key.private_bytes(pem, pkcs8, protection))),
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, lifetime: timedelta
) -> x509.CertificateBuilder:
    end = datetime.now(UTC) + lifetime
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - timedelta(days=3))
        .not_valid_after(end)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _subject(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        if "://" in name:
            return x509.UniformResourceIdentifier(name)
        return x509.RFC822Name(name) if "@" in name else x509.DNSName(name)


def _write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _for_signing_certificates() -> x509.KeyUsage:
    uses = dict.fromkeys(
        ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
    )
    return x509.KeyUsage(**uses, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False)
