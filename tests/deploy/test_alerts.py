"""Every alert fires when it should and not otherwise, by promtool; and what the rules ask for is what is exported."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from sidecar.model.refusal import Kind
from sidecar.observe.metrics import Metrics
from sidecar.observe.route_metrics import TokenRefusal
from tests.docs.pages import read

TOP: Final = Path(__file__).parents[2]
RULES: Final = TOP / "deploy" / "prometheus" / "rules.yaml"
RUNBOOKS: Final = TOP / "docs" / "runbooks"
POD: Final = 'job="gateway",instance="a"'

#: Series by name and labels, each with its values in promtool's notation, one a minute.
Series = dict[str, str]


@dataclass(frozen=True, slots=True)
class Case:
    """What makes an alert fire, and what is nearest to that and must not. at: when it is looked at."""

    fires: Series
    quiet: Series
    at: str = "15m"


def requests(per_minute: int) -> Series:
    return {f'token_sidecar_requests_total{{{POD},route="orders",method="GET",code="200"}}': f"0+{per_minute}x1000"}


def rejections(reason: str, per_minute: float, more: str = "") -> Series:
    return {f'token_sidecar_rejections_total{{{POD},route="orders",reason="{reason}"}}': more or f"0+{per_minute}x1000"}


def exchanges(outcome: str, per_minute: int) -> Series:
    labels = f'{POD},authorization_server="corp",route="orders",outcome="{outcome}"'
    return {f"token_sidecar_exchanges_total{{{labels}}}": f"0+{per_minute}x1000"}


def approvals(outcome: str, per_minute: int) -> Series:
    labels = f'{POD},approver="desk",route="orders",outcome="{outcome}"'
    return {f"token_sidecar_approvals_total{{{labels}}}": f"0+{per_minute}x1000"}


def lookups(result: str, values: str) -> Series:
    return {f'token_sidecar_cache_lookups_total{{{POD},route="orders",result="{result}"}}': values}


def took(below_1s: int, below_2_5s: int) -> Series:
    name = f'token_sidecar_exchange_duration_seconds_bucket{{{POD},authorization_server="corp",le="%s"}}'
    return {
        name % "1": f"0+{below_1s}x1000",
        name % "2.5": f"0+{below_2_5s}x1000",
        name % "+Inf": f"0+{below_2_5s}x1000",
    }


def gauge(name: str, value: float | str, labels: str = "", pod: str = POD) -> Series:
    values = value if isinstance(value, str) else f"{value}x1000"
    return {f"token_sidecar_{name}{{{pod}{',' if labels else ''}{labels}}}": values}


CORP: Final = 'authorization_server="corp"'
OTHER_POD: Final = 'job="gateway",instance="b"'

CASES: Final[dict[str, Case]] = {
    "AuthorizationServerUnavailable": Case(
        gauge("authorization_server_available", 0, CORP),
        # One pod that can't reach it is that pod's trouble.
        gauge("authorization_server_available", 0, CORP) | gauge("authorization_server_available", 1, CORP, OTHER_POD),
    ),
    "TrustedIssuerUnavailable": Case(
        gauge("trusted_issuer_available", 0, 'issuer="corp"'),
        gauge("trusted_issuer_available", "1x11 0x3 1x100", 'issuer="corp"'),
    ),
    "ExchangesFailing": Case(
        exchanges("success", 90) | exchanges("exchange-unavailable", 10),
        # Callers whose token is bad, and a single failure, are no trouble of the server's.
        exchanges("success", 90) | exchanges("invalid-token", 60) | exchanges("exchange-timeout", 1),
    ),
    "ApprovalsFailing": Case(
        approvals("success", 90) | approvals("approval-unavailable", 10),
        # Whoever says no has answered.
        approvals("success", 90) | approvals("approval-denied", 60) | approvals("approval-unavailable", 1),
    ),
    "ExchangesSlow": Case(took(90, 100), took(97, 100)),
    "BreakerOpen": Case(
        gauge("breaker_state", "0x5 2 1 2 1 2 1 2 1 2 1 2", CORP), gauge("breaker_state", "0x5 1 0x100", CORP)
    ),
    "CacheHitRatioCollapsed": Case(
        lookups("hit", "0+90x200 18000+10x100") | lookups("miss", "0+10x200 2000+90x100"),
        lookups("hit", "0+90x200 18000+60x100") | lookups("miss", "0+10x200 2000+40x100"),
        at="240m",
    ),
    "RefusalsRising": Case(
        rejections("invalid-token", 0, "0+10x200 2000+60x100"),
        rejections("invalid-token", 0, "0+10x200 2000+20x100"),
        at="240m",
    ),
    "IssuedTokensRefused": Case(
        {f'token_sidecar_issued_token_refusals_total{{{POD},route="orders",result="refused"}}': "0+10x100"},
        {f'token_sidecar_issued_token_refusals_total{{{POD},route="orders",result="replayed"}}': "0+10x100"},
    ),
    "LeakGuardStoppedARequest": Case(
        {f'token_sidecar_leak_guard_total{{{POD},route="orders"}}': "0x10 1x100"},
        {f'token_sidecar_leak_guard_total{{{POD},route="orders"}}': "1x100"},
    ),
    "ErrorBudgetBurnsFast": Case(
        requests(1000) | rejections("issuer-unavailable", 20),
        requests(1000) | rejections("issuer-unavailable", 10) | rejections("invalid-token", 500),
        at="90m",
    ),
    "ErrorBudgetBurnsSlowly": Case(
        requests(1000) | rejections("overloaded", 8),
        requests(1000) | rejections("overloaded", 4) | rejections("upstream-timeout", 500),
        at="420m",
    ),
    "ReloadFailed": Case(
        gauge("config_last_reload_successful", "1x10 0x100"), gauge("config_last_reload_successful", "0x10 1x100")
    ),
    "IncludeNotInUse": Case(
        gauge("config_include_successful", 0, 'include="shop"'), gauge("config_include_successful", 1, 'include="shop"')
    ),
    "SecretNotReadable": Case(
        {f'token_sidecar_secret_reloads_total{{{POD},secret="/s",outcome="failure"}}': "0x10 1x100"},
        {f'token_sidecar_secret_reloads_total{{{POD},secret="/s",outcome="success"}}': "0x10 1x100"},
    ),
    "Overloaded": Case(rejections("overloaded", 60), rejections("overloaded", 3)),
    "EventLoopLags": Case(gauge("event_loop_lag_seconds", 0.5), gauge("event_loop_lag_seconds", 0.05)),
    "FewFileDescriptorsLeft": Case(
        {f"process_open_fds{{{POD}}}": "900x100", f"process_max_fds{{{POD}}}": "1000x100"} | gauge("build_info", 1),
        # Another program's, whose job is none of ours.
        {f"process_open_fds{{{POD}}}": "900x100", f"process_max_fds{{{POD}}}": "1000x100"},
    ),
    "ReceiptsDropped": Case(
        {f"token_sidecar_receipts_dropped_total{{{POD}}}": "0x12 5x100"},
        {f"token_sidecar_receipts_dropped_total{{{POD}}}": "5x100"},
    ),
}


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


ALERTS: Final = {rule["alert"]: rule for rule in rules() if "alert" in rule}
EXPRESSIONS: Final = {rule.get("alert") or rule["record"]: rule["expr"] for rule in rules()}
RECORDED: Final = {rule["record"] for rule in rules() if "record" in rule}


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run promtool; skipped where there is none."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is needed (Debian: prometheus)")
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120, check=False)


def played(series: Series, alert: str, at: str, expected: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": at, "alertname": alert, "exp_alerts": expected}],
    }


def said(folder: Path, *tests: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    file = folder / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "30s", "tests": list(tests)}))
    return promtool("test", "rules", str(file))


def test_every_alert_has_a_case_and_a_runbook() -> None:
    assert set(CASES) == set(ALERTS) == {page.stem for page in RUNBOOKS.glob("*.md")}


@pytest.mark.parametrize("alert", ALERTS)
def test_it_tells_what_is_wrong_and_where_to_look(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{alert}.md"


@pytest.mark.parametrize("alert", ALERTS)
def test_its_runbook_says_what_to_do(alert: str) -> None:
    text = (RUNBOOKS / f"{alert}.md").read_text()
    assert text.startswith(f"# {alert}\n")
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## What it means",
        "## Look first",
        "## Likely causes",
        "## What to do",
        "## It is over when",
    ]


def exported() -> dict[str, set[str]]:
    """Every sample's name and its labels, as a gateway with one of everything exports them."""
    metrics = Metrics("0")
    metrics.define(exchanges={"orders": "corp"}, authorization_servers=["corp"], trusted_issuers=["corp"])
    metrics.define_includes({"shop": True})
    metrics.define_approvals([("desk", "orders")], ["desk"])
    metrics.define_secrets(["/s"])
    metrics.authorization_server_available.labels("corp").set(1)
    metrics.trusted_issuer_available.labels("corp").set(1)
    metrics.reject("orders", Kind.OVERLOADED)
    metrics.route("orders").issued_token_refused(TokenRefusal.REFUSED)
    text = metrics.render("application/openmetrics-text")[0].decode()
    found: dict[str, set[str]] = {}
    for name, labels in re.findall(r"^([a-z_]+)(?:\{(.*)\})? ", text, re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(r'([a-z_]+)="', labels))
    return found


#: Set by Prometheus itself.
TARGET_LABELS: Final = {"job", "instance"}
#: Series that exist from their first sample on, with the labels of the contract.
LATER: Final = {
    "token_sidecar_cache_lookups_total": {"route", "result"},
    "token_sidecar_leak_guard_total": {"route"},
    "token_sidecar_requests_total": {"route", "method", "code"},
    "token_sidecar_breaker_state": {"authorization_server"},
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_it_asks_for_what_is_exported(name: str) -> None:
    known = exported()
    expression = EXPRESSIONS[name]
    used = re.findall(r"\b((?:token_sidecar|process)_[a-z_]+|sidecar:[a-z0-9_:]+)", expression)
    assert used
    for metric in used:
        assert metric in known or metric in LATER or metric in RECORDED, metric
    labels = set().union(*(known.get(metric, LATER.get(metric, set())) for metric in used if metric not in RECORDED))
    matched = set(re.findall(r'([a-z_]+)(?:=|!=|=~|!~)"', expression))
    grouped = {
        label.strip() for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression) for label in group.split(",")
    }
    if not set(used) & RECORDED:
        assert matched | grouped <= labels | TARGET_LABELS | {"le"}
    for reason in re.findall(r'(?:reason|outcome)=~?"([^"]*)"', expression):
        planned = {"approval-unavailable"}  # of routes that ask for somebody's approval
        assert set(reason.split("|")) <= {str(kind) for kind in Kind} | planned | {"failure"}


@pytest.mark.interop
def test_promtool_takes_the_rules() -> None:
    done = promtool("check", "rules", str(RULES))
    assert done.returncode == 0, done.stderr


@pytest.mark.interop
def test_promtool_takes_every_query_of_the_runbooks(tmp_path: Path) -> None:
    queries = [block.text for page in RUNBOOKS.glob("*.md") for block in read(page) if block.language == "promql"]
    assert len(queries) > 10
    recorded = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": recorded}]}))
    done = promtool("check", "rules", str(file))
    assert done.returncode == 0, done.stderr


@pytest.mark.interop
@pytest.mark.parametrize("alert", CASES)
def test_it_fires_and_it_does_not(alert: str, tmp_path: Path) -> None:
    """promtool compares labels and annotations whole, so what fires is recognised by what it is said to differ in."""
    case = CASES[alert]
    quiet = said(tmp_path, played(case.quiet, alert, case.at, []))
    assert quiet.returncode == 0, quiet.stdout + quiet.stderr
    fires = said(tmp_path, played(case.fires, alert, case.at, []))
    assert fires.returncode != 0
    assert f'alertname="{alert}"' in fires.stdout + fires.stderr, fires.stdout + fires.stderr
