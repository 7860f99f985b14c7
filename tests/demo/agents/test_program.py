import asyncio
import importlib.util
import socket
import sys
from contextlib import AsyncExitStack

import pytest

from sidecar.demo.agents import program
from sidecar.demo.caller import StageError, new_session
from sidecar.demo.listening import CannotStart


def test_what_is_missing_is_told_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(CannotStart, match="make demo-agents"):
        program.require_sdk()


async def test_a_program_that_does_not_answer_is_told_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "STARTING", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    async with new_session() as session:
        with pytest.raises(StageError, match=f"no answer from http://127.0.0.1:{port}"):
            await program.ready(session, f"http://127.0.0.1:{port}/state")


@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_program_is_ended_by_force_if_need_be(monkeypatch: pytest.MonkeyPatch, stubborn: bool) -> None:
    monkeypatch.setattr(program, "ENDING", 0.2)
    code = "import signal, time; print(flush=True); time.sleep(60)"
    if stubborn:
        code = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {code}"
    async with AsyncExitStack() as stack:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
        stack.push_async_callback(program.ended, process)
        assert process.stdout is not None
        await process.stdout.readline()
    assert process.returncode == (-9 if stubborn else -15)
    await program.ended(process)
