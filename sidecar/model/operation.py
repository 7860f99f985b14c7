"""What one request asks a tool server to do, where its route reads that (the Model Context Protocol over HTTP).

Whoever approves or receipts a request is told this. How it is read of a body, and what of it counts, is decided
elsewhere; of the arguments only those are here that the route names.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. method: the message's own, as ``tools/call``. tool: its name, None where none is called.

    arguments: JSON values by name, only those that the route names; not to be changed.
    """

    method: str = field(repr=False)
    tool: str | None = field(default=None, repr=False)
    arguments: Mapping[str, Any] = field(default_factory=dict, repr=False)
