import pickle
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest
from pydantic import ValidationError

from sidecar.config.schema.base import Section, key, section
from sidecar.config.schema.types import Duration, Many, Text
from tests.config.conftest import read


@section
class Inner(Section):
    """A section in another."""

    wait: Duration = key("A duration.", default="2m")


@section
class Example(Section):
    """A section of every kind of key."""

    needed: Text = key("A text.")
    text: str = key("Another.", default="a")
    texts: Many[str] = key("Texts.", default=())
    numbers: dict[str, int] = key("Numbers.", default={})
    password: str | None = key("Not to be shown.", default=None, secret=True)
    inner: Inner = key("A section.", default={})


def test_a_section_refuses_unknown_keys_and_converts_nothing() -> None:
    wrong: Any
    for wrong in ({"txt": "a"}, {"text": 1}, {"texts": "a"}, {"inner": []}, {"inner": {"wait": 5}}, {"needed": None}):
        with pytest.raises(ValidationError):
            read(Example, {"needed": "x", **wrong})
    with pytest.raises(ValidationError):
        read(Example, {})


def test_a_section_is_frozen_and_has_no_other_attributes() -> None:
    example = read(Example, {"needed": "x"})
    with pytest.raises(FrozenInstanceError):
        example.text = "b"  # type: ignore[misc]
    assert not hasattr(example, "__dict__")


def test_what_is_secret_is_not_shown() -> None:
    shown = repr(read(Example, {"needed": "x", "password": "s3cret"}))
    assert "needed='x'" in shown
    assert "s3cret" not in shown


def test_a_section_made_by_hand_is_as_one_that_was_read() -> None:
    made = Example(needed="x")
    assert made == read(Example, {"needed": "x"})
    assert made.inner.wait == 120.0
    assert made.numbers is not Example(needed="x").numbers


def test_a_default_is_read_like_a_value() -> None:
    with pytest.raises(ValueError, match="should be a duration"):

        @section
        class Wrong(Section):
            wait: Duration = key("Not a duration.", default=5)


def test_each_key_has_its_line() -> None:
    assert fields(Example)[1].metadata == {"description": "Another.", "json_schema_extra": {"default": "a"}}


def test_a_section_passes_between_processes() -> None:
    example = read(Example, {"needed": "x", "texts": ["y"], "inner": {"wait": "1s"}})
    assert pickle.loads(pickle.dumps(example)) == example
