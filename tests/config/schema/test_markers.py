from typing import Annotated, Any, Literal

import pytest
from pydantic import TypeAdapter, ValidationError

from sidecar.config.environment import Surroundings
from sidecar.config.schema.base import Section, key, section
from sidecar.config.schema.markers import Around, Check, Limit, Listed, OneOf, Read, Written
from tests.config.conftest import NOWHERE, read


def doubled(value: Any) -> Any:
    if not isinstance(value, int | str):
        raise ValueError("should be doubled")
    return value * 2


def kinds(annotation: Any, value: object, surroundings: object = None) -> list[tuple[str, tuple[int | str, ...]]]:
    """Return the kinds of errors that a value gives, each with its place."""
    with pytest.raises(ValidationError) as refused:
        read(annotation, value, surroundings)
    return [(error["type"], error["loc"]) for error in refused.value.errors()]


def test_read_takes_whatever_the_file_holds() -> None:
    number: Any = Annotated[float, Read(doubled)]
    assert read(number, "a") == "aa"
    assert kinds(number, None) == [("value_error", ())]


def test_check_comes_after_the_type() -> None:
    number: Any = Annotated[int, Check(doubled)]
    assert read(number, 2) == 4
    assert kinds(number, "a") == [("int_parsing", ())]


def test_checks_come_in_their_order() -> None:
    text: Any = Annotated[str, Check(lambda value: value + "b"), Check(lambda value: value + "c")]
    assert read(text, "a") == "abc"


def test_around_needs_surroundings() -> None:
    def inside(surroundings: Surroundings, value: str) -> str:
        return surroundings.locate(value)

    path: Any = Annotated[str, Around(inside)]
    assert read(path, "a", NOWHERE) == "/nonexistent/a"
    assert read(path, "a") == "a"


def test_written_is_told_to_editors_alone() -> None:
    value: Any = Annotated[int, Read(doubled), Written({"type": "string"})]
    assert read(value, 3) == 6
    assert TypeAdapter(value).json_schema() == {"type": "string"}


def test_bounds() -> None:
    closed: Any = Annotated[int, Limit(ge=1, le=3)]
    assert [read(closed, value) for value in (1, 3)] == [1, 3]
    assert kinds(closed, 0) == [("greater_than_equal", ())]
    assert kinds(closed, 4) == [("less_than_equal", ())]
    assert TypeAdapter(closed).json_schema() == {"type": "integer", "minimum": 1, "maximum": 3}
    assert kinds(Annotated[float, Limit(gt=0)], 0.0) == [("greater_than", ())]


def test_lists() -> None:
    numbers: Any = Annotated[tuple[int, ...], Listed()]
    some: Any = Annotated[tuple[int, ...], Listed(least=1)]
    assert read(numbers, []) == ()
    assert read(some, [5]) == (5,)
    assert kinds(some, []) == [("too_short", ())]


@section
class Left(Section):
    """One variant."""

    way: Literal["left"] = key("Which way.")
    number: int = key("A number.", default=1)


@section
class Right(Section):
    """The other."""

    way: Literal["right", "starboard"] = key("Which way.")


def test_a_key_tells_the_members_of_a_union_apart() -> None:
    turn: Any = Annotated[Left | Right, OneOf("way")]
    assert OneOf("way").members(Left | Right) == {"left": Left, "right": Right, "starboard": Right}
    assert read(turn, {"way": "left"}) == Left(way="left")
    assert read(turn, {"way": "starboard"}) == Right(way="starboard")
    assert kinds(turn, {"way": "left", "number": "x"}) == [("int_type", ("left", "number"))]
    assert kinds(turn, {"way": "back"}) == [("union_tag_invalid", ())]
    assert kinds(turn, {}) == [("union_tag_not_found", ())]


def test_shapes_tell_the_members_of_a_union_apart() -> None:
    union = Literal["none"] | Annotated[tuple[int, ...], Listed()] | Left
    any_shape: Any = Annotated[union, OneOf()]
    assert set(OneOf().members(union)) == {"word", "list", "mapping"}
    assert read(any_shape, "none") == "none"
    assert read(any_shape, [1]) == (1,)
    assert read(any_shape, {"way": "left"}) == Left(way="left")
    assert kinds(any_shape, ["x"]) == [("int_parsing", ("list", 0))]
    assert kinds(any_shape, {}) == [("missing", ("mapping", "way"))]
    for value in ("some", None, 5):
        assert kinds(any_shape, value) == [("literal_error", ("word",))]


def test_a_shape_that_no_member_has_is_taken_for_a_word() -> None:
    word_or_list: Any = Annotated[Literal["a"] | Annotated[tuple[int, ...], Listed()], OneOf()]
    assert kinds(word_or_list, {}) == [("literal_error", ("word",))]
    assert kinds(Annotated[Literal["a"] | Left, OneOf()], []) == [("literal_error", ("word",))]
