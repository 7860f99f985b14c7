"""``python -m tests.redteam.mutate``: runs the suite without each check, one at a time, and shows what misses it.

Ends with 1 where a check can go and nothing fails: an attack is missing then.
"""

import os
import re
import subprocess
import sys

from tests.redteam.mutations import MUTATIONS

FAILED = re.compile(r"^FAILED \S+::(?:test_nothing_gets_through\[)?(\w+)", re.MULTILINE)


def main() -> int:
    """Print a line for each check, with the tests that fail without it."""
    unmissed = 0
    for name in sys.argv[1:] or MUTATIONS:
        run = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/redteam"],
            env={**os.environ, "REDTEAM_WITHOUT": name},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        failed = sorted(
            set(re.findall(r"^FAILED \S+::(?:test_nothing_gets_through\[)?(\w+)", run.stdout, re.MULTILINE))
        )
        unmissed += not failed
        print(f"{name:42} {', '.join(failed) or 'NOTHING'}", flush=True)
    return 1 if unmissed else 0


if __name__ == "__main__":
    sys.exit(main())
