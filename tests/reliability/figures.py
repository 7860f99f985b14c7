"""What was measured, as it is kept in ``docs/reliability/results.json``; the page is made of it by ``tests.docs``.

A run writes its figures where the environment says ``RELIABILITY=long``: then tests also take as long as what they
promise. Else they are shorter, and write nothing. ``SOAK`` is the length of a run of chaos in seconds, ``SEED`` the
number that its faults follow from.
"""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).parents[2] / "docs" / "reliability" / "results.json"
LONG: Final = os.environ.get("RELIABILITY") == "long"

#: The numbers of one promise, by name.
Numbers = Mapping[str, float]


def record(promise: str, **numbers: float) -> None:
    """Show what was measured for a promise, and keep it where this is a long run."""
    print(f"{promise}: " + ", ".join(f"{name} {number:g}" for name, number in numbers.items()))
    if LONG:
        kept = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
        kept[promise] = {"taken": datetime.now(UTC).date().isoformat(), **numbers}
        FILE.parent.mkdir(exist_ok=True)
        FILE.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n", encoding="utf-8")
