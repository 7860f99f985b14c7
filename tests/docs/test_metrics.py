"""The page about metrics has every one of them, and refuses to be made where it would not."""

import re

import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.parser import text_string_to_metric_families

from tests.docs import metrics
from tests.docs.reference import Undescribed
from tests.support.metrics import touched


def _rows() -> dict[str, list[str]]:
    rows = (line.strip("| ").split(" | ") for line in metrics.page().splitlines() if line.startswith("| `token_"))
    return {row[0].strip("`"): row for row in rows}


def test_every_series_of_a_scrape_is_there_with_its_labels() -> None:
    rows = _rows()
    seen = set()
    for family in text_string_to_metric_families(touched().render()[0].decode()):
        if family.name.startswith(metrics.PREFIX):
            seen.add(metrics.exposed(family))
            told = set(re.findall("`(.+?)`", rows[metrics.exposed(family)][2]))
            assert told == {label for sample in family.samples for label in sample.labels} - {"le"}
    assert seen == rows.keys()
    assert len(seen) > 25


def test_it_names_the_alerts_that_look_at_a_metric_however_they_come_to_it() -> None:
    rows = _rows()
    assert "[BreakerOpen](runbooks/BreakerOpen.md)" in rows["token_sidecar_breaker_state"][4]
    assert "ErrorBudgetBurnsFast" in rows["token_sidecar_rejections_total"][4]
    assert "ExchangesSlow" in rows["token_sidecar_exchange_duration_seconds"][4]


def test_every_alert_looks_at_a_metric_that_is_there() -> None:
    assert {name for name in metrics._alerts() if name.startswith(metrics.PREFIX)} <= _rows().keys()


@pytest.mark.parametrize(("labels", "help_text"), [(("planet",), "Where."), (("route",), "")])
def test_what_nobody_described_is_an_error(
    labels: tuple[str, ...], help_text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = CollectorRegistry()
    Gauge("token_sidecar_strange", help_text, labels, registry=registry).labels("x").set(1)
    monkeypatch.setattr(metrics, "_families", registry.collect)
    with pytest.raises(Undescribed):
        metrics.page()


def test_a_word_about_what_is_gone_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "LABELS", {**metrics.LABELS, "planet": "It was here once."})
    with pytest.raises(Undescribed, match="no such label: planet"):
        metrics.page()


def test_a_metric_that_nothing_touches_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = CollectorRegistry()
    Gauge("token_sidecar_untouched", "Never.", ("route",), registry=registry)
    monkeypatch.setattr(metrics, "_families", registry.collect)
    with pytest.raises(Undescribed, match="untouched"):
        metrics.page()
