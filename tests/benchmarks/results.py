"""What a run came to, as it is kept in ``docs/benchmarks/results.json``; all figures are medians over the rounds."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parents[2] / "docs" / "benchmarks"
FILE: Final = FOLDER / "results.json"
PLOT: Final = FOLDER / "cpu.svg"

#: Figures by workload and by who was measured.
Table = dict[str, dict[str, float]]


@dataclass(slots=True)
class Results:
    """One run. cpu_us: microseconds of CPU per request. latency: milliseconds that are added to asking the upstream
    itself, at ``latency_rate`` requests a second, while others took at most ``latency_others`` of the gateway's core.
    websocket: of a message there and back, by its size; websocket_kib: of one more open WebSocket. stampede: exchanges
    and seconds. memory: MiB.
    """

    taken: str
    machine: str
    programs: dict[str, dict[str, str]]
    skipped: dict[str, str] = field(default_factory=dict)
    cpu_us: Table = field(default_factory=dict)
    per_second: Table = field(default_factory=dict)
    routes_cpu_us: dict[str, float] = field(default_factory=dict)
    latency_rate: float = 0.0
    latency_ms: Table = field(default_factory=dict)
    latency_others: float = 0.0
    websocket: Table = field(default_factory=dict)
    websocket_kib: float = 0.0
    stampede: Table = field(default_factory=dict)
    memory_mib: Table = field(default_factory=dict)

    def dump(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"


def load(path: Path = FILE) -> Results:
    """Read a run that was kept."""
    return Results(**json.loads(path.read_text(encoding="utf-8")))
