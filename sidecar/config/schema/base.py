"""What every section of the schema stands on.

A section refuses keys that it does not know and converts nothing: text is text, a number a number. Sections are plain
dataclasses: pydantic checks a file against them in ``sidecar.config.load``, and is imported there, never here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from inspect import get_annotations
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    NamedTuple,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
)

from sidecar.config.schema.markers import Check, Read

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

T = TypeVar("T")

_REQUIRED: Final = object()


class _Key(NamedTuple):
    about: str
    default: object
    secret: bool


def key(about: str, *, default: Any = _REQUIRED, secret: bool = False) -> Any:
    """A key of a section: a line about it, and the default as it would be written in the file, where it has one.

    A secret one is left out of the section's repr.
    """
    return _Key(about, default, secret)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(key,))
def section(cls: type[T]) -> type[T]:
    """Make a class with keys a frozen, slotted dataclass, whose defaults are what a file without the keys gives."""
    for name, annotation in get_annotations(cls).items():
        if isinstance(declared := vars(cls).get(name), _Key):
            setattr(cls, name, _field(declared, annotation))
    return dataclass(frozen=True, slots=True, kw_only=True)(cls)


class Section:
    """A mapping of the file; what pydantic has to know of it."""

    __slots__ = ()
    __pydantic_config__: ClassVar[Mapping[str, object]] = {"extra": "forbid", "strict": True}

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: "GetCoreSchemaHandler") -> "CoreSchema":
        # Strictness is meant for the values; for the section itself it would mean: no mappings, instances only.
        return {**handler(source), "strict": False}


def _field(declared: _Key, annotation: Any) -> Any:
    metadata: dict[str, object] = {"description": declared.about}
    if declared.default is _REQUIRED:
        return field(repr=not declared.secret, metadata=metadata)
    metadata["json_schema_extra"] = {"default": declared.default}
    value = _read(declared.default, annotation)
    if isinstance(value, dict):
        return field(default_factory=value.copy, repr=not declared.secret, metadata=metadata)
    return field(default=value, repr=not declared.secret, metadata=metadata)


def _read(written: Any, annotation: Any) -> object:
    """Read a default as the file's values are read."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation(**written)
    # What may be null too is a union with None.
    choices = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    markers = [marker for choice in choices for marker in getattr(choice, "__metadata__", ())]
    for marker in markers if written is not None else ():
        if isinstance(marker, Read | Check):
            written = marker.function(written)
    return written
