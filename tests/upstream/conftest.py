"""What every test of the way out is held to: no task and no file descriptor is left behind."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    before = set(os.listdir("/proc/self/fd"))
    yield
    for _ in range(20):  # closed sockets and ended tasks are gone a few turns of the loop later
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert len(os.listdir("/proc/self/fd")) <= len(before)
