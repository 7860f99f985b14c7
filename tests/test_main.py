import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import sidecar
from sidecar.__main__ import COMMANDS, main

GOOD = """
version: 1
routes:
  - name: health
    match: {path: /healthz}
    upstream: {url: 'http://127.0.0.1:9000'}
    exchange: none
"""


def left(*words: str) -> object:
    """The status that the parser leaves with."""
    with pytest.raises(SystemExit) as caught:
        main(words)
    return caught.value.code


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert left("--version") == 0
    assert capsys.readouterr().out == f"sidecar {sidecar.__version__}\n"


def test_the_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert left("--help") == 0
    told = capsys.readouterr().out
    assert all(f"{name} " in told and summary in told for name, summary in COMMANDS.items())


def test_every_command_is_there_and_says_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(sidecar.__file__).parent / "commands"
    names = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    modules = {name: import_module(f"sidecar.commands.{name}") for name in names - {"__init__"}}
    assert {name for name, module in modules.items() if hasattr(module, "run")} == COMMANDS.keys()
    for name in COMMANDS:
        assert callable(import_module(f"sidecar.commands.{name}").run)
        assert left(name, "--help") == 0
        assert capsys.readouterr().out.startswith(f"usage: sidecar {name} ")


@pytest.mark.parametrize("words", [[], ["serve"], ["run"], ["check", "-c"], ["--no-such"], ["run", "-c", "x", "y"]])
def test_bad_input(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert left(*words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("usage: sidecar")


def test_a_commands_status_is_the_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(GOOD)
    assert main(["check", "-c", str(path)]) == 0
    path.write_text(GOOD.replace("none", "nothing"))
    assert main(["check", "-c", str(path)]) == 2
    assert main(["explain", "-c", str(path), "GET", "http://a/"]) == 2
    path.write_text(GOOD)
    assert main(["explain", "-c", str(path), "GET", "http://a/"]) == 1


def test_only_the_command_that_is_called_is_imported() -> None:
    program = "import sys; from sidecar.__main__ import main; main(['check', '-c', '/nowhere']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    loaded = done.stdout.split()
    assert "sidecar.commands.check" in loaded
    assert not {"sidecar.app", "sidecar.sts.server", "sidecar.commands.run"} & set(loaded)


@pytest.mark.parametrize(
    "program", [[sys.executable, "-m", "sidecar"], [str(Path(sys.executable).with_name("sidecar"))]]
)
def test_both_names_are_the_same_program(program: list[str], tmp_path: Path) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(GOOD)
    done = subprocess.run([*program, "check", "-c", str(path)], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{path}: 1 routes, no problems\n", "")
