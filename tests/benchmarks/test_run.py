"""A short run of the whole, so that it still runs when it is needed."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks import installed
from tests.benchmarks.contenders import CEILING, CONTENDERS, OURS
from tests.benchmarks.results import load
from tests.benchmarks.websocket import SIZES
from tests.benchmarks.workloads import CLOSED

BOUND = 300.0


@pytest.mark.interop
def test_a_quick_run_measures_all_workloads(tmp_path: Path) -> None:
    try:
        installed.wrk()
    except installed.Missing as missing:
        pytest.skip(str(missing))
    argv = [sys.executable, "-m", "tests.benchmarks", "--quick", "--only", CEILING, "--out", str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=BOUND, check=False)
    assert done.returncode == 0, done.stderr
    results = load(tmp_path / "results.json")
    assert set(results.cpu_us) == set(CLOSED)
    assert all(set(figures) == {OURS, CEILING} for figures in results.cpu_us.values())
    assert all(figure > 0 for figures in results.cpu_us.values() for figure in figures.values())
    assert results.stampede["1,000 requests, 1 subject"]["exchanges"] == 1
    assert results.stampede["1,000 requests, 100 subjects"]["exchanges"] == 100
    assert set(results.websocket) == set(SIZES)
    assert {"p50", "p99"} == set(results.latency_ms[OURS])
    assert (tmp_path / "cpu.svg").read_text(encoding="utf-8").startswith("<svg")
    assert OURS in done.stdout


def test_what_can_not_be_had_is_said_with_the_way_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    for look in (installed.wrk, installed.nginx):
        with pytest.raises(installed.Missing, match="apt-get install"):
            look()


def test_every_contender_says_what_it_does() -> None:
    assert all(contender.does for contender in CONTENDERS.values())
