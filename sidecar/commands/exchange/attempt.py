"""One real exchange, made as the gateway would make it, step by step.

Verifier, checks, plan and the judgement of the reply are the gateway's own; only its cache, receipts and metrics are
left out. What is told are claims, names and times, never a token or a secret (RFC 8693 §2.2 for the reply).
"""

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from sidecar.caller.take import Credential
from sidecar.commands.exchange.fault import Fault, Faults, Party, why
from sidecar.commands.exchange.watch import Watch
from sidecar.config.loaded import Loaded
from sidecar.exchange.ask import SHOWN
from sidecar.exchange.expect import judge
from sidecar.exchange.plan import Plan
from sidecar.exchange.reply import peek_issued
from sidecar.faces.problems import problem
from sidecar.model.refusal import Refusal, Refused
from sidecar.model.request import RequestHead
from sidecar.model.route import Expect, Expected
from sidecar.model.tokens import IssuedToken, Subject
from sidecar.oauth.jwks import IssuerUnavailable
from sidecar.oauth.jwt import JWTError, peek
from sidecar.oauth.server import TokenReply
from sidecar.observe.logs import redact
from sidecar.policy import CHECKS, allow_actor
from sidecar.snapshot import Snapshot

_WORD: Final = re.compile(r"[A-Za-z0-9\-._~+/=]{16,}")
_SHORTEST_SECRET: Final = 8  # characters; hiding a shorter one would hide ordinary words
#: A token that a trusted hop puts into each request can't be had here.
_NO_REQUEST: Final = RequestHead("", "GET", b"/", None, "", b"", (), (1, 1), "http", None, None, False, False, "")


class Attempt:
    """One exchange, step by step as ``decide`` goes; each step leaves what it found to be told."""

    def __init__(self, loaded: Loaded, snapshot: Snapshot, plan: Plan, token: str, watch: Watch) -> None:
        self._snapshot, self._plan, self._watch = snapshot, plan, watch
        self._section = loaded.config.authorization_servers[plan.exchange.authorization_server]
        self._faults = Faults(loaded, plan)
        self._token = token
        self._secrets = {token, _client_secret(self._section.client_auth)}
        self._told: dict[str, Any] = {"route": f"{plan.route.name} ({plan.route.place})", "subject": {}, "checks": {}}
        self._unavailable = ""
        self._blamed: Callable[[Refusal], Fault] = lambda refusal: self._faults.subject(refusal, self._unavailable)

    async def made(self) -> dict[str, Any]:
        """Make it; return what is told, without anything that is a secret."""
        told, refusal = self._told, None
        try:
            presented = None
            if self._plan.route.subject.issuers:
                presented = await self._verified()
                await self._allowed(presented)
            await self._exchanged(presented)
        except Refused as refused:
            refusal = refused.refusal
        finally:
            await self._snapshot.close()
        told["timings"] = {step: f"{seconds * 1000:.1f} ms" for step, seconds in self._watch.timings.items()}
        told["outcome"] = "issued"
        if refusal is not None:
            told["outcome"] = f"refused: {problem(refusal, '').status} {refusal.kind.value}"
            told["fault"] = self._blamed(refusal)
        return {name: _without(value, self._secrets) for name, value in told.items()}

    async def _verified(self) -> Subject:
        """Verify the caller's token; its issuer's keys are fetched first, to tell how long that takes."""
        told, allowed = self._told, self._plan.route.subject.issuers
        with suppress(JWTError):
            told["subject"] = peek(self._token).claims
        for candidate in self._snapshot.verifier.candidates(self._token, allowed):
            if candidate.keys is not None:
                began = time.monotonic()
                try:
                    await candidate.keys.keys()
                except IssuerUnavailable as error:
                    self._unavailable = error.reason
                self._watch.timings["keys"] = time.monotonic() - began
        told["checks"]["token"] = "no"
        subject = await self._snapshot.verifier.verify(Credential(self._token), allowed)
        told["subject"] = subject.claims  # what introspection said of an opaque one
        told["checks"]["token"] = f"yes: {subject.sub}, by trusted issuer {subject.issuer}"
        return subject

    async def _allowed(self, subject: Subject) -> None:
        """Make every check of the route, and refuse by the first that says no."""
        policy, now = self._plan.route.subject, self._snapshot.verifier.clock.wall()
        refusals = {name: check(policy, subject, now) for name, check in CHECKS.items()}
        for name, refusal in refusals.items():
            self._told["checks"][name] = f"no: {why(refusal)}" if refusal else "yes"
        self._blamed = partial(self._faults.named, Party.CALLER)
        for refusal in refusals.values():
            if refusal is not None:
                raise Refused(refusal)
        if "may_act" in subject.claims and self._plan.subject is None:
            self._told["checks"]["may_act"] = "no"
            allow_actor(subject, await self._plan.next_actor(_NO_REQUEST))
            self._told["checks"]["may_act"] = "yes"
        if (approval := self._plan.route.approval) is not None:
            self._told["checks"]["approval"] = f"not asked for here: {approval.by} is asked about requests"

    async def _exchanged(self, presented: Subject | None) -> None:
        """Ask the server, and tell what was asked, what it said, and what was expected."""
        plan, told = self._plan, self._told
        self._blamed = self._faults.own_token
        subject, actor, ask = await plan.ask(presented, _NO_REQUEST)
        self._secrets |= {subject.token, actor.token if actor is not None else ""}
        hidden = {**SHOWN, **dict.fromkeys(self._section.extra_params, "(from extra_params)")}  # which may be a secret
        if subject.workload is not None:
            hidden |= {"subject_token": "(ours)", "assertion": "(ours)"}
        told["form"] = [[name, hidden.get(name, value)] for name, value in ask.form]
        self._blamed = lambda refusal: self._faults.exchange(refusal, self._watch.error)
        try:
            issued, times = await self._watch.over(plan).carry_out(ask, subject, 0.0)
        finally:
            self._watch.timings["reply"] = time.monotonic() - self._watch.ended
            self._tell_answer()
        told |= {"verified": issued.verified, "lifetime": f"{times.life:.0f} s"}
        told["expect"] = dict(_compared(plan.exchange.expect, issued, subject))
        if (refusal := judge(issued, plan.exchange.expect, subject)) is not None:
            raise Refused(refusal)

    def _tell_answer(self) -> None:
        """Tell what a reply holds, also one that must not be used."""
        if not isinstance(answer := self._watch.answer, TokenReply):
            return
        shown = ("issued_token_type", "token_type", "expires_in", "scope")
        self._told["reply"] = {name: answer.members[name] for name in shown if name in answer.members}
        self._secrets |= {str(value) for name, value in answer.members.items() if "token" in name and name not in shown}
        if (signed := peek_issued(answer.members)) is not None:
            self._told["issued"] = signed.claims


def _compared(expect: Expect, issued: IssuedToken, subject: Subject) -> Iterator[tuple[str, str]]:
    """What the route expects of the issued token, part by part, and what it found."""
    semantics = expect.semantics.value if expect.semantics is not None else "any"
    parts = (
        ("audience", Expect(audience=expect.audience, same_subject=False), _expected(expect.audience), issued.audience),
        ("scope", Expect(scope=expect.scope, same_subject=False), _expected(expect.scope), issued.scope),
        ("subject", Expect(same_subject=expect.same_subject), "same" if expect.same_subject else "any", issued.sub),
        ("semantics", Expect(same_subject=False, semantics=expect.semantics), semantics, issued.semantics.value),
    )
    for name, part, wanted, found in parts:
        seen = " ".join(sorted(found)) if isinstance(found, frozenset) else found
        answer = "no" if judge(issued, part, subject) else "yes"
        yield name, f"{answer}: expected {wanted}, found {'(not told)' if seen is None else seen or '(none)'}"


def _expected(expected: Expected) -> str:
    if expected.allowed is None:
        return "any"
    required, allowed = (" ".join(sorted(names)) or "none" for names in (expected.required, expected.allowed))
    return f"{required} (allowed: {allowed})"


def _client_secret(auth: object) -> str:
    """The secret or JWT we authenticate with, so that a server that repeats it is not repeated here."""
    if file := getattr(auth, "client_secret_file", None) or getattr(auth, "jwt_file", None):
        return Path(file).read_text("utf-8", "replace").rstrip("\r\n")  # it was read a moment ago
    return os.environ.get(getattr(auth, "client_secret_env", None) or "", "")


def _without(value: Any, secrets: set[str]) -> Any:
    """A copy of a JSON value in which no text holds a secret, a piece of one (a code is cut), or what looks so."""
    if isinstance(value, Mapping):
        return {_without(name, secrets): _without(member, secrets) for name, member in value.items()}
    if isinstance(value, list):
        return [_without(entry, secrets) for entry in value]
    if not isinstance(value, str):
        return value
    pieces = [word for word in _WORD.findall(value) if any(word in secret for secret in secrets)]
    pieces += [part for secret in secrets for part in (secret, *secret.split(".")) if len(part) >= _SHORTEST_SECRET]
    for piece in sorted(pieces, key=len, reverse=True):
        value = value.replace(piece, "[secret]")
    return redact(value)
