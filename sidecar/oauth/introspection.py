"""What an authorization server says of a token that nobody else can read, or may have withdrawn (RFC 7662).

An answer is believed for its own token only, no longer than ``max_age`` and never past its ``exp``. What the claims
must say is judged by the callers; that there are any, and that they are well-formed, is made sure of here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from cachetools import LRUCache

from sidecar.model.claims import ClaimError, instant
from sidecar.model.clock import SYSTEM_CLOCK, Clock
from sidecar.model.tokens import ACCESS_TOKEN
from sidecar.oauth.flights import Flights
from sidecar.oauth.server import AuthorizationServer, ErrorReply, ServerError, ServerUnavailable, TokenReply

REMEMBERED_BYTES: Final = 16 * 1024 * 1024  # of answers about active tokens
#: Answers about others. Anybody can make us ask for these, so they never push out an active one.
REMEMBERED_INACTIVE: Final = 1_000
INACTIVE_MAX_AGE: Final = 10.0  # seconds: a token that is not valid yet may become so
_CODES: Final = frozenset(
    {"invalid_client", "invalid_request", "invalid_token", "unauthorized_client", "access_denied"}
)


class IntrospectionUnavailable(Exception):
    """The server gave no answer that can be used. retry_after: seconds; reason: constant text."""

    def __init__(self, retry_after: float, reason: str) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Answer:
    """claims: None where the token is not active. until: monotonic seconds, after which somebody asks again."""

    claims: Mapping[str, Any] | None = field(repr=False)
    until: float

    @property
    def size(self) -> int:
        """About how many bytes it takes to remember."""
        return 512 + len(repr(self.claims))


class Introspection:
    """Asks one server about tokens, and remembers what it said.

    server: the one whose introspection endpoint is asked. token_type: the URI of what it is asked about.
    max_age: seconds for which an answer about an active token is believed; 0 asks every time.
    observed: called with ``success`` or ``failure`` after every question.
    """

    def __init__(
        self,
        server: AuthorizationServer,
        *,
        token_type: str,
        max_age: float,
        clock: Clock = SYSTEM_CLOCK,
        observed: Callable[[str], None] | None = None,
    ) -> None:
        self._server = server
        # RFC 7662 §2.1: the registry knows access and refresh tokens; another type has no hint.
        self._hint = (("token_type_hint", "access_token"),) if token_type == ACCESS_TOKEN else ()
        self._max_age = max_age
        self._clock = clock
        self._observed = observed
        self._active: LRUCache[bytes, _Answer] = LRUCache(REMEMBERED_BYTES, lambda answer: answer.size)
        self._inactive: LRUCache[bytes, _Answer] = LRUCache(REMEMBERED_INACTIVE)
        self._flights: Flights[_Answer] = Flights()

    async def introspect(self, token: str) -> Mapping[str, Any] | None:
        """Return what the server says of an active token, None where it is not active.

        Whoever asks about the same token meanwhile gets the same answer. IntrospectionUnavailable: there is none that
        can be used. Cancelling leaves the question to the others who wait for it.
        """
        digest = sha256(token.encode()).digest()
        now = self._clock.monotonic()
        for remembered in (self._active, self._inactive):
            if (answer := remembered.get(digest)) is not None and now < answer.until:
                return answer.claims
        return (await self._flights.join(digest, lambda: self._ask(token, digest))).claims

    async def look(self) -> bool | None:
        """Look whether the server is there, without asking about a token; None where that says nothing."""
        return await self._server.look()

    def forget(self, takes: Callable[[Mapping[str, Any]], bool] = lambda _: True) -> int:
        """Forget the answers about active tokens whose claims ``takes`` says, and return how many.

        All about others go, too: of whom they are, nobody knows. So it is with what is being asked: whoever waits for
        it gets it, and nobody else.
        """
        taken = [digest for digest, answer in self._active.items() if takes(answer.claims or {})]
        for digest in taken:
            del self._active[digest]
        forgotten = len(taken) + len(self._inactive)
        self._inactive.clear()
        self._flights.overtake()
        return forgotten

    async def close(self) -> None:
        """Give up all questions under way."""
        await self._flights.close()

    async def _ask(self, token: str, digest: bytes) -> _Answer:
        try:
            answer = await self._answer(token, digest)
        except IntrospectionUnavailable:
            self._tell("failure")
            raise
        self._tell("success")
        if not self._flights.current_counts:
            return answer
        self._active.pop(digest, None)
        if answer.until > self._clock.monotonic():
            (self._inactive if answer.claims is None else self._active)[digest] = answer
        return answer

    async def _answer(self, token: str, digest: bytes) -> _Answer:
        try:
            reply = await self._server.token_request([("token", token), *self._hint], digest)
        except ServerUnavailable as error:
            raise IntrospectionUnavailable(error.retry_after, f"introspection: {error.reason}") from None
        except ServerError as error:
            raise _unavailable(error.reason) from None
        if isinstance(reply, ErrorReply):
            # Of a token that it does not know, a server says that it is not active; an error is about us (§2.3).
            # A code that nobody knows may be anything, even the token.
            code = reply.error if reply.error in _CODES else "without an OAuth error code that is known"
            raise _unavailable(f"the server said {reply.status} {code}")
        return self._read(reply)

    def _read(self, reply: TokenReply) -> _Answer:
        """Read an answer. Only JSON's own true and false say anything (§2.2): "false" would be taken for true."""
        active = reply.members.get("active")
        if not isinstance(active, bool):
            raise _unavailable("the reply does not say whether the token is active")
        if not active:
            return _Answer(None, reply.sent + min(self._max_age, INACTIVE_MAX_AGE))
        try:
            expires_at = instant(reply.members, "exp")
        except ClaimError as error:
            raise _unavailable(str(error)) from None
        left = self._max_age if expires_at is None else min(self._max_age, expires_at - reply.sent_wall)
        return _Answer(reply.members, reply.sent + left)

    def _tell(self, outcome: str) -> None:
        if self._observed is not None:
            self._observed(outcome)


def _unavailable(reason: str) -> IntrospectionUnavailable:
    return IntrospectionUnavailable(1.0, f"introspection: {reason}")
