"""The story's last steps: what the gateway itself wrote down about the others, as receipts and as metrics.

What must be there follows from the steps of ``story``; a step that asks for more changes the numbers here.
"""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from sidecar.demo.show import Show
from sidecar.demo.stage import Stage

#: Event, route, decision, and how often.
_RECEIPTS: Final = Counter(
    {
        ("exchange", "orders", "allowed"): 1,
        ("use", "orders", "allowed"): 11,
        ("refusal", "orders", "invalid-token"): 1,
        ("exchange", "reports", "exchange-misconfigured"): 1,
        ("refusal", "reports", "exchange-misconfigured"): 1,
        ("refusal", "-", "no-route"): 1,
        ("refusal", "orders", "invalid-request"): 1,
        ("exchange", "agent", "allowed"): 1,
        ("use", "agent", "allowed"): 1,
    }
)

_FINDING: Final = "the authorization server said 400 invalid_target (target)"

_METRICS: Final = (
    'token_sidecar_exchanges_total{authorization_server="local",outcome="success",route="orders"} 1.0',
    'token_sidecar_cache_lookups_total{result="miss",route="orders"} 1.0',
    'token_sidecar_cache_lookups_total{result="hit",route="orders"} 10.0',
    'token_sidecar_requests_total{code="200",method="GET",route="orders"} 11.0',
    'token_sidecar_rejections_total{reason="invalid-token",route="orders"} 1.0',
    'token_sidecar_rejections_total{reason="no-route",route="none"} 1.0',
)


async def receipts(stage: Stage, show: Show) -> None:
    """One line for every exchange, every use of its token and every refusal."""
    show.text(
        "The gateway wrote a line of JSON for every exchange, every use of what it gave, and every refusal. Here they "
        "are in short, equal ones together. Tokens are named by their ids and never shown."
    )
    written = await stage.receipts(_RECEIPTS.total())
    rows = Counter(tuple(_row(receipt)) for receipt in written)
    heads = ["event", "route", "decision", "for", "by", "audience", "scope", "life", "cache"]
    show.table(heads, [[event if n == 1 else f"{event} x{n}", *others] for (event, *others), n in rows.items()])
    show.lines(f"as they are: {stage.receipts_file}")
    found = Counter((_member(r, "event"), _member(r, "route"), _member(r, "decision")) for r in written)
    show.expect(f"There are {_RECEIPTS.total()} of them: every step above is on record.", _RECEIPTS, found)
    reasons = [_member(r, "finding") for r in written if (r.get("event"), r.get("route")) == ("refusal", "reports")]
    show.expect(f"The refusal of /reports says what nobody but operators is told: {_FINDING}.", [_FINDING], reasons)


async def metrics(stage: Stage, show: Show) -> None:
    """A few lines of a scrape."""
    show.text("A few lines of what Prometheus finds at the admin listener:")
    scraped = set(await stage.metrics())
    found = [line for line in _METRICS if line in scraped]
    show.lines(*found)
    show.expect("They tell of the same requests.", list(_METRICS), found)


def _row(receipt: Mapping[str, Any]) -> list[str]:
    subject, issued = receipt.get("subject") or {}, receipt.get("issued_token") or {}
    actors, asked = receipt.get("actor") or [], receipt.get("requested") or {}
    lifetime = issued.get("lifetime")
    return [
        *(_member(receipt, name) for name in ("event", "route", "decision")),
        subject.get("sub", "-"),
        " < ".join(actor["sub"] for actor in actors) or "-",
        ", ".join(issued.get("audience") or asked.get("audience") or ["-"]),
        " ".join(issued.get("scope") or asked.get("scope") or ["-"]),
        f"{math.ceil(lifetime)}s" if lifetime is not None else "-",  # the fraction is the time on the way
        _member(receipt, "cache"),
    ]


def _member(receipt: Mapping[str, Any], name: str) -> str:
    return str(receipt.get(name, "-"))
