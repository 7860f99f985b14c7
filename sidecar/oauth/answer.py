"""What comes of a request to an authorization server: a token, a refusal, or a failure (RFC 6749 §5, RFC 6585 §4).

``judge`` reads a reply, and is pure. Whether an answer is good enough to be used is not judged here, nor what becomes
of a server that fails.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, Final

from sidecar.oauth.http import Flaw, PeerReplyUnusable, Reply

DEFAULT_PAUSE: Final = 1.0  # seconds, where a server that must be left alone does not say
LONGEST_PAUSE: Final = 60.0  # seconds that a Retry-After is obeyed for
MAX_DESCRIPTION: Final = 1024  # characters
_PASSING: Final = frozenset({502, 503, 504})
_CODE: Final = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]{1,64}")  # RFC 6749 §5.2
_LOGIN: Final = ("acr_values", "max_age", "claims")
_SERVER_FAILED: Final = frozenset({"server_error", "temporarily_unavailable"})


class Health(Enum):
    """What the end of a request says of the server."""

    ANSWERED = auto()  # also with a refusal, or with something that can't be used
    FAILED = auto()  # no connection, no answer in time, 5xx
    UNTOLD = auto()


@dataclass(frozen=True, slots=True)
class TokenReply:
    """A success: status 200, a JSON object, no ``error`` in it. A refresh token is not kept.

    sent, sent_wall: when the request was sent, on the monotonic and the wall clock, in seconds.
    """

    members: Mapping[str, Any] = field(repr=False)
    sent: float
    sent_wall: float

    @property
    def health(self) -> Health:
        """What it says of the server."""
        return Health.ANSWERED


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """A refusal.

    error: the OAuth code, at most 64 characters of its charset; None where there is none that is well-formed.
    description: the server's text, cut to 1024 characters: to be compared, never to be shown.
    login: what it says of the login that it wants, as it came: ``acr_values``, ``max_age``, ``claims``; none that
        repeats a token or secret of the request.
    """

    status: int
    error: str | None
    description: str | None = field(repr=False)
    login: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def health(self) -> Health:
        """What it says of the server: some answer 500 and the code of a refusal."""
        failed = self.status >= HTTPStatus.INTERNAL_SERVER_ERROR and self.error in _SERVER_FAILED
        return Health.FAILED if failed else Health.ANSWERED


class ServerError(Exception):
    """A request to an authorization server came to nothing. ``reason`` is constant text."""

    health = Health.UNTOLD

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ServerUnavailable(ServerError):
    """There is no connection, or the server can't or won't answer now. retry_after: seconds."""

    health = Health.FAILED

    def __init__(self, reason: str, retry_after: float = DEFAULT_PAUSE) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class MayHavePassed(ServerUnavailable):
    """A failure after which asking once more may help."""


class AskedToWait(ServerUnavailable):
    """The server asks to be left alone. pause: seconds, a minute at most. failed: it said so with 5xx, not with 429."""

    def __init__(self, pause: float, *, failed: bool) -> None:
        super().__init__("the server asks to be left alone", max(pause, DEFAULT_PAUSE))
        self.pause = pause
        self.health = Health.FAILED if failed else Health.ANSWERED


class ServerNotAsked(ServerUnavailable):
    """Nothing was sent: the server asked to be left alone, or has failed too often."""

    health = Health.UNTOLD


class ServerOverloaded(ServerError):
    """As many requests as may be are under way, and as many again are waiting."""


class ServerTimeout(ServerError):
    """There was no answer in time."""

    health = Health.FAILED


class ServerReplyUnusable(ServerError):
    """There is an answer, and it must not be used. astray: it may come from somewhere else than a token endpoint."""

    health = Health.ANSWERED

    def __init__(self, reason: str, *, astray: bool = True) -> None:
        super().__init__(reason)
        self.astray = astray


def judge(reply: Reply, sent: float, sent_wall: float, secrets: Sequence[str] = ()) -> TokenReply | ErrorReply:
    """Read a reply: the code decides, the status where there is none.

    sent, sent_wall: see TokenReply. secrets: of the request, whole and in parts; see ``ErrorReply.login``.
    MayHavePassed, AskedToWait, ServerUnavailable: it tells of a failure. ServerReplyUnusable: it must not be used.
    """
    if reply.status == HTTPStatus.OK:
        return TokenReply(_success(reply), sent, sent_wall)
    if reply.status < HTTPStatus.BAD_REQUEST:
        raise ServerReplyUnusable(Flaw.STATUS)
    failed, passing = reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR, reply.status in _PASSING
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS or (failed and reply.retry_after is not None):
        pause = DEFAULT_PAUSE if reply.retry_after is None else min(reply.retry_after, LONGEST_PAUSE)
        raise AskedToWait(pause, failed=failed)
    error = _error(reply, secrets)
    if passing and (error.error is None or error.error in _SERVER_FAILED):
        raise MayHavePassed("the server is not available")
    if failed and error.error is None:
        raise ServerUnavailable("the server failed")
    return error


def _success(reply: Reply) -> Mapping[str, Any]:
    if reply.content_type != "application/json":
        raise ServerReplyUnusable(Flaw.CONTENT_TYPE)
    try:
        members = reply.json_object()
    except PeerReplyUnusable as error:
        raise ServerReplyUnusable(error.reason) from None
    if "error" in members:
        raise ServerReplyUnusable("the reply is a success and an error", astray=False)
    members.pop("refresh_token", None)
    return members


def _error(reply: Reply, secrets: Sequence[str]) -> ErrorReply:
    try:
        members = reply.json_object()
    except PeerReplyUnusable:
        members = {}
    code, description = members.get("error"), members.get("error_description")
    return ErrorReply(
        reply.status,
        code if isinstance(code, str) and _CODE.fullmatch(code) else None,
        description[:MAX_DESCRIPTION] if isinstance(description, str) else None,
        {name: members[name] for name in _LOGIN if name in members and not _repeats(members[name], secrets)},
    )


def _repeats(value: object, secrets: Sequence[str]) -> bool:
    return isinstance(value, str) and any(secret in value for secret in secrets)
