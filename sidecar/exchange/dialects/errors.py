"""What an authorization server's error is about, and the kind of refusal that makes of it.

Codes are those of RFC 6749 §5.2, RFC 8693 §2.2.2, RFC 9470 and OpenID Connect. A dialect says where its server means
something else; whose fault that is, and what callers are told, is decided elsewhere from the cause.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from sidecar.model.refusal import Kind


class Cause(StrEnum):
    """What a refused exchange is about; the values are used in the configuration and in findings.

    CREDENTIALS: we are not who we say we are. CLIENT: we are, and may not exchange.
    """

    SUBJECT_TOKEN = "subject-token"
    REQUEST = "request"
    TARGET = "target"
    CREDENTIALS = "credentials"
    CLIENT = "client"
    SCOPE = "scope"
    POLICY = "policy"
    STEP_UP = "step-up"
    SERVER = "server"


KINDS: Final[Mapping[Cause, Kind]] = MappingProxyType(
    {
        Cause.SUBJECT_TOKEN: Kind.INVALID_TOKEN,
        Cause.REQUEST: Kind.EXCHANGE_MISCONFIGURED,
        Cause.TARGET: Kind.EXCHANGE_MISCONFIGURED,
        Cause.CREDENTIALS: Kind.EXCHANGE_MISCONFIGURED,
        Cause.CLIENT: Kind.EXCHANGE_MISCONFIGURED,
        Cause.SCOPE: Kind.INSUFFICIENT_SCOPE,
        Cause.POLICY: Kind.EXCHANGE_DENIED,
        Cause.STEP_UP: Kind.STEP_UP_REQUIRED,
        Cause.SERVER: Kind.EXCHANGE_UNAVAILABLE,
    }
)

#: Where the dialect does not say otherwise. ``invalid_request`` is our mistake: we have verified the subject token
#: ourselves, and a server that means it by this says so in its dialect.
DEFAULT_ERRORS: Final[Mapping[str, Cause]] = MappingProxyType(
    {
        "invalid_grant": Cause.SUBJECT_TOKEN,
        "invalid_request": Cause.REQUEST,
        "invalid_scope": Cause.SCOPE,
        "access_denied": Cause.POLICY,
        "invalid_target": Cause.TARGET,
        "invalid_client": Cause.CREDENTIALS,
        "unauthorized_client": Cause.CLIENT,
        "unsupported_grant_type": Cause.REQUEST,
        "unsupported_token_type": Cause.REQUEST,
        "interaction_required": Cause.STEP_UP,
        "login_required": Cause.STEP_UP,
        "consent_required": Cause.STEP_UP,
        "insufficient_user_authentication": Cause.STEP_UP,
        "temporarily_unavailable": Cause.SERVER,
        "server_error": Cause.SERVER,
    }
)


@dataclass(frozen=True, slots=True)
class DescribedError:
    """An error whose code alone is ambiguous: it is told apart by how its description begins."""

    error: str
    description: str
    cause: Cause
