"""Makes the page about the metrics, from the registry itself and from the alert rules that use it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from sidecar.model.decision import CacheResult
from sidecar.observe.route_metrics import DURATION_BUCKETS, KNOWN_METHODS, TokenRefusal
from tests.docs.pages import ROOT
from tests.docs.reference import Undescribed
from tests.support.metrics import touched

PREFIX: Final = "token_sidecar_"
RULES: Final = ROOT / "deploy" / "prometheus" / "rules.yaml"

HEAD: Final = f"""\
# Metrics

What `GET /metrics` on the admin listener has, in the Prometheus text format, or OpenMetrics for who asks for that. This
page is made from the code. Names, labels and their values are kept from version to version; new ones may come.

Labels hold what the configuration names, and words from short lists: nothing that a caller wrote. All durations are in
seconds, with the buckets {", ".join(f"{bound:g}" for bound in DURATION_BUCKETS)}. A counter starts at 0 with the
process; what the configuration no longer defines is gone from the page.

Beside these there are `process_*` (memory, CPU, open files, start) and `python_info`.
"""


def _words(values: type[CacheResult] | type[TokenRefusal]) -> str:
    return ", ".join(f"`{value.value}`" for value in values)


LABELS: Final[Mapping[str, str]] = {
    "route": "the route's name; `none` where no route matched",
    "method": f"{', '.join(f'`{method}`' for method in sorted(KNOWN_METHODS))}, or `other`",
    "code": "the exact status; 499 where the caller left before it was answered",
    "reason": "of refusals: the [kind](errors.md). Of evictions: `size`, `expired`, `replaced`, or `refused` by its "
    "upstream",
    "outcome": "of exchanges: `success`, or the [kind](errors.md) that the failure is. Of approvals: `success`, or the "
    "kind. Of reads: `success`, `failure`. Of spans: `exported`, `dropped`",
    "result": f"of lookups: {_words(CacheResult)}. Of tokens that an upstream refused: {_words(TokenRefusal)}",
    "state": "`active`: a request has it. `idle`: kept for the next one",
    "authorization_server": "its name in the configuration",
    "issuer": "the trusted issuer's name in the configuration",
    "approver": "its name in the configuration",
    "include": "the include's name",
    "secret": "the path of the file, or of the certificate where several belong together",
    "le": "the upper bound of a bucket",
    "version": "of the sidecar",
    "python": "of Python",
    "aiohttp": "of aiohttp",
}


def page() -> str:
    """Return the page. Undescribed: a label has no word here, a word is about none, or a metric has no help."""
    families = list(_families())
    labels = dict.fromkeys(label for family in families for label in _labels(family))
    if unknown := labels.keys() - LABELS.keys():
        raise Undescribed(f"no word for the labels {', '.join(sorted(unknown))}")
    if gone := LABELS.keys() - labels.keys():
        raise Undescribed(f"no such label: {', '.join(sorted(gone))}")
    alerts = _alerts()
    parts = [HEAD, "| metric | type | labels | meaning | alerts |", "| --- | --- | --- | --- | --- |"]
    for family in families:
        if not family.documentation:
            raise Undescribed(f"{family.name} has no help")
        shown = ", ".join(f"`{label}`" for label in _labels(family) if label != "le")
        linked = ", ".join(f"[{name}](runbooks/{name}.md)" for name in alerts.get(exposed(family), ()))
        parts.append(f"| `{exposed(family)}` | {family.type} | {shown} | {family.documentation} | {linked} |")
    parts += [
        "",
        "A histogram has the series `…_bucket`, with `le` besides, `…_sum` and `…_count`. The rules that alert are in",
        "[deploy/prometheus/rules.yaml](../deploy/prometheus/rules.yaml); each has a page that says what to do.",
        "",
        "## Labels",
        "",
        "| label | values |",
        "| --- | --- |",
        *(f"| `{label}` | {says} |" for label, says in LABELS.items()),
        "",
    ]
    return "\n".join(parts)


def exposed(family: Metric) -> str:
    """Return the name under which a family's samples are found; a histogram's without what follows it."""
    return f"{family.name}_total" if family.type == "counter" else family.name


def _families() -> Iterator[Metric]:
    """Ours, by name."""
    text = touched().render()[0].decode()
    ours = (family for family in text_string_to_metric_families(text) if family.name.startswith(PREFIX))
    yield from sorted(ours, key=lambda family: family.name)


def _labels(family: Metric) -> list[str]:
    if not family.samples:
        raise Undescribed(f"{family.name} has no sample: tests/support/metrics does not touch it")
    return sorted({label for sample in family.samples for label in sample.labels})


def _alerts() -> dict[str, list[str]]:
    """The alerts that look at each metric, also by way of what other rules record."""
    groups: list[dict[str, Any]] = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    recorded = {rule["record"]: rule["expr"] for rule in rules if "record" in rule}
    found: dict[str, list[str]] = {}
    for rule in rules:
        if "alert" in rule:
            for metric in sorted(_used(rule["expr"], recorded)):
                names = found.setdefault(metric, [])
                if rule["alert"] not in names:
                    names.append(rule["alert"])
    return found


def _used(expression: str, recorded: Mapping[str, str]) -> set[str]:
    used = {re.sub("_(bucket|sum|count)$", "", name) for name in re.findall(rf"\b{PREFIX}\w+", expression)}
    for name in re.findall(r"\bsidecar:[\w:]+", expression):
        used |= _used(recorded[name], recorded)
    return used
