"""What the embedded authorization server knows: issuer, clients, trusted issuers, policies; frozen values only.

No file is read here: ``sidecar.sts.load`` makes these from YAML, tests and the demo build them in code. Whatever is not
written in a policy is not allowed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography.x509 import Certificate

from sidecar.model.actors import fits
from sidecar.model.tokens import Semantics
from sidecar.oauth.jwt import VerificationKeys


class AuthMethod(StrEnum):
    """Client authentication methods, by their registered names (RFC 7591 §2)."""

    NONE = "none"
    BASIC = "client_secret_basic"
    POST = "client_secret_post"
    SECRET_JWT = "client_secret_jwt"
    PRIVATE_KEY_JWT = "private_key_jwt"
    TLS = "tls_client_auth"
    SELF_SIGNED_TLS = "self_signed_tls_client_auth"
    SPIFFE_JWT = "spiffe_jwt"
    #: An assertion that the client's platform made. The registry has no name of its own for it: in metadata it is
    #: private_key_jwt, since it is sent in the same way.
    JWT_FILE = "jwt_file"


class SubjectKind(StrEnum):
    """What of a certificate names a client (RFC 8705 §2.1.2)."""

    DN = "subject_dn"
    SAN_DNS = "san_dns"
    SAN_URI = "san_uri"
    SAN_IP = "san_ip"
    SAN_EMAIL = "san_email"


@dataclass(frozen=True, slots=True)
class Pattern:
    """Whom a policy speaks of. ``sub`` is exact or ends in one ``*``, which stands for something more; ``iss`` is exact
    or ``*``, any issuer that is trusted at all.
    """

    iss: str
    sub: str

    def matches(self, iss: str, sub: str) -> bool:
        """Whether this subject or actor is meant."""
        return self.iss in ("*", iss) and fits(self.sub, sub)


ANYONE: Final = Pattern("*", "*")


@dataclass(frozen=True, slots=True)
class OwnToken:
    """What a client gets by ``client_credentials``: a token of this subject, at most these audiences and scopes.

    claims: added as they are; they must not name a claim of ``RESERVED_CLAIMS``. opaque: only we can read it.
    login_age: for one that stands for a person: the token's ``auth_time`` is so many seconds ago; None: it has none.
    """

    sub: str
    audience: tuple[str, ...]
    scope: tuple[str, ...] = ()
    claims: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    opaque: bool = False
    login_age: int | None = None


#: Marks a token of this server that came of an exchange and names no actor who would show it.
EXCHANGED: Final = "exchanged"
#: Claims that the server itself sets or that would bind a token to a proof nobody checked.
RESERVED_CLAIMS: Final = frozenset(
    ("iss", "sub", "aud", "exp", "nbf", "iat", "jti", "scope", "client_id", "act", "cnf", EXCHANGED)
)


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """Another issuer whose tokens may be exchanged; its keys are at ``jwks_uri`` or, where that is None, in ``keys``.

    An issued token carries the subject's ``sub`` unchanged under this server's own ``iss``: trust only issuers in
    which a ``sub`` means the same person.
    """

    issuer: str
    jwks_uri: str | None = None
    keys: VerificationKeys = field(default_factory=lambda: VerificationKeys(()))


@dataclass(frozen=True, slots=True)
class Workload:
    """Whose platform's tokens prove a client: this ``sub`` of this issuer. A JWT-SVID's issuer is empty."""

    issuer: TrustedIssuer
    sub: str


@dataclass(frozen=True, slots=True)
class Client:
    """A client, the ways it may authenticate, and what it is called.

    audience: its names in ``aud`` beside its client id: tokens made for one of them are its to exchange.
    secret: for the ``client_secret`` methods; keys: for ``private_key_jwt``; subject: of its certificate, for
    ``tls_client_auth``; certificates: its own, for ``self_signed_tls_client_auth``; workload: for ``jwt_file`` or
    ``spiffe_jwt``.
    own_token: what ``client_credentials`` gives it, or None: not allowed.
    """

    client_id: str
    auth_methods: tuple[AuthMethod, ...]
    secret: str | None = field(default=None, repr=False)
    keys: VerificationKeys | None = None
    audience: tuple[str, ...] = ()
    own_token: OwnToken | None = None
    subject: tuple[SubjectKind, str] | None = None
    certificates: tuple[Certificate, ...] = ()
    workload: Workload | None = None


@dataclass(frozen=True, slots=True)
class MutualTLS:
    """A second listener, which asks for certificates.

    authorities: whose certificates name a client by their subject.
    """

    listen: tuple[str, int]
    cert_file: str
    key_file: str
    authorities: tuple[Certificate, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """One thing that is allowed: this client may trade tokens of these subjects for these audiences and scopes.

    audience: values of both ``audience`` and ``resource``.
    actors: whose actor tokens are accepted; none by default.
    semantics: DELEGATION: the issued token names the actor or, without an actor token, the client. IMPERSONATION: it
    names neither, and an actor token is not accepted. None: it names the actor where an actor token came.
    max_lifetime: seconds, or None: the server's own. opaque: the issued token is one that only we can read.
    max_depth: most actors that an issued token may name, or None: as many as any token.
    further_exchange: whether a token that came of an exchange may be exchanged again.
    """

    client: str
    subjects: tuple[Pattern, ...]
    audience: tuple[str, ...]
    scope: tuple[str, ...] = ()
    actors: tuple[Pattern, ...] = ()
    semantics: Semantics | None = Semantics.DELEGATION
    max_lifetime: int | None = None
    opaque: bool = False
    max_depth: int | None = None
    further_exchange: bool = False


@dataclass(frozen=True, slots=True)
class Config:
    """The whole server. ``issuer`` may have a path, its endpoints lie below it; ``lifetime`` is in seconds."""

    issuer: str
    listen: tuple[str, int] = ("127.0.0.1", 0)
    algorithm: str = "ES256"
    lifetime: int = 300
    clients: tuple[Client, ...] = ()
    trusted_issuers: tuple[TrustedIssuer, ...] = ()
    policies: tuple[Policy, ...] = ()
    mtls: MutualTLS | None = None

    @property
    def path(self) -> str:
        """The issuer's path without its last slash: empty, or beginning with one."""
        return urlsplit(self.issuer).path.rstrip("/")

    @property
    def token_endpoint(self) -> str:
        """The token endpoint's URL."""
        return self.issuer.rstrip("/") + "/token"

    @property
    def mtls_base(self) -> str | None:
        """What endpoints for clients with certificates begin with (RFC 8705 §5), at the issuer's host; else None."""
        if self.mtls is None:
            return None
        host = urlsplit(self.issuer).hostname or ""
        return f"https://{f'[{host}]' if ':' in host else host}:{self.mtls.listen[1]}{self.path}"

    @property
    def token_endpoints(self) -> tuple[str, ...]:
        """Every URL of the token endpoint."""
        return (self.token_endpoint,) if self.mtls_base is None else (self.token_endpoint, f"{self.mtls_base}/token")

    @property
    def introspection_endpoint(self) -> str:
        """The introspection endpoint's URL."""
        return self.issuer.rstrip("/") + "/introspect"

    @property
    def jwks_uri(self) -> str:
        """The URL of this server's own keys."""
        return self.issuer.rstrip("/") + "/jwks"
