"""The grants of the token endpoint: ``client_credentials`` (RFC 6749 §4.4) and token exchange (RFC 8693 §2).

Each reads its parameters, has the decision made and returns the reply's members. Authentication came before, HTTP
comes after. Issued tokens are access tokens of this server: JWTs (RFC 9068), or opaque where a policy says so.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from secrets import token_urlsafe
from typing import Any, Final
from urllib.parse import urlsplit

from sidecar.model.clock import Clock
from sidecar.model.tokens import ACCESS_TOKEN, JWT, Actor, act_chain
from sidecar.sts.audit import AuditLine
from sidecar.sts.config import EXCHANGED, Client, Config
from sidecar.sts.errors import Code, TokenError
from sidecar.sts.form import Form
from sidecar.sts.issuers import Issuers
from sidecar.sts.keys import SigningKeys
from sidecar.sts.policy import acting, decide, permit_actor
from sidecar.sts.tokens import VerifiedToken, read_token

#: What a subject token says of the login; an exchange changes nothing about that (RFC 9068 §2.2.1, RFC 9470 §6).
LOGIN_CLAIMS: Final = ("acr", "amr", "auth_time")


@dataclass(frozen=True, slots=True)
class Desk:
    """What a grant needs to do its work."""

    config: Config
    keys: SigningKeys
    issuers: Issuers
    clock: Clock


async def client_credentials(desk: Desk, client: Client, form: Form, line: AuditLine) -> dict[str, Any]:
    """Give a client its own token. What the request leaves open is granted as configured."""
    own = client.own_token
    if own is None:
        raise TokenError(Code.UNAUTHORIZED_CLIENT, "this client may not use client_credentials")
    line.subject = Actor(desk.config.issuer, own.sub)
    scope, targets = form.scope(), _targets(form)
    line.asked(targets, scope)
    if not set(targets) <= set(own.audience):
        raise TokenError(Code.INVALID_TARGET, "this client may not have this audience or resource")
    if not set(scope) <= set(own.scope):
        raise TokenError(Code.INVALID_SCOPE, "this client may not have this scope")
    line.asked(targets or own.audience, scope or own.scope)
    login = {"auth_time": int(desk.clock.wall()) - own.login_age} if own.login_age is not None else {}
    claims = {**own.claims, **login, "sub": own.sub}
    issue = desk.issuers.opaque.issue if own.opaque else desk.keys.sign
    return _issue(desk, issue, client, line, claims, targets or own.audience, scope or own.scope, desk.config.lifetime)


async def token_exchange(desk: Desk, client: Client, form: Form, line: AuditLine) -> dict[str, Any]:
    """Trade a subject token.

    How and when the person logged in is carried over, so that a step-up counts at the next gateway too. The lifetime is
    the server's or the policy's, whichever is shorter. It is not tied to what is left of the subject
    token (RFC 8693 §2.1): capping a cached token at its subject's life is the client's duty. No scope asked for gives a
    token without scope.
    """
    subject_token, subject_type = form.required("subject_token"), form.required("subject_token_type")
    actor_token, actor_type = form.one("actor_token"), form.one("actor_token_type")
    if (actor_token is None) != (actor_type is None):
        raise TokenError(Code.INVALID_REQUEST, "actor_token and actor_token_type must come together")
    issued_type = form.one("requested_token_type") or ACCESS_TOKEN
    if issued_type not in (ACCESS_TOKEN, JWT):
        raise TokenError(Code.INVALID_REQUEST, "requested_token_type is not one that is issued here")
    scope, targets = form.scope(), _targets(form)
    line.asked(targets, scope)

    # A token is the client's to trade if it was made for the client, or for us to trade it.
    addressees = frozenset((client.client_id, *client.audience, desk.config.issuer, desk.config.token_endpoint))
    now = desk.clock.wall()
    subject = await read_token("subject token", subject_token, subject_type, desk.issuers, addressees, now)
    line.subject = Actor(subject.iss, subject.sub)
    actor = None
    if actor_token is not None and actor_type is not None:
        actor = await read_token("actor token", actor_token, actor_type, desk.issuers, addressees, now)
        line.actors = (Actor(actor.iss, actor.sub),)

    permit_actor(desk.config.issuer, client.client_id, subject, actor)
    policy = decide(desk.config.policies, client.client_id, subject, actor, targets, scope)
    line.actors = acting(policy, desk.config.issuer, client.client_id, subject, actor)
    claims = {**_login(subject), "sub": subject.sub, **(_act(line.actors) or {EXCHANGED: True})}
    lifetime = min(desk.config.lifetime, policy.max_lifetime or desk.config.lifetime)
    if policy.opaque and issued_type == JWT:
        raise TokenError(Code.INVALID_REQUEST, "requested_token_type is not what this policy issues")
    issue = desk.issuers.opaque.issue if policy.opaque else desk.keys.sign
    reply = _issue(desk, issue, client, line, claims, targets, scope, lifetime)
    return {**reply, "issued_token_type": issued_type}


Grant = Callable[[Desk, Client, Form, AuditLine], Awaitable[dict[str, Any]]]

GRANTS: Final[Mapping[str, Grant]] = {
    "client_credentials": client_credentials,
    "urn:ietf:params:oauth:grant-type:token-exchange": token_exchange,
}


def _targets(form: Form) -> tuple[str, ...]:
    """What ``audience`` and ``resource`` name, each once. TokenError: a resource is no absolute URI (RFC 8707 §2)."""
    resources = form.all("resource")
    for resource in resources:
        try:
            absolute = bool(urlsplit(resource).scheme) and "#" not in resource
        except ValueError:
            absolute = False
        if not absolute:
            raise TokenError(Code.INVALID_TARGET, "resource is not an absolute URI without a fragment")
    return tuple(dict.fromkeys((*form.all("audience"), *resources)))


def _login(subject: VerifiedToken) -> dict[str, Any]:
    return {name: subject.claims[name] for name in LOGIN_CLAIMS if name in subject.claims}


def _act(actors: Sequence[Actor]) -> dict[str, Any]:
    """The ``act`` claim of a chain, each actor with its own issuer; empty for an empty chain."""
    act: dict[str, Any] = {}
    for actor in reversed(actors):
        act = {"act": {"iss": actor.iss, "sub": actor.sub, **act}}
    try:
        act_chain(act)
    except ValueError:
        raise TokenError(Code.INVALID_REQUEST, "the chain of actors is too long") from None
    return act


def _issue(
    desk: Desk,
    issue: Callable[[Mapping[str, Any]], str],
    client: Client,
    line: AuditLine,
    claims: Mapping[str, Any],
    audience: Sequence[str],
    scope: Sequence[str],
    lifetime: int,
) -> dict[str, Any]:
    now = int(desk.clock.wall())
    jti = token_urlsafe(16)
    scoped = {"scope": " ".join(scope)} if scope else {}
    token = issue(
        {
            **claims,
            "iss": desk.config.issuer,
            "aud": list(audience),
            "client_id": client.client_id,
            "iat": now,
            "exp": now + lifetime,
            "jti": jti,
            **scoped,
        }
    )
    line.token, line.lifetime = jti, lifetime
    return {"access_token": token, "token_type": "Bearer", "expires_in": lifetime, **scoped}
