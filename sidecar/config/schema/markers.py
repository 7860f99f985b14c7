"""How a value is read and checked, said beside its type in ``Annotated``.

pydantic finds the methods here by their names when a schema is built; they alone import it, so that whoever only uses
values does without. What a value must look like is decided in ``values``, ``addresses``, ``paths``, ``environment``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import get_annotations
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from sidecar.config.environment import Surroundings

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic_core import CoreSchema
    from pydantic_core.core_schema import ValidationInfo


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """The value is what a function makes of whatever the file holds; it raises ValueError with what would be right."""

    function: Callable[[Any], object]

    def __get_pydantic_core_schema__(self, source: Any, handler: "GetCoreSchemaHandler") -> "CoreSchema":
        from pydantic_core import core_schema  # noqa: PLC0415 - see above

        return core_schema.no_info_plain_validator_function(self.function)


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """A function returns the value that one of the type stands for; it raises ValueError with what would be right."""

    function: Callable[[Any], object]

    def __get_pydantic_core_schema__(self, source: Any, handler: "GetCoreSchemaHandler") -> "CoreSchema":
        from pydantic_core import core_schema  # noqa: PLC0415 - see above

        return core_schema.no_info_after_validator_function(self.function, handler(source))


@dataclass(frozen=True, slots=True, eq=False)
class Around:
    """A text is held against what is around the file; without surroundings (``load`` gives them) taken as it is."""

    function: Callable[[Surroundings, str], str]

    def __get_pydantic_core_schema__(self, source: Any, handler: "GetCoreSchemaHandler") -> "CoreSchema":
        from pydantic_core import core_schema  # noqa: PLC0415 - see above

        return core_schema.with_info_after_validator_function(self._check, handler(source))

    def _check(self, value: str, info: "ValidationInfo[Any]") -> str:
        return self.function(info.context, value) if isinstance(info.context, Surroundings) else value


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """What editors are told about how the value is written: a JSON Schema."""

    schema: Mapping[str, Any]

    def __get_pydantic_json_schema__(self, schema: "CoreSchema", handler: "GetJsonSchemaHandler") -> dict[str, Any]:
        return dict(self.schema)


@dataclass(frozen=True, slots=True, eq=False)
class Limit:
    """A number's bounds: at least, more than, at most."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: "GetCoreSchemaHandler") -> "CoreSchema":
        bounds = {"ge": self.ge, "gt": self.gt, "le": self.le}
        return {**handler(source), **{name: bound for name, bound in bounds.items() if bound is not None}}


@dataclass(frozen=True, slots=True, eq=False)
class Listed:
    """A tuple whose entries the file lists, ``least`` of them or more."""

    least: int = 0

    def __get_pydantic_core_schema__(self, source: Any, handler: "GetCoreSchemaHandler") -> "CoreSchema":
        least = {"min_length": self.least} if self.least else {}
        return {**handler(source), "strict": False, **least}


@dataclass(frozen=True, slots=True, eq=False)
class OneOf:
    """A union of which one member counts, so that what is wrong is told of that one alone.

    They are told apart by the value of a key that each of them has, or else by their shapes in the file: a word, a
    list or a mapping.
    """

    key: str | None = None

    def members(self, union: Any) -> dict[str, Any]:
        """Return the members by what they are told apart by."""
        if self.key is None:
            return {_shape(member): member for member in get_args(union)}
        return {value: member for member in get_args(union) for value in get_args(get_annotations(member)[self.key])}

    def __get_pydantic_core_schema__(self, source: Any, handler: "GetCoreSchemaHandler") -> "CoreSchema":
        from pydantic_core import core_schema  # noqa: PLC0415 - see above

        choices = {name: handler.generate_schema(member) for name, member in self.members(source).items()}

        def choose(value: object) -> str:
            given = "list" if isinstance(value, list | tuple) else "mapping" if isinstance(value, dict) else "word"
            return given if given in choices else "word"

        return core_schema.tagged_union_schema(choices, self.key or choose)


def _shape(member: Any) -> str:
    """How a member of a union looks in the file; one that is annotated is what it annotates: text, or else a list."""
    if get_origin(member) is Literal or getattr(member, "__origin__", None) is str:
        return "word"
    return "mapping" if isinstance(member, type) else "list"
