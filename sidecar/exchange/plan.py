"""One route's exchange, ready to be carried out: whom to ask, what to ask, how to read the answer.

``carry_out`` is one trip to the token endpoint and every check of what came back. Cache and single flight are
``exchanger``'s; how the server is reached is ``oauth.server``'s.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sidecar.exchange.ask import Ask, Asker
from sidecar.exchange.dialects import Dialect
from sidecar.exchange.dialects.errors import KINDS
from sidecar.exchange.expect import judge
from sidecar.exchange.failures import UNAVAILABLE, UNUSABLE, failure_of
from sidecar.exchange.reply import peek_issued, read
from sidecar.exchange.schedule import Lifetimes, Schedule, schedule
from sidecar.exchange.step_up import wanted
from sidecar.exchange.workload.source import WorkloadSource, own_subject
from sidecar.model.refusal import Kind, Refused, refuse
from sidecar.model.request import RequestHead
from sidecar.model.route import Exchange, Route
from sidecar.model.tokens import IssuedToken, Subject, WorkloadToken
from sidecar.oauth.introspection import Introspection, IntrospectionUnavailable
from sidecar.oauth.jwks import IssuerUnavailable, KeySource
from sidecar.oauth.jwt import JWTError, SignedToken
from sidecar.oauth.server import AuthorizationServer, ErrorReply, ServerError

_SENTENCES: Final[Mapping[Kind, str]] = {
    Kind.INVALID_TOKEN: "The authorization server does not accept the token.",
    Kind.INSUFFICIENT_SCOPE: "The token does not carry the scope that is needed.",
    Kind.EXCHANGE_DENIED: "The authorization server denies the exchange.",
    Kind.STEP_UP_REQUIRED: "The authorization server asks for another authentication.",
    Kind.EXCHANGE_UNAVAILABLE: UNAVAILABLE,
    Kind.EXCHANGE_MISCONFIGURED: "The gateway is not set up rightly at the authorization server.",
}
#: What tells callers to come with another token.
_OF_CALLERS: Final = frozenset({Kind.INVALID_TOKEN, Kind.INSUFFICIENT_SCOPE, Kind.STEP_UP_REQUIRED})


@dataclass(frozen=True, slots=True)
class IssuedKeys:
    """The keys of an issuer whose tokens we may be given, and the algorithms it may use."""

    source: KeySource
    algorithms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """All that one route's exchanges need.

    subject: where a token of ours comes from that is exchanged instead of the caller's; None: the caller's is.
    client: the claims that identify us at the server: ``sub`` and ``client_id``, and ``iss`` where it is known.
    issued_keys: by ``iss``, the issuers whose signatures can be checked. introspection: asked about issued tokens that
        are no JWTs; None: they are taken.
    """

    route: Route
    exchange: Exchange
    server: AuthorizationServer
    dialect: Dialect
    asker: Asker
    subject: WorkloadSource | None
    actor: WorkloadSource | None
    client: Mapping[str, str]
    lifetimes: Lifetimes
    issued_keys: Mapping[str, IssuedKeys] = field(repr=False)
    introspection: Introspection | None = None

    async def next_actor(self, request: RequestHead) -> Mapping[str, Any]:
        """Return the claims that identify who acts by this exchange: the actor token's, or else ours as the client."""
        actor = await self.acting(request)
        return self.client if actor is None else actor.claims

    async def acting(self, request: RequestHead) -> WorkloadToken | None:
        """Return the token of ours that shows who acts by this exchange; None where none is sent."""
        return None if self.actor is None else await self.actor.current(request)

    async def ask(self, presented: Subject | None, request: RequestHead) -> tuple[Subject, WorkloadToken | None, Ask]:
        """Return whose token is exchanged for a request, with which actor token, and what is to be asked.

        presented: the caller's verified token; None where none is asked for. Refused: a token of ours is not to be had.
        """
        subject = presented if self.subject is None else own_subject(await self.subject.current(request))
        if subject is None:
            raise refuse(Kind.MISSING_TOKEN, "A token is needed.")
        actor = await self.acting(request)
        return subject, actor, self.asker.ask(subject, actor)

    def doubt(self) -> None:
        """Take note that the server refused what it was asked under tokens of ours."""
        for source in (self.subject, self.actor):
            if source is not None:
                source.doubt()

    async def carry_out(
        self, ask: Ask, subject: Subject, jitter: float, approved_until: float = math.inf
    ) -> tuple[IssuedToken, Schedule]:
        """Ask the server once, and return a token that passed every check, with its times.

        approved_until: see ``schedule``.
        Refused: with the kind that the failure maps to; NotAsked where nothing was sent.
        """
        try:
            answer = await self.server.token_request(ask.form, ask.key)
        except ServerError as error:
            raise failure_of(error, self.exchange.authorization_server) from None
        if isinstance(answer, ErrorReply):
            raise self._refusal_of(answer, subject)
        signed = peek_issued(answer.members)
        if signed is not None:
            verified = await self._verified(answer.members, signed.claims.get("iss"))
        else:
            signed, verified = await self._introspected(answer.members)
        reply = read(
            answer.members,
            signed=signed,
            verified=verified,
            exchange=self.exchange,
            dialect=self.dialect,
            subject=subject,
            now_wall=answer.sent_wall,
        )
        if (refusal := judge(reply.token, self.exchange.expect, subject)) is not None:
            raise Refused(refusal)
        times = schedule(
            self.lifetimes,
            sent=answer.sent,
            sent_wall=answer.sent_wall,
            expires_in=reply.expires_in,
            issued_exp=reply.issued_exp,
            subject_exp=subject.expires_at,
            jitter=jitter,
            approved_until=approved_until,
        )
        return reply.token, times

    def _refusal_of(self, answer: ErrorReply, subject: Subject) -> Refused:
        """The refusal that an OAuth error maps to; the code decides, its text is shown to nobody."""
        cause = self.dialect.cause_of(answer.error, answer.description) if answer.error is not None else None
        code = answer.error or "without an OAuth error code"
        if cause is None and code in subject.token:
            code = "with a part of the token for a code"
        finding = f"the authorization server said {answer.status} {code}"
        if cause is None:
            key = ("dialect_overrides", "errors") if answer.error is not None else ("token_endpoint",)
            return refuse(Kind.EXCHANGE_UNUSABLE, UNUSABLE, finding=finding, key=self._server_key(*key))
        kind, finding = KINDS[cause], f"{finding} ({cause})"
        if subject.workload is not None and kind in _OF_CALLERS:
            kind = Kind.EXCHANGE_MISCONFIGURED  # the token is ours, and nothing that the caller does can help
        return refuse(
            kind,
            _SENTENCES[kind],
            finding=finding,
            scope=self.exchange.scope if kind is Kind.INSUFFICIENT_SCOPE else (),
            retry_after=1 if kind is Kind.EXCHANGE_UNAVAILABLE else None,
            step_up=wanted(answer.login, self.dialect) if kind is Kind.STEP_UP_REQUIRED else None,
        )

    def _server_key(self, *key: str) -> tuple[str, ...]:
        return ("authorization_servers", self.exchange.authorization_server, *key)

    async def _verified(self, members: Mapping[str, Any], iss: object) -> str:
        """Check the signature of an issued JWT where its issuer's keys are known; say how it was verified."""
        keys = self.issued_keys.get(iss) if isinstance(iss, str) else None
        if keys is None:
            return "claims"
        try:
            await keys.source.verify(members["access_token"], keys.algorithms)
        except JWTError:
            raise refuse(
                Kind.EXCHANGE_UNUSABLE, UNUSABLE, finding="the issued token's signature does not verify"
            ) from None
        except IssuerUnavailable as error:
            raise refuse(
                Kind.EXCHANGE_UNAVAILABLE,
                "The authorization server's keys are not available.",
                retry_after=error.retry_after,
                finding=error.reason,
            ) from None
        return "signature"

    async def _introspected(self, members: Mapping[str, Any]) -> tuple[SignedToken | None, str]:
        """Have the server say what an opaque token is, where it is to be asked; and how the token was verified then."""
        token = members.get("access_token")
        if self.introspection is None or not isinstance(token, str):
            return None, "taken"
        key = ("authorization_servers", self.exchange.authorization_server, "verify_issued")
        try:
            claims = await self.introspection.introspect(token)
        except IntrospectionUnavailable as error:
            raise refuse(
                Kind.EXCHANGE_UNAVAILABLE,
                "The authorization server does not tell what it issued.",
                retry_after=error.retry_after,
                finding=error.reason,
                key=key,
            ) from None
        if claims is None:
            finding = "the authorization server says that the token it issued is not active"
            raise refuse(Kind.EXCHANGE_UNUSABLE, UNUSABLE, finding=finding, key=key)
        own = {"iss": self.client["iss"]} if "iss" in self.client else {}  # which the server may leave out
        return SignedToken({}, {**own, **claims}), "introspection"
