"""One approver: it is asked, its yes is remembered for as long as a route lets it, and everything else is a no.

A no is never remembered, so that a change of mind counts at the next question. What is asked is ``question``'s, what an
answer says ``answer``'s; connections are ``oauth.http``'s (AuthZEN 1.0, Transport; OPA's data API).
"""

import asyncio
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cachetools import LRUCache

from sidecar.approval.answer import Answer, AnswerError, read_authzen, read_opa
from sidecar.approval.question import Question, authzen, opa
from sidecar.model.approval import Approval
from sidecar.model.clock import SYSTEM_CLOCK, Clock
from sidecar.model.refusal import Kind, Refusal
from sidecar.oauth.flights import Flights
from sidecar.oauth.http import PeerClient, PeerError, PeerTimeout, PeerUnreachable, Reply
from sidecar.oauth.server import ServerOverloaded
from sidecar.oauth.turns import Turns

#: Questions at once; as many again wait, and the rest is refused, so that an approver that hangs holds up nobody else.
AT_ONCE: Final = 64
#: Yeses that are remembered, those of longest ago forgotten first.
REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True)
class Form:
    """How approvers of one kind are spoken to: how a question is put, and how an answer is read.

    place: where below the configured URL they are asked.
    """

    put: Callable[[Mapping[str, Any]], dict[str, Any]]
    read: Callable[[Mapping[str, Any]], Answer]
    place: str = ""


FORMS: Final[Mapping[str, Form]] = {
    "authzen": Form(authzen, read_authzen, "/access/v1/evaluation"),
    "opa": Form(opa, read_opa),
}

#: Told after every question: the route, why not (None: yes), and how many seconds it took.
Observed = Callable[[str, Kind | None, float], None]


@dataclass(frozen=True, slots=True)
class _Said:
    """What came of one question. asked: when, monotonic. expires: the instant, monotonic, until which a yes counts."""

    asked: float
    answer: Answer
    expires: float = math.inf
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class _Yes:
    """What is remembered: what was said, about whom and for which route."""

    said: _Said
    iss: str
    sub: str
    route: str


class Approver:
    """Asks one approver, with what client it is reached by. To be closed.

    form: a key of FORMS. url: as configured. timeout: seconds for one question, waiting for its turn included.
    """

    def __init__(
        self,
        name: str,
        *,
        form: str,
        url: str,
        client: PeerClient,
        timeout: float,
        observed: Observed,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.name = name
        self._form = FORMS[form]
        self._url = url.rstrip("/") + self._form.place if self._form.place else url
        self._key = ("approvers", name, form)
        self._client = client
        self._timeout = timeout
        self._observed = observed
        self._clock = clock
        self._turns = Turns(AT_ONCE)
        self._yeses: LRUCache[bytes, _Yes] = LRUCache(REMEMBERED)
        self._flights: Flights[_Said] = Flights()

    async def approve(self, question: Question) -> Approval:
        """Return what the approver says of a request: now, or of the same before, where the route lets that count.

        It is a refusal where there is no usable answer. Cancelling leaves the question to the others who wait for it.
        """
        said = await (self._said_of(question) if question.policy.max_age > 0 else self._ask(question))
        return Approval(
            by=self.name,
            refusal=said.refusal,
            id=said.answer.id,
            reason=said.answer.reason,
            age=max(0.0, self._clock.monotonic() - said.asked),
            until=self._end(said, question),
            arguments=question.arguments,
            claimed_task=question.claimed_task,
        )

    def forget(self, takes: Callable[[str, str, str], bool]) -> int:
        """Forget the yeses that ``takes`` says, by the subject's ``iss`` and ``sub`` and the route; return how many.

        What is being asked, whoever it is about, is for those alone who wait for it already.
        """
        taken = [key for key, yes in self._yeses.items() if takes(yes.iss, yes.sub, yes.route)]
        for key in taken:
            del self._yeses[key]
        self._flights.overtake()
        return len(taken)

    async def close(self) -> None:
        """Give up all questions under way."""
        await self._flights.close()

    async def _said_of(self, question: Question) -> _Said:
        key = question.key
        yes = self._yeses.get(key)
        if yes is not None and self._clock.monotonic() < self._end(yes.said, question):
            return yes.said
        return await self._flights.join(key, lambda: self._ask_and_keep(question, key))

    async def _ask_and_keep(self, question: Question, key: bytes) -> _Said:
        self._yeses.pop(key, None)
        said = await self._ask(question)
        if said.refusal is None and self._flights.current_counts:
            self._yeses[key] = _Yes(said, question.subject.iss, question.subject.sub, question.route.name)
        return said

    @staticmethod
    def _end(said: _Said, question: Question) -> float:
        """The instant from which a yes counts no more."""
        return min(said.asked + question.policy.max_age, said.expires)

    async def _ask(self, question: Question) -> _Said:
        asked, asked_wall = self._clock.monotonic(), self._clock.wall()
        try:
            answer = self._form.read(await self._reply(question.members(asked_wall)))
        except (TimeoutError, PeerTimeout):
            said = self._unavailable(asked, "no answer in time")
        except PeerError as error:
            said = self._unavailable(asked, error.reason)
        except ServerOverloaded:
            said = self._unavailable(asked, "too many questions are waiting for it")
        except AnswerError as error:
            said = self._unavailable(asked, str(error))
        else:
            expires = math.inf if answer.expires_at is None else asked + (answer.expires_at - asked_wall)
            said = _Said(asked, answer, expires, self._denial(answer, expires))
        kind = said.refusal.kind if said.refusal is not None else None
        self._observed(question.route.name, kind, self._clock.monotonic() - asked)
        return said

    async def _reply(self, members: Mapping[str, Any]) -> dict[str, Any]:
        """Put the question; once more where not one byte of a reply came."""
        body = json.dumps(self._form.put(members), separators=(",", ":")).encode("ascii")
        async with asyncio.timeout(self._timeout), self._turns:
            try:
                reply = await self._client.post_json(self._url, body)
            except PeerUnreachable as error:
                if not error.before_reply:
                    raise
                reply = await self._client.post_json(self._url, body)
        return _usable(reply).json_object()

    def _denial(self, answer: Answer, expires: float) -> Refusal | None:
        if not answer.allow:
            finding = f"approver {self.name} said no"
        elif self._clock.monotonic() >= expires:
            finding = f"what approver {self.name} said yes to has expired"
        else:
            return None
        return Refusal(Kind.APPROVAL_DENIED, "This request is not approved.", finding=finding, key=("approval", "by"))

    def _unavailable(self, asked: float, reason: str) -> _Said:
        refusal = Refusal(
            Kind.APPROVAL_UNAVAILABLE,
            "This request can't be approved at present.",
            retry_after=1,
            finding=f"approver {self.name}: {reason}",
            key=self._key,
        )
        return _Said(asked, Answer(allow=False), refusal=refusal)


def _usable(reply: Reply) -> Reply:
    """Pass a reply that may hold an answer; a no comes with 200 too."""
    if reply.status != 200:
        raise AnswerError(f"its status is {reply.status}")
    return reply
