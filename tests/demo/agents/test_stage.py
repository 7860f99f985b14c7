import importlib.util
import json
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import ClientSession

from sidecar.demo.agents.cast import Secrets
from sidecar.demo.agents.desk import AuthZENDesk
from sidecar.demo.agents.stage import HOPS, Stage, open_stage
from sidecar.demo.listening import CannotStart


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    session = cast("ClientSession", cast("Any", None))
    return Stage(tmp_path, dict.fromkeys(HOPS, ""), "", "", AuthZENDesk(), session, Secrets())


async def test_it_does_not_begin_without_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(CannotStart):
        async with open_stage():
            pass


async def test_what_receipts_tell_is_what_the_command_prints(stage: Stage) -> None:
    for name in stage.receipts:
        (stage.folder / name).touch()
    assert await stage.read_receipts(*stage.receipts) == (0, "")
    status, printed = await stage.read_receipts("none.jsonl")
    assert (status != 0, printed) == (True, "")


def test_one_line_of_the_middle_is_changed_in_a_copy(stage: Stage) -> None:
    lines = [json.dumps({"number": number, "subject": {"sub": "alice"}}) for number in range(5)]
    last = stage.folder / stage.receipts[-1]
    last.write_text("\n".join(lines) + "\n")
    changed = [
        json.loads(line)["subject"]["sub"] for line in (stage.folder / stage.tampered()).read_text().splitlines()
    ]
    assert changed == ["alice", "alice", "mallory", "alice", "alice"]
    assert "mallory" not in last.read_text()
