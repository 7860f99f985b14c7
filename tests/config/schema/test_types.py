from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from sidecar.config.addresses import Address
from sidecar.config.environment import Surroundings
from sidecar.config.schema import types
from sidecar.config.schema.base import Section, key, section
from tests.config import conftest


def read(kind: Any, value: object, surroundings: object = None) -> Any:
    """Read a value as a section would."""
    holder: Any = section(type("Holder", (Section,), {"__annotations__": {"value": kind}, "value": key("A value.")}))
    return conftest.read(holder, {"value": value}, surroundings).value


def test_lists_become_tuples_of_exact_types() -> None:
    assert read(types.Many[types.Text], ["a"]) == ("a",)
    wrong: object
    for wrong in ("a", {"a": 1}, [1]):
        with pytest.raises(ValidationError):
            read(types.Many[types.Text], wrong)
    with pytest.raises(ValidationError, match="at least 1"):
        read(types.AtLeastOne[types.Text], [])


def test_asked_is_a_word_or_a_list() -> None:
    assert read(types.Asked, "any") == "any"
    assert read(types.Asked, ["any"]) == ("any",)
    wrong: object
    for wrong in ("other", {}, None, 5, [""]):
        with pytest.raises(ValidationError):
            read(types.Asked, wrong)


def test_values_are_read_by_their_functions() -> None:
    assert read(types.Duration, "5s") == 5.0
    assert read(types.Size, "1KiB") == 1024
    assert read(types.Listen, "127.0.0.1:1") == Address("127.0.0.1", 1)
    assert read(types.ClaimValues, "a") == ("a",)
    for kind in (types.Listen, types.UpstreamURL, types.TrustedNetwork):
        with pytest.raises(ValidationError):
            read(kind, 5)


def test_files_and_variables_are_looked_for_in_the_surroundings(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    around = Surroundings(tmp_path, {"SECRET": "x"})
    assert read(types.ReadableFile, "secret", around) == str(tmp_path / "secret")
    assert read(types.SecretVariable, "SECRET", around) == "SECRET"
    assert read(types.Sink, "./receipts", around) == str(tmp_path / "receipts")
    for kind, wrong in (
        (types.ReadableFile, "gone"),
        (types.SecretVariable, "GONE"),
        (types.Sink, "gone/receipts"),
        (types.Sink, "stderr"),
    ):
        with pytest.raises(ValidationError):
            read(kind, wrong, around)
    assert read(types.ReadableFile, "gone") == "gone"


@pytest.mark.parametrize("sink", ["stdout", "none"])
def test_sinks_that_are_no_files(sink: str, tmp_path: Path) -> None:
    assert read(types.Sink, sink, Surroundings(tmp_path, {})) == sink


def test_editors_are_told_how_durations_and_sizes_are_written() -> None:
    assert TypeAdapter(types.Duration).json_schema()["type"] == "string"
    assert {variant["type"] for variant in TypeAdapter(types.Size).json_schema()["anyOf"]} == {"string", "integer"}
