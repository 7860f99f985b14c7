"""How a server can fail, and the proxy that makes it do so, as tests command it.

The proxy itself is ``programs.fault_proxy``, a process of its own.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Final

_BOUND: Final = 10.0  # seconds for an answer of the proxy


class Manner(StrEnum):
    """What becomes of a request, or of a connection."""

    PASS = "pass"  # it is answered
    REFUSE = "refuse"  # nobody listens, and what was connected is reset
    HANG = "hang"  # it is read and never answered
    HOLD = "hold"  # it is answered when the manner changes
    SLOW = "slow"  # it is answered after a while, at random up to so many seconds
    DROP = "drop"  # it is read, and the connection ends without having gone anywhere
    CUT = "cut"  # its answer breaks off anywhere before its end, also before its first byte
    CORRUPT = "corrupt"  # some bytes of its answer are others
    ERROR = "error"  # it is answered with an error status
    BUSY = "busy"  # it is answered 429 with a Retry-After


@dataclass(frozen=True, slots=True)
class Fault:
    """How requests fail.

    manner: see there. share: of the requests, at random. seconds: for SLOW and BUSY. status: for ERROR.

    path: of the requests that it hits; empty for all.
    bodies: whether CORRUPT may hit a body, or what says how long that is: nobody can tell, unless the body is signed.
    """

    manner: Manner = Manner.PASS
    share: float = 1.0
    seconds: float = 0.5
    status: int = 503
    path: str = ""
    bodies: bool = False


@dataclass(slots=True)
class Count:
    """What has come to a proxy since its start.

    requests: by path. faults: how many of them were made to fail. doubled: the ``X-Id`` of every POST that came again.
    early: how many came in the time in which a Retry-After had asked for none.
    """

    requests: dict[str, int] = field(default_factory=dict)
    faults: int = 0
    doubled: list[str] = field(default_factory=list)
    early: int = 0

    @property
    def exchanges(self) -> int:
        """How many requests there were to the token endpoint."""
        return self.requests.get("/token", 0)


class Faults:
    """One proxy, commanded over its control port."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def become(self, fault: Fault) -> Count:
        """Have it fail so from now on; return what has come until now."""
        return await self._told(asdict(fault))

    async def count(self) -> Count:
        """Return what has come until now."""
        return await self._told({})

    @asynccontextmanager
    async def during(self, fault: Fault) -> AsyncIterator[None]:
        """Have it fail so for the length of the block."""
        await self.become(fault)
        try:
            yield
        finally:
            await self.become(Fault())

    async def _told(self, what: dict[str, object]) -> Count:
        self._writer.write(json.dumps(what).encode() + b"\n")
        async with asyncio.timeout(_BOUND):
            return Count(**json.loads(await self._reader.readline()))


@asynccontextmanager
async def commanded(control_port: int) -> AsyncIterator[Faults]:
    """Command the proxy with this control port for the length of the block."""
    reader, writer = await asyncio.open_connection("127.0.0.1", control_port, limit=1 << 24)
    try:
        yield Faults(reader, writer)
    finally:
        writer.close()
        await writer.wait_closed()
