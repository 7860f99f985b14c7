"""What a route asks of a verified subject token, check by check (RFC 6750 §3.1, RFC 8693 §4, RFC 9470 §3).

Pure. ``CHECKS`` is the whole list, in the order in which they are made; each returns why not, or nothing.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from sidecar.model.actors import may_act
from sidecar.model.refusal import Kind, Refusal, Refused, StepUp, refuse
from sidecar.model.route import SubjectPolicy
from sidecar.model.tokens import Subject

#: The last argument is the wall-clock time in seconds.
Check = Callable[[SubjectPolicy, Subject, float], Refusal | None]


def allow(policy: SubjectPolicy, subject: Subject, now: float) -> None:
    """Pass, or raise Refused with the first check that says no. now: wall-clock seconds."""
    for check in CHECKS.values():
        if (refusal := check(policy, subject, now)) is not None:
            raise Refused(refusal)


def allow_actor(subject: Subject, actor: Mapping[str, Any]) -> None:
    """Pass, or raise Refused where the token's ``may_act`` names somebody else than who would act next.

    actor: the claims that identify that one.
    """
    if "may_act" not in subject.claims:
        return
    try:
        allowed = may_act({**subject.claims, "iss": subject.iss}, actor)  # introspection may leave it out
        finding = "who would act is not whom may_act of the token names"
    except ValueError:
        allowed, finding = False, "may_act of the token names nobody"
    if not allowed:
        reason = "The token does not let this gateway act for its subject."
        raise refuse(Kind.POLICY_DENIED, reason, finding=finding, key=("exchange", "actor_token"))


def _clients(policy: SubjectPolicy, subject: Subject, _: float) -> Refusal | None:
    if not policy.clients or subject.client_id in policy.clients:
        return None
    return Refusal(
        Kind.POLICY_DENIED,
        "The client may not use this route.",
        finding="client_id or azp is not among subject.clients",
        key=("subject", "clients"),
    )


def _require_actor(policy: SubjectPolicy, subject: Subject, _: float) -> Refusal | None:
    if subject.actors or not policy.require_actor:
        return None
    return Refusal(
        Kind.POLICY_DENIED,
        "The token does not show who acts.",
        finding="no act, which subject.require_actor asks for",
        key=("subject", "require_actor"),
    )


def _allowed_actors(policy: SubjectPolicy, subject: Subject, _: float) -> Refusal | None:
    """Only who acts now is judged; those before are history (RFC 8693 §4.1)."""
    if not policy.allowed_actors or not subject.actors:
        return None
    if any(pattern.takes(subject.actors[0], subject.iss) for pattern in policy.allowed_actors):
        return None
    return Refusal(
        Kind.POLICY_DENIED,
        "Who acts may not use this route.",
        finding="the outermost act is not among subject.allowed_actors",
        key=("subject", "allowed_actors"),
    )


def _actor_depth(policy: SubjectPolicy, subject: Subject, _: float) -> Refusal | None:
    if len(subject.actors) <= policy.max_actor_depth:
        return None
    return Refusal(
        Kind.POLICY_DENIED,
        "The token was delegated too often.",
        finding=f"{len(subject.actors)} actors; subject.max_actor_depth is {policy.max_actor_depth}",
        key=("subject", "max_actor_depth"),
    )


def _claims(policy: SubjectPolicy, subject: Subject, _: float) -> Refusal | None:
    for path, wanted in policy.require_claims:
        if not _holds(_at(subject.claims, path), wanted):
            return Refusal(
                Kind.POLICY_DENIED,
                "The token's claims do not allow this.",
                finding=f"subject.require_claims.{path}",
                key=("subject", "require_claims", path),
            )
    return None


def _scope(policy: SubjectPolicy, subject: Subject, _: float) -> Refusal | None:
    if subject.scope.issuperset(policy.require_scope):
        return None
    # All scopes that are needed, not only the missing ones: the next token must carry them together.
    return Refusal(
        Kind.INSUFFICIENT_SCOPE,
        "The token does not carry the scope that is needed.",
        scope=policy.require_scope,
        key=("subject", "require_scope"),
    )


def _acr(policy: SubjectPolicy, subject: Subject, _: float) -> Refusal | None:
    if not policy.acr_values or subject.acr in policy.acr_values:
        return None
    return _step_up(policy, "acr_values", "acr is not among subject.acr_values")


def _login_age(policy: SubjectPolicy, subject: Subject, now: float) -> Refusal | None:
    """The leeway excuses a login that seems to be still to come; it never lets one grow older."""
    if policy.max_age is None:
        return None
    if subject.auth_time is None:
        return _step_up(policy, "max_age", "no auth_time that is one, which subject.max_age asks for")
    if subject.auth_time > now + subject.leeway:
        return _step_up(policy, "max_age", "auth_time is in the future")
    if now - subject.auth_time > policy.max_age:
        return _step_up(policy, "max_age", f"the login is {now - subject.auth_time:.0f} s old")
    return None


def _step_up(policy: SubjectPolicy, key: str, finding: str) -> Refusal:
    # All that is asked for, not only what is missing: one new login must be enough.
    return Refusal(
        Kind.STEP_UP_REQUIRED,
        "A newer or stronger login is needed.",
        finding=finding,
        key=("subject", key),
        step_up=StepUp(policy.acr_values, policy.max_age),
    )


#: Denials first, so that nobody is sent to log in, or for a scope, in vain.
CHECKS: Final[Mapping[str, Check]] = {
    "clients": _clients,
    "require_actor": _require_actor,
    "allowed_actors": _allowed_actors,
    "max_actor_depth": _actor_depth,
    "require_claims": _claims,
    "require_scope": _scope,
    "acr_values": _acr,
    "max_age": _login_age,
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
