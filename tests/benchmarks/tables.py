"""A run as Markdown tables, for the terminal and for ``docs/performance.md`` alike."""

from collections.abc import Callable, Mapping

from tests.benchmarks.contenders import CONTENDERS, ENVOY, NGINX, OURS, RELAY
from tests.benchmarks.results import Results

_RATIOS = (ENVOY, RELAY)


def tables(results: Results) -> str:
    """Return all tables of a run."""
    parts = [
        _titled("CPU per request, in µs, and ours as a multiple of others'", _cpu(results)),
        _titled("Requests a second", _per_second(results)),
        _titled("Routes in the configuration: CPU per small request, in µs", _routes(results)),
        *_latency(results),
        *_websocket(results),
        _titled("Cold stampede", _stampede(results)),
        _titled("Memory, in MiB", _memory(results)),
        _titled("Who was measured", _programs(results)),
    ]
    return "\n".join(parts)


def _cpu(results: Results) -> str:
    who = [name for name in CONTENDERS if name in results.programs]
    ratios = [name for name in _RATIOS if name in who]
    rows = []
    for workload, figures in results.cpu_us.items():
        times = [_figure(figures, name, "{:.0f}".format) for name in who]
        rows.append([workload, *times, *(f"{figures[OURS] / figures[name]:.2f}" for name in ratios)])
    return _table(["", *who, *(f"ours / {name}" for name in ratios)], rows)


def _per_second(results: Results) -> str:
    who = [name for name in CONTENDERS if name in results.programs]
    ratio = [NGINX] if NGINX in who else []
    rows = []
    for workload, figures in results.per_second.items():
        rates = [_figure(figures, name, "{:,.0f}".format) for name in who]
        rows.append([workload, *rates, *(f"{figures[OURS] / figures[name]:.2f}" for name in ratio)])
    return _table(["", *who, *(f"ours / {name}" for name in ratio)], rows)


def _routes(results: Results) -> str:
    return _table(list(results.routes_cpu_us), [[f"{figure:.0f}" for figure in results.routes_cpu_us.values()]])


def _latency(results: Results) -> list[str]:
    if not results.latency_ms:
        return []
    title = f"Latency added to the upstream's own at {results.latency_rate:,.0f} requests a second, in ms"
    noise = f"Meanwhile others took up to {results.latency_others:.0%} of the core that the gateways run on.\n"
    rows = [[who, f"{each['p50']:.2f}", f"{each['p99']:.2f}"] for who, each in results.latency_ms.items()]
    return [_titled(title, f"{noise}\n{_table(['', 'p50', 'p99'], rows)}")]


def _websocket(results: Results) -> list[str]:
    if not results.websocket:
        return []
    rows = [[size, f"{each['cpu_us']:.0f}", f"{each['per_second']:,.0f}"] for size, each in results.websocket.items()]
    table = _table(["", "CPU in µs", "messages a second"], rows)
    held = f"One more open WebSocket takes {results.websocket_kib:.1f} KiB.\n"
    return [_titled("WebSocket messages there and back, through the sidecar", f"{table}\n{held}")]


def _stampede(results: Results) -> str:
    rows = [[what, f"{each['exchanges']:.0f}", f"{each['seconds']:.2f} s"] for what, each in results.stampede.items()]
    return _table(["", "exchanges", "until the last answer"], rows)


def _memory(results: Results) -> str:
    columns = list(dict.fromkeys(name for figures in results.memory_mib.values() for name in figures))
    rows = [
        [who, *(_figure(figures, name, "{:.1f}".format) for name in columns)]
        for who, figures in results.memory_mib.items()
    ]
    return _table(["", *columns], rows)


def _programs(results: Results) -> str:
    rows = [[name, each["version"], each["does"]] for name, each in results.programs.items()]
    rows += [[name, "not measured", reason] for name, reason in results.skipped.items()]
    return _table(["", "version", "what it does"], rows)


def _figure(figures: Mapping[str, float], name: str, write: Callable[[float], str]) -> str:
    return write(figures[name]) if name in figures else "–"


def _titled(title: str, table: str) -> str:
    return f"### {title}\n\n{table}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    align = ["---" if not name else "---:" for name in head]
    if head and head[0] == "" and rows and not rows[0][-1][:1].isdigit():
        align = ["---"] * len(head)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, align, *rows))
