"""The page about tracing has every span, and every attribute that spans are given."""

import inspect
import re

from sidecar.observe import spans, tracing
from sidecar.observe.spans import Step
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "tracing.md").read_text(encoding="utf-8")


def test_every_step_has_its_row() -> None:
    rows = re.findall(r"^\| `([a-z]+)` \|", PAGE, re.MULTILINE)
    assert rows == list(Step)


def test_every_attribute_of_ours_is_named() -> None:
    written = set(re.findall(r'"(sidecar\.[a-z_]+)"', inspect.getsource(tracing) + inspect.getsource(spans)))
    assert len(written) > 2
    assert {name for name in written if f"`{name}`" not in PAGE} == set()
