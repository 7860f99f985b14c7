"""A long run keeps what it measured, beside what others measured; a short one only shows it."""

import json
from pathlib import Path

import pytest

from tests.reliability import figures
from tests.reliability.figures import load, record


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "results.json"
    path.write_text("{}")
    monkeypatch.setattr(figures, "FILE", path)
    monkeypatch.setattr(figures, "LONG", True)
    return path


def test_figures_are_read_as_they_were_kept(file: Path) -> None:
    record("one", answers=999, seconds=0.5)
    record("two", failed=0)
    record("one", answers=1000, seconds=0.25)
    assert {name: kept.numbers for name, kept in load().items()} == {
        "one": {"answers": 1000, "seconds": 0.25},
        "two": {"failed": 0},
    }


def test_a_short_run_keeps_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(figures, "LONG", False)
    record("one", answers=999, seed=4294967295)
    assert json.loads(file.read_text()) == {}
    assert capsys.readouterr().out == "one: answers 999, seed 4294967295\n"
