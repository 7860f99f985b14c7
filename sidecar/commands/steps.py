"""The steps of one request's way, told: for ``sidecar explain``, which prints them for people or for programs.

``decide`` decides; what it came to is only put into words here, with the keys of the file that decided. No token is in
any of them, nor a value of ``extra_params``.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from sidecar.approval.question import Question
from sidecar.commands.keys import Key, Keys
from sidecar.config.loaded import Loaded
from sidecar.exchange.ask import SHOWN, Ask
from sidecar.faces.forward import upstream_target
from sidecar.faces.problems import problem
from sidecar.model.decision import Decision
from sidecar.model.refusal import Kind, Refusal
from sidecar.model.request import RequestHead
from sidecar.model.route import Exchange, Expected, Preflight, Route
from sidecar.model.tokens import Subject
from sidecar.routing.table import Table

#: Refusals that, once the caller's token was verified, are about a token of ours.
_OF_OWN_TOKENS: Final = frozenset(
    {
        Kind.EXCHANGE_MISCONFIGURED,
        Kind.INVALID_REQUEST,
        Kind.INVALID_TOKEN,
        Kind.ISSUER_UNAVAILABLE,
        Kind.MISSING_TOKEN,
    }
)


@dataclass(frozen=True, slots=True)
class Step:
    """One step. lines: in words; facts: the same as JSON values; refusal: why it ended there, None where it did not."""

    name: str
    lines: Sequence[str]
    facts: Mapping[str, Any]
    keys: Sequence[Key] = ()
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """A request and what was decided of it.

    ask: what the authorization server would be sent, if it came to that. question: the same of the approver.
    """

    loaded: Loaded
    table: Table
    request: RequestHead
    decision: Decision
    ask: Ask | None = field(repr=False)
    question: Question | None = None

    def steps(self) -> Iterator[Step]:
        """Tell the steps that the request came through, and the one where it was refused."""
        route, refusal = self.decision.route, self.decision.refusal
        if route is None:
            yield self._unmatched()
            return
        keys = Keys(self.loaded, route)
        facts, others = self._others()
        facts |= {"route": route.name, "place": route.place}
        lines = [f"route {route.name} ({route.place})", *others]
        if refusal is not None and (by := _before_taking(refusal, keys)):
            yield Step("match", [*lines, *refused(refusal)], facts, by, refusal)
            return
        yield Step("match", lines, facts, keys.match())
        answered = self.decision.preflight and route.preflight is Preflight.ANSWER
        if self.decision.preflight:
            yield self._preflight(route, keys)
        elif route.exchange is not None:
            yield from self._token(route, keys)
        else:
            told = refused(refusal) or ["exchange: none — no credential is needed, none is forwarded"]
            yield Step("take", told, {"exchange": "none"}, keys.take(), refusal)
        if refusal is None and not answered:
            yield self._forward(route, keys)

    def _preflight(self, route: Route, keys: Keys) -> Step:
        refusal, does = self.decision.refusal, route.preflight
        told = "answered here, nothing goes upstream" if does is Preflight.ANSWER else "goes on without any credential"
        lines = refused(refusal) or [f"a CORS preflight: {told}"]
        return Step("take", lines, {"preflight": does.value}, keys.preflight(), refusal)

    def _unmatched(self) -> Step:
        refusal = self.decision.refusal
        near = self.table.near(self.request)
        facts, others = self._others()
        keys: list[Key] = []
        if near and near[0][1].startswith("it goes first, but refuses the path: match.allow"):
            keys = Keys(self.loaded, near[0][0]).relaxation()
        facts |= {"route": None, "place": None}
        return Step("match", [*refused(refusal), *others], facts, keys, refusal)

    def _others(self) -> tuple[dict[str, Any], list[str]]:
        near = self.table.near(self.request)
        facts = [{"route": other.name, "place": other.place, "why": why} for other, why in near]
        return {"others": facts}, [f"not {other.name} ({other.place}): {why}" for other, why in near]

    def _token(self, route: Route, keys: Keys) -> Iterator[Step]:
        """Everything about the caller's token and the one it is exchanged for."""
        subject, refusal = self.decision.subject, self.decision.refusal
        if not route.takes_token:
            yield from self._own(route, keys)
            return
        demands = _demands(route)
        facts = {"demands": demands}
        lines = [f"{name}: {value}" for name, value in demands.items()]
        if subject is None and refusal is not None:
            if refusal.kind in (Kind.INVALID_TOKEN, Kind.ISSUER_UNAVAILABLE):
                yield Step("verify", [*refused(refusal), *lines], facts, keys.refused(refusal), refusal)
            else:
                yield Step("take", [*refused(refusal), *lines], facts, keys.take(), refusal)
        if subject is None:
            return
        header = route.subject.header.title()
        yield Step("take", [f"one token in {header}"], {"header": header}, keys.take())
        yield Step("verify", _subject(subject), {"subject": _subject_facts(subject)}, keys.verified(subject))
        if route.mcp is not None:
            yield (operation := self._operation(route, keys))
            if operation.refusal is not None:
                return
        if self.ask is None and refusal is not None and refusal.kind not in _OF_OWN_TOKENS:
            yield Step("allow", [*refused(refusal), *lines], facts, keys.refused(refusal), refusal)
            return
        yield Step("allow", ["yes", *lines], facts, keys.allow())
        if self.question is not None:
            yield self._approve(self.question, keys)
        if (exchange := route.exchange_of(subject.issuer)) is not None:
            yield self._exchange(exchange, subject.issuer, keys)

    def _approve(self, question: Question, keys: Keys) -> Step:
        """What the approver would be asked; explaining asks nobody, so that nothing says no here."""
        policy, told = question.policy, question.members(time.time())
        bound = "the same host, path and query" if policy.bind_path else "whatever the route takes"
        lasts = f"a yes counts {policy.max_age:g} s for {bound}" if policy.max_age > 0 else "asked for every request"
        lines = [f"{policy.by} would be asked: nobody is now; {lasts}"]
        lines += [f"  {name}: {json.dumps(value)}" for name, value in told.items() if value]
        return Step("approve", lines, {"by": policy.by, "max_age": policy.max_age, "question": told}, keys.approve())

    def _own(self, route: Route, keys: Keys) -> Iterator[Step]:
        """A token of ours is exchanged, and none of a caller's is asked for."""
        refusal = self.decision.refusal
        if refusal is not None and refusal.kind is Kind.INVALID_REQUEST:
            yield Step("take", refused(refusal), {"header": None}, keys.take(), refusal)
        elif route.exchange is not None:
            told = f"no credential is asked for; workload token {route.exchange.subject_token} is exchanged"
            yield Step("take", [told], {"header": None}, keys.take())
            if route.mcp is not None:
                yield (operation := self._operation(route, keys))
                if operation.refusal is not None:
                    return
            yield self._exchange(route.exchange, "", keys)

    def _operation(self, route: Route, keys: Keys) -> Step:
        """What the body asks for, or the method where there is none, and whether the route takes it."""
        operation, refusal = self.decision.operation, self.decision.refusal
        if refusal is not None and refusal.key[:1] != ("mcp",):
            refusal = None  # it came further
        method, tool = (operation.method, operation.tool) if operation is not None else (None, None)
        told = method or (
            "a response" if self.request.method == "POST" else f"{self.request.method}, without a message"
        )
        lines = [f"{told} {tool}" if tool is not None else told] if operation is not None or refusal is None else []
        if route.rule is not None and route.rule.scope:
            lines.append(f"asks for scope {' '.join(route.rule.scope)} besides")
        facts = {"method": method, "tool": tool, "rule": route.rule.pattern if route.rule is not None else None}
        by = keys.refused(refusal) if refusal is not None else keys.operation()
        return Step("operation", [*lines, *refused(refusal)], facts, by, refusal)

    def _exchange(self, exchange: Exchange, issuer: str, keys: Keys) -> Step:
        refusal, expect = self.decision.refusal, exchange.expect
        form = self._form(exchange)
        facts = {
            "authorization_server": exchange.authorization_server,
            "form": [list(pair) for pair in form],
            "expect": {
                "audience": _expected(expect.audience),
                "scope": _expected(expect.scope),
                "subject": "same" if expect.same_subject else "any",
                "semantics": expect.semantics.value if expect.semantics is not None else "any",
            },
        }
        lines = [f"at {exchange.authorization_server}, with", *(f"  {name}={value}" for name, value in form)]
        lines += [f"expects audience {_expected(expect.audience)}", f"expects scope {_expected(expect.scope)}"]
        lines += ["expects the same subject"] if expect.same_subject else []
        lines += [f"expects {expect.semantics.value}"] if expect.semantics is not None else []
        by = (
            keys.refused(refusal) if refusal is not None else [*keys.exchange(exchange, issuer), *keys.expect(exchange)]
        )
        return Step("exchange", [*lines, *refused(refusal)], facts, by, refusal)

    def _form(self, exchange: Exchange) -> list[tuple[str, str]]:
        """The exact form, but for what is secret in it."""
        server = self.loaded.config.authorization_servers[exchange.authorization_server]
        hidden = dict.fromkeys(server.extra_params, "(from extra_params)")
        hidden |= SHOWN
        if exchange.subject_token is not None:
            hidden |= {"subject_token": "(ours)", "assertion": "(ours)"}
        return [(name, hidden.get(name, value)) for name, value in (self.ask.form if self.ask is not None else ())]

    def _forward(self, route: Route, keys: Keys) -> Step:
        target = upstream_target(self.request, route).decode("ascii", "replace")
        origin = replace(route.upstream, base_path=b"").resource_server  # the target has it
        facts = {"method": self.request.method, "upstream": origin, "target": target}
        return Step("forward", [f"{self.request.method} {origin} {target}"], facts, keys.forward())


def _before_taking(refusal: Refusal, keys: Keys) -> list[Key]:
    """The keys by which a request is refused before a token is looked for; none where it is not."""
    if refusal.kind is Kind.TOO_LARGE and not refusal.key:
        return keys.size()
    return keys.refused(refusal) if refusal.key == ("mcp", "allowed_origins") else []


def refused(refusal: Refusal | None) -> list[str]:
    """Tell a refusal; nothing where there is none."""
    if refusal is None:
        return []
    lines = [f"refused: {problem(refusal, '').status} {refusal.kind.value} — {refusal.reason}"]
    return [*lines, f"because {refusal.finding}"] if refusal.finding else lines


def _subject(subject: Subject) -> list[str]:
    lines = [f"{subject.sub} of {subject.iss} (trusted issuer {subject.issuer}), until {_at(subject.expires_at)}"]
    if subject.client_id is not None:
        lines.append(f"client {subject.client_id}")
    if subject.scope:
        lines.append(f"scope {' '.join(sorted(subject.scope))}")
    if subject.acr is not None:
        lines.append(f"acr {subject.acr}")
    if subject.auth_time is not None:
        lines.append(f"logged in {_at(subject.auth_time)}")
    return [*lines, *(f"actor {actor.sub} of {actor.iss}" for actor in subject.actors)]


def _subject_facts(subject: Subject) -> dict[str, Any]:
    return {
        "iss": subject.iss,
        "sub": subject.sub,
        "trusted_issuer": subject.issuer,
        "expires": _at(subject.expires_at),
        "client_id": subject.client_id,
        "scope": sorted(subject.scope),
        "acr": subject.acr,
        "auth_time": _at(subject.auth_time) if subject.auth_time is not None else None,
        "actors": [{"iss": actor.iss, "sub": actor.sub} for actor in subject.actors],
        "token": subject.token_id,
    }


def _at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _demands(route: Route) -> dict[str, str]:
    """What the route asks of the caller's token."""
    policy = route.subject
    demands = {
        "issuers": ", ".join(sorted(policy.issuers)),
        "require_scope": " ".join(policy.require_scope),
        "require_claims": ", ".join(path for path, _ in policy.require_claims),
        "clients": ", ".join(sorted(policy.clients)),
        "acr_values": " ".join(policy.acr_values),
        "max_age": f"{policy.max_age} s" if policy.max_age is not None else "",
        "require_actor": "true" if policy.require_actor else "",
        "allowed_actors": ", ".join(sorted(map(str, policy.allowed_actors))),
        "max_actor_depth": str(policy.max_actor_depth),
    }
    return {name: value for name, value in demands.items() if value}


def _expected(expected: Expected) -> str:
    if expected.allowed is None:
        return "any"
    extra = expected.allowed - expected.required
    required = " ".join(sorted(expected.required)) or "none"
    return f"{required}, allows {' '.join(sorted(extra))}" if extra else required
