"""The small languages inside values: durations, sizes, names, scopes, header names, token types.

Functions from text to value, without I/O. Each raises ValueError with a message that says what would be right and
never repeats the text. RFC 9110 §5.1 (field names), RFC 6749 §3.3 (scope), RFC 3986 §4.3 (absolute URIs).
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from sidecar.model.actors import ActorPattern
from sidecar.model.tokens import TOKEN_TYPES

DURATION: Final = r"([0-9]{1,9})(ms|s|m|h)"
SIZE: Final = r"([0-9]{1,12})(KiB|MiB|GiB)?"
NAME: Final = r"[A-Za-z0-9._-]{1,64}"
ROUTE_NAME: Final = r"[A-Za-z0-9._/-]{1,64}"

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES: Final = {"": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+")

# Fields that frame a message, name its sender or are ours to write: no place for a token.
_NOT_FOR_TOKENS: Final = re.compile(
    r"accept-encoding|connection|content-(encoding|length|type)|cookie|date|expect|forwarded|host|http2-settings"
    r"|keep-alive|max-forwards|origin|proxy-(authenticate|authorization|connection)|range|referer|set-cookie|te|trailer"
    r"|trace(parent|state)|transfer-encoding|upgrade|user-agent|via|www-authenticate"
    r"|x-forwarded-(for|host|port|proto)|x-real-ip|x-request-id",
    re.IGNORECASE,
)
# What an exchange sets itself, also for grants to come.
_OWN_PARAMETERS: Final = re.compile(
    r"grant_type|(subject|actor)_token(_type)?|requested_token_(type|use)|audience|resource|scope|assertion"
    r"|authorization_details|client_.*"
)


def duration(value: object) -> float:
    """Return seconds."""
    if isinstance(value, str) and (match := re.fullmatch(DURATION, value)) is not None:
        return int(match[1]) * _SECONDS[match[2]]
    raise ValueError("should be a duration with its unit, such as 250ms, 5s, 2m or 1h")


def positive_duration(value: object) -> float:
    """Return seconds, more than none."""
    if (seconds := duration(value)) > 0:
        return seconds
    raise ValueError("should be longer than 0s")


def whole_seconds(value: object) -> int:
    """Return a positive duration in seconds, of which challenges know no parts (RFC 9470 §3)."""
    if (seconds := positive_duration(value)).is_integer():
        return int(seconds)
    raise ValueError("should be whole seconds, such as 30s or 5m")


def tunnel_lifetime(value: object) -> float | None:
    """Return seconds, more than none; None for ``token``."""
    if value == "token":
        return None
    try:
        return positive_duration(value)
    except ValueError:
        raise ValueError("should be token, or a duration longer than 0s, such as 8h") from None


def size(value: object) -> int:
    """Return bytes, at least one."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if isinstance(text, str) and (match := re.fullmatch(SIZE, text)) is not None:
        if (number := int(match[1]) * _BYTES[match[2] or ""]) > 0:
            return number
        raise ValueError("should be more than 0 bytes")
    raise ValueError("should be a size such as 512, 64KiB or 1MiB")


def version(value: int) -> int:
    """Check the version of the file's form."""
    if value == 1:
        return value
    raise ValueError("should be 1")


def text(value: str) -> str:
    """Check that a text says something and has no control characters."""
    if value and not _CONTROL.search(value) and value == value.strip():
        return value
    raise ValueError("should be text without control characters, and without spaces around it")


def name(value: str) -> str:
    """Check the name of a listener, issuer, server or workload token."""
    if re.fullmatch(NAME, value):
        return value
    raise ValueError("should be a name of 1 to 64 letters, digits, '.', '_' or '-'")


def route_name(value: str) -> str:
    """Check a route's name."""
    if value == "none":
        raise ValueError("should be another name; metrics use 'none' for requests without a route")
    if re.fullmatch(ROUTE_NAME, value):
        return value
    raise ValueError("should be a name of 1 to 64 letters, digits, '.', '_', '/' or '-'")


def variable_name(value: str) -> str:
    """Check the name of an environment variable."""
    if _VARIABLE.fullmatch(value):
        return value
    raise ValueError("should be the name of an environment variable, not its value")


def method(value: str) -> str:
    """Check a request method (RFC 9110 §9.1)."""
    if value in ("CONNECT", "TRACE"):
        raise ValueError("CONNECT and TRACE are never forwarded")
    if _TOKEN.fullmatch(value) and value == value.upper():
        return value
    raise ValueError("should be a method in capitals, such as GET")


def header_name(value: str) -> str:
    """Check a header field's name (RFC 9110 §5.1)."""
    if _TOKEN.fullmatch(value):
        return value
    raise ValueError("should be a header name, such as X-Token")


def token_header_name(value: str) -> str:
    """Check the name of a header field that carries a token."""
    if not _NOT_FOR_TOKENS.fullmatch(header_name(value)):
        return value
    raise ValueError("this header has a meaning of its own and can't carry a token")


def header_value(value: str) -> str:
    """Check a header field's value: printable ASCII without spaces around it."""
    if value.isascii() and value.isprintable() and value == value.strip():
        return value
    raise ValueError("should be printable ASCII, without spaces around it")


def scope(value: str) -> str:
    """Check one scope (RFC 6749 §3.3)."""
    if _SCOPE.fullmatch(value):
        return value
    raise ValueError("should be one scope: printable ASCII without spaces, quotes and backslashes")


def authentication_context(value: str) -> str:
    """Check one authentication context class, which is listed as scopes are (RFC 9470 §3)."""
    if _SCOPE.fullmatch(value):
        return value
    raise ValueError("should be one acr value: printable ASCII without spaces, quotes and backslashes")


def actor_pattern(value: object) -> ActorPattern:
    """Return whom ``{iss: …, sub: …}`` means, or a bare ``sub``: an actor of the token's own issuer."""
    named = {"sub": value} if isinstance(value, str) else value
    if not isinstance(named, dict) or (isinstance(value, dict) and named.keys() != {"iss", "sub"}):
        raise ValueError("should be the sub of an actor, or {iss: …, sub: …}")
    try:
        iss, sub = (text(named[key]) if key in named else None for key in ("iss", "sub"))
    except (ValueError, TypeError):
        raise ValueError("should be text without control characters, and without spaces around it") from None
    if sub is None or "*" in sub[:-1]:
        raise ValueError("should have a * at its end only")
    return ActorPattern(iss, sub)


def tool_pattern(value: str) -> str:
    """Check a tool's name, or the beginning of names and ``*``."""
    if text(value) and len(value) <= 128 and "*" not in value[:-1]:
        return value
    raise ValueError("should be a tool's name of at most 128 characters, with a * at its end only")


def rpc_method(value: str) -> str:
    """Check a JSON-RPC method that requests may name."""
    if value == "tools/call":
        raise ValueError("is what tools are for")
    if value.startswith("notifications/"):
        raise ValueError("should be a request's method; the key notifications is for these")
    if re.fullmatch(r"[\x21-\x29\x2b-\x7e]{1,128}", value):
        return value
    raise ValueError("should be a whole method, such as tools/list, without spaces and *")


def absolute_uri(value: str) -> str:
    """Check an absolute URI without a fragment (RFC 8707 §2)."""
    if _URI.fullmatch(value):
        return value
    raise ValueError("should be an absolute URI without a fragment, such as https://api.example.com/")


def token_type(value: str) -> str:
    """Return a token type's URI (RFC 8693 §3) for its short name or itself."""
    if (uri := TOKEN_TYPES.get(value)) is not None:
        return uri
    if _URI.fullmatch(value):
        return value
    raise ValueError(f"should be a URI or one of {', '.join(TOKEN_TYPES)}")


def extra_parameter(value: str) -> str:
    """Check the name of a parameter that an exchange sends besides its own."""
    if _OWN_PARAMETERS.fullmatch(value):
        raise ValueError("the exchange sets this parameter itself")
    if re.fullmatch(r"[\x21-\x7e]+", value):
        return value
    raise ValueError("should be a parameter's name: printable ASCII without spaces")


def authorization_detail(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Check one authorization details object (RFC 9396 §2); it is sent as JSON."""
    if not isinstance(value.get("type"), str) or not value["type"]:
        raise ValueError("should have a type, which is text")
    try:
        json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError):
        raise ValueError("should hold nothing that JSON has no form for, such as dates") from None
    return value


def claim_path(value: str) -> str:
    """Check a dotted path of claims."""
    if all(value.split(".")) and not _CONTROL.search(value):
        return value
    raise ValueError("should be a claim's name, or names with dots between them")


def claim_values(value: object) -> tuple[str | int | float | bool, ...]:
    """Return the values of which a claim must have one."""
    values = value if isinstance(value, list | tuple) else [value]
    if values and all(isinstance(item, str | int | float | bool) for item in values):
        return tuple(values)
    raise ValueError("should be text, a number, true or false, or a list of them")
