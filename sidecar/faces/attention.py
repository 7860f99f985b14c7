"""What somebody who is called at night should look at first, told by a status alone.

Each concern names the runbook that goes on from here. Prometheus' rules look longer and at all gateways; this looks at
one, now.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from sidecar.faces.figures import count, duration
from sidecar.model.refusal import Kind
from sidecar.model.status import Status

LAG: Final = 0.25  # seconds; that of the rule EventLoopLags
FAILED: Final = 0.05  # of a route's answers in the last minute


@dataclass(frozen=True, slots=True)
class Concern:
    """One matter. urgent: requests fail by it. runbook: the page of that name in ``docs/runbooks``."""

    text: str
    runbook: str | None = None
    urgent: bool = True


def concerns(status: Status) -> tuple[Concern, ...]:
    """Return what needs attention, urgent matters first."""
    found = [concern for look in _LOOKS for concern in look(status)]
    return tuple(sorted(found, key=lambda concern: not concern.urgent))


def _readiness(status: Status) -> Iterator[Concern]:
    if not status.ready:
        yield Concern("Not ready: it starts, or drains. Probes are told so.")


def _configuration(status: Status) -> Iterator[Concern]:
    if status.config.errors:
        yield Concern("The files' present configuration is refused; the last good one serves.", "ReloadFailed", False)
    for name, problems in status.config.includes.items():
        if problems:
            yield Concern(f"Include {name}: its present files are refused.", "IncludeNotInUse", False)


def _servers(status: Status) -> Iterator[Concern]:
    for name, server in status.authorization_servers.items():
        who = f"Authorization server {name}"
        if server.breaker == "open":
            yield Concern(f"{who} failed too often: only cached tokens are served.", "BreakerOpen")
        elif server.breaker == "half-open":
            yield Concern(f"{who} failed too often: the next exchange decides.", "BreakerOpen")
        elif server.available is False:
            yield Concern(f"{who} did not answer when it was last asked.", "AuthorizationServerUnavailable")
        if server.pause_seconds:
            left = duration(server.pause_seconds)
            yield Concern(f"{who} asked to be left alone for another {left}.", "AuthorizationServerUnavailable")
        if server.queued:
            yield Concern(f"{who}: exchanges that wait for their turn: {count(server.queued)}.", "Overloaded", False)


def _issuers(status: Status) -> Iterator[Concern]:
    for name, issuer in status.trusted_issuers.items():
        if issuer.available is not False:
            continue
        text, keys = f"Trusted issuer {name} can't be reached", issuer.keys_serve_seconds
        if keys is None:
            yield Concern(f"{text}, and no keys of it are held.", "TrustedIssuerUnavailable")
        else:
            text += f"; the keys that are held serve for another {duration(keys)}."
            yield Concern(text, "TrustedIssuerUnavailable", False)


def _routes(status: Status) -> Iterator[Concern]:
    for route in status.routes:
        answers = route.last_minute.answers
        failed, all_of_them = answers.get("5xx", 0), sum(answers.values())
        if failed and failed >= FAILED * all_of_them:
            text = f"Route {route.name}: {count(failed)} of the last minute's {count(all_of_them)} answers are 5xx."
            yield Concern(text, "ErrorBudgetBurnsFast")


def _itself(status: Status) -> Iterator[Concern]:
    if status.event_loop_lag_seconds > LAG:
        yield Concern(f"The event loop runs up to {duration(status.event_loop_lag_seconds)} late.", "EventLoopLags")
    if dropped := status.receipts_dropped:
        yield Concern(f"Receipts that were never written since the start: {count(dropped)}.", "ReceiptsDropped")


def _refusals(status: Status) -> Iterator[Concern]:
    recent = status.recent_refusals
    if number := recent.get(Kind.LEAK_GUARD):
        text = f"Requests stopped because the caller's token was about to leave: {count(number)}."
        yield Concern(text, "LeakGuardStoppedARequest")
    if number := recent.get(Kind.ISSUED_TOKEN_REFUSED):
        yield Concern(f"Issued tokens that upstreams refuse: {count(number)}.", "IssuedTokensRefused")
    if number := recent.get(Kind.OVERLOADED):
        yield Concern(f"Requests turned away over a limit: {count(number)}.", "Overloaded")


_LOOKS: Final[tuple[Callable[[Status], Iterator[Concern]], ...]] = (
    _readiness,
    _servers,
    _issuers,
    _routes,
    _refusals,
    _itself,
    _configuration,
)
