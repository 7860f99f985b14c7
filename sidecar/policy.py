"""What a route asks of a verified subject token, check by check (RFC 6750 §3.1, RFC 8693 §4.1).

Pure. ``CHECKS`` is the whole list, in the order in which they are made; each returns why not, or nothing.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from sidecar.model.refusal import Kind, Refusal, Refused
from sidecar.model.route import SubjectPolicy
from sidecar.model.tokens import Subject

Check = Callable[[SubjectPolicy, Subject], Refusal | None]


def allow(policy: SubjectPolicy, subject: Subject) -> None:
    """Pass, or raise Refused with the first check that says no."""
    for check in CHECKS.values():
        if (refusal := check(policy, subject)) is not None:
            raise Refused(refusal)


def _clients(policy: SubjectPolicy, subject: Subject) -> Refusal | None:
    if not policy.clients or subject.client_id in policy.clients:
        return None
    return Refusal(
        Kind.POLICY_DENIED,
        "The client may not use this route.",
        finding="client_id or azp is not among subject.clients",
    )


def _actor_depth(policy: SubjectPolicy, subject: Subject) -> Refusal | None:
    if len(subject.actors) <= policy.max_actor_depth:
        return None
    return Refusal(
        Kind.POLICY_DENIED,
        "The token was delegated too often.",
        finding=f"{len(subject.actors)} actors; subject.max_actor_depth is {policy.max_actor_depth}",
    )


def _claims(policy: SubjectPolicy, subject: Subject) -> Refusal | None:
    for path, wanted in policy.require_claims:
        if not _holds(_at(subject.claims, path), wanted):
            return Refusal(
                Kind.POLICY_DENIED, "The token's claims do not allow this.", finding=f"subject.require_claims.{path}"
            )
    return None


def _scope(policy: SubjectPolicy, subject: Subject) -> Refusal | None:
    if subject.scope.issuperset(policy.require_scope):
        return None
    # All scopes that are needed, not only the missing ones: the next token must carry them together.
    return Refusal(
        Kind.INSUFFICIENT_SCOPE, "The token does not carry the scope that is needed.", scope=policy.require_scope
    )


CHECKS: Final[Mapping[str, Check]] = {
    "clients": _clients,
    "max_actor_depth": _actor_depth,
    "require_claims": _claims,
    "require_scope": _scope,
}


def _at(claims: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path; a claim whose own name holds the dots is found first."""
    if path in claims:
        return claims[path]
    value: Any = claims
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value


def _holds(found: Any, wanted: tuple[Any, ...]) -> bool:
    """Whether a claim equals one of the wanted values, or is a list that contains one. True is not 1 here."""
    entries = found if isinstance(found, list) else [found]
    return any(type(entry) is type(value) and entry == value for entry in entries for value in wanted)
