from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from sidecar.demo.agents.desk import OPA_VARIABLE, AuthZENDesk, open_desk
from sidecar.demo.caller import StageError, new_session


@pytest.fixture
async def desk(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AuthZENDesk]:
    monkeypatch.setenv(OPA_VARIABLE, "")
    async with AsyncExitStack() as stack:
        opened = await open_desk(stack, await stack.enter_async_context(new_session()))
        assert isinstance(opened, AuthZENDesk)
        yield opened


async def asked(desk: AuthZENDesk, subject: str = "alice", tool: str = "delete_document", path: str = "a") -> Any:
    question = {
        "subject": {"type": "identity", "id": subject},
        "action": {"name": "tools/call", "properties": {"tool": tool, "arguments": {"path": path}}},
        "resource": {"type": "route", "id": "tools"},
    }
    async with (
        new_session() as session,
        session.post(f"{desk.url}/access/v1/evaluation", json=question) as response,
    ):
        return (await response.json())["decision"]


async def test_a_yes_is_for_one_person_one_tool_and_one_document(desk: AuthZENDesk) -> None:
    assert await asked(desk) is False
    await desk.approve("a")
    assert await asked(desk) is True
    assert await asked(desk, path="b") is False
    assert await asked(desk, tool="search") is False
    assert await asked(desk, subject="mallory") is False


async def test_an_opa_that_does_not_start_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "opa"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o700)
    monkeypatch.setenv(OPA_VARIABLE, str(program))
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(new_session())
        with pytest.raises(StageError, match="OPA does not start"):
            await open_desk(stack, session)
