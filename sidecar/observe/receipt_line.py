"""A receipt as one line of JSON: the fragment that is made once per issued token, and the line around it.

Pure functions; names of members are fixed, see the documentation of receipts. Lines are ASCII whatever a caller sends:
every string goes through JSON escaping, so that no path and no claim can end a line or forge a member.
"""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import fields
from json.encoder import encode_basestring_ascii as quote
from typing import Any, Final

from sidecar.model.approval import Approval
from sidecar.model.flush import Flushed, Selection
from sidecar.model.receipt import Event, Receipt, Standing
from sidecar.model.refusal import StepUp
from sidecar.model.route import Exchange
from sidecar.model.tokens import Actor, IssuedToken, Subject

#: W3C Trace Context §3.2. Anything else could be anything, even a token, and is left out.
_TRACEPARENT: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def fragment(standing: Standing, name_subject: Callable[[str], str]) -> str:
    """Return the members that stay the same for every use of an issued token, as JSON text that begins with a comma.

    name_subject: what to write for the subject's ``sub``. Members that have no value are left out.
    """
    subject, issued, actor_token, asked = (
        standing.subject,
        standing.issued_token,
        standing.actor_token,
        standing.exchange,
    )
    members: dict[str, Any] = {"exchange_id": standing.exchange_id}
    actors: tuple[Actor, ...] = ()
    if subject is not None:
        actors = subject.actors
        members |= {
            "client_id": subject.client_id,
            "subject": _present({"iss": subject.iss or None, "sub": name_subject(subject.sub), "acr": subject.acr}),
            "subject_source": "caller" if subject.workload is None else "workload",
            "subject_token": {"type": subject.token_type, "id": subject.token_id},
        }
    if actor_token is not None:
        members["actor_token"] = {"type": actor_token.token_type, "id": actor_token.token_id}
    if asked is not None:
        members |= {"authorization_server": asked.authorization_server, "requested": _requested(asked)}
    if issued is not None:
        # What the issued token shows is what the upstream sees; where nobody here can read it, the caller's chain.
        actors = actors if issued.actors is None else issued.actors
        members |= {"semantics": issued.semantics.value, "issued_token": _issued(issued, standing.lifetime)}
    members["actor"] = [_present({"iss": actor.iss, "sub": actor.sub}) for actor in actors] or None
    text = json.dumps(_present(members), separators=(",", ":"), allow_nan=False)
    return f",{text[1:-1]}" if len(text) > 2 else ""


def caller(subject: Subject, name_subject: Callable[[str], str]) -> str:
    """Return the members that name a verified caller whose token was not exchanged, as JSON text with a comma first."""
    members = {
        "caller": _present(
            {
                "iss": subject.iss or None,
                "sub": name_subject(subject.sub),
                "acr": subject.acr,
                "client_id": subject.client_id,
            }
        ),
        "caller_token": {"type": subject.token_type, "id": subject.token_id},
    }
    return f",{json.dumps(members, separators=(',', ':'), allow_nan=False)[1:-1]}"


def line(event: Event, receipt: Receipt, time: str) -> str:
    """Return the whole line, with its line feed. ``time`` is RFC 3339.

    A byte of the path is one character of the member, ``\\u00XX`` where it is not ASCII: nothing is lost or guessed.
    """
    occasion, refusal = receipt.occasion, receipt.refusal
    text = (
        f'{{"time":"{time}","event":"{event.value}","request_id":{quote(occasion.request_id)}'
        f',"method":{quote(occasion.method)}'
    )
    if occasion.path is not None:
        text += f',"path":{quote(occasion.path.decode("latin-1"))}'
    if occasion.route is not None:
        text += f',"route":{quote(occasion.route)}'
    if occasion.upstream is not None:
        text += f',"upstream":{quote(occasion.upstream)}'
    if occasion.tool is not None:
        text += f',"tool":{quote(occasion.tool)}'
    if occasion.traceparent is not None and _TRACEPARENT.fullmatch(occasion.traceparent):
        text += f',"traceparent":"{occasion.traceparent.decode("ascii")}"'
    text += receipt.fragment
    if (approval := receipt.approval) is not None:
        text += f',"approval":{_approval(approval)}'
        if approval.claimed_task is not None:
            text += f',"claimed_task":{quote(approval.claimed_task)}'
    if receipt.cache is not None:
        text += f',"cache":"{receipt.cache.value}"'
    if refusal is None:
        text += ',"decision":"allowed"'
    else:
        text += f',"decision":"{refusal.kind.value}","reason":{quote(refusal.reason)}'
        if refusal.finding:
            text += f',"finding":{quote(refusal.finding)}'
        if refusal.step_up is not None:
            text += f',"step_up":{_step_up(refusal.step_up)}'
    if receipt.status is not None:
        text += f',"status":{receipt.status}'
    return f'{text},"duration_ms":{receipt.duration * 1000:.3f}}}\n'


def _approval(approval: Approval) -> str:
    return json.dumps(
        _present(
            {
                "by": approval.by,
                "id": approval.id,
                "decision": approval.verdict.value,
                "reason": approval.reason,
                "age_s": round(approval.age, 3),
                "arguments": approval.arguments,
            }
        ),
        separators=(",", ":"),
    )


def dropped_line(count: int, time: str) -> str:
    """Return the whole line that stands for receipts that were never written, with its line feed."""
    return f'{{"time":"{time}","event":"{Event.DROPPED.value}","count":{count}}}\n'


def flush_line(
    request_id: str, selected: Selection, flushed: Flushed, name_subject: Callable[[str], str], time: str
) -> str:
    """Return the line of a flush: what was selected, by the members that other events have for it, and how much."""
    subject = {"iss": selected.iss, "sub": None if selected.sub is None else name_subject(selected.sub)}
    members = {
        "time": time,
        "event": Event.FLUSH.value,
        "request_id": request_id,
        "route": selected.route,
        "subject": _present(subject) or None,
        "authorization_server": selected.server,
        "flushed": {field.name: getattr(flushed, field.name) for field in fields(flushed)},
    }
    return json.dumps(_present(members), separators=(",", ":")) + "\n"


def _step_up(asked: StepUp) -> str:
    return json.dumps(
        _present({"acr_values": list(asked.acr_values) or None, "max_age": asked.max_age}), separators=(",", ":")
    )


def _requested(asked: Exchange) -> dict[str, Any]:
    return _present(
        {
            "audience": list(asked.audience) or None,
            "resource": list(asked.resource) or None,
            "scope": list(asked.scope) or None,
            "type": asked.requested_token_type,
            "authorization_details": _details(asked.authorization_details),
        }
    )


def _issued(issued: IssuedToken, lifetime: float | None) -> dict[str, Any]:
    return _present(
        {
            "type": issued.token_type,
            "id": issued.token_id,
            "issuer": issued.iss,
            "audience": _sorted(issued.audience),
            "scope": _sorted(issued.scope),
            "authorization_details": _details(issued.authorization_details),
            "lifetime": lifetime,
        }
    )


def _details(details: Iterable[str]) -> list[Any] | None:
    return [json.loads(detail) for detail in details] or None


def _sorted(values: Iterable[str] | None) -> list[str] | None:
    """A set as a list that is the same every time; None where it is not known, which an empty one is not."""
    return None if values is None else sorted(values)


def _present(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
