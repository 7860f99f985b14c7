"""One audit line per decision of the token endpoint: who asked, for whom, for what, and what came of it.

A line holds only names that the configuration or a verified token contains, and constant text. A parameter's value that
nobody knows is written as ``(unknown)``, since a client may put anything there, its secret included.
"""

import json
import sys
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import Final

from sidecar.model.tokens import Actor

UNKNOWN: Final = "(unknown)"


@dataclass(slots=True)
class AuditLine:
    """One decision. It is filled in while the request is being understood and handed over once, at its end.

    time: wall-clock seconds. actors: the issued token's chain, or the actor presented where it was refused.
    token: the issued token's ``jti``. lifetime: seconds. error and reason: None and empty where a token was issued.
    """

    time: float
    grant: str | None = None
    client: str | None = None
    subject: Actor | None = None
    actors: tuple[Actor, ...] = ()
    audience: tuple[str, ...] = ()
    scope: tuple[str, ...] = ()
    token: str | None = None
    lifetime: int | None = None
    error: str | None = None
    reason: str = ""
    known: Container[str] = field(default=(), repr=False)

    @property
    def decision(self) -> str:
        """``issued`` or ``refused``."""
        return "issued" if self.token is not None else "refused"

    def asked(self, audience: Sequence[str], scope: Sequence[str]) -> None:
        """Note what was asked for, as far as it is known."""
        self.audience = tuple(name if name in self.known else UNKNOWN for name in audience)
        self.scope = tuple(name if name in self.known else UNKNOWN for name in scope)

    def to_json(self) -> str:
        """The line as one JSON object in ASCII, without a line break."""
        return json.dumps(
            {
                "event": "token_request",
                "time": round(self.time, 3),
                "decision": self.decision,
                "grant": self.grant,
                "client": self.client,
                "subject": _named(self.subject) if self.subject else None,
                "actor": [_named(actor) for actor in self.actors],
                "audience": self.audience,
                "scope": self.scope,
                "token": self.token,
                "lifetime": self.lifetime,
                "error": self.error,
                "reason": self.reason,
            }
        )


AuditSink = Callable[[AuditLine], None]


def to_stderr(line: AuditLine) -> None:
    """Write a line to standard error: the sink by default."""
    sys.stderr.write(line.to_json() + "\n")
    sys.stderr.flush()


def _named(actor: Actor) -> dict[str, str | None]:
    return {"iss": actor.iss, "sub": actor.sub}
