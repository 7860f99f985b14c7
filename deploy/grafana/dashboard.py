"""Makes the dashboard: ``python deploy/grafana/dashboard.py >deploy/grafana/dashboard.json``.

One row for each question that is asked at night: are callers served, is it us or the authorization server, what is
refused and why, is the process well. The panels are a table; what Grafana wants around them is made here.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

HEIGHT: Final = 8  # of a panel, in the grid's units; the grid is 24 wide
WIDTH: Final = 24
SELECTED: Final = 'job=~"$job"'
FAILED: Final = (
    "exchange-unavailable|exchange-timeout|exchange-unusable|exchange-misconfigured|issuer-unavailable"
    "|approval-unavailable|overloaded|issued-token-refused|leak-guard"
)


OURS_FAILED: Final = (
    f'(sum(rate(token_sidecar_rejections_total{{{SELECTED},reason=~"{FAILED}"}}[$__rate_interval])) or vector(0))'
    f" / sum(rate(token_sidecar_requests_total{{{SELECTED}}}[$__rate_interval]))"
)


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture. queries: legend → PromQL; kind: Grafana's name of it; unit: Grafana's, too."""

    title: str
    queries: Mapping[str, str]
    unit: str = "short"
    kind: str = "timeseries"
    says: str = ""
    stacked: bool = False
    thresholds: tuple[tuple[str, float], ...] = ()


def rate(metric: str, by: str, more: str = "") -> str:
    """Sum of a counter's rate by labels."""
    matchers = f"{SELECTED},{more}" if more else SELECTED
    return f"sum by ({by}) (rate({metric}{{{matchers}}}[$__rate_interval]))"


def quantile(share: float, metric: str, by: str) -> str:
    """A quantile of a histogram by labels."""
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', f'{by}, le' if by else 'le')})"


def by_server(metric: str, how: str) -> dict[str, str]:
    """A gauge of authorization servers, for each of them."""
    return {"{{authorization_server}}": f"{how} by (authorization_server) ({metric}{{{SELECTED}}})"}


def exchange_quantiles(*shares: float) -> dict[str, str]:
    """How long exchanges take, for each authorization server."""
    name = "token_sidecar_exchange_duration_seconds"
    return {
        f"p{share * 100:.0f} {{{{authorization_server}}}}": quantile(share, name, "authorization_server")
        for share in shares
    }


ROWS: Final[Mapping[str, tuple[Panel, ...]]] = {
    "Are callers served?": (
        Panel("Requests by route", {"{{route}}": rate("token_sidecar_requests_total", "route")}, "reqps", stacked=True),
        Panel(
            "Answers by status",
            {"{{code}}": rate("token_sidecar_requests_total", "code")},
            "reqps",
            stacked=True,
        ),
        Panel(
            "Failures that are ours",
            {"share": OURS_FAILED},
            "percentunit",
            says="Refusals that no caller can do anything about. The objective is 99.9 %.",
            thresholds=(("green", 0), ("orange", 0.001), ("red", 0.0144)),
        ),
        Panel(
            "Time to answer",
            {
                "p50": quantile(0.5, "token_sidecar_request_duration_seconds", ""),
                "p95": quantile(0.95, "token_sidecar_request_duration_seconds", ""),
                "p99": quantile(0.99, "token_sidecar_request_duration_seconds", ""),
            },
            "s",
        ),
        Panel(
            "Of that, the gateway's own",
            {
                "p50": quantile(0.5, "token_sidecar_overhead_seconds", ""),
                "p99": quantile(0.99, "token_sidecar_overhead_seconds", ""),
            },
            "s",
            says="Without the upstream and without waiting for an exchange.",
        ),
        Panel("Upstreams, p95", {"{{route}}": quantile(0.95, "token_sidecar_upstream_duration_seconds", "route")}, "s"),
    ),
    "Is it the authorization server?": (
        Panel(
            "Available",
            by_server("token_sidecar_authorization_server_available", "min"),
            kind="stat",
            says="1 when it last answered, 0 when it did not.",
            thresholds=(("red", 0), ("green", 1)),
        ),
        Panel(
            "Issuers available",
            {"{{issuer}}": f"min by (issuer) (token_sidecar_trusted_issuer_available{{{SELECTED}}})"},
            kind="stat",
            thresholds=(("red", 0), ("green", 1)),
        ),
        Panel(
            "Exchanges by outcome",
            {"{{outcome}}": rate("token_sidecar_exchanges_total", "outcome")},
            "ops",
            stacked=True,
        ),
        Panel(
            "Time of an exchange",
            exchange_quantiles(0.5, 0.95),
            "s",
        ),
        Panel(
            "Exchanges under way",
            by_server("token_sidecar_exchanges_in_flight", "sum"),
        ),
        Panel(
            "Lookups by result",
            {"{{result}}": rate("token_sidecar_cache_lookups_total", "result")},
            "ops",
            stacked=True,
            says="hit and refreshed cost nothing; miss is an exchange; coalesced waits for another's.",
        ),
        Panel("Tokens kept", {"{{instance}}": f"token_sidecar_cache_entries{{{SELECTED}}}"}),
        Panel("Memory for them", {"{{instance}}": f"token_sidecar_cache_bytes{{{SELECTED}}}"}, "bytes"),
    ),
    "What is refused, and why?": (
        Panel(
            "Refusals by reason",
            {"{{reason}}": rate("token_sidecar_rejections_total", "reason")},
            "reqps",
            stacked=True,
        ),
        Panel(
            "Most refused routes",
            {"{{route}} {{reason}}": f"topk(10, {rate('token_sidecar_rejections_total', 'route, reason')})"},
            "reqps",
        ),
        Panel(
            "Issued tokens refused by upstreams",
            {
                "{{route}} {{result}}": rate("token_sidecar_issued_token_refusals_total", "route, result")
                + " or vector(0)"
            },
            "ops",
        ),
        Panel(
            "Key sets read",
            {"{{issuer}} {{outcome}}": rate("token_sidecar_jwks_refreshes_total", "issuer, outcome")},
            "ops",
        ),
    ),
    "Is the process well?": (
        Panel(
            "CPU",
            {"{{instance}}": f"rate(process_cpu_seconds_total{{{SELECTED}}}[$__rate_interval])"},
            says="1 is a full core.",
        ),
        Panel("Memory", {"{{instance}}": f"process_resident_memory_bytes{{{SELECTED}}}"}, "bytes"),
        Panel("Event loop, worst lag", {"{{instance}}": f"token_sidecar_event_loop_lag_seconds{{{SELECTED}}}"}, "s"),
        Panel("Requests waiting for their answer", {"{{instance}}": f"token_sidecar_requests_in_flight{{{SELECTED}}}"}),
        Panel(
            "Connections to upstreams",
            {"{{route}} {{state}}": f"sum by (route, state) (token_sidecar_upstream_connections{{{SELECTED}}})"},
        ),
        Panel(
            "Open files, of those allowed",
            {"{{instance}}": f"process_open_fds{{{SELECTED}}} / process_max_fds{{{SELECTED}}}"},
            "percentunit",
        ),
        Panel(
            "Configuration taken",
            {"{{instance}}": f"token_sidecar_config_last_reload_successful{{{SELECTED}}}"},
            kind="stat",
            thresholds=(("red", 0), ("green", 1)),
        ),
        Panel(
            "Receipts lost",
            {"{{instance}}": f"increase(token_sidecar_receipts_dropped_total{{{SELECTED}}}[$__range])"},
            kind="stat",
            thresholds=(("green", 0), ("red", 1)),
        ),
        Panel("Versions", {"{{version}}": f"count by (version) (token_sidecar_build_info{{{SELECTED}}})"}, kind="stat"),
    ),
}


def dashboard() -> dict[str, Any]:
    """Return the whole dashboard, as Grafana imports it."""
    return {
        "title": "Token-exchange sidecar",
        "uid": "token-exchange-sidecar",
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "tags": ["token-exchange-sidecar"],
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"},
                {
                    "name": "job",
                    "type": "query",
                    "label": "Job",
                    "datasource": {"type": "prometheus", "uid": "${datasource}"},
                    "query": "label_values(token_sidecar_build_info, job)",
                    "refresh": 2,
                    "includeAll": True,
                    "multi": True,
                    "current": {"text": "All", "value": "$__all"},
                },
            ]
        },
        "panels": list(_panels()),
    }


def _panels() -> Iterator[dict[str, Any]]:
    number, top = 1, 0
    for title, panels in ROWS.items():
        yield {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": _place(0, top, WIDTH, 1)}
        number, top = number + 1, top + 1
        across = 3 if len(panels) % 3 == 0 else 4 if len(panels) % 4 == 0 else 2
        for index, panel in enumerate(panels):
            width = WIDTH // across
            place = _place(index % across * width, top + index // across * HEIGHT, width, HEIGHT)
            yield {"id": number, "gridPos": place, **_panel(panel)}
            number += 1
        top += -(-len(panels) // across) * HEIGHT


def _place(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _panel(panel: Panel) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    steps = [{"color": color, "value": value or None} for color, value in panel.thresholds]
    custom = {"fillOpacity": 20 if panel.stacked else 0, "stacking": {"mode": "normal" if panel.stacked else "none"}}
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.says,
        "datasource": source,
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "min": 0,
                **({"custom": custom} if panel.kind == "timeseries" else {}),
                **({"thresholds": {"mode": "absolute", "steps": steps}} if steps else {}),
            },
            "overrides": [],
        },
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": source, "expr": query, "legendFormat": legend}
            for index, (legend, query) in enumerate(panel.queries.items())
        ],
    }


if __name__ == "__main__":
    print(json.dumps(dashboard(), indent=2))
