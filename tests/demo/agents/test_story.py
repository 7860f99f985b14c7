"""The whole demo on real programs: the MCP SDK on both sides, and Open Policy Agent where there is one."""

import importlib.util
import re
from collections.abc import AsyncIterator

import pytest

from sidecar.demo.agents.desk import OPA_VARIABLE
from sidecar.demo.agents.stage import Stage, open_stage
from sidecar.demo.agents.story import STEPS, tell
from sidecar.demo.show import WIDTH
from tests.demo.conftest import Heard
from tests.deploy.tools import Unavailable, program
from tests.support.canary import search

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(
        importlib.util.find_spec("mcp") is None, reason="the MCP SDK is not installed: make demo-agents does it"
    ),
]


@pytest.fixture(params=["desk", "opa"])
async def stage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    try:
        monkeypatch.setenv(OPA_VARIABLE, program("opa") if request.param == "opa" else "")
    except Unavailable as reason:
        pytest.skip(str(reason))
    async with open_stage() as opened:
        assert opened.desk.name == request.param
        yield opened


async def test_all_is_as_told(stage: Stage, heard: Heard) -> None:
    assert await tell(stage, heard.show), heard.text
    _, *sections = re.split(r"(?m)^(?=\d\. )", heard.text)
    assert [section.splitlines()[0] for section in sections] == [
        f"{number}. {title}" for number, (title, _) in enumerate(STEPS, 1)
    ]
    assert all("\n   ok  " in section for section in sections)
    assert heard.text.isascii()
    assert max(len(line) for line in heard.text.splitlines()) <= WIDTH


async def test_no_token_and_no_secret_is_told_or_written_down(stage: Stage, heard: Heard) -> None:
    await tell(stage, heard.show)
    said = heard.text.encode() + b"".join((stage.folder / name).read_bytes() for name in stage.receipts)
    kept = [path.read_text() for path in stage.folder.glob("*.secret")]
    assert kept
    assert search(said, *kept) == []
    assert re.search(rb"eyJ[\w-]*\.[\w-]*\.[\w-]*", said) is None
