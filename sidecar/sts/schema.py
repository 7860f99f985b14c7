"""The embedded server's file, as pydantic sees it: keys, types and the form of single values, nothing else.

What refers to other keys or to other files is checked in ``sidecar.sts.load``.
"""

import json
import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from sidecar.oauth.jwt import ALGORITHMS
from sidecar.sts.config import RESERVED_CLAIMS

_DURATION: Final = re.compile(r"([1-9][0-9]{0,5})([smh])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}
_LISTEN: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):([0-9]{1,5})")
_ISSUER: Final = re.compile(r"https?://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~-]+)*/?")
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")


def _duration(value: object) -> int:
    if isinstance(value, str) and (match := _DURATION.fullmatch(value)):
        return int(match[1]) * _SECONDS[match[2]]
    raise ValueError("a duration such as 90s, 5m or 1h is needed")


def _listen(value: object) -> tuple[str, int]:
    if isinstance(value, str) and (match := _LISTEN.fullmatch(value)) and 0 < int(match[3]) < 65536:
        return match[1] or match[2], int(match[3])
    raise ValueError("host:port is needed, for example 127.0.0.1:8090")


def _issuer(value: str) -> str:
    if not _ISSUER.fullmatch(value):
        raise ValueError("an http or https URL without query and fragment is needed")
    return value


def _scope(value: str) -> str:
    if not _SCOPE.fullmatch(value):
        raise ValueError("a scope has no spaces, quotes, backslashes or non-ASCII characters")
    return value


def _algorithm(value: str) -> str:
    if value not in ALGORITHMS:
        raise ValueError(f"one of {', '.join(ALGORITHMS)} is needed")
    return value


def _claims(value: dict[str, Any]) -> dict[str, Any]:
    if reserved := sorted(RESERVED_CLAIMS & value.keys()):
        raise ValueError(f"{', '.join(reserved)} can't be set here")
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise ValueError("claims must be plain JSON values; quote dates") from None
    return value


def _patterns(value: object) -> object:
    if value == "any":
        return [{"iss": "*", "sub": "*"}]
    if isinstance(value, list):
        return [{"sub": item} if isinstance(item, str) else item for item in value]
    raise ValueError("'any' or a list is needed")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class PatternSection(_Section):
    """``{iss: …, sub: …}``, or the bare ``sub`` for a subject of this server itself."""

    iss: Annotated[str, Field(min_length=1)] | None = None
    sub: Annotated[str, Field(min_length=1)]


Name = Annotated[str, Field(min_length=1)]
Names = Annotated[list[Name], Field(min_length=1)]
Scopes = list[Annotated[str, AfterValidator(_scope)]]
Duration = Annotated[int, BeforeValidator(_duration)]
TokenFormat = Literal["jwt", "opaque"]
Patterns = Annotated[list[PatternSection], BeforeValidator(_patterns)]


class OwnTokenSection(_Section):
    """What ``client_credentials`` gives a client."""

    sub: Name | None = None
    audience: Names
    scope: Scopes = []
    claims: Annotated[dict[str, Any], AfterValidator(_claims)] = {}
    token_format: TokenFormat = "jwt"
    login_age: Duration | None = None


class CertificateSection(_Section):
    """What of a certificate names a client; one of these."""

    subject_dn: Name | None = None
    san_dns: Name | None = None
    san_uri: Name | None = None
    san_ip: Name | None = None
    san_email: Name | None = None


class WorkloadSection(_Section):
    """Whose platform's tokens prove a client. A JWT-SVID is known by its ``sub`` alone."""

    issuer: Name | None = None
    sub: Name
    jwks_uri: Name | None = None
    jwks_file: Name | None = None


class ClientSection(_Section):
    """One client; its name in the file is its ``client_id``."""

    auth_methods: Annotated[
        list[
            Literal[
                "none",
                "client_secret_basic",
                "client_secret_post",
                "client_secret_jwt",
                "private_key_jwt",
                "tls_client_auth",
                "self_signed_tls_client_auth",
                "jwt_file",
                "spiffe_jwt",
            ]
        ],
        Field(min_length=1),
    ]
    secret_file: Name | None = None
    secret_env: Name | None = None
    public_key_file: Name | None = None
    certificate: CertificateSection | None = None
    certificate_file: Name | None = None
    workload: WorkloadSection | None = None
    audience: list[Name] = []
    client_credentials: OwnTokenSection | None = None


class TrustedIssuerSection(_Section):
    """Another issuer whose tokens may be exchanged."""

    issuer: Name
    jwks_uri: Name | None = None
    jwks_file: Name | None = None


class PolicySection(_Section):
    """One thing that is allowed."""

    client: Name
    subjects: Annotated[Patterns, Field(min_length=1)]
    actors: Patterns = []
    audience: Names
    scope: Scopes = []
    semantics: Literal["delegation", "impersonation", "any"] = "delegation"
    max_lifetime: Duration | None = None
    token_format: TokenFormat = "jwt"
    max_depth: Annotated[int, Field(ge=0, le=32)] | None = None
    further_exchange: bool = False


class MutualTLSSection(_Section):
    """A second listener, which asks for certificates."""

    listen: Annotated[tuple[str, int], BeforeValidator(_listen)]
    cert_file: Name
    key_file: Name
    client_ca_file: Name | None = None


class ConfigFile(_Section):
    """The whole file."""

    issuer: Annotated[str, AfterValidator(_issuer)]
    listen: Annotated[tuple[str, int], BeforeValidator(_listen)]
    algorithm: Annotated[str, AfterValidator(_algorithm)] = "ES256"
    lifetime: Duration = 300
    mtls: MutualTLSSection | None = None
    clients: dict[Name, ClientSection]
    trusted_issuers: list[TrustedIssuerSection] = []
    policies: list[PolicySection] = []
