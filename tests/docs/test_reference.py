"""The reference pages leave nothing out, and refuse to be made where they would."""

import json
import re
from collections.abc import Iterator
from typing import Any, NewType

import pytest

from sidecar.__main__ import COMMANDS, main
from sidecar.commands.schema import document
from sidecar.config.schema.base import Section, key, section
from tests.docs import reference, remarks


def keys(part: Any) -> Iterator[str]:
    """Every key that the JSON Schema knows, which is made from the same classes in another way."""
    if isinstance(part, dict):
        yield from part.get("properties", {})
    for each in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from keys(each)


def test_every_key_of_the_schema_is_there() -> None:
    page = reference.configuration()
    expected = set(keys(document()))
    assert len(expected) > 80
    assert expected <= set(re.findall(r"^\| `([a-z_]+)` \|", page, re.MULTILINE))


def test_every_default_of_the_schema_is_there() -> None:
    page = reference.configuration()
    for part in document()["$defs"].values():
        for name, about in part.get("properties", {}).items():
            if isinstance(default := about.get("default"), str | int | float):
                shown = default if isinstance(default, str) else json.dumps(default)
                row = rf"^\| `{name}` \| .* \| `{re.escape(shown)}` \| "
                assert re.search(row, page, re.MULTILINE), name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_there(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([name, "--help"])
    options = set(re.findall(r"(?<!\w)--[a-z-]+", capsys.readouterr().out)) - {"--help"}
    about = reference.commands().split(f"## sidecar {name}\n")[1].split("\n## ")[0]
    assert options <= set(re.findall(r"`(?:-\w [^`]*`, `)?(--[a-z-]+)", about))
    assert "| exit status | |" in about


Unknown = NewType("Unknown", str)


@section
class _Strange(Section):
    """Has a key of a type that nobody described."""

    strange: Unknown = key("A key.")


def test_a_type_without_a_word_is_an_error() -> None:
    with pytest.raises(reference.Undescribed):
        list(reference._table(_Strange))


def test_a_remark_about_what_is_gone_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(remarks.SECTIONS, "gateway.gone", "It was here once.")
    monkeypatch.setitem(remarks.OF_COMMANDS, "gone", "It was here once.")
    with pytest.raises(reference.Undescribed, match=r"gateway\.gone"):
        reference.configuration()
    with pytest.raises(reference.Undescribed, match="gone"):
        reference.commands()


def test_every_kind_of_value_is_explained_and_no_other() -> None:
    explained = re.findall(r"^\| ([A-Za-z ]+) \|", remarks.VALUES, re.MULTILINE)[1:]
    words = {word.split(",")[0] for word in reference.KINDS.values() if "`" not in word} - {"value"}
    assert sorted(explained) == sorted(words)
