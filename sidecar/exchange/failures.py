"""What callers are told where an authorization server can't be asked or does not answer: one kind for each failure.

Errors that a server answers with are not here: what they mean is the dialect's.
"""

from typing import Final

from sidecar.model.refusal import Kind, Refused, refuse
from sidecar.oauth.server import (
    ServerError,
    ServerNotAsked,
    ServerOverloaded,
    ServerReplyUnusable,
    ServerTimeout,
    ServerUnavailable,
)

UNUSABLE: Final = "The authorization server's reply can't be used."
UNAVAILABLE: Final = "The authorization server is not available."


class NotAsked(Refused):
    """A refusal without anything sent: the server is left alone, or too many wait for it already."""


def failure_of(error: ServerError, server: str) -> Refused:
    """Return the refusal that a failure of a server, or our own restraint, maps to. server: its name in the file."""
    match error:
        case ServerUnavailable():
            retry_after = error.retry_after
            refused = refuse(Kind.EXCHANGE_UNAVAILABLE, UNAVAILABLE, retry_after=retry_after, finding=error.reason)
        case ServerOverloaded():
            refused = refuse(Kind.OVERLOADED, "Too many exchanges are waiting.", retry_after=1)
        case ServerTimeout():
            refused = refuse(Kind.EXCHANGE_TIMEOUT, "The authorization server did not answer in time.")
        case _:
            astray = isinstance(error, ServerReplyUnusable) and error.astray
            key = ("authorization_servers", server, "token_endpoint") if astray else ()
            refused = refuse(Kind.EXCHANGE_UNUSABLE, UNUSABLE, finding=error.reason, key=key)
    return NotAsked(refused.refusal) if isinstance(error, ServerNotAsked | ServerOverloaded) else refused
