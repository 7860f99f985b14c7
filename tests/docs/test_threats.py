"""No threat is without a test or a reason, and no marker without a threat."""

from pathlib import Path

import pytest

from tests.docs import threats


def folder(tmp_path: Path, *numbers: str) -> Path:
    marks = "".join(f'@pytest.mark.threat("{number}")\n' for number in numbers)
    (tmp_path / "test_it.py").write_text(f"import pytest\n\n{marks}async def test_one_thing() -> None: ...\n")
    return tmp_path


def test_every_threat_is_on_the_page() -> None:
    page = threats.page()
    for number in range(1, 69):
        assert f"\n| S{number} | " in page


def test_markers_are_found(tmp_path: Path) -> None:
    assert threats.marked(folder(tmp_path, "S1", "S2")) == {
        "S1": {"test_it.py": ["one thing"]},
        "S2": {"test_it.py": ["one thing"]},
    }


def test_a_marker_of_no_threat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threats, "TESTS", folder(tmp_path, "S999"))
    with pytest.raises(ValueError, match="threats that are none: S999"):
        threats.page()


def test_a_threat_that_nothing_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threats, "TESTS", folder(tmp_path, "S1"))
    with pytest.raises(ValueError, match="S2 has neither a test nor a reason"):
        threats.page()
