"""A stage on free ports, and a teller whose words can be read."""

import io
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from sidecar.demo.example import FREE_PORTS, example_file
from sidecar.demo.show import Show
from sidecar.demo.stage import Stage, open_stage


class Heard:
    """A show, and what it said."""

    def __init__(self) -> None:
        self._out = io.StringIO()
        self.show = Show(self._out, colour=False)

    @property
    def text(self) -> str:
        """Everything so far."""
        return self._out.getvalue()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with open_stage(example_file(), FREE_PORTS) as opened:
        yield opened


@pytest.fixture
def altered(tmp_path: Path) -> Callable[[str, str], Path]:
    """Makes a copy of the example file that differs in one place."""

    def alter(old: str, new: str) -> Path:
        text = example_file().read_text("utf-8")
        if text.count(old) != 1:
            raise AssertionError(f"{old!r} is in the file {text.count(old)} times")
        path = tmp_path / "altered.yaml"
        path.write_text(text.replace(old, new), "utf-8")
        return path

    return alter
