"""One hop of a story as sentences: who, for whom, what, until when, on whose word, and what came of it.

Says only what its receipts say. Every value is made printable.
"""

from collections.abc import Iterator
from datetime import timedelta
from math import ceil, isfinite
from typing import Any, Final

from sidecar.commands.receipts.select import actors, member, moment, shown
from sidecar.commands.receipts.story import Hop

#: What stands for a status where the caller left before there was one.
CALLER_LEFT: Final = 499
_CACHE: Final = {
    "miss": "It was asked for this request.",
    "hit": "The token was in the cache, from an earlier exchange.",
    "coalesced": "Another request asked for the same at that time; both got this token.",
    "refreshed": "The token was renewed before it would end.",
}
_SEMANTICS: Final = {
    "delegation": "it shows the actor beside the subject",
    "impersonation": "it shows the subject alone",
    "unknown": "whether it shows an actor can't be read",
}


def sentences(hop: Hop) -> Iterator[str]:
    """Yield the sentences about a hop."""
    yield from _asked(hop)
    yield from _who(hop)
    yield from _agreed(hop)
    yield from _exchanged(hop)
    for receipt in hop.receipts:
        if receipt["event"] != "exchange":
            yield _came_of_it(receipt)


def _asked(hop: Hop) -> Iterator[str]:
    for receipt in [each for each in hop.receipts if each["event"] != "exchange"] or hop.receipts[:1]:
        route = receipt.get("route")
        yield (
            f"{shown(receipt.get('method'))} {shown(receipt.get('path') or '(path not recorded)')}, request "
            f"{shown(receipt['request_id'])}, "
            + (f"came by route {shown(route)}." if route is not None else "met no route.")
        )


def _who(hop: Hop) -> Iterator[str]:
    subject, client = hop.first("subject"), hop.first("client_id")
    if not isinstance(subject, dict):
        yield "No subject is on record: no token was verified."
        return
    token = member({"token": hop.first("subject_token")}, "token", "id")
    text = f"For subject {shown(subject.get('sub'))}, on the word of {shown(subject.get('iss'))}"
    text += f" (token {shown(token)})" if token is not None else ""
    text += f", by client {shown(client)}" if client is not None else ""
    if (acr := subject.get("acr")) is not None:
        text += f", logged in at level {shown(acr)}"
    yield f"{text}."
    if isinstance(caller := hop.first("caller"), dict):
        yield (
            f"That is the gateway's own name. Who called: {shown(caller.get('sub'))}, on the word of "
            f"{shown(caller.get('iss'))} (token {shown(hop.first('caller_token', 'id'))})."
        )
    chain = next((found for receipt in hop.receipts if (found := actors(receipt))), [])
    if chain:
        named = [f"{shown(actor.get('sub'))}{_by(actor.get('iss'))}" for actor in chain]
        yield f"Who acted: {', before that '.join(named)}."
    else:
        yield "Nobody is named as acting for the subject."
    if (actor_token := hop.first("actor_token", "id")) is not None:
        yield f"The gateway proved its own name with token {shown(actor_token)}."


def _by(issuer: Any) -> str:
    return f" (named by {shown(issuer)})" if issuer is not None else ""


def _agreed(hop: Hop) -> Iterator[str]:
    if (tool := hop.first("tool")) is not None:
        yield f"The tool called: {shown(tool)}."
    if (task := hop.first("claimed_task")) is not None:
        yield f"The caller's own account of why, which nobody checked: {shown(task)}."
    if isinstance(approval := hop.first("approval"), dict):
        text = f"Approval by {shown(approval.get('by'))}: {shown(approval.get('decision'))}"
        for name, words in (("id", "number"), ("reason", "because"), ("age_s", "seconds old:"), ("arguments", "for")):
            if (value := approval.get(name)) is not None:
                text += f", {words} {shown(value)}"
        yield f"{text}."


def _exchanged(hop: Hop) -> Iterator[str]:
    server, issued = hop.first("authorization_server"), hop.first("issued_token")
    if not isinstance(issued, dict):
        if server is not None:
            yield f"No token of authorization server {shown(server)} was used."
        return
    text = f"Authorization server {shown(server)} issued token {shown(issued.get('id'))}"
    text += f" as {shown(issued['issuer'])}" if "issuer" in issued else ""
    for name, words in (("audience", "for audience"), ("scope", "with scope")):
        text += f", {words} {_listed(issued[name])}" if name in issued else f", {name} unknown"
    yield f"{text}{_lifetime(hop, issued.get('lifetime'))}."
    if "authorization_details" in issued:
        yield f"Its authorization details: {shown(issued['authorization_details'])}."
    if (semantics := _SEMANTICS.get(str(hop.first("semantics")))) is not None:
        yield f"Of the token: {semantics}."


def _listed(values: Any) -> str:
    return " ".join(shown(value) for value in values) or "none" if isinstance(values, list) else shown(values)


def _lifetime(hop: Hop, lifetime: Any) -> str:
    if not isinstance(lifetime, int | float) or not isfinite(lifetime):
        return ""
    made = next((receipt for receipt in hop.receipts if receipt["event"] == "exchange"), None)
    issued = moment(made["time"]) if made is not None else None
    try:
        until = issued + timedelta(seconds=lifetime) if issued is not None else None
    except (OverflowError, ValueError):
        until = None
    # Receipts count from when it was asked for: the fraction is the time on the way.
    return f", for {ceil(lifetime)} seconds" + (f", until {until:%Y-%m-%d %H:%M:%S} UTC" if until is not None else "")


def _answered(upstream: str, status: Any) -> str:
    if status is None:
        return f"It was let go on to upstream {upstream}, whose answer is not on record"
    if status == CALLER_LEFT:
        return f"Upstream {upstream} had not answered when the caller left"
    return f"Upstream {upstream} answered {shown(status)}"


def _came_of_it(receipt: dict[str, Any]) -> str:
    status, decision = receipt.get("status"), shown(receipt.get("decision"))
    if receipt["event"] == "use":
        upstream = shown(receipt.get("upstream") or "not named")
        came = _CACHE.get(str(receipt.get("cache")), "")
        return f"{came} {_answered(upstream, status)}, at {shown(receipt['time'])}.".strip()
    text = f"Refused as {decision}, with status {shown(status)}, at {shown(receipt['time'])}"
    text += f": {shown(receipt['reason'])}" if "reason" in receipt else "."
    text += f" Found: {shown(receipt['finding'])}." if "finding" in receipt else ""
    return text + (f" Asked of the login: {shown(receipt['step_up'])}." if "step_up" in receipt else "")
