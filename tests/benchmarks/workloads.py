"""What is measured, workload by workload; contenders take turns in each, so that a busy machine slows all alike.

A new closed-loop workload is one entry of ``CLOSED``. Nothing is printed here and nothing is judged but that a run can
be trusted.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import median, quantiles
from typing import Final

from tests.benchmarks import load
from tests.benchmarks.contenders import GATEWAY_CORE, OURS, Target
from tests.benchmarks.load import Rate, Shape
from tests.benchmarks.meter import core_seconds, cpu_seconds, peak, reset_peak, resident
from tests.benchmarks.results import Results
from tests.benchmarks.stage import SUBJECTS, BenchmarkError, Stage

#: Runs one workload against one target for so many seconds.
Closed = Callable[[Stage, Target, int], Rate]
Say = Callable[[str], None]

_MIB: Final = 1 << 20
_TOGETHER: Final = 50  # subjects warmed at a time
STREAMS: Final = 8
#: Of what ours does at most; everybody is asked at the same rate.
LATENCY_LOAD: Final = 0.3
#: Rounds of which latency is told: those in which others took least of the gateway's core.
QUIETEST: Final = 3


def _http(shape: Shape, stage: Stage, target: Target, seconds: int) -> Rate:
    return load.closed(target.port, target.pid, shape, stage.subjects_file(shape.subjects), seconds)


CLOSED: Final[Mapping[str, Closed]] = {
    "small, one subject": partial(_http, Shape(128)),
    "small, 1,000 subjects": partial(_http, Shape(128, subjects=SUBJECTS)),
    "64 KiB reply": partial(_http, Shape(64 << 10)),
    "1 MiB reply": partial(_http, Shape(1 << 20)),
    "64 KiB upload": partial(_http, Shape(64 << 10, upload=True)),
}
SMALL: Final = "small, one subject"


def check(stage: Stage, target: Target) -> None:
    """Make sure that a target hands on a token, and not the caller's. BenchmarkError: it does not."""
    token = stage.subject_tokens[0]
    credential = asyncio.run(load.seen(target.port, token)).decode()
    if not credential.startswith("Bearer ") or token in credential:
        raise BenchmarkError(f"{target.name} does not set a token for the upstream")


def warm(stage: Stage, target: Target) -> None:
    """Ask once with every subject token."""
    for at in range(0, SUBJECTS, _TOGETHER):
        asyncio.run(load.burst(target.port, stage.subject_tokens[at : at + _TOGETHER]))


def full_load(stage: Stage, targets: Sequence[Target], results: Results, rounds: int, seconds: int, say: Say) -> None:
    """Measure all closed workloads."""
    for name, run in CLOSED.items():
        rates = _in_turn(stage, targets, run, rounds, seconds)
        results.cpu_us[name] = {who: median(rate.cpu_us for rate in each) for who, each in rates.items()}
        results.per_second[name] = {who: median(rate.per_second for rate in each) for who, each in rates.items()}
        say(f"{name}: " + ", ".join(f"{who} {us:.0f} µs" for who, us in results.cpu_us[name].items()))


def routes(stage: Stage, targets: Sequence[Target], results: Results, rounds: int, seconds: int) -> None:
    """Measure the same small request with several sizes of the configuration."""
    rates = _in_turn(stage, targets, CLOSED[SMALL], rounds, seconds)
    results.routes_cpu_us = {who: median(rate.cpu_us for rate in each) for who, each in rates.items()}


def latency(stage: Stage, targets: Sequence[Target], results: Results, rounds: int, seconds: float) -> None:
    """Measure what is added to asking the upstream itself, at a rate that leaves the gateway idle most of the time.

    On a machine that has other work at the same time only the quietest rounds count; how quiet they were is kept too.
    """
    rate = results.latency_rate = round(results.per_second[SMALL][OURS] * LATENCY_LOAD, -2)
    direct = Target("upstream itself", stage.upstream_port, 0)
    taken = [[_paced(stage, target, rate, seconds) for target in (direct, *targets)] for _ in range(rounds)]
    taken.sort(key=_others)
    quiet = taken[:QUIETEST]
    results.latency_others = max(map(_others, quiet))
    for at, target in enumerate(targets, start=1):
        results.latency_ms[target.name] = {
            "p50": median(each[at][0] - each[0][0] for each in quiet),
            "p99": median(each[at][1] - each[0][1] for each in quiet),
        }


def _others(taken: Sequence[tuple[float, float, float]]) -> float:
    """The most that others took of the core while one of a round was measured."""
    return max(others for _, _, others in taken)


def _paced(stage: Stage, target: Target, rate: float, seconds: float) -> tuple[float, float, float]:
    """Return both quantiles in milliseconds, and the share of the gateway's core that others took."""
    began = time.monotonic()
    before = core_seconds(GATEWAY_CORE) - (cpu_seconds(target.pid) if target.pid else 0)
    with asyncio.Runner(loop_factory=load.precise) as runner:
        took = runner.run(load.paced(target.port, stage.subject_tokens[0], rate, seconds))
    others = core_seconds(GATEWAY_CORE) - (cpu_seconds(target.pid) if target.pid else 0) - before
    cuts = quantiles(took, n=100)
    return cuts[49] * 1000, cuts[98] * 1000, others / (time.monotonic() - began)


def stampede(stage: Stage, target: Target, results: Results, callers: int) -> None:
    """Count the exchanges when nobody's token is known yet: for one person everywhere at once, and for many people."""
    for people in (1, callers // 10):
        tokens = [stage.mint(f"stampede-{people}-{number}") for number in range(people)]
        before = stage.exchanges
        seconds = asyncio.run(load.burst(target.port, tokens * (callers // people)))
        results.stampede[f"{callers:,} requests, {people} subject{'s' if people > 1 else ''}"] = {
            "exchanges": stage.exchanges - before,
            "seconds": seconds,
        }


def memory(stage: Stage, targets: Sequence[Target], results: Results, total: int) -> None:
    """Measure what long bodies in both directions keep in memory, beyond what is held anyway."""
    for target in targets:
        figures = results.memory_mib[target.name]
        for name, upload in (("per download", False), ("per upload", True)):
            before = resident(target.pid)
            reset_peak(target.pid)
            size = total // STREAMS
            asyncio.run(load.streams(target.port, stage.subject_tokens[0], STREAMS, size, upload=upload))
            figures[name] = max(peak(target.pid) - before, 0) / STREAMS / _MIB


def at_rest(target: Target, results: Results, when: str) -> None:
    """Note how much a target holds now."""
    results.memory_mib.setdefault(target.name, {})[when] = resident(target.pid) / _MIB


def _in_turn(stage: Stage, targets: Sequence[Target], run: Closed, rounds: int, seconds: int) -> dict[str, list[Rate]]:
    rates: dict[str, list[Rate]] = {target.name: [] for target in targets}
    for target in targets:
        run(stage, target, 1)
    for _ in range(rounds):
        for target in targets:
            rates[target.name].append(run(stage, target, seconds))
    return rates
