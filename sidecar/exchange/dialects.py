"""How authorization servers depart from RFC 8693, as data: one value each, and no code that asks for a name.

A switch is a field of ``Dialect``; ``dialect_overrides`` in the configuration may change any single one. What the
servers really do was seen on running ones where a comment says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Final, Literal

from sidecar.model.refusal import Kind

#: What an error code means where the dialect does not say otherwise (RFC 6749 §5.2, RFC 8693 §2.2.2, RFC 9470).
#: ``invalid_request`` is our mistake: we have verified the subject token ourselves.
DEFAULT_ERRORS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "invalid_grant": Kind.INVALID_TOKEN,
        "invalid_request": Kind.EXCHANGE_MISCONFIGURED,
        "invalid_scope": Kind.INSUFFICIENT_SCOPE,
        "access_denied": Kind.EXCHANGE_DENIED,
        "invalid_target": Kind.EXCHANGE_MISCONFIGURED,
        "invalid_client": Kind.EXCHANGE_MISCONFIGURED,
        "unauthorized_client": Kind.EXCHANGE_MISCONFIGURED,
        "unsupported_grant_type": Kind.EXCHANGE_MISCONFIGURED,
        "unsupported_token_type": Kind.EXCHANGE_MISCONFIGURED,
        "interaction_required": Kind.STEP_UP_REQUIRED,
        "login_required": Kind.STEP_UP_REQUIRED,
        "consent_required": Kind.STEP_UP_REQUIRED,
        "insufficient_user_authentication": Kind.STEP_UP_REQUIRED,
        "temporarily_unavailable": Kind.EXCHANGE_UNAVAILABLE,
        "server_error": Kind.EXCHANGE_UNAVAILABLE,
    }
)


@dataclass(frozen=True, slots=True)
class DescribedError:
    """An error whose code alone is ambiguous: it is told apart by how its description begins."""

    error: str
    description: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Dialect:
    """One server's ways. The defaults are the RFC's.

    form_encoding: Basic credentials are form-encoded first (RFC 6749 §2.3.1).
    assertion_audience: what a client assertion is addressed to.
    issued_token_type: ``strict`` refuses a reply without it (RFC 8693 §2.2.1 requires it); ``lenient`` takes a missing
        one for what was asked. A wrong one is refused either way.
    extra_audience, extra_scope: what the stock server adds of itself, and ``expect`` therefore lets pass.
    errors: kinds of error codes that differ from DEFAULT_ERRORS. described_errors: those told apart by their text,
        which is never shown to a caller.
    """

    form_encoding: bool = True
    assertion_audience: Literal["issuer", "token_endpoint"] = "issuer"
    issued_token_type: Literal["strict", "lenient"] = "strict"
    extra_audience: tuple[str, ...] = ()
    extra_scope: tuple[str, ...] = ()
    errors: Mapping[str, Kind] = field(default_factory=dict)
    described_errors: tuple[DescribedError, ...] = ()

    def kind_of(self, error: str, description: str | None) -> Kind | None:
        """Return what an error reply means, or None where nobody knows the code."""
        for described in self.described_errors:
            if described.error == error and (description or "").startswith(described.description):
                return described.kind
        return self.errors.get(error) or DEFAULT_ERRORS.get(error)


DIALECTS: Final[Mapping[str, Dialect]] = MappingProxyType(
    {
        "rfc8693": Dialect(),
        # Keycloak 26.7, standard token exchange; every line was seen on a stock realm.
        # Source: keycloak/keycloak, StandardTokenExchangeProvider.java, docs/guides/securing-apps/token-exchange.adoc.
        "keycloak": Dialect(
            extra_scope=("openid", "profile", "email"),
            described_errors=(
                DescribedError("invalid_request", "Invalid token", Kind.INVALID_TOKEN),
                # A client scope's audience that this user's roles do not give: policy, not our route.
                DescribedError("invalid_request", "Requested audience not available", Kind.EXCHANGE_DENIED),
            ),
        ),
    }
)

#: The switches that ``dialect_overrides`` may set, and what each takes; the error tables are the dialect's own.
_CHOICES: Final[Mapping[str, tuple[Any, ...]]] = MappingProxyType(
    {
        "form_encoding": (True, False),
        "assertion_audience": ("issuer", "token_endpoint"),
        "issued_token_type": ("strict", "lenient"),
    }
)
_LISTS: Final = frozenset({"extra_audience", "extra_scope"})


def with_overrides(dialect: Dialect, overrides: Mapping[str, Any]) -> Dialect:
    """Return the dialect with single switches changed.

    ValueError: for a switch that does not exist or a value it does not take; ``args`` are the switch and why.
    """
    changes: dict[str, Any] = {}
    for name, value in overrides.items():
        if name in _CHOICES:
            if value not in _CHOICES[name] or type(value) is not type(_CHOICES[name][0]):
                raise ValueError(name, f"must be one of {', '.join(_shown(choice) for choice in _CHOICES[name])}")
            changes[name] = value
        elif name in _LISTS:
            if not isinstance(value, list | tuple) or not all(isinstance(entry, str) for entry in value):
                raise ValueError(name, "must be a list of text")
            changes[name] = tuple(value)
        elif name == "errors":
            changes[name] = MappingProxyType({**dialect.errors, **_kinds(value)})
        else:
            known = sorted(switch.name for switch in fields(Dialect) if switch.name != "described_errors")
            raise ValueError(name, f"no such switch; there are {', '.join(known)}")
    return replace(dialect, **changes)


def _kinds(value: object) -> dict[str, Kind]:
    """Read a map from error codes to kinds; only kinds that an authorization server's error may mean are taken."""
    meant = {str(kind): kind for kind in DEFAULT_ERRORS.values()}
    if not isinstance(value, Mapping) or not all(str(kind) in meant for kind in value.values()):
        raise ValueError("errors", f"must map error codes to one of {', '.join(sorted(meant))}")
    return {str(code): meant[str(kind)] for code, kind in value.items()}


def _shown(choice: object) -> str:
    return str(choice).lower() if isinstance(choice, bool) else str(choice)
