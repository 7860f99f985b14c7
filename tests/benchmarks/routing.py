"""How long a match takes, and how that grows with the routes: ``python -m tests.benchmarks.routing``.

Tables of 10, 1,000 and 10,000 routes are measured in turn, round by round, so that a busy machine slows all alike;
printed are medians and their ratio to the smallest table's. Only ratios can be compared between machines.
"""

from collections.abc import Callable
from statistics import median
from time import perf_counter

from sidecar.model.request import RequestHead
from sidecar.model.route import Route
from sidecar.routing.table import Table
from tests.routing.builders import request, route

SIZES = (10, 1_000, 10_000)
ROUNDS = 31
CALLS = 2_000


def _prefixes(size: int) -> list[Route]:
    return [route(f"r{n}", prefix=f"/team{n % 100}/service{n}") for n in range(size)]


def _templates(size: int) -> list[Route]:
    return [route(f"r{n}", path=f"/team{n % 100}/service{n}/{{id}}") for n in range(size)]


def _hosts(size: int) -> list[Route]:
    return [route(f"r{n}", hosts=(f"*.s{n}.example.com",), prefix="/") for n in range(size)]


def _methods(size: int) -> list[Route]:
    return [route(f"r{n}", path=f"/service{n // 2}", methods=(("GET", "POST")[n % 2],)) for n in range(size)]


def _headers(size: int) -> list[Route]:
    return [route(f"r{n}", path="/mcp", headers=((b"mcp-name", b"tool%d" % n),)) for n in range(size)]


CASES: dict[str, tuple[Callable[[int], list[Route]], RequestHead]] = {
    "literal prefix": (_prefixes, request(b"/team7/service7/items/12345")),
    "template": (_templates, request(b"/team7/service7/12345")),
    "wildcard host": (_hosts, request(b"/items", host="a.s7.example.com")),
    "exact, method": (_methods, request(b"/service3", method="POST")),
    "header field": (_headers, request(b"/mcp", fields=((b"Host", b"a"), (b"Mcp-Name", b"tool7")))),
    "escaped path": (_prefixes, request(b"/team7/service7/caf%c3%a9")),
}


def main() -> None:
    print(f"{'µs per match':16}" + "".join(f"{size:>16,}" for size in SIZES))
    for name, (make, head) in CASES.items():
        tables = [Table(make(size)) for size in SIZES]
        rounds = [[_measure(table, head) for table in tables] for _ in range(ROUNDS)]
        medians = [median(column) for column in zip(*rounds, strict=True)]
        print(f"{name:16}" + "".join(f"{value:>8.2f} ({value / medians[0]:4.2f}x)" for value in medians))


def _measure(table: Table, head: RequestHead) -> float:
    start = perf_counter()
    for _ in range(CALLS):
        table.match(head)
    return (perf_counter() - start) / CALLS * 1e6


if __name__ == "__main__":
    main()
