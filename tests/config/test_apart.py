import errno
import gc
import json
import os
import pickle
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from sidecar.config.apart import load_apart
from sidecar.config.load import load
from sidecar.config.loaded import Loaded
from sidecar.config.problems import ConfigError
from tests.config.conftest import VALID, Workshop, put
from tests.support.process import running

BOUND = 30.0  # seconds for any single wait
NEEDS_PROC = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="this system has no /proc")

# Other tests may have left idle threads, which newer Pythons warn about; the gateway itself forks before it has any.
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")


def open_files() -> set[str]:
    return {name for name in os.listdir("/dev/fd") if Path(f"/dev/fd/{name}").exists()}


@pytest.fixture(autouse=True)
def _no_file_stays_open() -> Iterator[None]:
    gc.collect()  # what earlier tests left to the collector is not to be closed in between
    before = open_files()
    yield
    assert open_files() == before


@pytest.fixture
def file(workshop: Workshop) -> Path:
    workshop.load()
    return workshop.directory / "sidecar.yaml"


def why(refused: pytest.ExceptionInfo[ConfigError]) -> str:
    (problem,) = refused.value.problems
    assert (problem.file, problem.line, problem.column) == ("f.yaml", 1, 1)
    return problem.message.removeprefix("the file can't be read: ")


def test_a_good_file_is_as_if_it_had_been_loaded_here(file: Path) -> None:
    assert load_apart(file) == load(file)


def test_a_broken_file_is_told_word_for_word(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text("version: 2\nroutes: []\ngatway: {}\n")
    for broken in (path, tmp_path / "gone.yaml"):
        with pytest.raises(ConfigError) as here:
            load(broken)
        with pytest.raises(ConfigError) as apart:
            load_apart(broken)
        assert apart.value.problems == here.value.problems
        assert str(apart.value) == str(here.value)


def test_a_file_may_be_larger_than_a_pipe(workshop: Workshop) -> None:
    overrides = {"extra_scope": [f"value {number}" for number in range(20_000)]}
    loaded = workshop.load_with("authorization_servers.corp.dialect_overrides", overrides)
    assert len(pickle.dumps(loaded)) > 512 * 1024
    assert load_apart(workshop.directory / "sidecar.yaml") == loaded


def test_both_processes_work_at_the_same_time(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    os.mkfifo(path)

    def write() -> None:
        until = time.monotonic() + BOUND
        while time.monotonic() < until:
            with suppress(OSError):  # until the other process has opened it
                pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
                break
            time.sleep(0.01)
        os.write(pipe, json.dumps(VALID).encode())
        os.close(pipe)

    assert load_apart(path, write).config.routes[0].name == "orders"


def test_the_other_process_may_be_killed() -> None:
    def killed(path: str | Path) -> Loaded:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    with pytest.raises(ConfigError) as refused:
        load_apart("f.yaml", load=killed)
    assert why(refused) == "the process that reads it was ended by signal 9"


def test_the_other_process_may_fail(capfd: pytest.CaptureFixture[str]) -> None:
    def failing(path: str | Path) -> Loaded:
        raise RuntimeError("s3cret")

    with pytest.raises(ConfigError) as refused:
        load_apart("f.yaml", load=failing)
    assert why(refused) == "the process that reads it ended with status 1"
    assert capfd.readouterr() == ("", "")


def test_the_other_process_may_say_nothing() -> None:
    def silent(path: str | Path) -> Loaded:
        os._exit(0)

    with pytest.raises(ConfigError) as refused:
        load_apart("f.yaml", load=silent)
    assert why(refused) == "the process that reads it ended too early"


@pytest.mark.parametrize("then_answer", [True, False])
def test_the_other_process_may_say_something_else(file: Path, then_answer: bool) -> None:
    ours = open_files()

    def babbling(path: str | Path) -> Loaded:
        (pipe,) = (int(name) for name in open_files() - ours if stat.S_ISFIFO(os.fstat(int(name)).st_mode))
        os.write(pipe, b"junk" * 100)
        if not then_answer:
            os._exit(0)
        return load(file)

    with pytest.raises(ConfigError) as refused:
        load_apart("f.yaml", load=babbling)
    assert why(refused) == "the process that reads it ended too early"


def test_signals_mean_to_the_other_process_what_they_mean_by_default() -> None:
    def terminated(path: str | Path) -> Loaded:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError

    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with pytest.raises(ConfigError) as refused:
            load_apart("f.yaml", load=terminated)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert why(refused) == "the process that reads it was ended by signal 15"


def test_whoever_started_us_may_ignore_ended_children(file: Path) -> None:
    def killed(path: str | Path) -> Loaded:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert load_apart(file) == load(file)
        with pytest.raises(ConfigError) as refused:
            load_apart("f.yaml", load=killed)
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert why(refused) == "the process that reads it ended too early"


def test_where_this_process_fails_the_other_ends_too(tmp_path: Path) -> None:
    late = tmp_path / "late"

    def slow(path: str | Path) -> Loaded:
        time.sleep(BOUND)
        late.touch()
        raise AssertionError

    def fails() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        load_apart("f.yaml", fails, slow)
    assert not late.exists()


@pytest.mark.parametrize("ends", ["itself", "killed", "unwanted"])
def test_nothing_stays_of_the_other_process(file: Path, ends: str) -> None:
    note = file.with_name("pid")

    def noting(path: str | Path) -> Loaded:
        note.write_text(str(os.getpid()))
        if ends == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        return load(path)

    def meanwhile() -> None:
        until = time.monotonic() + BOUND
        while not (note.exists() and note.read_text()) and time.monotonic() < until:
            time.sleep(0.01)
        if ends == "unwanted":
            raise LookupError

    with suppress(ConfigError, LookupError):
        load_apart(file, meanwhile, noting)
    with pytest.raises(ChildProcessError):  # no longer ours to wait for
        os.waitpid(int(note.read_text()), os.WNOHANG)


@pytest.mark.parametrize("call", ["pipe", "fork"])
def test_no_process_can_be_made(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(ConfigError) as refused:
        load_apart("f.yaml")
    assert why(refused) == f"no process could be made for it: {os.strerror(errno.EAGAIN)}"


def test_without_fork_the_file_is_loaded_here(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork")
    called: list[str] = []
    assert load_apart(file, lambda: called.append("meanwhile")) == load(file)
    assert called == ["meanwhile"]


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_standard_files_may_be_closed(file: Path, tmp_path: Path, closed: str) -> None:
    code = (
        "import sys; from pathlib import Path; from sidecar.config.apart import load_apart\n"
        "name = load_apart(sys.argv[1]).config.routes[0].name\n"
        "Path(sys.argv[2]).write_text(name)"
    )
    result = tmp_path / "result"
    shell = f'exec "$0" "$@" {closed}'
    subprocess.run(
        ["/bin/sh", "-c", shell, sys.executable, "-c", code, str(file), str(result)], timeout=BOUND, check=True
    )
    assert result.read_text() == "orders"


def imported_by(*modules: str) -> set[str]:
    """Return which of the libraries come with some modules."""
    code = (
        f"import sys, {', '.join(modules)}; print(*{{'pydantic', 'pydantic_core', 'yaml', '_yaml'}} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=BOUND, check=True)
    return set(done.stdout.split())


def test_what_serves_imports_neither_pydantic_nor_yaml() -> None:
    assert imported_by("sidecar.app", "sidecar.commands.run", "sidecar.__main__") == set()
    assert imported_by("sidecar.config.load") >= {"pydantic", "pydantic_core", "yaml"}  # the names to look for


@NEEDS_PROC
def test_a_process_that_serves_has_neither_pydantic_nor_yaml_in_memory(workshop: Workshop) -> None:
    def change(tree: object) -> None:
        for section in ("gateway", "admin"):
            put(tree, f"{section}.listen", "127.0.0.1:0")
        put(tree, "gateway.drain.delay", "0s")
        put(tree, "receipts.sink", "none")

    workshop.load(change)
    log = workshop.directory / "log"
    argv = [sys.executable, "-m", "sidecar", "run", "-c", str(workshop.directory / "sidecar.yaml")]
    with running(argv, ready=lambda: '"ready"' in log.read_text(), log=log) as process:
        maps = Path(f"/proc/{process.pid}/maps").read_text()
    assert "_http_parser" in maps  # compiled modules can be seen
    assert "_pydantic_core" not in maps
    assert "_yaml" not in maps


def test_a_broken_file_ends_the_command_with_its_problems_alone(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text("version: 2\n")
    argv = [sys.executable, "-m", "sidecar", "run", "-c", str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=BOUND, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"{path}:1:1: routes: missing; which requests go where, with which token",
        f"{path}:1:10: version: should be 1",
    ]
    assert done.stdout == ""
