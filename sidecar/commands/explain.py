"""``sidecar explain``: tells what would become of a request, step by step, with a dry exchange.

It asks ``decide`` itself, so that what it tells is what the gateway does; only the exchange asks nobody.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import sidecar
from sidecar.commands.configuration import add_config, load_or_explain
from sidecar.config.problems import ConfigError
from sidecar.decide import decide
from sidecar.exchange.ask import Ask
from sidecar.exchange.plan import Plan
from sidecar.faces.forward import upstream_target
from sidecar.faces.problems import problem
from sidecar.inbound.accept import accept
from sidecar.model.decision import Decision
from sidecar.model.receipt import resource_server
from sidecar.model.refusal import Kind, Refusal, Refused
from sidecar.model.request import Fields, RequestHead
from sidecar.model.route import Exchange, Expected, Route
from sidecar.model.tokens import Subject
from sidecar.observe.metrics import Metrics
from sidecar.snapshot import Snapshot, build


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_config(parser)
    parser.add_argument("method", metavar="METHOD")
    parser.add_argument("url", metavar="URL", help="as the caller writes it: http://api.example.com/orders/1")
    parser.add_argument("-H", "--header", action="append", default=[], metavar="'NAME: VALUE'", help="another header")
    parser.add_argument("--listener", metavar="NAME", help="where there are several; the first by default")
    parser.add_argument("--token-file", metavar="FILE", help="the caller's token; its issuer is asked for its keys")


def run(arguments: argparse.Namespace) -> int:
    """Tell a request's way. 0 where it would be forwarded, 1 where it would be refused, 2 for bad input."""
    loaded = load_or_explain(arguments.config)
    if loaded is None:
        return 2
    try:
        snapshot = build(loaded, Metrics(sidecar.__version__))
        message = _message(arguments)
        listener = arguments.listener or next(iter(snapshot.listeners))
        if listener not in snapshot.listeners:
            raise ValueError(f"there is no listener {listener}; there are: {', '.join(snapshot.listeners)}")
    except (ConfigError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return asyncio.run(_explain(snapshot, message, listener))


@dataclass(frozen=True, slots=True)
class _Message:
    """A request as the server's parser would hand it on."""

    method: str
    path: str
    raw_headers: Fields
    version: tuple[int, int] = (1, 1)
    upgrade: bool = False


def _message(arguments: argparse.Namespace) -> _Message:
    """Return the request that the arguments describe. ValueError: they describe none."""
    url = urlsplit(arguments.url)
    if not url.scheme or not url.netloc:
        raise ValueError("URL: should be absolute, for example http://api.example.com/orders/1")
    target = (url.path or "/") + (f"?{url.query}" if "?" in arguments.url else "")
    fields = [(b"Host", url.netloc.encode())]
    for header in arguments.header:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise ValueError("--header: should be 'NAME: VALUE'")
        fields.append((name.strip().encode(), value.strip().encode()))
    if arguments.token_file is not None:
        try:
            token = Path(arguments.token_file).read_text("ascii").strip()
        except (OSError, UnicodeDecodeError):
            raise ValueError(f"--token-file: {arguments.token_file} can't be read") from None
        fields.append((b"Authorization", b"Bearer " + token.encode()))
    return _Message(arguments.method.upper(), target, tuple(fields))


async def _explain(snapshot: Snapshot, message: _Message, listener: str) -> int:
    asked: list[Ask] = []

    async def dry(plan: Plan, subject: Subject, _: RequestHead) -> None:
        asked.append(plan.asker.ask(subject, plan.actor.current() if plan.actor is not None else None))

    try:
        request = accept(
            message,
            snapshot.listeners[listener],
            peer="127.0.0.1",
            guarded=snapshot.guarded,
            own_via=b"sidecar-explain",
        )
    except Refused as refused:
        _tell("accept", _refused(refused.refusal))
        return 1
    try:
        decision = await decide(request, snapshot, dry)
    finally:
        await snapshot.close()
    for step, lines in _steps(snapshot, request, decision, asked[0] if asked else None):
        _tell(step, lines)
    return 1 if decision.refusal is not None else 0


def _tell(step: str, lines: list[str]) -> None:
    for number, line in enumerate(lines):
        print(f"{step if number == 0 else '':10}{line}")


def _steps(
    snapshot: Snapshot, request: RequestHead, decision: Decision, ask: Ask | None
) -> Iterator[tuple[str, list[str]]]:
    """Tell the steps that the request came through, and the one where it was refused."""
    route, subject, refusal = decision.route, decision.subject, decision.refusal
    others = [f"not {other.name} ({other.place}): {why}" for other, why in snapshot.table.near(request)]
    if route is None:
        yield "match", [*_refused(refusal), *others]
        return
    yield "match", [f"route {route.name} ({route.place})", *others]
    if route.exchange is None:
        yield "take", _refused(refusal) if refusal else ["exchange: none — no credential is needed, none is forwarded"]
    elif subject is None:
        yield (
            "verify" if refusal and refusal.kind in (Kind.INVALID_TOKEN, Kind.ISSUER_UNAVAILABLE) else "take",
            [*_refused(refusal), *_demands(route)],
        )
        return
    else:
        yield "take", [f"one token in {route.subject.header.title()}"]
        yield "verify", _subject(subject)
        if ask is None and refusal is not None and refusal.kind is not Kind.EXCHANGE_MISCONFIGURED:
            yield "allow", [*_refused(refusal), *_demands(route)]
            return
        yield "allow", ["yes", *_demands(route)]
        yield "exchange", [*_form(ask, route.exchange), *_expectations(route.exchange), *_refused(refusal)]
    if refusal is None:
        target = upstream_target(request, route).decode("ascii", "replace")
        origin = resource_server(replace(route.upstream, base_path=b""))  # the target has it
        yield "forward", [f"{request.method} {origin} {target}"]


def _refused(refusal: Refusal | None) -> list[str]:
    if refusal is None:
        return []
    lines = [f"refused: {problem(refusal, '').status} {refusal.kind.value} — {refusal.reason}"]
    return [*lines, f"because {refusal.finding}"] if refusal.finding else lines


def _subject(subject: Subject) -> list[str]:
    expires = datetime.fromtimestamp(subject.expires_at, UTC).isoformat(timespec="seconds")
    lines = [f"{subject.sub} of {subject.iss} (trusted issuer {subject.issuer}), until {expires}"]
    if subject.client_id is not None:
        lines.append(f"client {subject.client_id}")
    if subject.scope:
        lines.append(f"scope {' '.join(sorted(subject.scope))}")
    return [*lines, *(f"actor {actor.sub} of {actor.iss}" for actor in subject.actors)]


def _demands(route: Route) -> list[str]:
    """What the route asks of the caller's token."""
    policy = route.subject
    demands = {
        "issuers": ", ".join(sorted(policy.issuers)),
        "require_scope": " ".join(policy.require_scope),
        "require_claims": ", ".join(path for path, _ in policy.require_claims),
        "clients": ", ".join(sorted(policy.clients)),
        "max_actor_depth": str(policy.max_actor_depth),
    }
    return [f"{name}: {value}" for name, value in demands.items() if value]


def _form(ask: Ask | None, exchange: Exchange) -> list[str]:
    """The exact form, but for the tokens in it."""
    lines = [f"at {exchange.authorization_server}, with"]
    for name, value in ask.form if ask is not None else ():
        shown = "(the caller's)" if name == "subject_token" else "(ours)" if name == "actor_token" else value
        lines.append(f"  {name}={shown}")
    return lines


def _expectations(exchange: Exchange) -> list[str]:
    expect = exchange.expect
    lines = [f"expects audience {_expected(expect.audience)}", f"expects scope {_expected(expect.scope)}"]
    if expect.same_subject:
        lines.append("expects the same subject")
    if expect.semantics is not None:
        lines.append(f"expects {expect.semantics.value}")
    return lines


def _expected(expected: Expected) -> str:
    if expected.allowed is None:
        return "any"
    extra = expected.allowed - expected.required
    required = " ".join(sorted(expected.required)) or "none"
    return f"{required}, allows {' '.join(sorted(extra))}" if extra else required
