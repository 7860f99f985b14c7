"""How long ``sidecar check`` takes and how much memory, by routes: ``python -m tests.benchmarks.check``.

Each file is checked in a process of its own, as in a pipeline. The shapes are those in which rules that compare routes
have most to compare. Times can only be compared on one machine; ten times the routes should take less than ten times as
long, since a part of it is the same for any file.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

SIZES = (1_000, 10_000)
PEERS = {
    "trusted_issuers": {"corp": {"issuer": "https://login.example", "audience": ["gateway"]}},
    "authorization_servers": {
        "corp": {"issuer": "https://login.example", "client_auth": {"method": "none", "client_id": "gateway"}}
    },
}


class Cost(NamedTuple):
    """Seconds until the end, and the most bytes held at once."""

    wall: float
    memory: int


def _route(number: int, match: dict[str, Any], *, audience: str = "", scope: str = "") -> dict[str, Any]:
    return {
        "name": f"team{number % 100}/service{number}",
        "match": match,
        "upstream": {"url": f"http://127.0.0.1:{9000 + number % 100}"},
        "subject": {"require_scope": [scope or f"service{number}"]},
        "exchange": {"audience": [audience or f"service{number}-api"], "scope": ["read", "write"]},
    }


SHAPES: dict[str, Callable[[int], dict[str, Any]]] = {
    "hosts and prefixes": lambda n: _route(
        n, {"hosts": [f"team{n % 100}.example.com"], "path_prefix": f"/service{n}", "methods": ["GET", "POST"]}
    ),
    "one around all": lambda n: _route(n, {"path_prefix": f"/service{n}" if n else "/"}, scope="api"),
    "one audience": lambda n: _route(n, {"path_prefix": f"/service{n}"}, audience="api"),
    "header fields": lambda n: _route(n, {"path": "/mcp", "headers": {"Mcp-Name": f"tool{n}"}}),
    "templates": lambda n: _route(n, {"path": f"/{{tenant}}/service{n}" if n % 2 else f"/service{n}/{{item}}"}),
}


def main() -> None:
    print(f"{'':20}" + "".join(f"{size:>14,} routes" for size in SIZES))
    with tempfile.TemporaryDirectory() as folder:
        for name, shape in SHAPES.items():
            costs = [_measure(Path(folder), [shape(number) for number in range(size)]) for size in SIZES]
            print(f"{name:20}" + "".join(f"{cost.wall:7.2f} s {cost.memory / 2**20:7.0f} MiB" for cost in costs))


def _measure(folder: Path, routes: list[dict[str, Any]]) -> Cost:
    file = folder / "routes.yaml"
    tree = {"version": 1, **PEERS, "receipts": {"sink": "none"}}
    lines = [f"  - {json.dumps(route)}" for route in routes]
    head = "".join(f"{key}: {json.dumps(value)}\n" for key, value in tree.items())
    file.write_text(f"{head}routes:\n" + "\n".join(lines) + "\n", encoding="utf-8")
    start = perf_counter()
    child = subprocess.Popen([sys.executable, "-m", "sidecar", "check", "-c", str(file)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    wall = perf_counter() - start
    if child.returncode != 1:  # of each shape it is told that the client is not authenticated
        raise SystemExit(f"check ended with {child.returncode}")
    return Cost(wall, usage.ru_maxrss * 1024)


if __name__ == "__main__":
    main()
