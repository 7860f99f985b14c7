"""Single switches of a dialect, changed by the configuration (``dialect_overrides``).

A switch is read by what its field in ``Dialect`` is declared as; only the tables of errors have a form of their own.
``grant`` is a key beside ``dialect``, not a switch in the file.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from inspect import get_annotations
from types import MappingProxyType
from typing import Any, Final, Literal, get_args, get_origin

from sidecar.exchange.dialects.dialect import Dialect
from sidecar.exchange.dialects.errors import Cause, DescribedError
from sidecar.model.tokens import TOKEN_TYPES

_CAUSES: Final = ", ".join(sorted(Cause))


def with_overrides(dialect: Dialect, overrides: Mapping[str, Any]) -> Dialect:
    """Return the dialect with single switches changed; a table of ``errors`` is added to, all others are replaced.

    ValueError: for a switch that does not exist or a value it does not take; ``args`` are the switch and why.
    """
    changes: dict[str, Any] = {}
    for name, value in overrides.items():
        if name not in SWITCHES:
            raise ValueError(name, f"no such switch; there are {', '.join(sorted(SWITCHES))}")
        try:
            changes[name] = SWITCHES[name](value)
        except ValueError as error:
            raise ValueError(name, str(error)) from None
    if "errors" in changes:
        changes["errors"] = MappingProxyType({**dialect.errors, **changes["errors"]})
    return replace(dialect, **changes)


def _choice(choices: tuple[str, ...]) -> Callable[[object], object]:
    def read(value: object) -> object:
        if value in choices and isinstance(value, str):
            return value
        raise ValueError(f"must be one of {', '.join(choices)}")

    return read


def _truth(value: object) -> object:
    if isinstance(value, bool):
        return value
    raise ValueError("must be one of true, false")


def _text(value: object) -> str:
    if isinstance(value, str) and value.isprintable() and value:
        return value
    raise ValueError("must be text")


def _texts(value: object) -> object:
    if isinstance(value, list | tuple) and all(isinstance(entry, str) for entry in value):
        return tuple(value)
    raise ValueError("must be a list of text")


def _token_type(value: object) -> object:
    return None if value is None else TOKEN_TYPES.get(text := _text(value), text)


def _token_types(value: object) -> object:
    if isinstance(value, list | tuple):
        return tuple(map(_token_type, map(_text, value)))
    raise ValueError("must be a list of token types")


def _errors(value: object) -> object:
    if isinstance(value, Mapping) and all(cause in list(Cause) for cause in value.values()):
        return {str(code): Cause(cause) for code, cause in value.items()}
    raise ValueError(f"must map error codes to one of {_CAUSES}")


def _described_errors(value: object) -> object:
    if not isinstance(value, list | tuple):
        raise ValueError("must be a list of {error, description, cause}")
    return tuple(map(_described_error, value))


def _described_error(value: object) -> DescribedError:
    if not isinstance(value, Mapping) or value.keys() != {"error", "description", "cause"}:
        raise ValueError("must be a list of {error, description, cause}")
    if value["cause"] not in list(Cause):
        raise ValueError(f"cause must be one of {_CAUSES}")
    # An empty beginning would take every error of this code, which is what errors is for.
    return DescribedError(_text(value["error"]), _text(value["description"]), Cause(value["cause"]))


_OWN: Final[Mapping[str, Callable[[object], object]]] = {
    "requested_token_type": _token_type,
    "subject_token_types": _token_types,
    "subject_claim": _text,
    "extra_audience": _texts,
    "extra_scope": _texts,
    "errors": _errors,
    "described_errors": _described_errors,
}


def _reader(name: str, declared: Any) -> Callable[[object], object]:
    if declared is bool:
        return _truth
    return _choice(get_args(declared)) if get_origin(declared) is Literal else _OWN[name]


#: How the value of each switch is read; ValueError: it is none.
SWITCHES: Final[Mapping[str, Callable[[object], object]]] = MappingProxyType(
    {name: _reader(name, declared) for name, declared in get_annotations(Dialect).items() if name != "grant"}
)
