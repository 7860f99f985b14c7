import asyncio
import os
import shlex
import shutil
import sys

import pytest

from sidecar.demo.show import WIDTH
from sidecar.demo.stage import Stage
from sidecar.demo.tries import tries

SIDECAR = f"{shlex.quote(sys.executable)} -m sidecar"
BOUND = 60.0  # seconds for all lines together


@pytest.mark.skipif(not (shutil.which("bash") and shutil.which("curl")), reason="bash and curl are needed")
async def test_the_lines_do_as_they_are(stage: Stage) -> None:
    script = "set -e -o pipefail\n" + "\n".join(tries(stage, SIDECAR))
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        script,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(BOUND):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = out.decode()
    assert (process.returncode, err.decode()) == (0, ""), text
    assert text.count('"service": "orders"') == 3  # through the gateway, by the agent, healthz
    assert '"sub": "agent-7"' in text
    assert "a token made for the orders service is needed" in text
    for kind in ("missing-token", "no-route", "invalid-request"):
        assert f"problem:{kind}" in text
    assert 'token_sidecar_exchanges_total{authorization_server="local",outcome="success",route="agent"} 1.0' in text
    assert "forward   GET" in text


def test_the_lines_hold_no_secret_and_are_not_too_long(stage: Stage) -> None:
    lines = tries(stage, "sidecar")
    for name in ("alice.secret", "gateway.secret", "agent.token"):
        assert (stage.folder / name).read_text() not in "\n".join(lines)
    assert max(map(len, lines)) <= WIDTH - 3
