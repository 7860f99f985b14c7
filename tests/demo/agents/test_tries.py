import shlex
from pathlib import Path
from typing import Any, cast

from aiohttp import ClientSession

from sidecar.demo.agents.cast import Secrets
from sidecar.demo.agents.desk import AuthZENDesk
from sidecar.demo.agents.stage import HOPS, Stage
from sidecar.demo.agents.tries import tries


def test_the_lines_are_for_a_shell_and_hold_no_secret() -> None:
    secrets = Secrets()
    gateways = {name: f"http://127.0.0.1:{number}" for number, name in enumerate(HOPS, 1)}
    session = cast("ClientSession", cast("Any", None))
    stage = Stage(
        Path("/tmp/a b"), gateways, "http://127.0.0.1:4", "http://127.0.0.1:5", AuthZENDesk(), session, secrets
    )
    lines = tries(stage, "sidecar")
    text = "\n".join(lines)
    assert shlex.split(text.replace("#", ""))
    assert not any(secret in text for secret in secrets.of.values())
    assert "'/tmp/a b'" in text
    assert f"{gateways[HOPS[0]]}/assistant/tasks" in text
