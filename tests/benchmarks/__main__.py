"""``make bench``: ours beside what others would take, side by side in one run.

A full run is kept in ``docs/benchmarks``; a short one (``--quick``) only shows that everything runs, and is kept
nowhere unless ``--out`` names a folder.
"""

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks import installed, websocket, workloads
from tests.benchmarks.contenders import CONTENDERS, GATEWAY_CORE, OURS, Target, start_ours
from tests.benchmarks.plot import plot
from tests.benchmarks.results import FILE, FOLDER, PLOT, Results
from tests.benchmarks.stage import LOAD_CORE, BenchmarkError, Stage, stage
from tests.benchmarks.tables import tables

ROUTES = (10, 1_000, 10_000)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run everything that can be had. 2 where nothing can be measured here."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes; the figures mean little")
    parser.add_argument("--out", type=Path, help=f"folder for JSON and plot; {FOLDER.name} after a full run")
    parser.add_argument("--only", action="append", choices=CONTENDERS, help="ours and this one; may be repeated")
    options = parser.parse_args(arguments)
    out = options.out or (None if options.quick or options.only else FOLDER)
    try:
        installed.wrk()
        with tempfile.TemporaryDirectory(prefix="bench-") as folder, stage(Path(folder)) as shared:
            os.sched_setaffinity(0, {LOAD_CORE})
            results = measure(shared, [OURS, *(options.only or CONTENDERS)], quick=options.quick)
    except (installed.Missing, BenchmarkError) as error:
        print(error, file=sys.stderr)
        return 2
    print(tables(results))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / FILE.name).write_text(results.dump(), encoding="utf-8")
        (out / PLOT.name).write_text(plot(results), encoding="utf-8")
        print(f"kept in {out}")
    return 0


def measure(shared: Stage, names: Sequence[str], *, quick: bool) -> Results:
    """Run all workloads. BenchmarkError: an answer was not what it should be."""
    rounds, seconds = (2, 1) if quick else (5, 2)
    results = Results(taken=datetime.now(UTC).date().isoformat(), machine=_machine(), programs={})
    targets = _start(shared, names, results)
    gateways = [target for target in targets if CONTENDERS[target.name].forwards]
    for target in gateways:
        workloads.check(shared, target)
        workloads.at_rest(target, results, "after one request")
        workloads.warm(shared, target)
        workloads.at_rest(target, results, "1,000 subjects")
    # First, since memory that a program has freed and keeps would hide what it needs.
    workloads.memory(shared, gateways, results, 64 << 20 if quick else 1 << 30)
    workloads.full_load(shared, targets, results, rounds, seconds, _say)
    workloads.latency(shared, gateways, results, rounds, 1.0 if quick else 4.0)
    workloads.stampede(shared, targets[0], results, 1_000)
    sized = [start_ours(shared, routes=number, name=f"{number:,} routes") for number in ROUTES]
    workloads.routes(shared, sized, results, rounds, seconds)
    results.websocket, results.websocket_kib = websocket.measure(0.5 if quick else 3.0)
    return results


def _start(shared: Stage, names: Sequence[str], results: Results) -> list[Target]:
    targets = []
    for name in dict.fromkeys(names):
        contender = CONTENDERS[name]
        try:
            targets.append(contender.start(shared))
            results.programs[name] = {"version": contender.version(), "does": contender.does}
        except installed.Missing as missing:
            results.skipped[name] = str(missing)
            _say(f"without {name}: {missing}")
    return targets


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    cores = f"{os.cpu_count()} cores" if GATEWAY_CORE != LOAD_CORE else "one core for gateway and load together"
    return f"{model}, {cores}, Linux {platform.release()}"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
