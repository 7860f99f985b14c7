"""Steady traffic on connections that stay open, and what came of it; whoever is told to leave connects again."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.support.gateway import BOUND, Answer, read_answer


@dataclass(slots=True)
class Outcome:
    """What came of the requests so far. wrong: what went otherwise than it should, and how often."""

    answered: int = 0
    wrong: Counter[str] = field(default_factory=Counter)


class Load:
    """Workers that send one request after another.

    ports: where to connect, the newest last; may change at any time. request: the bytes of a worker's next request,
    and the body that answers it.
    """

    def __init__(self, ports: Sequence[int], request: Callable[[int], tuple[bytes, bytes]]) -> None:
        self.ports = ports
        self.outcome = Outcome()
        self._request = request
        self._stop = asyncio.Event()

    async def work(self, number: int) -> None:
        """Be one worker."""
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not self._stop.is_set():
            request, body = self._request(number)
            try:
                async with asyncio.timeout(BOUND):
                    if connection is None:
                        connection = await asyncio.open_connection("127.0.0.1", self.ports[-1])
                    answer = await self._ask(connection, request)
            except (OSError, EOFError, TimeoutError) as error:
                self.outcome.wrong[type(error).__name__] += 1
                _leave(connection)
                connection = None
                continue
            self.outcome.answered += 1
            if (answer.status, answer.body) != (200, body):
                self.outcome.wrong[f"{answer.status} {answer.body[:60]!r} for {body!r}"] += 1
            if answer.value("connection") == "close":
                _leave(connection)
                connection = None
            await asyncio.sleep(0.02)
        _leave(connection)

    def stop(self) -> None:
        """Have the workers end after their next answer."""
        self._stop.set()

    async def _ask(self, connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], request: bytes) -> Answer:
        reader, writer = connection
        writer.write(request)
        await writer.drain()
        return await read_answer(reader)


def _leave(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None) -> None:
    if connection is not None:
        connection[1].close()


@asynccontextmanager
async def steady(load: Load, workers: int = 8) -> AsyncIterator[Outcome]:
    """Keep it up for the length of the block."""
    tasks = [asyncio.create_task(load.work(number)) for number in range(workers)]
    try:
        yield load.outcome
    finally:
        load.stop()
        await asyncio.gather(*tasks)
