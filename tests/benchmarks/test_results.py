"""What a run is kept as, read again, and shown as tables and as a plot: the same figures everywhere."""

import xml.etree.ElementTree as ET
from pathlib import Path

from tests.benchmarks.contenders import CONTENDERS, ENVOY, NGINX, OURS, RELAY
from tests.benchmarks.plot import plot
from tests.benchmarks.results import Results, load
from tests.benchmarks.tables import tables


def results() -> Results:
    return Results(
        taken="2026-11-21",
        machine="one & only <machine>",
        programs={name: {"version": "1", "does": CONTENDERS[name].does} for name in (OURS, RELAY)},
        skipped={ENVOY: "it can't be had", NGINX: "nor can this"},
        cpu_us={"small": {OURS: 50.0, RELAY: 200.0}},
        per_second={"small": {OURS: 12345.6, RELAY: 4000.0}},
        routes_cpu_us={"10 routes": 51.0, "1,000 routes": 52.0},
        latency_rate=3000,
        latency_ms={OURS: {"p50": 0.254, "p99": 1.006}},
        latency_others=0.07,
        websocket={"128 B": {"cpu_us": 41.2, "per_second": 23456.7}},
        websocket_kib=12.34,
        stampede={"1,000 requests, 1 subject": {"exchanges": 1, "seconds": 0.5}},
        memory_mib={OURS: {"after one request": 40.04}},
    )


def test_a_run_is_read_as_it_was_kept(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(results().dump(), encoding="utf-8")
    assert load(path) == results()


def test_tables_hold_the_figures_and_their_ratios() -> None:
    text = tables(results())
    assert "| small | 50 | 200 | 0.25 |" in text
    assert "| small | 12,346 | 4,000 |" in text
    assert "| sidecar | 0.25 | 1.01 |" in text
    assert "others took up to 7% of the core" in text
    assert "| 128 B | 41 | 23,457 |" in text
    assert "takes 12.3 KiB" in text
    assert "| 1,000 requests, 1 subject | 1 | 0.50 s |" in text
    assert "| sidecar | 40.0 |" in text


def test_tables_say_what_was_not_measured_and_why() -> None:
    text = tables(results())
    assert "| Envoy | not measured | it can't be had |" in text
    assert "ours / Envoy" not in text
    assert "ours / nginx" not in text


def test_what_was_not_measured_has_no_table() -> None:
    less = results()
    less.latency_ms.clear()
    less.websocket.clear()
    assert not {"Latency", "WebSocket"} & set(tables(less).split())


def test_every_table_is_a_table() -> None:
    for block in tables(results()).split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1


def test_the_plot_is_a_drawing_with_a_bar_for_each_figure_in_proportion() -> None:
    root = ET.fromstring(plot(results()))
    bars = [node for node in root.iter("{http://www.w3.org/2000/svg}rect") if "x" in node.attrib]
    ours, relay = (float(bar.attrib["width"]) for bar in bars)
    assert ours == relay / 4
    texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"small", OURS, RELAY, "50", "200", "2026-11-21, one & only <machine>"} <= set(texts)
