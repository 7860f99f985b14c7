"""Which findings of ``sidecar check`` a file may accept, each with a line that says why.

Only the names are here; what each one finds, and the reason for it, is in ``sidecar.commands.lint``. A test makes sure
that the names are the same.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from sidecar.config import values
from sidecar.config.schema.markers import Check

#: About one route, and accepted in it.
RouteRule = Literal[
    "exchange-none",
    "expect-any",
    "impersonation",
    "mixed-strictness",
    "nested-policy",
    "no-target",
    "overlapping-routes",
    "plain-http",
    "unconfirmed-writes",
    "unnamed-operations",
    "websocket-outlives-token",
    "wildcard-host-without-methods",
]
#: About the rest of the file, and accepted at its top.
FileRule = Literal["empty-glob", "long-lifetime", "plain-http", "unauthenticated-client", "unused"]


def _why(value: str) -> str:
    try:
        return values.text(value)
    except ValueError:
        raise ValueError("should say why this is meant, in one line of text") from None


Why = Annotated[str, Check(_why)]

AcceptedInRoute = Mapping[RouteRule, Why]
AcceptedInFile = Mapping[FileRule, Why]
