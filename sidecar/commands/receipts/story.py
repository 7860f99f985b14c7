"""Which receipts belong to one request, over the files of all gateways that it went through, hop by hop.

What ties them: the request's id, the trace in ``traceparent``, the id of an exchange, and the ids of tokens, since the
token that one gateway issues is the next one's subject token. A cached token serves many requests, so that its id leads
to exchanges alone, never to the other requests that used it.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sidecar.commands.receipts.read import Source, lost
from sidecar.commands.receipts.select import member, moment

#: More receipts than this are no story; the id is one of a token that many requests used.
MOST: Final = 1000


class TooMany(Exception):
    """More receipts than a story can have."""


@dataclass(slots=True)
class Hop:
    """One gateway's part: the receipts of one request, or an exchange that made a token of the story."""

    receipts: list[dict[str, Any]] = field(default_factory=list)

    def first(self, *names: str) -> Any:
        """Return a member from the first receipt that has it, the exchange's before all; None where none has."""
        ordered = sorted(self.receipts, key=lambda receipt: receipt["event"] != "exchange")
        return next((value for each in ordered if (value := member(each, *names)) is not None), None)

    @property
    def begun(self) -> datetime:
        """When its first receipt's doing began."""
        return min(_begun(receipt) for receipt in self.receipts)


@dataclass(slots=True)
class _Known:
    """What leads to more receipts. subjects, issued: ids of tokens, whose maker or next exchange is looked for."""

    requests: set[str] = field(default_factory=set)
    traces: set[str] = field(default_factory=set)
    exchanges: set[str] = field(default_factory=set)
    subjects: set[str] = field(default_factory=set)
    issued: set[str] = field(default_factory=set)

    @property
    def size(self) -> int:
        return sum(map(len, (self.requests, self.traces, self.exchanges, self.subjects, self.issued)))


def gather(source: Source, identifier: str) -> list[Hop]:
    """Return the hops of a story in their order; none where no receipt has the id.

    Reads the files again for each hop that is new. TooMany: the id has more receipts than a story can have.
    Unreadable: see ``Source``.
    """
    known, found, size = _Known(), dict[bytes, dict[str, Any]](), -1
    while size != known.size + len(found):
        size = known.size + len(found)
        for raw, receipt in source.receipts():
            if raw not in found and not lost(receipt) and _belongs(receipt, identifier, known):
                found[raw] = receipt
                if len(found) > MOST:
                    raise TooMany(f"{identifier}: more than {MOST} receipts; take the id of one request or exchange")
    return _without_others(_hops(list(found.values())), known.requests)


def trace_of(receipt: dict[str, Any]) -> str | None:
    """Return the trace id of a receipt's ``traceparent`` (W3C Trace Context §3.2.2.3)."""
    text = receipt.get("traceparent")
    parts = text.split("-") if isinstance(text, str) else []
    return parts[1] if len(parts) == 4 else None


def _belongs(receipt: dict[str, Any], identifier: str, known: _Known) -> bool:
    """Whether a receipt is part of the story; if it is, what it leads to is known from then on."""
    if receipt["event"] == "flush":
        return False  # whatever it dropped, no request went on by it
    trace, exchange = trace_of(receipt), _text(receipt, "exchange_id")
    subject, issued = _text(receipt, "subject_token", "id"), _text(receipt, "issued_token", "id")
    actor = _text(receipt, "actor_token", "id")
    tokens = {each for each in (subject, issued, actor) if each is not None}
    asked = identifier in (receipt["request_id"], trace, exchange) or bool({identifier, f"jti:{identifier}"} & tokens)
    if asked or trace in known.traces or receipt["request_id"] in known.requests:
        known.requests.add(receipt["request_id"])
        _note(known.traces, trace)
        _note(known.exchanges, exchange)
        _note(known.subjects, subject)
        _note(known.issued, issued)
        return True
    if receipt["event"] != "exchange":
        return False
    if exchange in known.exchanges:
        _note(known.subjects, subject)
        _note(known.issued, issued)
    elif issued in known.subjects:
        _note(known.subjects, subject)
    elif subject in known.issued:
        _note(known.issued, issued)
    else:
        return False
    return True


def _note(of: set[str], value: str | None) -> None:
    if value is not None:
        of.add(value)


def _text(receipt: dict[str, Any], *names: str) -> str | None:
    value = member(receipt, *names)
    return value if isinstance(value, str) else None


def _hops(receipts: list[dict[str, Any]]) -> list[Hop]:
    hops: list[Hop] = []
    by_exchange: dict[str, Hop] = {}
    by_request: dict[tuple[str, str | None], Hop] = {}
    # A use and the exchange that an earlier request made for it are one hop; so are a failed exchange and its refusal,
    # which names no exchange.
    for receipt in sorted(receipts, key=lambda each: (each["event"] != "exchange", _begun(each))):
        exchange, request = _text(receipt, "exchange_id"), (receipt["request_id"], _text(receipt, "route"))
        hop = by_request.get(request) if exchange is None else by_exchange.get(exchange)
        if hop is None:
            hops.append(hop := Hop())
        hop.receipts.append(receipt)
        by_request.setdefault(request, hop)
        if exchange is not None:
            by_exchange[exchange] = hop
    made = {token: hop for hop in hops if isinstance(token := hop.first("issued_token", "id"), str)}
    return sorted(hops, key=lambda hop: (_depth(hop, made), hop.begun))


def _without_others(hops: list[Hop], requests: set[str]) -> list[Hop]:
    """Leave out what the same token was exchanged for besides, by requests that are known to be other ones."""

    def followed(hop: Hop) -> bool:
        return any(receipt["event"] != "exchange" for receipt in hop.receipts)

    known = [hop.first("subject_token", "id") for hop in hops if followed(hop)]
    return [
        hop
        for hop in hops
        if hop.first("subject_token", "id") not in known
        or followed(hop)
        or any(receipt["request_id"] in requests for receipt in hop.receipts)
    ]


def _depth(hop: Hop, made: dict[str, Hop]) -> int:
    """How many hops its token went through before: clocks of several machines differ, tokens don't."""
    seen = [hop]
    while isinstance(token := seen[-1].first("subject_token", "id"), str) and (before := made.get(token)) is not None:
        if any(before is each for each in seen):
            break
        seen.append(before)
    return len(seen) - 1


def _begun(receipt: dict[str, Any]) -> datetime:
    ended = moment(receipt["time"]) or datetime.min.replace(tzinfo=UTC)
    took = receipt.get("duration_ms")
    try:
        return ended - timedelta(milliseconds=took) if isinstance(took, int | float) else ended
    except (OverflowError, ValueError):
        return ended
