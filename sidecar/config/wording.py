"""What the schema found, in our words: each of pydantic's errors becomes one finding with the path of the file.

Paths lose what only pydantic knows (the tags of unions), and no message repeats a value. A kind of error that nobody
foresaw still becomes a plain sentence.
"""

from collections.abc import Iterator, Mapping
from dataclasses import Field, fields
from types import NoneType, UnionType
from typing import Annotated, Any, Final, NamedTuple, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sidecar.config.problems import Finding, Path
from sidecar.config.schema import Config
from sidecar.config.schema.base import Section
from sidecar.config.schema.markers import OneOf

_MAX_SUGGESTED: Final = 64  # characters; nearness of longer words is not worth computing

_MESSAGES: Final = {
    "string_type": "should be text; quotes make it so",
    "string_unicode": "should be UTF-8 text",
    "int_type": "should be a whole number, without quotes and unit",
    "float_type": "should be a number, without quotes and unit",
    "bool_type": "should be true or false",
    "greater_than": "should be more than {gt}",
    "greater_than_equal": "should be at least {ge}",
    "less_than_equal": "should be at most {le}",
    "too_short": "should have at least {min_length} entry",
    "tuple_type": "should be a list, such as [a, b]",
    "dataclass_type": "should be a mapping of keys to values",
    "model_attributes_type": "should be a mapping of keys to values",
    "mapping_type": "should be a mapping of keys to values",
    "dict_type": "should be a mapping of keys to values",
}


class _Place(NamedTuple):
    """Where an error is: its path, whether at the key, the section that has the last key, and what is expected there.

    alternatives: the shapes that could stand there instead.
    """

    path: Path
    at_key: bool
    owner: type[Section] | None
    expected: Any
    alternatives: tuple[str, ...] = ()


def findings(error: ValidationError) -> Iterator[Finding]:
    """Return what is wrong with the file, as the schema sees it."""
    for detail in error.errors(include_url=False):
        given = detail["input"]  # looked at, never shown
        if detail["type"] == "too_short" and given:
            continue  # its entries are wrong, and are reported themselves
        finding = _finding(detail)
        empty = given is None and detail["type"] != "unexpected_keyword_argument"
        yield finding._replace(message=f"is empty; {finding.message}") if empty else finding


def nearest(word: str, known: list[str]) -> str:
    """Return ``; did you mean 'x'?`` where a known word is near, else nothing."""
    from difflib import get_close_matches  # noqa: PLC0415 - a file without mistakes does not need it

    near = get_close_matches(word[:_MAX_SUGGESTED], known, n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


def _finding(detail: ErrorDetails) -> Finding:
    place = _follow(detail["loc"], unknown_key=detail["type"] == "unexpected_keyword_argument")
    context = detail.get("ctx", {})
    match detail["type"]:
        case "missing":
            return Finding(place.path, f"missing; {_description(place)}")
        case "unexpected_keyword_argument":
            return Finding(place.path, f"unknown key{_known_keys(place)}", at_key=True)
        case "union_tag_not_found" | "union_tag_invalid":
            methods = ", ".join(_variants(place.expected))
            return Finding((*place.path, "method"), f"should be one of {methods}")
        case "literal_error":
            alternatives = "".join(f", or a {shape}" for shape in place.alternatives)
            return Finding(place.path, f"should be {context['expected']}{alternatives}", place.at_key)
        case "value_error":
            return Finding(place.path, str(context["error"]), place.at_key)
        case kind:
            return Finding(place.path, _MESSAGES.get(kind, "is not valid here").format(**context), place.at_key)


def _follow(loc: tuple[int | str, ...], unknown_key: bool) -> _Place:
    """Walk the schema along an error's location."""
    path: Path = ()
    owner: type[Section] | None = None
    here: Any = Config
    alternatives: tuple[str, ...] = ()
    for step in loc:
        # pydantic's mark for the key of the mapping entry before it, unless the file has such a key itself
        if step == "[key]" and get_origin(here) is not Mapping and not unknown_key:
            return _Place(path, True, owner, here)
        variants = _variants(here)
        if step in variants:
            here = variants.pop(str(step))
            alternatives = tuple(variants)
            continue
        path = (*path, step)
        alternatives = ()
        owner = here if _is_section(here) else None
        here = _plain(_child(here, step))
    return _Place(path, False, owner, here, alternatives)


def _child(here: Any, step: int | str) -> Any:
    if _is_section(here):
        known = _keys(here).get(str(step))
        return known.type if known else None
    arguments = get_args(here) or (None,)
    return arguments[0] if get_origin(here) is tuple else arguments[-1]


def _plain(annotation: Any) -> Any:
    """An annotation without None, and without metadata but that of unions."""
    if get_origin(annotation) is Annotated:
        return annotation if _variants(annotation) else _plain(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        members = [member for member in get_args(annotation) if member is not NoneType]
        if len(members) == 1:
            return _plain(members[0])
    return annotation


def _variants(annotation: Any) -> dict[str, Any]:
    """The members of a union by what they are told apart by; none for anything else."""
    if get_origin(annotation) is Annotated:
        union, *markers = get_args(annotation)
        for marker in markers:
            if isinstance(marker, OneOf):
                return {name: _plain(member) for name, member in marker.members(union).items()}
    return {}


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def _keys(section: Any) -> dict[str, Field[Any]]:
    return {field.name: field for field in fields(section)}


def _description(place: _Place) -> str:
    known = _keys(place.owner).get(str(place.path[-1])) if place.owner else None
    text = known.metadata["description"] if known else "a value is needed."
    return text[0].lower() + text[1:].removesuffix(".")


def _known_keys(place: _Place) -> str:
    keys = sorted(_keys(place.owner)) if place.owner else []
    return nearest(str(place.path[-1]), keys) or f"; known here: {', '.join(keys)}"
