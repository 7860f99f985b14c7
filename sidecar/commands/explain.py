"""``sidecar explain``: tells what would become of a request, step by step, with a dry exchange.

It asks ``decide`` itself, so that what it tells is what the gateway does; only approval and exchange ask nobody.
Neither a token nor a secret is ever printed.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import sidecar
from sidecar.approval.question import Question
from sidecar.commands.configuration import add_config, load_or_explain
from sidecar.commands.steps import Step, Way, refused
from sidecar.config.loaded import Loaded
from sidecar.config.problems import ConfigError
from sidecar.decide import decide
from sidecar.exchange.ask import Ask
from sidecar.exchange.plan import Plan
from sidecar.exchange.workload.client_credentials import ClientCredentials
from sidecar.exchange.workload.source import WorkloadSource, workload_token
from sidecar.faces.problems import problem
from sidecar.inbound.accept import accept
from sidecar.model.approval import Approval, ApprovalPolicy
from sidecar.model.operation import Operation
from sidecar.model.refusal import Refused
from sidecar.model.request import Fields, RequestHead, by_name
from sidecar.model.route import Route
from sidecar.model.tokens import Subject, WorkloadToken
from sidecar.observe.metrics import Metrics
from sidecar.snapshot import Snapshot, build


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_config(parser)
    parser.add_argument("method", metavar="METHOD")
    parser.add_argument("url", metavar="URL", help="as the caller writes it: http://api.example.com/orders/1")
    parser.add_argument("-H", "--header", action="append", default=[], metavar="'NAME: VALUE'", help="another header")
    parser.add_argument(
        "--body", metavar="FILE", help="what is in the body, for a route with mcp; application/json where not said"
    )
    parser.add_argument("--listener", metavar="NAME", help="where there are several; the first by default")
    parser.add_argument("--token-file", metavar="FILE", help="the caller's token; its issuer is asked for its keys")
    parser.add_argument("--json", action="store_true", help="one JSON object, for programs")


def run(arguments: argparse.Namespace) -> int:
    """Tell a request's way. 0 where it would be forwarded, 1 where it would be refused, 2 for bad input."""
    loaded = load_or_explain(arguments.config)
    if loaded is None:
        return 2
    try:
        message, token = _message(arguments), _token(arguments.token_file)
        body = _body(arguments.body)
        if body is not None:
            message = with_body(message, body)
        snapshot = build(loaded, Metrics(sidecar.__version__))
        listener = arguments.listener or next(iter(snapshot.listeners))
        if listener not in snapshot.listeners:
            raise ValueError(f"there is no listener {listener}; there are: {', '.join(snapshot.listeners)}")
    except (ConfigError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2

    async def told() -> list[Step]:
        try:
            return await explain(loaded, snapshot, message, listener, token, body or b"")
        finally:
            await snapshot.close()

    steps = asyncio.run(told())
    if arguments.json:
        print(json.dumps(as_json(steps), indent=2))
    else:
        _print(steps)
    return 0 if steps[-1].refusal is None else 1


@dataclass(frozen=True, slots=True)
class Message:
    """A request as the server's parser would hand it on."""

    method: str
    path: str = field(repr=False)
    raw_headers: Fields = field(repr=False)
    version: tuple[int, int] = (1, 1)
    upgrade: bool = False


async def explain(
    loaded: Loaded, snapshot: Snapshot, message: Message, listener: str, token: str | None = None, body: bytes = b""
) -> list[Step]:
    """Return the steps of a request's way through a snapshot of a file; the last one says what becomes of it.

    token: the caller's, put into the field where the request's route looks for one. body: what the message carries.
    """
    asked: list[Ask] = []
    questions: list[Question] = []

    async def read(_: Route, most: int) -> bytes:
        return body[:most]  # the head says how long it is, and was judged by that

    async def unapproved(
        policy: ApprovalPolicy, plan: Plan, subject: Subject | None, request: RequestHead, operation: Operation | None
    ) -> Approval:
        if subject is not None:
            acting = await replace(plan, actor=_unasked(plan.actor)).acting(request)
            questions.append(Question(policy, plan.route, plan.exchange, subject, acting, request, operation))
        return Approval(policy.by)

    async def dry(plan: Plan, presented: Subject | None, request: RequestHead, _: Approval | None) -> None:
        unasked = replace(plan, subject=_unasked(plan.subject), actor=_unasked(plan.actor))
        asked.append((await unasked.ask(presented, request))[2])

    try:
        request = _accepted(snapshot, message, listener)
        if token is not None:
            carried = _credential(snapshot, request, token)
            request = _accepted(snapshot, replace(message, raw_headers=(*message.raw_headers, carried)), listener)
    except Refused as caught:
        return [Step("accept", refused(caught.refusal), {}, (), caught.refusal)]
    decision = await decide(request, snapshot, dry, read, approve=unapproved)
    told = Way(loaded, snapshot.table, request, decision, next(iter(asked), None), next(iter(questions), None))
    return list(told.steps())


@dataclass(frozen=True, slots=True)
class _Unasked:
    """Stands for a workload token that a server would be asked for: of a dry exchange only the form is told."""

    source: ClientCredentials

    async def current(self, _: RequestHead) -> WorkloadToken:
        return workload_token(self.source.name, self.source.token_type, "not-asked-for")

    def doubt(self) -> None:
        """Nothing is refused here."""


def _unasked(source: WorkloadSource | None) -> WorkloadSource | None:
    return _Unasked(source) if isinstance(source, ClientCredentials) else source


def as_json(steps: Sequence[Step]) -> dict[str, Any]:
    """Return what was told as one JSON object."""
    refusal = steps[-1].refusal
    return {
        "outcome": "forwarded" if refusal is None else "refused",
        "status": problem(refusal, "").status if refusal is not None else None,
        "kind": refusal.kind.value if refusal is not None else None,
        "reason": refusal.reason if refusal is not None else None,
        "finding": (refusal.finding or None) if refusal is not None else None,
        "steps": [
            {
                "step": step.name,
                "passed": step.refusal is None,
                **step.facts,
                "keys": [{"key": key.name, "place": key.place, "written": key.written} for key in step.keys],
            }
            for step in steps
        ],
    }


def _message(arguments: argparse.Namespace) -> Message:
    """Return the request that the arguments describe, without the token. ValueError: they describe none."""
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
    return Message(arguments.method.upper(), target, tuple(fields))


def with_body(message: Message, body: bytes) -> Message:
    """Return a message whose head says that this is its body."""
    fields = (*message.raw_headers, (b"Content-Length", b"%d" % len(body)))
    if b"content-type" not in by_name(fields):
        fields += ((b"Content-Type", b"application/json"),)
    return replace(message, raw_headers=fields)


def _body(path: str | None) -> bytes | None:
    """Return what a file holds. ValueError: it can't be read."""
    try:
        return None if path is None else Path(path).read_bytes()
    except OSError:
        raise ValueError(f"--body: {path} can't be read") from None


def _token(path: str | None) -> str | None:
    """Return what a token file holds. ValueError: it can't be read."""
    try:
        return None if path is None else Path(path).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise ValueError(f"--token-file: {path} can't be read") from None


def _accepted(snapshot: Snapshot, message: Message, listener: str) -> RequestHead:
    return accept(
        message, snapshot.listeners[listener], peer="127.0.0.1", guarded=snapshot.guarded, own_via=b"sidecar-explain"
    )


def _credential(snapshot: Snapshot, request: RequestHead, token: str) -> tuple[bytes, bytes]:
    """The field that carries a token for this request: ``Authorization`` where no route says otherwise."""
    try:
        header = snapshot.table.match(request).subject.header
    except Refused:
        header = "authorization"
    if header == "authorization":
        return b"Authorization", b"Bearer " + token.encode()
    return header.encode(), token.encode()


def _print(steps: Sequence[Step]) -> None:
    for step in steps:
        keys = [f"by {key.name} ({key.place}{'' if key.written else ', left out'})" for key in step.keys]
        for number, line in enumerate([*step.lines, *keys]):
            # A claim may hold what would move a terminal's cursor.
            print(f"{step.name if number == 0 else '':10}{line if line.isprintable() else json.dumps(line)}")
