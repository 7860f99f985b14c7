import asyncio
import io
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sidecar.commands.demo import perform
from sidecar.demo.example import FILE_PORTS, FREE_PORTS, example_file
from sidecar.demo.show import Show
from sidecar.demo.story import STEPS
from tests.support.canary import search

BOUND = 60.0  # seconds for a whole demo
DEMO = (sys.executable, "-m", "sidecar", "demo")


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*DEMO, *arguments], capture_output=True, text=True, timeout=BOUND, stdin=subprocess.DEVNULL, check=False
    )


@contextmanager
def staying() -> Iterator["subprocess.Popen[str]"]:
    """A demo that stays up, with its standard output to be read."""
    process = subprocess.Popen(
        [*DEMO, "--free-ports"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        # Ends a reader that would wait for ever, since what it reads ends too.
        watchdog = signal.signal(signal.SIGALRM, lambda *_: process.kill())
        signal.alarm(int(BOUND))
        try:
            yield process
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, watchdog)
            process.kill()


def test_once_tells_the_story_and_ends() -> None:
    done = run("--once", "--free-ports")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    for number, (title, _) in enumerate(STEPS, 1):
        assert f"\n{number}. {title}\n" in done.stdout
    assert done.stdout.rstrip().endswith("All of it was as told.")
    assert "\x1b" not in done.stdout
    assert re.search(r"eyJ[\w-]*\.[\w-]*\.[\w-]*", done.stdout) is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stays_up_until_a_signal_and_tells_no_secret(number: signal.Signals) -> None:
    with staying() as process:
        assert process.stdout is not None
        assert process.stderr is not None
        said = ""
        for line in process.stdout:
            said += line
            if "Ctrl-C ends it" in line:
                break
        found = re.search(r"DEMO_DIR=(\S+)", said)
        assert found is not None, said
        folder = Path(found[1])
        secrets = [(folder / name).read_text() for name in ("alice.secret", "gateway.secret", "agent.token")]
        assert process.poll() is None
        process.send_signal(number)
        rest, errors = process.stdout.read(), process.stderr.read()
        assert (process.wait(BOUND), errors) == (0, "")
        assert not folder.exists()
        assert search((said + rest).encode(), *secrets) == []
        assert f"{sys.executable} -m sidecar explain" in said


def test_ports_that_are_taken_are_told() -> None:
    # Whoever has the port, we or somebody else: it is taken.
    taken = FILE_PORTS.orders
    try:
        sock = socket.create_server(("127.0.0.1", taken))
    except OSError:
        sock = socket.socket()
    with sock:
        done = run("--once")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"127.0.0.1:{taken}, for the orders service: is taken\n" in done.stderr
    assert done.stderr.endswith("sidecar demo --free-ports\n")


async def test_what_is_not_as_told_makes_the_status_1(tmp_path: Path) -> None:
    text = example_file().read_text("utf-8").replace("scope: [orders.read]\n      semantics", "semantics")
    (tmp_path / "altered.yaml").write_text(text, "utf-8")
    out = io.StringIO()
    status = await perform(Show(out, colour=False), tmp_path / "altered.yaml", FREE_PORTS, stay=False)
    assert status == 1
    assert "Not all of it was as told: look for NO above." in out.getvalue()


async def test_a_file_that_is_broken_makes_the_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.yaml").write_text("version: 1\n")
    out = io.StringIO()
    assert await perform(Show(out, colour=False), tmp_path / "broken.yaml", FREE_PORTS, stay=False) == 2
    assert out.getvalue() == ""
    assert "routes: " in capsys.readouterr().err


async def test_a_signal_in_the_middle_of_the_story_makes_the_status_1() -> None:
    class Interrupting(io.StringIO):
        def write(self, text: str) -> int:
            if "3. " in text:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().write(text)

    out = Interrupting()
    async with asyncio.timeout(BOUND):
        assert await perform(Show(out, colour=False), example_file(), FREE_PORTS, stay=True) == 1
    assert STEPS[1][0] in out.getvalue()
    assert "as told." not in out.getvalue()
