"""The types of single values: which function reads each, and how it is written.

What a value must look like is decided in ``values``, ``addresses``, ``paths`` and ``environment``, not here.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal, TypeVar

from sidecar.config import addresses, paths, values
from sidecar.config.environment import Surroundings
from sidecar.config.schema.markers import Around, Check, Limit, Listed, OneOf, Read, Written
from sidecar.model import actors

T = TypeVar("T")

_DURATION: Final = Written({"type": "string", "pattern": f"^{values.DURATION}$"})
_TEXT: Final = Written({"type": "string"})


def _read(function: Callable[[str], T]) -> Callable[[object], T]:
    def read(value: object) -> T:
        if isinstance(value, str):
            return function(value)
        raise ValueError("should be text")

    return read


def _sink(surroundings: Surroundings, value: str) -> str:
    if value in ("stdout", "none"):
        return value
    if "/" not in value:
        raise ValueError("should be stdout, none, or the path of a file, which has a /")
    return surroundings.writable(value)


Many = Annotated[tuple[T, ...], Listed()]
AtLeastOne = Annotated[tuple[T, ...], Listed(least=1)]

Count = Annotated[int, Limit(ge=1, le=1_000_000_000)]
Share = Annotated[float, Limit(gt=0, le=1)]
Duration = Annotated[float, Read(values.duration), _DURATION]
PositiveDuration = Annotated[float, Read(values.positive_duration), _DURATION]
WholeSeconds = Annotated[int, Read(values.whole_seconds), _DURATION]
TunnelLifetime = Annotated[
    float | None,
    Read(values.tunnel_lifetime),
    Written({"type": "string", "pattern": f"^(token|{values.DURATION})$"}),
]
Size = Annotated[
    int,
    Read(values.size),
    Written({"anyOf": [{"type": "string", "pattern": f"^{values.SIZE}$"}, {"type": "integer", "minimum": 1}]}),
]
Version = Annotated[int, Check(values.version), Written({"const": 1})]

Text = Annotated[str, Check(values.text)]
Name = Annotated[str, Check(values.name)]
RouteName = Annotated[str, Check(values.route_name)]
Method = Annotated[str, Check(values.method)]
HeaderName = Annotated[str, Check(values.header_name)]
HeaderValue = Annotated[str, Check(values.header_value)]
TokenHeader = Annotated[str, Check(values.token_header_name)]
Origin = Annotated[str, Check(addresses.origin)]
AuthenticationContext = Annotated[str, Check(values.authentication_context)]
Scope = Annotated[str, Check(values.scope)]
AuthorizationDetail = Annotated[Mapping[str, Any], Check(values.authorization_detail)]
ToolPattern = Annotated[str, Check(values.tool_pattern)]
RPCMethod = Annotated[str, Check(values.rpc_method)]
AbsoluteURI = Annotated[str, Check(values.absolute_uri)]
TokenType = Annotated[str, Check(values.token_type)]
ExtraParameter = Annotated[str, Check(values.extra_parameter)]
ActorPattern = Annotated[
    actors.ActorPattern,
    Read(values.actor_pattern),
    Written(
        {
            "anyOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "required": ["iss", "sub"],
                    "propertyNames": {"enum": ["iss", "sub"]},
                    "additionalProperties": {"type": "string"},
                },
            ]
        }
    ),
]
ClaimPath = Annotated[str, Check(values.claim_path)]
ClaimValues = Annotated[
    tuple[str | int | float | bool, ...],
    Read(values.claim_values),
    Written({"type": ["string", "number", "boolean", "array"], "items": {"type": ["string", "number", "boolean"]}}),
]

ControlSocket = Annotated[addresses.Address, Read(_read(addresses.socket_address)), _TEXT]
Listen = Annotated[addresses.Address, Read(_read(addresses.listen_address)), _TEXT]
UpstreamURL = Annotated[addresses.URL, Read(_read(addresses.upstream_url)), _TEXT]
TrustedNetwork = Annotated[addresses.Network, Read(addresses.network), _TEXT]
ResourceURL = Annotated[str, Check(addresses.resource_url)]
URLText = Annotated[str, Check(addresses.url_text)]
ProxyURL = Annotated[str, Check(addresses.proxy_url)]
HostPattern = Annotated[str, Check(addresses.host_pattern)]
ServerName = Annotated[str, Check(addresses.server_name)]
ExactPath = Annotated[str, Check(paths.exact_path)]
PathPrefix = Annotated[str, Check(paths.path_prefix)]

ReadableFile = Annotated[str, Check(values.text), Around(Surroundings.readable)]
Sink = Annotated[str, Check(values.text), Around(_sink)]
SecretVariable = Annotated[str, Check(values.variable_name), Around(Surroundings.variable)]

Asked = Annotated[Literal["asked", "any"] | Many[Text], OneOf()]
