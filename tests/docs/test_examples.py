"""Every configuration that is shown to readers has the form that editors are told, and a mistyped key has not."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from sidecar.commands.schema import document

ROOT = Path(__file__).parents[2]
FENCED = re.compile(r"^```ya?ml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def examples() -> Iterator[tuple[str, Any]]:
    """Whole files: what has the version of the form, and gateway, routes or issuers. Fragments with … are none."""
    yield "routes.example.yaml", yaml.safe_load((ROOT / "routes.example.yaml").read_text(encoding="utf-8"))
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for number, block in enumerate(FENCED.findall(page.read_text(encoding="utf-8"))):
            if "…" not in block and "version: 1" in block and "upstream:" in block:
                yield f"{page.name}:{number}", yaml.safe_load(block)


EXAMPLES = dict(examples())
every_example = pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    return Draft202012Validator(document())


def test_there_are_examples() -> None:
    assert {"routes.example.yaml", "README.md:0"} <= EXAMPLES.keys()


@every_example
def test_it_has_the_form(example: Any, validator: Draft202012Validator) -> None:
    assert [error.message for error in validator.iter_errors(example)] == []


def keys_of(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        for key, member in value.items():
            yield (*path, key)
            yield from keys_of(member, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from keys_of(item, (*path, index))


#: Mappings whose keys are the file's own names.
NAMED = {
    "trusted_issuers",
    "authorization_servers",
    "workload_tokens",
    "listeners",
    "require_claims",
    "extra_params",
    "tools",
    "methods",
}


@every_example
def test_any_mistyped_key_of_it_has_not(example: Any, validator: Draft202012Validator) -> None:
    paths = [path for path in keys_of(example) if len(path) < 2 or path[-2] not in NAMED]
    assert paths
    for path in paths:
        assert not validator.is_valid(mistyped(example, path)), path


def mistyped(value: Any, path: tuple[Any, ...]) -> Any:
    """A copy with another name for one key."""
    step, *rest = path
    if isinstance(value, list):
        return [mistyped(item, tuple(rest)) if index == step else item for index, item in enumerate(value)]
    if not rest:
        return {f"{key}x" if key == step else key: member for key, member in value.items()}
    return {key: mistyped(member, tuple(rest)) if key == step else member for key, member in value.items()}
