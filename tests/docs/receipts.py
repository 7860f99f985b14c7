"""Makes the table of a receipt's members: which events have them, from lines that the journal wrote, and what they say.

The rest of that page is written by hand; only what stands under the table's heading is made.
"""

import asyncio
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from sidecar.model.approval import Approval
from sidecar.model.decision import CacheResult, Decision, Exchanged, Grant
from sidecar.model.flush import Flushed, Selection
from sidecar.model.operation import Operation
from sidecar.model.receipt import Event
from sidecar.model.refusal import Kind, Refusal, StepUp
from sidecar.model.tokens import JWT, Actor, WorkloadToken
from sidecar.observe import chain, receipt_line
from sidecar.observe.journal import Journal
from sidecar.observe.line_writer import LineWriter
from sidecar.observe.metrics import Metrics
from sidecar.observe.receipts import Receipts, dropped
from tests.docs.pages import ROOT
from tests.docs.reference import Undescribed
from tests.support import values

PAGE: Final = ROOT / "docs" / "receipts.md"
HEADING: Final = "## Every member\n"

BEFORE: Final = """
This table is made from the code. A member that has no value is left out; nothing is ever null or empty for that.
A `dropped` line is no receipt, and has few of them: `time`, `event`, `count`, and `prev` where there is a chain.

| member | in | says |
| --- | --- | --- |
"""

MEANING: Final[Mapping[str, str]] = {
    "prev": "where `chain` is on: the SHA-256 of the whole line before",
    "time": "when the line was made: the end of what it tells; UTC",
    "event": "`exchange`, `use`, `refusal`, `flush` or `dropped`",
    "count": "receipts that were never written, between the line before this one and `time`",
    "request_id": "`X-Request-ID`, the caller's or one of ours. Of an exchange: that of the request that caused it",
    "method": "the request's",
    "path": "as it came, without its query; a token that was pasted into it is `[token]`",
    "route": "the route's name. A flush has what was selected: a route, a subject or a server; where it has none, all",
    "upstream": "the resource server: where the route forwards to",
    "traceparent": "as it came (W3C Trace Context); with [tracing](tracing.md) on, as it went on",
    "exchange_id": "which exchange issued the token; all uses of one have the same",
    "client_id": "the subject token's `client_id` or `azp`",
    "subject": "for whom: who the subject token is about",
    "subject.iss": "who says so",
    "subject.sub": "its name; with `subject: hashed`, `hmac:` and 32 hex digits",
    "subject.acr": "how strong the login was, as the token says",
    "subject_source": "`caller`, or `workload`: the exchange began with a token of the gateway's own",
    "subject_token": "what was exchanged",
    "subject_token.type": "its token type, a URI (RFC 8693 §3)",
    "subject_token.id": "`jti:…`, or `sha256:` and 16 hex digits",
    "caller": "who called, where that was checked and a token of the gateway's own was exchanged",
    "caller.iss": "who says so",
    "caller.sub": "its name, as `subject.sub`",
    "caller.acr": "how strong the login was",
    "caller.client_id": "the client",
    "caller_token": "what was presented, and goes nowhere",
    "caller_token.type": "its token type",
    "caller_token.id": "as above",
    "actor_token": "what proved who acts",
    "actor_token.type": "its token type",
    "actor_token.id": "as above",
    "authorization_server": "its name in the configuration",
    "requested": "what the exchange asked for",
    "requested.audience": "RFC 8693 §2.1",
    "requested.resource": "RFC 8707",
    "requested.scope": "RFC 8693 §2.1",
    "requested.type": "`requested_token_type`",
    "requested.authorization_details": "RFC 9396",
    "semantics": "what the issued token shows: `delegation` (an actor), `impersonation` (none), `unknown` (nobody here "
    "can read it)",
    "issued_token": "what came of it; only where a token was issued",
    "issued_token.type": "its token type",
    "issued_token.id": "as above",
    "issued_token.issuer": "its `iss`",
    "issued_token.audience": "its `aud`, sorted; left out where nobody here can read it",
    "issued_token.scope": "what was granted, sorted",
    "issued_token.authorization_details": "what was granted of those",
    "issued_token.lifetime": "seconds it was issued for",
    "actor": "who acts, outermost first: the issued token's `act`, or the subject token's where that can't be read",
    "actor[].iss": "who names the actor",
    "actor[].sub": "the actor's name",
    "approval": "someone else's yes or no",
    "approval.by": "the approver's name in the configuration",
    "approval.id": "what the approver calls it",
    "approval.decision": "`approved`, `denied`, or `unavailable` where there was no answer",
    "approval.reason": "why, in the approver's words",
    "approval.age_s": "seconds since the approver was asked",
    "approval.arguments": "the digest of the named arguments",
    "tool": "which [tool](mcp.md) was called, as far as it may be shown",
    "claimed_task": "what the caller says it is for: nobody checked that",
    "cache": "how the token was come by: `miss`, `hit`, `coalesced`, `refreshed`",
    "decision": "`allowed`, or the [kind](errors.md) of the refusal",
    "reason": "what the caller was told, one constant sentence",
    "finding": "what was found, for operators alone",
    "step_up": "which login is asked for",
    "step_up.acr_values": "one of these",
    "step_up.max_age": "not older, in seconds",
    "status": "what the caller was answered; 499 where it had left",
    "duration_ms": "of the exchange, or of the whole request",
    "flushed": "how much was forgotten",
    "flushed.issued_tokens": "cached tokens",
    "flushed.refusals": "refusals that were remembered of an authorization server",
    "flushed.exchanges": "exchanges under way; their tokens are for those alone who waited for them already",
    "flushed.verified_tokens": "callers' tokens, whose signature is checked again",
    "flushed.introspections": "what servers said of tokens",
    "flushed.workload_tokens": "tokens of the gateway's own, from client credentials",
    "flushed.approvals": "approvers' yeses that would have counted again",
}


def page() -> str:
    """Return the page with its table made anew. Undescribed: a member has no word, or no example here."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, after = text.partition(HEADING)
    _, heading, rest = after.partition("\n## ")
    return before + HEADING + BEFORE + "\n".join(_rows()) + "\n" + heading + rest


def _rows() -> Iterator[str]:
    seen: dict[str, list[str]] = {}
    for line in lines():
        for path in paths(json.loads(line)):
            events = seen.setdefault(path, [])
            if (event := json.loads(line)["event"]) not in events:
                events.append(event)
    if unknown := seen.keys() - MEANING.keys():
        raise Undescribed(f"no word for {', '.join(sorted(unknown))}: tests/docs/receipts has them")
    known = {path.rpartition(".")[2] for path in seen}
    if missing := written() - known:
        raise Undescribed(f"no example of {', '.join(sorted(missing))}: tests/docs/receipts makes them")
    if gone := MEANING.keys() - seen.keys():
        raise Undescribed(f"no such member: {', '.join(sorted(gone))}")
    for path, says in MEANING.items():
        yield f"| `{path}` | {_events(seen[path])} | {says} |"


def _events(events: list[str]) -> str:
    missing = {*Event} - {*events} - {Event.DROPPED}
    if missing <= {Event.FLUSH}:
        return "all but `flush`" if missing else "all"
    return ", ".join(f"`{event}`" for event in events)


def paths(value: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Return every member's path, but what is in authorization details, which are whatever their type says."""
    for name, member in value.items():
        yield (path := above + name)
        if isinstance(member, dict):
            yield from paths(member, f"{path}.")
        elif isinstance(member, list) and name != "authorization_details":
            for each in member:
                if isinstance(each, dict):
                    yield from paths(each, f"{path}[].")


def written() -> set[str]:
    """Return all names of members that the code writes."""
    sources = inspect.getsource(receipt_line) + inspect.getsource(chain)
    names = re.findall(r'"(\w+)"\s*:', sources) + re.findall(r'members\["(\w+)"\]', sources)
    return set(names)


def lines() -> list[str]:
    """Return receipts in which every member is there at least once."""
    with TemporaryDirectory() as folder:
        asyncio.run(_write(Path(folder) / "receipts"))
        return (Path(folder) / "receipts").read_text(encoding="ascii").splitlines()


async def _write(sink: Path) -> None:
    writer = LineWriter(str(sink), lambda _: None, chained=True)
    writer.start()
    journal = Journal(Metrics("1"), Receipts(writer))
    details = ('{"type":"payment"}',)
    asked = values.exchange(resource=("urn:r",), requested_token_type=JWT, authorization_details=details)
    actors = (Actor("https://login.example", "agent-7"),)
    request = values.request((b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
    record = Exchanged(
        exchange_id="x-1",
        request=request,
        route=values.route(asks=asked),
        exchange=asked,
        subject=values.subject(acr="mfa", client_id="web", actors=actors),
        actor=WorkloadToken("self", JWT, "jti:3", b"", ""),
        cache=CacheResult.MISS,
        issued=values.issued(actors=actors, authorization_details=details),
        lifetime=300.0,
        refusal=None,
        duration=0.02,
        asked=True,
    )
    refusal = Refusal(Kind.STEP_UP_REQUIRED, "A sentence.", finding="what was found", step_up=StepUp(("mfa",), 300))
    approval = Approval("desk", None, "a-1", "within limits", 2.5, arguments="sha256:00", claimed_task="refund order 7")
    await journal.exchanged(replace(record, issued=None, refusal=refusal))
    fragment = await journal.exchanged(replace(record, approval=approval))
    grant = Grant(values.issued(), None, "x-1", 300.0, CacheResult.HIT, fragment)
    operation = Operation("tools/call", "search")
    decision = Decision(record.route, record.subject, grant, operation=operation, approval=approval)
    ours = replace(record.route, exchange=replace(asked, subject_token="self"))
    journal.used(request, replace(decision, route=ours), 200, 0.1)
    journal.refused(request, decision, refusal, 401, 0.1)
    for selected in (Selection("https://login.example", "alice"), Selection(route="orders"), Selection(server="corp")):
        journal.receipts.flushed("request-2", selected, Flushed(issued_tokens=1))
    writer.offer(dropped(3))
    await journal.receipts.close(5.0)
