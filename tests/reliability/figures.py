"""What was measured, as it is kept in ``docs/reliability/results.json``; the page is made of it by ``tests.docs``.

A run writes its figures where the environment says ``RELIABILITY=long``: then tests also take as long as what they
promise. Else they are shorter, and write nothing. ``SOAK`` is the length of a run of chaos in seconds, ``SEED`` the
number that its faults follow from.
"""

import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).parents[2] / "docs" / "reliability" / "results.json"
LONG: Final = os.environ.get("RELIABILITY") == "long"


@dataclass(frozen=True, slots=True)
class Kept:
    """What was measured for one promise. taken: the day. numbers: by name."""

    taken: str
    numbers: dict[str, float]


def record(promise: str, **numbers: float) -> None:
    """Show what was measured for a promise, and keep it where this is a long run."""
    print(f"{promise}: " + ", ".join(f"{name} {number:.10g}" for name, number in numbers.items()))
    if LONG:
        kept = {name: asdict(each) for name, each in load().items()}
        kept[promise] = asdict(Kept(datetime.now(UTC).date().isoformat(), numbers))
        FILE.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load() -> dict[str, Kept]:
    """Read what was kept, by promise."""
    return {name: Kept(**each) for name, each in json.loads(FILE.read_text(encoding="utf-8")).items()}
