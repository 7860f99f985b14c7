"""What is to be forgotten at once, and how much of it there was, as values.

Nothing is forgotten here: each memory is handed a ``Selection`` and asks it about what it holds.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class About:
    """What was asked of an authorization server.

    iss, sub: for whom. server: the authorization server's name in the file. asked: a digest of all that the route asks
    for, but for tokens: routes that ask for the same have the same.
    """

    iss: str
    sub: str
    server: str
    asked: bytes


@dataclass(frozen=True, slots=True)
class Selection:
    """Whose or which tokens; where nothing is given, all of them.

    iss: of the subject; with sub one subject, alone all that this issuer names. route: its name; asked: what it asks
    for, see ``About``. server: an authorization server's name in the file.
    """

    iss: str | None = None
    sub: str | None = None
    route: str | None = None
    asked: frozenset[bytes] = frozenset()
    server: str | None = None

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return self.iss is None and self.route is None and self.server is None

    def takes(self, about: About) -> bool:
        """Whether what was asked is among it."""
        if self.route is not None:
            return about.asked in self.asked
        if self.server is not None:
            return about.server == self.server
        return self.names(about.iss, about.sub)

    def names(self, iss: str, sub: str) -> bool:
        """Whether a subject is among it; none is where it names a route or a server."""
        if self.iss is not None:
            return self.iss == iss and self.sub in (None, sub)
        return self.everything


@dataclass(frozen=True, slots=True)
class Flushed:
    """How much was forgotten.

    refusals: those that were remembered of an authorization server. exchanges: those under way, whose token is for
    nobody but the requests that wait for it already. verified_tokens: callers' tokens whose signature need not have
    been checked again. introspections: what servers said of tokens. workload_tokens: ours, from client credentials.
    approvals: the yeses of approvers that would have counted again.
    """

    issued_tokens: int = 0
    refusals: int = 0
    exchanges: int = 0
    verified_tokens: int = 0
    introspections: int = 0
    workload_tokens: int = 0
    approvals: int = 0
