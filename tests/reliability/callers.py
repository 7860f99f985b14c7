"""People who call through the gateway at a steady rate, and know which answer is theirs.

The rate does not depend on how fast answers come. Every answer is judged at once; what may never be (somebody else's
answer, or a piece shown as the whole) is kept apart from what merely failed.
"""

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sidecar.oauth.jwt import generate_key, jwk_set, sign
from tests.reliability.answers import answer_body
from tests.support.gateway import Answer, read_answer
from tests.support.held import Connection

PATIENCE: Final = 30.0  # seconds for one answer: longer than any time-out of a gateway here
REST: Final = 10.0  # seconds of a connection between two requests: far less than a gateway allows
#: The callers' issuer: a key with no server behind it.
ISSUER: Final = "https://login.example.com"
_ids = itertools.count()


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody with a subject token."""

    sub: str
    token: str = field(repr=False)


class Issuer:
    """Gives callers their tokens; its public key is ``jwks.json`` in the folder."""

    def __init__(self, folder: Path) -> None:
        self._key = generate_key("ES256", "callers")
        (folder / "jwks.json").write_text(json.dumps(jwk_set([self._key])), encoding="utf-8")

    def caller(self, sub: str, lifetime: float = 6 * 3600) -> Caller:
        """Return somebody whose token lives so long, in seconds."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": sub,
            "aud": "orders-gateway",
            "client_id": "shop",
            "scope": "orders.read",
            "iat": now,
            "exp": int(now + lifetime),
            "jti": f"{sub}-{next(_ids)}",
        }
        return Caller(sub, sign(claims, self._key, "ES256", {"typ": "at+jwt", "kid": "callers"}))

    def callers(self, count: int, name: str = "user") -> list[Caller]:
        """Return so many."""
        return [self.caller(f"{name}-{number}") for number in range(count)]

    def strangers(self, name: str = "stranger") -> Iterator[Caller]:
        """Return people who have never been here, one after another."""
        return (self.caller(f"{name}-{number}") for number in itertools.count())


@dataclass(slots=True)
class Tally:
    """What came of a load.

    statuses: of whole answers. broken: answers that did not come, or not to their end, by what happened. never: answers
    that may not be. seconds: how long each whole answer took, by status.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    never: list[str] = field(default_factory=list)
    seconds: dict[int, list[float]] = field(default_factory=dict)

    @property
    def sent(self) -> int:
        """How many requests have come to an end."""
        return self.statuses.total() + self.broken.total()

    @property
    def failed(self) -> int:
        """How many of them were not answered 200."""
        return self.sent - self.statuses[200]

    def add(self, other: "Tally") -> None:
        """Count another one's answers in."""
        self.statuses += other.statuses
        self.broken += other.broken
        self.never += other.never
        for status, seconds in other.seconds.items():
            self.seconds.setdefault(status, []).extend(seconds)

    def percentile(self, share: float, status: int = 200) -> float:
        """Return the milliseconds within which this share of the answers with a status came; 0 where none did."""
        ordered = sorted(self.seconds.get(status, ()))
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class Way:
    """One path through a gateway, with the connections that callers have to it.

    query: ``programs.upstream`` says what may be in it. size: of the answer it asks for.
    """

    def __init__(self, port: int, path: str, *, query: str = "", size: int = 0, post: bool = False) -> None:
        self.port = port
        self.tally = Tally()
        self._target = f"{path}?size={size}&{query}".rstrip("&")
        self._size = size
        self._method, self._body = ("POST", b"x" * 100) if post else ("GET", b"")
        self._idle: list[tuple[float, Connection]] = []  # since when

    async def ask(self, caller: Caller) -> int:
        """Send one request, judge its answer and return its status; 0 where it did not come whole."""
        name = f"{self._method}-{next(_ids)}"
        lines = [f"{self._method} {self._target} HTTP/1.1", "Host: a.example", f"X-Id: {name}"]
        lines.append(f"Authorization: Bearer {caller.token}")
        if self._body:
            lines.append(f"Content-Length: {len(self._body)}")
        request = "\r\n".join([*lines, "", ""]).encode() + self._body
        began = time.perf_counter()
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await self._exchange(request)
        except (OSError, EOFError, TimeoutError) as error:
            self.tally.broken[type(error).__name__] += 1
            return 0
        self.tally.statuses[answer.status] += 1
        self.tally.seconds.setdefault(answer.status, []).append(time.perf_counter() - began)
        if answer.status == 200 and answer.body != answer_body(caller.sub, name, self._size):
            self.tally.never.append(f"{len(answer.body)} bytes for {caller.sub} {name}: {answer.body[:60]!r}")
        return answer.status

    async def _exchange(self, request: bytes) -> Answer:
        connection = self._kept() or await asyncio.open_connection("127.0.0.1", self.port)
        try:
            connection[1].write(request)
            answer = await read_answer(connection[0])
        except BaseException:
            connection[1].close()
            raise
        if answer.value("connection") == "close":
            connection[1].close()
        else:
            self._idle.append((time.monotonic(), connection))
        return answer

    def _kept(self) -> Connection | None:
        """A connection that has not rested for so long that the gateway might close it just now."""
        while self._idle:
            since, connection = self._idle.pop()
            if time.monotonic() - since < REST:
                return connection
            connection[1].close()
        return None

    def close(self) -> None:
        """Leave all connections."""
        for _, connection in self._idle:
            connection[1].close()
        self._idle.clear()


@asynccontextmanager
async def steadily(way: Way, rate: float, callers: Sequence[Caller] | Iterator[Caller]) -> AsyncIterator[Tally]:
    """Send so many requests a second for the length of the block, of callers in turn; all are answered at its end."""
    following: Iterator[Caller] = itertools.cycle(callers) if isinstance(callers, Sequence) else callers
    stop = asyncio.Event()
    sender = asyncio.create_task(_send(way, rate, lambda: next(following), stop))
    try:
        yield way.tally
    finally:
        stop.set()
        await sender


async def _send(way: Way, rate: float, following: Callable[[], Caller], stop: asyncio.Event) -> None:
    """Send each request when it is due; what is late, because the machine was busy, is sent at once."""
    due = time.monotonic()
    async with asyncio.TaskGroup() as group:
        while not stop.is_set():
            group.create_task(way.ask(following()))
            due += 1 / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
    way.close()
