"""One route's exchange, ready to be carried out: whom to ask, what to ask, how to read the answer.

``carry_out`` is one trip to the token endpoint and every check of what came back. Cache and single flight are
``exchanger``'s; how the server is reached is ``oauth.server``'s.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sidecar.exchange.ask import Ask, Asker
from sidecar.exchange.dialects import Dialect
from sidecar.exchange.dialects.errors import KINDS
from sidecar.exchange.expect import judge
from sidecar.exchange.reply import peek_issued, read
from sidecar.exchange.schedule import Lifetimes, Schedule, schedule
from sidecar.exchange.step_up import wanted
from sidecar.exchange.workload import WorkloadTokenFile
from sidecar.model.refusal import Kind, Refused, refuse
from sidecar.model.route import Exchange, Route
from sidecar.model.tokens import IssuedToken, Subject
from sidecar.oauth.jwks import IssuerUnavailable, KeySource
from sidecar.oauth.jwt import JWTError
from sidecar.oauth.server import (
    AuthorizationServer,
    ErrorReply,
    ServerError,
    ServerNotAsked,
    ServerOverloaded,
    ServerReplyUnusable,
    ServerTimeout,
    ServerUnavailable,
)

_SENTENCES: Final[Mapping[Kind, str]] = {
    Kind.INVALID_TOKEN: "The authorization server does not accept the token.",
    Kind.INSUFFICIENT_SCOPE: "The token does not carry the scope that is needed.",
    Kind.EXCHANGE_DENIED: "The authorization server denies the exchange.",
    Kind.STEP_UP_REQUIRED: "The authorization server asks for another authentication.",
    Kind.EXCHANGE_UNAVAILABLE: "The authorization server is not available.",
    Kind.EXCHANGE_MISCONFIGURED: "The gateway is not set up rightly at the authorization server.",
}
_UNUSABLE: Final = "The authorization server's reply can't be used."


class NotAsked(Refused):
    """A refusal without anything sent: the server is left alone, or too many wait for it already."""


@dataclass(frozen=True, slots=True)
class IssuedKeys:
    """The keys of an issuer whose tokens we may be given, and the algorithms it may use."""

    source: KeySource
    algorithms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """All that one route's exchanges need.

    client: the claims that identify us at the server: ``sub`` and ``client_id``, and ``iss`` where it is known.
    issued_keys: by ``iss``, the issuers whose signatures can be checked.
    """

    route: Route
    exchange: Exchange
    server: AuthorizationServer
    dialect: Dialect
    asker: Asker
    actor: WorkloadTokenFile | None
    client: Mapping[str, str]
    lifetimes: Lifetimes
    issued_keys: Mapping[str, IssuedKeys] = field(repr=False)

    def next_actor(self) -> Mapping[str, Any]:
        """Return the claims that identify who acts by this exchange: the actor token's, or else ours as the client."""
        return self.actor.current().claims if self.actor is not None else self.client

    async def carry_out(self, ask: Ask, subject: Subject, jitter: float) -> tuple[IssuedToken, Schedule]:
        """Ask the server once, and return a token that passed every check, with its times.

        Refused: with the kind that the failure maps to; NotAsked where nothing was sent.
        """
        try:
            answer = await self.server.token_request(ask.form, ask.key)
        except ServerError as error:
            raise self._failure(error) from None
        if isinstance(answer, ErrorReply):
            raise self._refusal_of(answer, subject)
        signed = peek_issued(answer.members)
        verified = await self._verified(answer.members, signed.claims.get("iss")) if signed is not None else "taken"
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
            return refuse(Kind.EXCHANGE_UNUSABLE, _UNUSABLE, finding=finding, key=self._server_key(*key))
        kind, finding = KINDS[cause], f"{finding} ({cause})"
        return refuse(
            kind,
            _SENTENCES[kind],
            finding=finding,
            scope=self.exchange.scope if kind is Kind.INSUFFICIENT_SCOPE else (),
            retry_after=1 if kind is Kind.EXCHANGE_UNAVAILABLE else None,
            step_up=wanted(answer.login, self.dialect) if kind is Kind.STEP_UP_REQUIRED else None,
        )

    def _failure(self, error: ServerError) -> Refused:
        """The refusal that a failure of the server, or our own restraint, maps to."""
        match error:
            case ServerUnavailable():
                refused = refuse(
                    Kind.EXCHANGE_UNAVAILABLE,
                    _SENTENCES[Kind.EXCHANGE_UNAVAILABLE],
                    retry_after=error.retry_after,
                    finding=error.reason,
                )
            case ServerOverloaded():
                refused = refuse(Kind.OVERLOADED, "Too many exchanges are waiting.", retry_after=1)
            case ServerTimeout():
                refused = refuse(Kind.EXCHANGE_TIMEOUT, "The authorization server did not answer in time.")
            case _:
                astray = isinstance(error, ServerReplyUnusable) and error.astray
                key = self._server_key("token_endpoint") if astray else ()
                refused = refuse(Kind.EXCHANGE_UNUSABLE, _UNUSABLE, finding=error.reason, key=key)
        return NotAsked(refused.refusal) if isinstance(error, ServerNotAsked | ServerOverloaded) else refused

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
                Kind.EXCHANGE_UNUSABLE, _UNUSABLE, finding="the issued token's signature does not verify"
            ) from None
        except IssuerUnavailable as error:
            raise refuse(
                Kind.EXCHANGE_UNAVAILABLE,
                "The authorization server's keys are not available.",
                retry_after=error.retry_after,
                finding=error.reason,
            ) from None
        return "signature"
