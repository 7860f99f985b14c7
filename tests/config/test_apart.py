import asyncio
import gc
import json
import os
import pickle
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from sidecar.config import apart
from sidecar.config.apart import load_apart
from sidecar.config.load import load
from sidecar.config.loaded import Included, Source
from sidecar.config.problems import ConfigError
from tests.config.conftest import VALID, Workshop, put
from tests.config.teams.writing import Teams, route
from tests.support.process import running

BOUND = 30.0  # seconds for any single wait
NEEDS_PROC = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="this system has no /proc")


def open_files() -> set[str]:
    return {name for name in os.listdir("/dev/fd") if Path(f"/dev/fd/{name}").exists()}


@pytest.fixture
def teams(tmp_path: Path) -> Teams:
    return Teams(tmp_path)


@pytest.fixture
def file(workshop: Workshop) -> Path:
    workshop.load()
    return workshop.directory / "sidecar.yaml"


def why(refused: pytest.ExceptionInfo[ConfigError]) -> str:
    (problem,) = refused.value.problems
    assert (problem.file, problem.line, problem.column) == ("f.yaml", 1, 1)
    return problem.message.removeprefix("the file can't be read: ")


def child(code: str) -> tuple[str, ...]:
    """Another process than the one that loads."""
    return (sys.executable, "-c", f"import os, signal, sys, time\n{code}")


async def test_a_good_file_is_as_if_it_had_been_loaded_here(file: Path) -> None:
    assert await load_apart(file) == load(file)


async def test_a_broken_file_is_told_word_for_word(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text("version: 2\nroutes: []\ngatway: {}\n")
    for broken in (path, tmp_path / "gone.yaml"):
        with pytest.raises(ConfigError) as here:
            load(broken)
        with pytest.raises(ConfigError) as there:
            await load_apart(broken)
        assert there.value.problems == here.value.problems
        assert str(there.value) == str(here.value)


async def test_what_a_broken_file_includes_is_told(teams: Teams) -> None:
    teams.include("a", route("x", match__hosts=["z"]))
    teams.complaints()  # writes it
    with pytest.raises(ConfigError) as refused:
        await load_apart(teams.directory / "sidecar.yaml")
    assert refused.value.includes == ("a/*.yaml",)


async def test_includes_fall_back_to_what_was_good(teams: Teams) -> None:
    teams.include("a", route(), on_error="isolate")
    good = teams.load().includes
    teams.text("a/routes.yaml", "routes: 1\n")
    path = teams.directory / "sidecar.yaml"
    assert [each.name for each in (await load_apart(path)).config.routes] == ["orders"]
    loaded = await load_apart(path, good)
    assert [each.name for each in loaded.config.routes] == ["orders", "a/orders"]
    assert loaded.includes[0].problems


async def test_what_is_said_may_be_larger_than_a_pipe(workshop: Workshop) -> None:
    overrides = {"extra_scope": [f"value {number}" for number in range(20_000)]}
    loaded = workshop.load_with("authorization_servers.corp.dialect_overrides", overrides)
    assert len(pickle.dumps(loaded)) > 512 * 1024
    assert await load_apart(workshop.directory / "sidecar.yaml") == loaded


async def test_what_is_asked_may_be_larger_than_a_pipe(file: Path) -> None:
    large = Included("gone", (), (Source("gone.yaml", b"x" * (1 << 20)),))
    assert await load_apart(file, [large]) == load(file)


async def test_both_processes_work_at_the_same_time(tmp_path: Path) -> None:
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

    assert (await load_apart(path, meanwhile=write)).config.routes[0].name == "orders"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "was ended by signal 9"),
        ("raise RuntimeError('s3cret')", "ended with status 1"),
        ("os._exit(0)", "ended too early"),
        ("os.write(1, b'junk' * 100)", "ended too early"),
    ],
)
async def test_the_other_process_may_fail(code: str, reason: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError) as refused:
        await load_apart("f.yaml", child=child(code))
    assert why(refused) == f"the process that reads it {reason}"
    assert capfd.readouterr() == ("", "")


async def test_what_a_library_prints_is_not_part_of_the_answer(file: Path) -> None:
    code = "sys.path[:] = sys.argv[1:]\nfrom sidecar.config import apart, load\nload.load, real = (lambda *a, **k: "
    code += "(os.write(1, b'junk'), print('junk'), real(*a, **k))[2]), load.load\napart.answer()"
    assert await load_apart(file, child=child(code)) == load(file)


async def test_the_other_process_may_take_too_long(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(apart, "LONGEST", 0.05)
    with pytest.raises(ConfigError) as refused:
        await load_apart("f.yaml", child=child(f"time.sleep({BOUND})"))
    assert why(refused) == "the process that reads it takes too long"


async def test_modules_are_not_taken_from_the_directory_it_starts_in(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = tmp_path / "trap"
    trap.mkdir()
    for name in ("yaml", "pydantic", "pickle"):
        (trap / f"{name}.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(trap)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    assert (await load_apart(file)).config.routes[0].name == "orders"


@pytest.mark.parametrize("ends", ["fails", "is cancelled"])
async def test_where_this_process_gives_up_the_other_ends_too(tmp_path: Path, ends: str) -> None:
    note = tmp_path / "pid"
    slow = child(f"open({str(note)!r}, 'w').write(str(os.getpid()))\ntime.sleep({BOUND})")

    def noted() -> None:
        until = time.monotonic() + BOUND
        while not (note.exists() and note.read_text()) and time.monotonic() < until:
            time.sleep(0.01)
        if ends == "fails":
            raise LookupError

    loading = asyncio.create_task(load_apart("f.yaml", meanwhile=noted, child=slow))
    if ends == "fails":
        with pytest.raises(LookupError):
            await loading
    else:
        await asyncio.sleep(0)  # it runs up to where it waits for the other process
        for _ in range(1000):
            if note.exists() and note.read_text():
                break
            await asyncio.sleep(0.01)
        loading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await loading
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


async def test_no_file_stays_open(file: Path) -> None:
    gc.collect()  # what earlier tests left to the collector is not to be closed in between
    before = open_files()
    await load_apart(file)
    for code in ("os._exit(1)", "os.kill(os.getpid(), signal.SIGKILL)"):
        with pytest.raises(ConfigError):
            await load_apart("f.yaml", child=child(code))
    loading = asyncio.create_task(load_apart("f.yaml", child=child(f"time.sleep({BOUND})")))
    await asyncio.sleep(0.05)
    loading.cancel()
    await asyncio.wait([loading])
    for _ in range(1000):
        if open_files() == before:
            return
        await asyncio.sleep(0.01)
    assert open_files() == before


async def test_no_process_can_be_made() -> None:
    with pytest.raises(ConfigError) as refused:
        await load_apart("f.yaml", child=["/nowhere/python"])
    assert why(refused) == "no process could be made for it: No such file or directory"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_standard_files_may_be_closed(file: Path, tmp_path: Path, closed: str) -> None:
    code = (
        "import asyncio, sys; from pathlib import Path; from sidecar.config.apart import load_apart\n"
        "name = asyncio.run(load_apart(sys.argv[1])).config.routes[0].name\n"
        "Path(sys.argv[2]).write_text(name)"
    )
    result = tmp_path / "result"
    shell = f'exec "$0" "$@" {closed}'
    subprocess.run(
        ["/bin/sh", "-c", shell, sys.executable, "-c", code, str(file), str(result)], timeout=BOUND, check=True
    )
    assert result.read_text() == "orders"


def test_whoever_started_us_may_ignore_ended_children(file: Path) -> None:
    code = (
        "import asyncio, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "from sidecar.config.apart import load_apart\n"
        "print(asyncio.run(load_apart(sys.argv[1])).config.routes[0].name)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], timeout=BOUND, check=True, capture_output=True)
    assert done.stdout == b"orders\n"


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
