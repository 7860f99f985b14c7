"""The types of single values: what joins the functions that read them to pydantic.

What a value must look like is decided in ``values``, ``addresses``, ``paths`` and ``environment``, not here.
"""

from collections.abc import Callable
from typing import Annotated, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    ValidationInfo,
    WithJsonSchema,
)

from sidecar.config import addresses, paths, values
from sidecar.config.environment import Surroundings

T = TypeVar("T")


def _read(function: Callable[[str], T]) -> Callable[[object], T]:
    def read(value: object) -> T:
        if isinstance(value, str):
            return function(value)
        raise ValueError("should be text")

    return read


def _around(check: Callable[[Surroundings, str], str]) -> Callable[[str, ValidationInfo], str]:
    """Check a text against what is around the file; without surroundings (``load`` gives them) it is taken as it is."""

    def around(value: str, info: ValidationInfo) -> str:
        return check(info.context, value) if isinstance(info.context, Surroundings) else value

    return around


def _sink(surroundings: Surroundings, value: str) -> str:
    if value in ("stdout", "none"):
        return value
    if "/" not in value:
        raise ValueError("should be stdout, none, or the path of a file, which has a /")
    return surroundings.writable(value)


def _shape(value: object) -> str:
    return "list" if isinstance(value, list | tuple) else "word"


Many = Annotated[tuple[T, ...], Field(strict=False)]
AtLeastOne = Annotated[tuple[T, ...], Field(strict=False, min_length=1)]

Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Share = Annotated[float, Field(gt=0, le=1)]
Duration = Annotated[
    float, BeforeValidator(values.duration), WithJsonSchema({"type": "string", "pattern": f"^{values.DURATION}$"})
]
PositiveDuration = Annotated[
    float,
    BeforeValidator(values.positive_duration),
    WithJsonSchema({"type": "string", "pattern": f"^{values.DURATION}$"}),
]
Size = Annotated[
    int,
    BeforeValidator(values.size),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": f"^{values.SIZE}$"}, {"type": "integer", "minimum": 1}]}),
]
Version = Annotated[int, AfterValidator(values.version), WithJsonSchema({"const": 1})]

Text = Annotated[str, AfterValidator(values.text)]
Name = Annotated[str, AfterValidator(values.name)]
RouteName = Annotated[str, AfterValidator(values.route_name)]
Method = Annotated[str, AfterValidator(values.method)]
HeaderName = Annotated[str, AfterValidator(values.header_name)]
HeaderValue = Annotated[str, AfterValidator(values.header_value)]
TokenHeader = Annotated[str, AfterValidator(values.token_header_name)]
Scope = Annotated[str, AfterValidator(values.scope)]
AbsoluteURI = Annotated[str, AfterValidator(values.absolute_uri)]
TokenType = Annotated[str, AfterValidator(values.token_type)]
ExtraParameter = Annotated[str, AfterValidator(values.extra_parameter)]
ClaimPath = Annotated[str, AfterValidator(values.claim_path)]
ClaimValues = Annotated[
    tuple[str | int | float | bool, ...],
    PlainValidator(values.claim_values),
    WithJsonSchema(
        {"type": ["string", "number", "boolean", "array"], "items": {"type": ["string", "number", "boolean"]}}
    ),
]

Listen = Annotated[
    addresses.Address, PlainValidator(_read(addresses.listen_address)), WithJsonSchema({"type": "string"})
]
UpstreamURL = Annotated[
    addresses.URL, PlainValidator(_read(addresses.upstream_url)), WithJsonSchema({"type": "string"})
]
TrustedNetwork = Annotated[addresses.Network, PlainValidator(addresses.network), WithJsonSchema({"type": "string"})]
URLText = Annotated[str, AfterValidator(addresses.url_text)]
HostPattern = Annotated[str, AfterValidator(addresses.host_pattern)]
ServerName = Annotated[str, AfterValidator(addresses.server_name)]
ExactPath = Annotated[str, AfterValidator(paths.exact_path)]
PathPrefix = Annotated[str, AfterValidator(paths.path_prefix)]

ReadableFile = Annotated[str, AfterValidator(values.text), AfterValidator(_around(Surroundings.readable))]
Sink = Annotated[str, AfterValidator(values.text), AfterValidator(_around(_sink))]
SecretVariable = Annotated[str, AfterValidator(values.variable_name), AfterValidator(_around(Surroundings.variable))]

Asked = Annotated[
    Annotated[Literal["asked", "any"], Tag("word")] | Annotated[Many[Text], Tag("list")], Discriminator(_shape)
]
