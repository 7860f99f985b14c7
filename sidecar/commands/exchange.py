"""``sidecar exchange``: makes one real exchange as the gateway would, and tells whose fault a failure is.

Verifier, checks, plan and the judgement of the reply are the gateway's own; only its cache, receipts and metrics are
left out. What is told are claims, names and times, never a token or a secret (RFC 8693 §2.2 for the reply).
"""

import argparse
import asyncio
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from functools import partial
from pathlib import Path as FilePath
from typing import Any, Final, cast

import sidecar
from sidecar.caller.take import Credential
from sidecar.commands.configuration import add_config, load_or_explain
from sidecar.config.loaded import Loaded
from sidecar.config.problems import ConfigError, Path, show
from sidecar.exchange.expect import judge
from sidecar.exchange.plan import Plan
from sidecar.exchange.reply import peek_issued
from sidecar.faces.problems import problem
from sidecar.model.clock import Clock
from sidecar.model.refusal import Kind, Refusal, Refused
from sidecar.model.route import Expect, Expected
from sidecar.model.tokens import IssuedToken, Subject
from sidecar.oauth.http import Flaw
from sidecar.oauth.jwks import IssuerUnavailable
from sidecar.oauth.jwt import JWTError, peek
from sidecar.oauth.server import AuthorizationServer, ErrorReply, TokenReply
from sidecar.observe.logs import redact
from sidecar.observe.metrics import Metrics
from sidecar.policy import CHECKS
from sidecar.snapshot import Snapshot, build

_TOKEN: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*")  # RFC 6750 §2.1
_WORD: Final = re.compile(r"[A-Za-z0-9\-._~+/=]{16,}")
_SHORTEST_SECRET: Final = 8  # characters; hiding a shorter one would hide ordinary words


class Party(StrEnum):
    """Whose fault a failure is."""

    CALLER = "the caller's token"
    CONFIGURATION = "our configuration"
    CREDENTIALS = "our credentials"
    POLICY = "the authorization server's policy"
    SERVER = "the authorization server's health"
    REPLY = "the authorization server's reply"
    ISSUER = "the issuer's health"


#: What an error code says where its kind is EXCHANGE_MISCONFIGURED: who, what it means, which key counts.
_CODES: Final[Mapping[str, tuple[Party, str, str]]] = {
    "invalid_request": (Party.CONFIGURATION, "it does not take this form", "exchange"),
    "invalid_target": (Party.CONFIGURATION, "it has no such audience or resource for this client", "exchange.audience"),
    "invalid_client": (Party.CREDENTIALS, "it does not accept who we say we are", "credentials"),
    "unauthorized_client": (Party.CREDENTIALS, "this client may not exchange tokens there", "client_auth.client_id"),
    "unsupported_grant_type": (Party.CONFIGURATION, "it makes no token exchanges", "endpoint"),
    "unsupported_token_type": (
        Party.CONFIGURATION,
        "it does not know a type of token in the form",
        "exchange.requested_token_type",
    ),
}
#: The same for the kinds, whatever code it was.
_KINDS: Final[Mapping[Kind, tuple[Party, str, str]]] = {
    Kind.INVALID_TOKEN: (Party.CALLER, "it does not accept the caller's token", ""),
    Kind.STEP_UP_REQUIRED: (Party.CALLER, "it wants another authentication of the caller", ""),
    Kind.INSUFFICIENT_SCOPE: (Party.POLICY, "it does not give this scope", "exchange.scope"),
    Kind.EXCHANGE_DENIED: (Party.POLICY, "it denies this exchange", "exchange"),
    Kind.EXCHANGE_MISCONFIGURED: _CODES["invalid_request"],
    Kind.EXCHANGE_UNAVAILABLE: (Party.SERVER, "it can't answer now", "endpoint"),
    Kind.EXCHANGE_TIMEOUT: (Party.SERVER, "it takes longer than it may", "timeout"),
}
#: Of a refused subject token: a part of what was found, and the key of its trusted issuer that counts.
_ISSUER_KEYS: Final = {
    "not meant for this gateway": "audience",
    "token_profile": "token_profile",
    "algorithm is not allowed": "algorithms",
    "no key fits": "keys",  # wherever they are
    "signature does not verify": "keys",
}
_KEY_IN_FINDING: Final = re.compile(r"(?:dialect_overrides|exchange)\.[a-z_.]*[a-z]")
#: One of these is in every reason that tells of a peer's state, none in one that a wrong address would explain.
_HEALTH: Final = ("connection", "in time", "server")


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_config(parser)
    parser.add_argument("--route", required=True, metavar="NAME")
    parser.add_argument("--subject-token-file", required=True, metavar="FILE", help="the caller's token")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")


def run(arguments: argparse.Namespace) -> int:
    """Make one exchange. 0 where a token was issued that the route may use, 1 where not, 2 for bad input."""
    loaded = load_or_explain(arguments.config)
    if loaded is None:
        return 2
    watch = _Watch()
    try:
        snapshot = build(loaded, Metrics(sidecar.__version__), Clock(wall=watch.wall))
        plan, token = _plan(snapshot, arguments.route), _token(arguments.subject_token_file)
    except (ConfigError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    told = asyncio.run(_Attempt(loaded, snapshot, plan, token, watch).made())
    if arguments.json:
        print(json.dumps(told, indent=2))
    else:
        for title, value in told.items():
            for number, line in enumerate(_lines(value["sentence"] if title == "fault" else value)):
                print(f"{title if number == 0 else '':12}{line}")
    return 0 if told["outcome"] == "issued" else 1


def _plan(snapshot: Snapshot, name: str) -> Plan:
    """Return a route's plan. ValueError: there is none."""
    if name not in snapshot.plans:
        raise ValueError(f"--route: {name} is no route that exchanges; there are: {', '.join(snapshot.plans)}")
    return snapshot.plans[name]


def _token(path: str) -> str:
    """Return the token in a file. ValueError: it can't be read, or holds something else."""
    try:
        token = FilePath(path).read_text("ascii").strip()
    except (OSError, ValueError):
        raise ValueError(f"--subject-token-file: {path} can't be read") from None
    if not _TOKEN.fullmatch(token):
        raise ValueError(f"--subject-token-file: {path} does not hold one token")
    return token


class _Watch:
    """Stands in for a plan's server, of which only ``token_request`` is called: keeps the answer and the times.

    Its wall clock is read when a form is sent, and not before: that is where discovery ends. timings: seconds.
    """

    def __init__(self) -> None:
        self.answer: TokenReply | ErrorReply | None = None
        self.timings: dict[str, float] = {}
        self.ended = 0.0
        self._looks: list[float] = []

    def wall(self) -> float:
        self._looks.append(time.monotonic())
        return time.time()

    def over(self, plan: Plan) -> Plan:
        """Return the plan with its server watched; what the route expects is left to be judged afterwards."""
        self._server = plan.server
        exchange = replace(plan.exchange, expect=Expect(same_subject=False))
        return replace(plan, exchange=exchange, server=cast(AuthorizationServer, self))

    async def token_request(self, pairs: Sequence[tuple[str, str]]) -> TokenReply | ErrorReply:
        began = time.monotonic()
        self._looks.clear()
        try:
            self.answer = await self._server.token_request(pairs)
            return self.answer
        finally:
            self.ended = time.monotonic()
            sent = self._looks[0] if self._looks else self.ended
            self.timings |= {"discovery": sent - began, "exchange": self.ended - sent}


class _Attempt:
    """One exchange, step by step as ``decide`` goes; each step leaves what it found to be told."""

    def __init__(self, loaded: Loaded, snapshot: Snapshot, plan: Plan, token: str, watch: _Watch) -> None:
        self._loaded, self._snapshot, self._plan, self._watch = loaded, snapshot, plan, watch
        name = plan.exchange.authorization_server
        self._section = loaded.config.authorization_servers[name]
        self._server: Path = ("authorization_servers", name)
        self._route: Path = ("routes", [route.name for route in loaded.config.routes].index(plan.route.name))
        self._token = token
        self._secrets = {token, _client_secret(self._section.client_auth)}
        self._told: dict[str, Any] = {"route": f"{plan.route.name} ({plan.route.place})", "subject": {}, "checks": {}}
        self._issuer: str | None = None
        self._unavailable = ""
        self._blamed: Callable[[Refusal], None] = self._blame_subject

    async def made(self) -> dict[str, Any]:
        """Make it; return what is told, without anything that is a secret."""
        told, refusal = self._told, None
        try:
            subject = await self._verified()
            self._allowed(subject)
            await self._exchanged(subject)
        except Refused as refused:
            refusal = refused.refusal
        finally:
            await self._snapshot.close()
        told["timings"] = {step: f"{seconds * 1000:.1f} ms" for step, seconds in self._watch.timings.items()}
        told["outcome"] = "issued"
        if refusal is not None:
            told["outcome"] = f"refused: {problem(refusal, '').status} {refusal.kind.value}"
            self._blamed(refusal)
        return {name: _without(value, self._secrets) for name, value in told.items()}

    async def _verified(self) -> Subject:
        """Verify the caller's token; its issuer's keys are fetched first, to tell how long that takes."""
        told, allowed = self._told, self._plan.route.subject.issuers
        with suppress(JWTError):
            told["subject"] = peek(self._token).claims
        for candidate in self._snapshot.verifier.issuers:
            if candidate.name in allowed and candidate.iss == told["subject"].get("iss"):
                self._issuer, began = candidate.name, time.monotonic()
                try:
                    await candidate.keys.keys()
                except IssuerUnavailable as error:
                    self._unavailable = error.reason
                self._watch.timings["keys"] = time.monotonic() - began
        told["checks"]["token"] = "no"
        subject = await self._snapshot.verifier.verify(Credential(self._token), allowed)
        told["checks"]["token"] = f"yes: {subject.sub}, by trusted issuer {subject.issuer}"
        return subject

    def _allowed(self, subject: Subject) -> None:
        """Make every check of the route, and refuse by the first that says no."""
        policy = self._plan.route.subject
        refusals = {name: check(policy, subject) for name, check in CHECKS.items()}
        for name, refusal in refusals.items():
            self._told["checks"][name] = f"no: {_why(refusal)}" if refusal else "yes"
        for name, refusal in refusals.items():
            if refusal is not None:
                self._blamed = partial(self._blame_key, Party.CALLER, (*self._route, "subject", name))
                raise Refused(refusal)

    async def _exchanged(self, subject: Subject) -> None:
        """Ask the server, and tell what was asked, what it said, and what was expected."""
        plan, told = self._plan, self._told
        key = ("workload_tokens", plan.exchange.actor_token or "", "file")
        self._blamed = partial(self._blame_key, Party.CONFIGURATION, key)
        actor = plan.actor.current() if plan.actor is not None else None
        ask = plan.asker.ask(subject, actor)
        self._secrets.add(actor.token if actor is not None else "")
        hidden = {"subject_token": "(the caller's)", "actor_token": "(ours)"}
        hidden |= dict.fromkeys(self._section.extra_params, "(from extra_params)")  # it may hold a secret
        told["form"] = [[name, hidden.get(name, value)] for name, value in ask.form]
        self._blamed = self._blame_exchange
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

    def _blame_key(self, party: Party, key: Path, refusal: Refusal) -> None:
        self._blame(party, _why(refusal), key)

    def _blame_subject(self, refusal: Refusal) -> None:
        why = _why(refusal)
        if self._issuer is None:
            return self._blame(Party.CALLER, why, self._key("issuers") if "no trusted issuer" in why else None)
        path: Path = ("trusted_issuers", self._issuer)
        names = ("jwks_file", "jwks_uri", "discovery_url", "issuer", "authorization_server")
        keys = _first(path, self._loaded.config.trusted_issuers[self._issuer], names)
        if refusal.kind is Kind.ISSUER_UNAVAILABLE:
            return self._blame_peer(Party.ISSUER, self._unavailable or why, path, keys)
        found = next((key for part, key in _ISSUER_KEYS.items() if part in why), None)
        return self._blame(Party.CALLER, why, keys if found == "keys" else (*path, found) if found else None)

    def _blame_exchange(self, refusal: Refusal) -> None:
        kind, why, code = refusal.kind, _why(refusal), getattr(self._watch.answer, "error", None)
        if kind is Kind.EXCHANGE_UNUSABLE:
            return self._blame(Party.REPLY, why, self._key_of_reply(why, code))
        if kind is Kind.EXCHANGE_UNAVAILABLE and code is None:
            return self._blame_peer(Party.SERVER, why, self._server, self._key("endpoint"))
        codes = _CODES if kind is Kind.EXCHANGE_MISCONFIGURED else {}
        party, means, key = codes.get(code or "", _KINDS[kind])
        return self._blame(party, f"{why}, so {means}", self._key(key) if key else None)

    def _blame_peer(self, health: Party, why: str, peer: Path, where: Path) -> None:
        """Tell a peer that is down from one that is asked wrongly."""
        if "certificate" in why or "TLS" in why:
            return self._blame(Party.CONFIGURATION, why, (*peer, "tls"))
        return self._blame(health if any(word in why for word in _HEALTH) else Party.CONFIGURATION, why, where)

    def _key_of_reply(self, why: str, code: str | None) -> Path | None:
        """The key that would let a reply pass, or that may name the wrong place."""
        if (named := _KEY_IN_FINDING.search(why)) is not None:
            return self._key(named[0])
        if code is not None:
            return self._key("dialect_overrides.errors")
        astray = why in list(Flaw) or "without an OAuth error code" in why or why.startswith("metadata:")
        return self._key("endpoint") if astray else None

    def _key(self, name: str) -> Path:
        """A key of the route's exchange or of its server."""
        if name == "endpoint":
            return _first(self._server, self._section, ("token_endpoint", "discovery_url", "issuer"))
        if name == "issuers":
            return (*self._route, "subject", name)
        if name == "credentials":
            names = ("client_secret_file", "client_secret_env", "key_file", "client_id", "method")
            return _first((*self._server, "client_auth"), self._section.client_auth, names)
        if name == "exchange.audience" and self._plan.exchange.resource and not self._plan.exchange.audience:
            name = "exchange.resource"
        return (*(self._route if name.startswith("exchange") else self._server), *name.split("."))

    def _blame(self, party: Party, why: str, key: Path | None) -> None:
        """Put whose fault it is into one sentence."""
        place = self._loaded.place(key) if key is not None else None
        named = f"the key is {show(key)} ({place})" if key is not None else "no key of the file changes that"
        self._told["fault"] = {
            "party": party.value,
            "key": show(key) if key is not None else None,
            "place": place,
            "sentence": f"The fault lies with {party.value}: {why}; {named}.",
        }


def _why(refusal: Refusal) -> str:
    return refusal.finding or refusal.reason.rstrip(".")


def _first(path: Path, section: object, names: Sequence[str]) -> Path:
    """The first of these keys that a section has."""
    return (*path, next(name for name in names if getattr(section, name, None) is not None))


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
    """The secret we authenticate with, so that a server that repeats it is not repeated here."""
    if file := getattr(auth, "client_secret_file", None):
        return FilePath(file).read_text("utf-8", "replace").rstrip("\r\n")  # it was read a moment ago
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


def _lines(value: Any) -> list[str]:
    """A part of what is told, as text of which nothing can move a terminal's cursor."""
    if isinstance(value, dict | list):
        return [": ".join(map(_plain, pair)) for pair in (value.items() if isinstance(value, dict) else value)]
    return [_plain(value)]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) and value.isprintable() else json.dumps(value)
