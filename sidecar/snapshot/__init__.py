"""A configuration compiled into what requests are decided by; immutable, and swapped as a whole.

``build`` makes one of a loaded file, ``routes`` and ``peers`` compile its sections. Errors that only show when parts
meet (a tie between routes, a key that does not fit its algorithm) are reported like any other: file, line, column.
"""

from sidecar.snapshot.build import Snapshot, build

__all__ = ["Snapshot", "build"]
