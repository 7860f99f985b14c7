"""From the embedded server's YAML file to its ``Config``: everything that is wrong with the file, told at once.

Secrets and keys come from files or the environment, never from the file itself; relative paths start at its folder.
A value is never repeated in a message. How YAML is read, and where its keys stand, is ``sidecar.sts.document``'s.
"""

import os
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography.x509 import Certificate, Name
from pydantic import ValidationError

from sidecar.model.tokens import Semantics
from sidecar.oauth.jwt import KeyFormatError, VerificationKeys
from sidecar.sts.assertions import SECRET_BYTES
from sidecar.sts.certificates import server_context
from sidecar.sts.config import (
    AuthMethod,
    Client,
    Config,
    MutualTLS,
    OwnToken,
    Pattern,
    Policy,
    SubjectKind,
    TrustedIssuer,
    Workload,
)
from sidecar.sts.document import START, Document, DocumentError, Mark, parse
from sidecar.sts.files import certificates, verification_keys
from sidecar.sts.schema import (
    CertificateSection,
    ClientSection,
    ConfigFile,
    MutualTLSSection,
    PatternSection,
    PolicySection,
    WorkloadSection,
)

KeyPath = tuple[str | int, ...]

_WORDING: Final = {"extra_forbidden": "unknown key", "missing": "is required"}
_SECRET_METHODS: Final = frozenset((AuthMethod.BASIC, AuthMethod.POST, AuthMethod.SECRET_JWT))
_WORKLOAD_METHODS: Final = frozenset((AuthMethod.JWT_FILE, AuthMethod.SPIFFE_JWT))
#: The key that a method needs, and that no other has.
_FILE_OF: Final = {
    "public_key_file": AuthMethod.PRIVATE_KEY_JWT,
    "certificate": AuthMethod.TLS,
    "certificate_file": AuthMethod.SELF_SIGNED_TLS,
}


class ConfigError(Exception):
    """The file can't be used; ``problems`` are lines of ``file:line:column: key: what is wrong``, all there are.

    A file that can't be read has no lines.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load(path: str | Path, environ: Mapping[str, str] = os.environ) -> Config:
    """Read a file. ConfigError: it, or a file it names, is missing or says something that can't be meant."""
    reader = _Reader(Path(path), environ)
    config = reader.config()
    if reader.problems or config is None:
        raise ConfigError(tuple(f"{path}{problem}" for _, problem in sorted(reader.problems)))
    return config


class _Reader:
    """One reading of one file; collects what is wrong instead of stopping at the first."""

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        self._path = path
        self._environ = environ
        self._document = Document(None, None)
        #: Where, and what: the rest of the line after the file's name.
        self.problems: list[tuple[Mark, str]] = []

    def config(self) -> Config | None:
        file = self._parse()
        if file is None:
            return None
        clients = tuple(self._client(name, section) for name, section in file.clients.items())
        trusted = tuple(
            self._key_source(("trusted_issuers", n), section.issuer, section.jwks_uri, section.jwks_file)
            for n, section in enumerate(file.trusted_issuers)
        )
        workloads = [(client.workload.issuer.issuer, client.workload.sub) for client in clients if client.workload]
        if len(set(workloads)) < len(workloads):
            self._wrong(("clients",), "two clients have the same workload")
        with_certificates = {AuthMethod.TLS, AuthMethod.SELF_SIGNED_TLS}
        if file.mtls is None and any(with_certificates.intersection(client.auth_methods) for client in clients):
            self._wrong(("clients",), "certificates need mtls, a listener that asks for them")
        issuers = [file.issuer, *(section.issuer for section in file.trusted_issuers)]
        if len(set(issuers)) < len(issuers):
            self._wrong(("trusted_issuers",), "an issuer is named twice, or is this server itself")
        policies = tuple(self._policy(n, section, file, issuers) for n, section in enumerate(file.policies))
        mtls = self._mtls(file.mtls) if file.mtls is not None else None
        return Config(file.issuer, file.listen, file.algorithm, file.lifetime, clients, trusted, policies, mtls)

    def _parse(self) -> ConfigFile | None:
        try:
            data = self._path.read_bytes()
        except OSError as error:
            self.problems.append((START, f": can't be read: {error.strerror or 'unknown error'}"))
            return None
        except ValueError:
            self.problems.append((START, ": not the name of a file"))
            return None
        try:
            self._document = parse(data)
        except DocumentError as error:
            self._wrong_at(error.mark, str(error))
            return None
        try:
            return ConfigFile.model_validate(self._document.content)
        except ValidationError as error:
            for problem in error.errors(include_input=False, include_url=False):
                self._wrong(problem["loc"], _WORDING.get(problem["type"], problem["msg"].removeprefix("Value error, ")))
            return None

    def _wrong(self, path: KeyPath, what: str) -> None:
        """Note what is wrong at a key."""
        key = ".".join(map(str, path))
        self._wrong_at(self._document.mark(path), f"{key}: {what}" if key else what)

    def _wrong_at(self, mark: Mark, what: str) -> None:
        self.problems.append((mark, f":{mark.line}:{mark.column}: {what}"))

    def _client(self, name: str, section: ClientSection) -> Client:
        key: KeyPath = ("clients", name)
        methods = tuple(AuthMethod(method) for method in section.auth_methods)
        own = section.client_credentials
        if AuthMethod.NONE in methods and (len(methods) > 1 or own is not None):
            # A client that need not prove who it is gets nothing for itself (RFC 6749 §4.4).
            self._wrong((*key, "auth_methods"), "none allows no other method and no client_credentials")
        secret = self._secret(key, section)
        if (secret is None) == (not _SECRET_METHODS.isdisjoint(methods)):
            self._wrong(key, "a secret (secret_file or secret_env) belongs to the client_secret methods")
        if AuthMethod.SECRET_JWT in methods and secret and len(secret.encode()) < min(SECRET_BYTES.values()):
            self._wrong(key, "the secret is too short for client_secret_jwt, which needs 32 bytes (RFC 7518 §3.2)")
        for file, method in _FILE_OF.items():
            if (getattr(section, file) is None) == (method in methods):
                self._wrong(key, f"{file} belongs to {method.value}")
        if (section.workload is None) == (not _WORKLOAD_METHODS.isdisjoint(methods)):
            self._wrong(key, "workload belongs to jwt_file or spiffe_jwt")
        own_token = None
        if own is not None:
            if own.login_age is not None and "auth_time" in own.claims:
                self._wrong((*key, "client_credentials", "login_age"), "auth_time is among the claims already")
            own_token = OwnToken(
                sub=own.sub or name,
                audience=tuple(own.audience),
                scope=tuple(own.scope),
                claims=own.claims,
                opaque=own.token_format == "opaque",
                login_age=own.login_age,
            )
        return Client(
            name,
            methods,
            secret,
            self._keys((*key, "public_key_file"), section.public_key_file) if section.public_key_file else None,
            tuple(section.audience),
            own_token,
            self._subject((*key, "certificate"), section.certificate) if section.certificate else None,
            self._certificates((*key, "certificate_file"), section.certificate_file),
            self._workload((*key, "workload"), section.workload, methods) if section.workload else None,
        )

    def _subject(self, key: KeyPath, section: CertificateSection) -> tuple[SubjectKind, str] | None:
        given = [(kind, value) for kind in SubjectKind if (value := getattr(section, kind.value)) is not None]
        if len(given) != 1:
            self._wrong(key, f"one of {', '.join(SubjectKind)} is needed")
            return None
        kind, value = given[0]
        try:
            if kind is SubjectKind.DN:
                Name.from_rfc4514_string(value)
            elif kind is SubjectKind.SAN_IP:
                ip_address(value)
        except ValueError:
            what = "a distinguished name (RFC 4514)" if kind is SubjectKind.DN else "an address"
            self._wrong((*key, kind.value), f"not {what}")
        return kind, value

    def _workload(self, key: KeyPath, section: WorkloadSection, methods: tuple[AuthMethod, ...]) -> Workload:
        spiffe = AuthMethod.SPIFFE_JWT in methods
        if spiffe and AuthMethod.JWT_FILE in methods:
            self._wrong(key, "a client has either jwt_file or spiffe_jwt")
        elif spiffe == (section.issuer is not None):
            self._wrong(key, "issuer belongs to jwt_file; a JWT-SVID is known by its sub")
        if spiffe and not section.sub.startswith("spiffe://"):
            self._wrong((*key, "sub"), "not a SPIFFE ID")
        issuer = "" if spiffe else section.issuer or ""
        return Workload(self._key_source(key, issuer, section.jwks_uri, section.jwks_file), section.sub)

    def _mtls(self, section: MutualTLSSection) -> MutualTLS:
        folder = self._path.parent
        cert_file, key_file = str(folder / section.cert_file), str(folder / section.key_file)
        made = MutualTLS(
            section.listen, cert_file, key_file, self._certificates(("mtls", "client_ca_file"), section.client_ca_file)
        )
        try:
            server_context((), made)
        except (OSError, ValueError):
            self._wrong(("mtls", "cert_file"), "no certificate and key that belong together")
        return made

    def _secret(self, key: KeyPath, section: ClientSection) -> str | None:
        """The client's secret; an empty text where one is named but can't be had, which was then told."""
        if section.secret_file is not None and section.secret_env is not None:
            self._wrong(key, "secret_file and secret_env can't both be given")
        if section.secret_file is not None:
            data = self._read((*key, "secret_file"), self._path.parent / section.secret_file)
            try:
                secret = data.decode("utf-8").removesuffix("\n").removesuffix("\r") if data is not None else None
            except ValueError:
                secret = ""
            if secret == "":
                self._wrong((*key, "secret_file"), "the file is empty or not UTF-8")
            return secret or ""
        if section.secret_env is not None:
            secret = self._environ.get(section.secret_env, "")
            if not secret:
                self._wrong((*key, "secret_env"), "the variable is not set or empty")
            return secret
        return None

    def _key_source(self, key: KeyPath, issuer: str, jwks_uri: str | None, jwks_file: str | None) -> TrustedIssuer:
        """An issuer, with where its keys are."""
        if (jwks_uri is None) == (jwks_file is None):
            self._wrong(key, "one of jwks_uri and jwks_file is needed")
        if jwks_uri is not None and not _fetchable(jwks_uri):
            self._wrong((*key, "jwks_uri"), "an https URL is needed, or an http one of a loopback address")
        if jwks_file is None:
            return TrustedIssuer(issuer, jwks_uri)
        return TrustedIssuer(issuer, None, self._keys((*key, "jwks_file"), jwks_file))

    def _policy(self, n: int, section: PolicySection, file: ConfigFile, issuers: list[str]) -> Policy:
        key: KeyPath = ("policies", n)
        if section.client not in file.clients:
            self._wrong((*key, "client"), "there is no such client")
        for name, patterns in (("subjects", section.subjects), ("actors", section.actors)):
            if any(pattern.iss not in (None, "*", *issuers) for pattern in patterns):
                self._wrong((*key, name), "an issuer is not this server and not among trusted_issuers")
        semantics = None if section.semantics == "any" else Semantics(section.semantics)
        if semantics is Semantics.IMPERSONATION and section.actors:
            self._wrong((*key, "actors"), "impersonation shows no actor")
        if section.max_lifetime is not None and section.max_lifetime > file.lifetime:
            self._wrong((*key, "max_lifetime"), "longer than the server's own lifetime")
        if section.max_depth == 0 and semantics is Semantics.DELEGATION:
            self._wrong((*key, "max_depth"), "delegation names at least one actor")
        return Policy(
            client=section.client,
            subjects=_patterns(section.subjects, file.issuer),
            audience=tuple(section.audience),
            scope=tuple(section.scope),
            actors=_patterns(section.actors, file.issuer),
            semantics=semantics,
            max_lifetime=section.max_lifetime,
            opaque=section.token_format == "opaque",
            max_depth=section.max_depth,
            further_exchange=section.further_exchange,
        )

    def _keys(self, key: KeyPath, name: str) -> VerificationKeys:
        data = self._read(key, self._path.parent / name)
        try:
            return VerificationKeys(()) if data is None else verification_keys(data)
        except KeyFormatError as error:
            self._wrong(key, str(error))
            return VerificationKeys(())

    def _certificates(self, key: KeyPath, name: str | None) -> tuple[Certificate, ...]:
        data = self._read(key, self._path.parent / name) if name is not None else None
        try:
            return () if data is None else certificates(data)
        except KeyFormatError as error:
            self._wrong(key, str(error))
            return ()

    def _read(self, key: KeyPath, path: Path) -> bytes | None:
        try:
            return path.read_bytes()
        except OSError as error:
            self._wrong(key, f"can't be read: {error.strerror or 'unknown error'}")
        except ValueError:
            self._wrong(key, "not the name of a file")
        return None


def _patterns(sections: list[PatternSection], own: str) -> tuple[Pattern, ...]:
    return tuple(Pattern(section.iss or own, section.sub) for section in sections)


def _fetchable(uri: str) -> bool:
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname, parts.port
        if not host or parts.fragment or parts.username is not None:
            return False
        return parts.scheme == "https" or (parts.scheme == "http" and _loopback(host))
    except ValueError:
        return False


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
