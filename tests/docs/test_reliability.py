"""The page tells of every promise that a test records, and only of those, and whether it was measured."""

import ast
from pathlib import Path

from tests.docs.reliability import PROMISES, page
from tests.reliability.figures import load

TESTS = Path(__file__).parents[1] / "reliability"


def recorded() -> set[str]:
    """The promises that tests record; of a name made of several parts, the beginning."""
    names = set()
    for path in TESTS.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "record":
                name = node.args[0]
                part = name.values[0] if isinstance(name, ast.JoinedStr) else name
                assert isinstance(part, ast.Constant)
                names.add(str(part.value))
    return names - {"one", "two"}  # of test_figures


def test_every_promise_is_recorded_by_a_test_and_told() -> None:
    names = recorded()
    assert all(any(name.startswith(each) for each in names) for name in PROMISES)
    assert all(any(name.startswith(each) for name in PROMISES) for each in names)


def test_what_is_kept_is_a_promise() -> None:
    assert load().keys() <= PROMISES.keys()


def test_each_has_its_line_and_says_if_it_was_not_measured() -> None:
    text = page()
    for name, promise in PROMISES.items():
        (line,) = [line for line in text.splitlines() if line.startswith(f"| {promise.promise} |")]
        assert line.count("|") == 3
        assert ("not measured" in line) == (name not in load())
