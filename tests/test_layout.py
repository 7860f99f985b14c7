"""The rules of the house that no linter knows, over every module of the package."""

import ast
from pathlib import Path
from statistics import median

import pytest

import sidecar

PACKAGE = Path(sidecar.__file__).parent
TESTS = Path(__file__).parent
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)
LONGEST = 400  # lines
MEDIAN = 150

#: Modules without a test file of their own name, and why that is.
TESTED_ELSEWHERE = {
    "__main__.py": "tests/test_main.py, which can have a name that is one",
    "commands/exchange/__init__.py": "test_attempt.py, which runs the command as a whole",
    "commands/exchange/fault.py": "test_attempt.py: every fault is one of a real exchange",
    "commands/exchange/watch.py": "test_attempt.py: there is nothing to watch without an exchange",
    "commands/receipts/__init__.py": "test_select, test_story and test_verify, which run the command as a whole",
    "commands/receipts/read.py": "test_select.py: whatever is selected was read",
    "commands/receipts/tell.py": "test_story.py: what is gathered is told",
}
#: Where printing is what the module is for.
PRINTS = ("commands", "demo", "__main__.py")

ids = [str(module) for module in MODULES]
every_module = pytest.mark.parametrize("module", MODULES, ids=ids)


def text(module: Path) -> str:
    return (PACKAGE / module).read_text(encoding="utf-8")


def tree(module: Path) -> ast.Module:
    return ast.parse(text(module))


def is_only_a_docstring(module: Path) -> bool:
    """Whether a package's ``__init__`` holds nothing but its description and what it hands on."""
    return module.name == "__init__.py" and not any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for node in ast.walk(tree(module))
    )


@every_module
def test_it_has_a_test_file_of_its_name(module: Path) -> None:
    mirror = TESTS / module.with_name(f"test_{module.name}")
    if str(module) in TESTED_ELSEWHERE:
        assert not mirror.exists(), "it has one by now: take it off the list"
    elif not is_only_a_docstring(module):
        assert mirror.exists(), f"missing: {mirror.relative_to(TESTS.parent)}"


def test_every_test_file_has_a_module() -> None:
    """A test of a module that was moved goes with it. A module's tests may be in several files: its name goes first."""
    packages = {module.parts[0] for module in MODULES if len(module.parts) > 1}
    without = []
    for path in TESTS.rglob("test_*.py"):
        about = path.relative_to(TESTS)
        names = [module.stem for module in MODULES if module.parent == about.parent]
        if about.parts[0] in packages and not any(f"{about.stem}_".startswith(f"test_{name}_") for name in names):
            without.append(str(about))
    assert without == []


@every_module
def test_it_begins_by_saying_what_lives_here(module: Path) -> None:
    docstring = ast.get_docstring(tree(module))
    assert docstring
    assert docstring.endswith("."), "a sentence has an end"


@every_module
def test_it_is_not_too_long(module: Path) -> None:
    assert len(text(module).splitlines()) <= LONGEST


def test_the_middle_module_is_short() -> None:
    lines = [len(text(module).splitlines()) for module in MODULES if module.name != "__init__.py"]
    assert median(lines) <= MEDIAN


@every_module
@pytest.mark.threat("S66")
def test_it_asserts_nothing(module: Path) -> None:
    """``python -O`` removes assertions: what must hold is checked."""
    assert not [node.lineno for node in ast.walk(tree(module)) if isinstance(node, ast.Assert)]


@every_module
def test_it_prints_nothing_unless_that_is_its_work(module: Path) -> None:
    printing = [
        node.lineno
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not printing or module.parts[0] in PRINTS


@every_module
def test_it_imports_from_the_top(module: Path) -> None:
    relative = [node.lineno for node in ast.walk(tree(module)) if isinstance(node, ast.ImportFrom) and node.level]
    assert not relative


@every_module
def test_everything_public_is_described(module: Path) -> None:
    """What a caller may rely on is in the docstring; a name with an underscore is nobody else's business."""
    undescribed = [
        node.name
        for node in tree(module).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert not undescribed


def test_the_rules_see_the_package() -> None:
    """Else they would all hold for nothing."""
    assert len(MODULES) > 80
    assert {"exchange/exchanger.py", "commands/run.py", "__main__.py", "wire/target.py"} <= set(map(str, MODULES))
    assert not is_only_a_docstring(Path("app.py"))
    assert is_only_a_docstring(Path("exchange/__init__.py"))
