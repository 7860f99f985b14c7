from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sidecar.faces.attention import concerns
from sidecar.model.status import ConfigStatus, IssuerStatus, RouteLately
from tests.support.status import LATELY, ROUTE, SERVER, status

RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks"
QUIET = replace(ROUTE, last_minute=replace(LATELY, answers={"2xx": 99, "4xx": 1}))


def found(**members: Any) -> list[tuple[str, str | None, bool]]:
    return [(each.text, each.runbook, each.urgent) for each in concerns(status(**{"routes": (QUIET,), **members}))]


def test_where_all_is_well_there_is_nothing() -> None:
    assert found() == []


def lately(**answers: int) -> RouteLately:
    return replace(LATELY, answers={name.strip("_"): number for name, number in answers.items()})


BROKEN: dict[str, tuple[dict[str, Any], str, str | None, bool]] = {
    "not ready": ({"ready": False}, "Not ready: it starts, or drains.", None, True),
    "refused": (
        {"config": ConfigStatus("f", "", ("f:1:1: wrong",), {})},
        "The files' present configuration is refused",
        "ReloadFailed",
        False,
    ),
    "include": (
        {"config": ConfigStatus("f", "", (), {"good": (), "shop": ("wrong",)})},
        "Include shop: its present files are refused.",
        "IncludeNotInUse",
        False,
    ),
    "open": (
        {"authorization_servers": {"corp": replace(SERVER, breaker="open", available=False)}},
        "Authorization server corp failed too often: only cached",
        "BreakerOpen",
        True,
    ),
    "half-open": (
        {"authorization_servers": {"corp": replace(SERVER, breaker="half-open", available=False)}},
        "Authorization server corp failed too often: the next",
        "BreakerOpen",
        True,
    ),
    "not there": (
        {"authorization_servers": {"corp": replace(SERVER, available=False)}},
        "Authorization server corp did not answer",
        "AuthorizationServerUnavailable",
        True,
    ),
    "paused": (
        {"authorization_servers": {"corp": replace(SERVER, pause_seconds=12.0)}},
        "Authorization server corp asked to be left alone for another 12 s.",
        "AuthorizationServerUnavailable",
        True,
    ),
    "queued": (
        {"authorization_servers": {"corp": replace(SERVER, queued=3)}},
        "Authorization server corp: exchanges that wait for their turn: 3.",
        "Overloaded",
        False,
    ),
    "no keys": (
        {"trusted_issuers": {"corp": IssuerStatus(False, None, None)}},
        "Trusted issuer corp can't be reached, and no keys of it are held.",
        "TrustedIssuerUnavailable",
        True,
    ),
    "old keys": (
        {"trusted_issuers": {"corp": IssuerStatus(False, 60.0, 7200.0)}},
        "Trusted issuer corp can't be reached; the keys that are held serve for another 2 h.",
        "TrustedIssuerUnavailable",
        False,
    ),
    "errors": (
        {"routes": (QUIET, replace(ROUTE, last_minute=lately(_2xx=95, _5xx=5)))},
        "Route orders: 5 of the last minute's 100 answers are 5xx.",
        "ErrorBudgetBurnsFast",
        True,
    ),
    "lag": ({"event_loop_lag_seconds": 0.3}, "The event loop runs up to 300 ms late.", "EventLoopLags", True),
    "receipts": ({"receipts_dropped": 7}, "Receipts that were never written", "ReceiptsDropped", True),
    "leak": ({"recent_refusals": {"leak-guard": 1}}, "Requests stopped because", "LeakGuardStoppedARequest", True),
    "refused tokens": ({"recent_refusals": {"issued-token-refused": 1}}, "Issued tokens", "IssuedTokensRefused", True),
    "overloaded": ({"recent_refusals": {"overloaded": 9}}, "Requests turned away", "Overloaded", True),
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_matter_is_told_once_and_names_its_runbook(name: str) -> None:
    members, text, runbook, urgent = BROKEN[name]
    ((told, named, grave),) = found(**members)
    assert told.startswith(text)
    assert (named, grave) == (runbook, urgent)
    assert runbook is None or (RUNBOOKS / f"{runbook}.md").is_file()


def test_few_failures_among_many_answers_are_no_matter() -> None:
    assert found(routes=(replace(ROUTE, last_minute=lately(_2xx=96, _5xx=4)),)) == []


def test_nobody_asked_yet_is_no_matter() -> None:
    assert found(trusted_issuers={"corp": IssuerStatus(None, None, None)}) == []
    assert found(authorization_servers={"corp": replace(SERVER, available=None)}) == []


def test_urgent_matters_come_first() -> None:
    told = found(config=ConfigStatus("f", "", ("wrong",), {}), event_loop_lag_seconds=1.0)
    assert [urgent for _, _, urgent in told] == [True, False]
