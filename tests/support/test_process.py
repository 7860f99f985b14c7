import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.support.process import StartError, running, start, stop

SLEEP = "import time; time.sleep(60)"


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def gone(pid: int) -> bool:
    """Whether a process has ended, or does within five seconds."""
    until = time.monotonic() + 5
    while alive(pid):
        if time.monotonic() >= until:
            return False
        time.sleep(0.01)
    return True


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # One that only waits to be reaped has ended as well.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_running_waits_until_ready_and_ends_the_program(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    program = f"import pathlib, time; time.sleep(0.2); pathlib.Path({str(flag)!r}).touch(); time.sleep(60)"
    with running(python(program), ready=flag.exists, log=tmp_path / "log") as process:
        assert flag.exists()
        assert process.poll() is None
    assert process.returncode == -signal.SIGTERM


def test_the_environment_is_the_one_given(tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = f"import os, time; print(os.environ['GREETING'], 'HOME' in os.environ, flush=True); {SLEEP}"
    with running(python(program), ready=lambda: b"\n" in log.read_bytes(), log=log, env={"GREETING": "good day"}):
        pass
    assert log.read_text() == "good day False\n"


def test_a_program_that_ends_early_shows_its_log(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"status 3 .*\n.*out of tea"):
        start(
            python("import sys; print('out of tea', flush=True); sys.exit(3)"),
            ready=lambda: False,
            log=tmp_path / "log",
        )


def test_a_program_that_is_never_ready_is_ended(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(StartError, match="not ready in time"):
        start(python(f"import os; print(os.getpid(), flush=True); {SLEEP}"), ready=lambda: False, log=log, deadline=0.5)
    assert all(gone(int(pid)) for pid in log.read_text().split())


def test_a_program_that_ignores_the_signal_is_killed_with_all_it_started(tmp_path: Path) -> None:
    child = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); {SLEEP}"
    both = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {child!r}]); print(p.pid, flush=True)"
    log = tmp_path / "log"
    process = start(python(f"{both}; {child}"), ready=lambda: log.read_text().count("ready") == 2, log=log)
    assert stop(process, grace=0.1) == -signal.SIGKILL
    (child_pid,) = (int(line) for line in log.read_text().split() if line.isdigit())
    assert gone(child_pid)


def test_stopping_twice_does_no_harm(tmp_path: Path) -> None:
    process = start(python(SLEEP), ready=lambda: True, log=tmp_path / "log")
    assert stop(process) == stop(process) == -signal.SIGTERM
