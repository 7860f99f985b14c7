from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from aiohttp import ClientSession, ClientTimeout, DummyCookieJar

from sidecar.model.clock import Clock


@dataclass
class Hands:
    """Both clocks of a test, moved by hand."""

    now: float = 1_800_000_000.0

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.now - 1_799_999_000.0, lambda: self.now)


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession(timeout=ClientTimeout(total=10), cookie_jar=DummyCookieJar()) as session:
        yield session
