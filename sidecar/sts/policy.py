"""What may be exchanged for what: client x subject x actor x audience x scope; pure, and closed by default.

One policy must cover the whole request, so that every scope asked for is allowed at every target asked for
(RFC 8693 §2.1.1); the first that does decides. Scopes are never narrowed: more than is allowed is refused.
"""

from collections.abc import Sequence

from sidecar.model.actors import may_act
from sidecar.model.tokens import Actor, Semantics
from sidecar.sts.config import Pattern, Policy
from sidecar.sts.errors import Code, TokenError
from sidecar.sts.tokens import VerifiedToken


def decide(
    policies: Sequence[Policy],
    client_id: str,
    subject: VerifiedToken,
    actor: VerifiedToken | None,
    targets: Sequence[str],
    scope: Sequence[str],
) -> Policy:
    """Return the policy that allows a request.

    TokenError: ``unauthorized_client`` where the client may exchange nothing, ``access_denied`` where not for this
    subject or actor, not again, or not for so many actors, ``invalid_target`` and ``invalid_scope`` for what goes
    beyond. RFC 8693 §2.2.2 keeps ``invalid_request`` for tokens that are bad; a good token that policy refuses is not
    one of them.
    """
    candidates = [policy for policy in policies if policy.client == client_id]
    if not candidates:
        raise TokenError(Code.UNAUTHORIZED_CLIENT, "this client may not exchange tokens")
    candidates = [policy for policy in candidates if _names(policy.subjects, subject)]
    if not candidates:
        raise TokenError(Code.ACCESS_DENIED, "no policy lets this client act for this subject")
    candidates = [policy for policy in candidates if actor is None or _accepts(policy, actor)]
    if not candidates:
        raise TokenError(Code.ACCESS_DENIED, "no policy lets this actor act for this subject")
    if not targets:
        raise TokenError(Code.INVALID_TARGET, "audience or resource is required")
    candidates = [policy for policy in candidates if set(targets) <= set(policy.audience)]
    if not candidates:
        raise TokenError(Code.INVALID_TARGET, "no policy allows this audience or resource")
    candidates = [policy for policy in candidates if set(scope) <= set(policy.scope)]
    if not candidates:
        raise TokenError(Code.INVALID_SCOPE, "no policy allows this scope at this audience or resource")
    candidates = [policy for policy in candidates if policy.further_exchange or not subject.exchanged]
    if not candidates:
        raise TokenError(Code.ACCESS_DENIED, "no policy allows to exchange again what came of an exchange")
    for policy in candidates:
        if policy.max_depth is None or len(acting(policy, "", "", subject, actor)) <= policy.max_depth:
            return policy
    raise TokenError(Code.ACCESS_DENIED, "no policy allows so many actors")


def permit_actor(issuer: str, client_id: str, subject: VerifiedToken, actor: VerifiedToken | None) -> None:
    """Pass where the subject token's ``may_act``, if it has one, names who would act: the actor or else the client.

    TokenError: ``access_denied`` where it names somebody else, ``invalid_request`` where it names nobody.
    """
    client = {"iss": issuer, "sub": client_id, "client_id": client_id}
    try:
        permitted = may_act(subject.claims, client if actor is None else actor.claims)
    except ValueError:
        raise TokenError(Code.INVALID_REQUEST, "the subject token has a malformed may_act claim") from None
    if not permitted:
        raise TokenError(Code.ACCESS_DENIED, "may_act of the subject token names another actor")


def acting(
    policy: Policy, issuer: str, client_id: str, subject: VerifiedToken, actor: VerifiedToken | None
) -> tuple[Actor, ...]:
    """Return the issued token's actor chain, outermost first: the new actor before those the subject token names.

    Earlier actors stay even under impersonation: who acted is never forgotten. Without an actor token, delegation
    names the client, as a subject of this server.
    """
    if actor is not None:
        return (Actor(actor.iss, actor.sub), *subject.actors)
    if policy.semantics is Semantics.DELEGATION:
        return (Actor(issuer, client_id), *subject.actors)
    return subject.actors


def _names(patterns: Sequence[Pattern], token: VerifiedToken) -> bool:
    return any(pattern.matches(token.iss, token.sub) for pattern in patterns)


def _accepts(policy: Policy, actor: VerifiedToken) -> bool:
    return policy.semantics is not Semantics.IMPERSONATION and _names(policy.actors, actor)
