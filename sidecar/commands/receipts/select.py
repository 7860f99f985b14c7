"""Which receipts are asked for, and one receipt as one line of text.

Values of receipts came from callers: what is not printable is escaped, so that nothing in them moves a terminal.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sidecar.commands.receipts.read import lost


@dataclass(frozen=True, slots=True)
class Selection:
    """What a receipt must be; None asks nothing.

    subject: the ``sub`` as receipts have it, which is hashed where the gateway hashes. actor: the ``sub`` of any actor
    in the chain. since is the first moment, until the one after the last.
    """

    subject: str | None = None
    actor: str | None = None
    route: str | None = None
    decision: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def takes(self, receipt: dict[str, Any]) -> bool:
        """Whether a receipt is all that is asked. One that was never written may have been, as far as its time goes."""
        return (lost(receipt) > 0 or self._matches(receipt)) and self._is_then(receipt)

    def _matches(self, receipt: dict[str, Any]) -> bool:
        if self.subject is not None and member(receipt, "subject", "sub") != self.subject:
            return False
        if self.actor is not None and self.actor not in (actor.get("sub") for actor in actors(receipt)):
            return False
        if self.route is not None and receipt.get("route") != self.route:
            return False
        return self.decision is None or receipt.get("decision") == self.decision

    def _is_then(self, receipt: dict[str, Any]) -> bool:
        if self.since is None and self.until is None:
            return True
        when = moment(receipt["time"])
        return (
            when is not None
            and (self.since is None or self.since <= when)
            and (self.until is None or when < self.until)
        )


def moment(text: str) -> datetime | None:
    """Return a date or a time of ISO 8601, in UTC, which one without a zone is taken for; None where it is neither."""
    try:
        when = datetime.fromisoformat(text)
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def member(receipt: dict[str, Any], *names: str) -> Any:
    """Return a member of members; None where it or one on the way is missing."""
    value: Any = receipt
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def actors(receipt: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the chain of actors, the one who acts first."""
    chain = receipt.get("actor")
    return [actor for actor in chain if isinstance(actor, dict)] if isinstance(chain, list) else []


def shown(value: Any) -> str:
    """Return a value as text for people, printable whatever it is."""
    return value if isinstance(value, str) and value.isprintable() else json.dumps(value)


def line(receipt: dict[str, Any]) -> str:
    """Return a receipt as one line: when, what, who, and what came of it."""
    if number := lost(receipt):
        return f"{shown(receipt['time'])} dropped: {number} receipts before this were never written"
    told = [receipt["time"], receipt["event"], receipt.get("decision"), receipt.get("method"), receipt.get("path")]
    named = {
        "route": receipt.get("route"),
        "subject": member(receipt, "subject", "sub"),
        "actor": " < ".join(shown(actor.get("sub")) for actor in actors(receipt)) or None,
        "status": receipt.get("status"),
        "request": receipt["request_id"],
        "exchange": receipt.get("exchange_id"),
        "flushed": member(receipt, "flushed", "issued_tokens"),
    }
    words = [shown(word) for word in told if word is not None]
    return " ".join(words + [f"{name}={shown(value)}" for name, value in named.items() if value is not None])
