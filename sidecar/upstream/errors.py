"""What can go wrong on the way out, told apart by what a caller is answered.

What a request can meet has constant reasons: no address, name, header or byte of an upstream is put into one.
Exceptions of a caller's own body source are not translated; they pass through as they are.
"""

from enum import StrEnum


class Phase(StrEnum):
    """What was waited for when the time ran out."""

    CONNECT = "connect"
    SEND = "send"
    RESPONSE = "response"
    READ = "read"


class UpstreamError(Exception):
    """The root of everything here; ``reason`` is one phrase."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UpstreamConfigError(UpstreamError):
    """A pool can't be made: a file for TLS is missing or no good. Only here does the reason name one, by its path."""


class UpstreamUnavailable(UpstreamError):
    """No connection, no response head on it, or one that must not be used."""


class UpstreamTimeout(UpstreamError):
    """Silence for longer than the route allows; ``phase`` says in what."""

    def __init__(self, phase: Phase) -> None:
        super().__init__(f"no progress in time: {phase.value}")
        self.phase = phase


class UpstreamOverloaded(UpstreamError):
    """Every connection stayed in use for as long as a request may wait for one."""


class UpstreamTruncated(UpstreamError):
    """The body ended before its end. What was read of it must not be shown as complete."""


class RequestBodyMismatch(UpstreamError):
    """Our own side promised a Content-Length and gave another number of bytes; no fault of the upstream."""
