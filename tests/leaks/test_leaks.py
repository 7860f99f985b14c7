"""No secret is ever found where somebody else reads: over everything that can happen to a request."""

import logging
from pathlib import Path

import pytest

from tests.leaks.questions import QUESTIONS
from tests.leaks.scenarios import SCENARIOS
from tests.leaks.stage import KEY, SECRET, staged
from tests.support.questions import ENVOY, FORWARDED


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


#: What is not about bodies, upstreams or connections, and so means the same where a proxy asks.
ASKED = [
    name
    for name in SCENARIOS
    if name.partition(":")[0] in ("malformed", "placed", "authorization", "token", "server") and name != "server: cut"
]


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.threat("S8", "S9")
async def test_nothing_leaks_where_a_proxy_asks(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with staged(tmp_path, monkeypatch, form=ENVOY) as stage:
        await SCENARIOS[name](stage)
        assert await stage.leaks(caplog.records) == []
        assert any(stage.answers)
        assert stage.upstream.seen == []


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.threat("S8", "S9")
async def test_nothing_leaks_of_what_a_proxy_names(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with staged(tmp_path, monkeypatch, form=FORWARDED) as stage:
        await QUESTIONS[name](stage)
        assert await stage.leaks(caplog.records) == []
        assert any(stage.answers)
        assert stage.upstream.seen == []


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
