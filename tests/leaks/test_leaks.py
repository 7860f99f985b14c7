"""No secret is ever found where somebody else reads: over everything that can happen to a request."""

import logging
from pathlib import Path

import pytest

from tests.leaks.scenarios import SCENARIOS
from tests.leaks.stage import KEY, SECRET, staged


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.threat("S8", "S9")
async def test_nothing_leaks(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with staged(tmp_path, monkeypatch) as stage:
        await SCENARIOS[name](stage)
        assert await stage.leaks(caplog.records) == []
        assert any(stage.answers) or "leaves" in name
        assert stage.evidence.secrets.keys() >= {"actor token", "client secret", "issued token 1"}


@pytest.mark.parametrize(
    "name", ["success", "server: invalid_client", "server: 500", "server: silent", "a bug in the exchange"]
)
@pytest.mark.threat("S9")
async def test_nothing_leaks_of_client_assertions(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with staged(tmp_path, monkeypatch, auth=KEY) as stage:
        await SCENARIOS[name](stage)
        assert await stage.leaks(caplog.records) == []
        if stage.server.asked:
            assert "client assertion 0" in stage.evidence.secrets
    assert SECRET != KEY
