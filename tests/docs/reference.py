"""Makes the two reference pages from the code: every key of the configuration, and every command.

Types, defaults and descriptions come from the schema's classes and from the commands' own arguments; what a table
can't tell, in ``remarks``. Whatever the code has and nobody can describe here is an error, not a gap in the page.
"""

import argparse
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from importlib import import_module
from inspect import get_annotations
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from sidecar.__main__ import COMMANDS
from sidecar.config.schema import Config, accept, include, servers, types
from sidecar.config.schema.base import Section
from sidecar.config.schema.markers import Limit, OneOf
from tests.docs import remarks

#: How single values are called in the tables; ``remarks.VALUES`` explains each.
KINDS: Final[Mapping[Any, str]] = {
    types.Count: "count",
    types.Share: "share",
    types.Duration: "duration",
    types.PositiveDuration: "duration",
    types.WholeSeconds: "duration",
    types.TunnelLifetime: "`token`, or a duration",
    types.Size: "size",
    types.Version: "`1`",
    types.Text: "text",
    types.Name: "name",
    types.RouteName: "route name",
    types.Method: "method",
    types.HeaderName: "header name",
    types.HeaderValue: "text",
    types.TokenHeader: "header name",
    types.AuthenticationContext: "text",
    types.ToolPattern: "text",
    types.RPCMethod: "text",
    types.Scope: "scope",
    types.AuthorizationDetail: "authorization detail",
    types.AbsoluteURI: "URI",
    types.TokenType: "token type",
    types.ExtraParameter: "text",
    types.ActorPattern: "`sub`, or `{iss, sub}`",
    types.ClaimPath: "claim path",
    types.ClaimValues: "claim value, or a list of them",
    types.Listen: "address",
    types.ControlSocket: "`unix:` and a path",
    types.UpstreamURL: "URL",
    types.TrustedNetwork: "network",
    types.URLText: "URL",
    types.ResourceURL: "URL",
    types.ProxyURL: "URL",
    types.HostPattern: "host",
    types.Origin: "origin",
    types.ServerName: "host",
    types.ExactPath: "path",
    types.PathPrefix: "path",
    types.ReadableFile: "file",
    types.Sink: "`stdout`, `none`, or a file",
    types.SecretVariable: "variable",
    accept.Why: "text",
    include.AllowedHost: "host",
    include.AllowedText: "text",
    include.AllowedScope: "scope",
    include.AllowedUpstream: "URL pattern",
    str: "text",
    bool: "`true` or `false`",
    Any: "value",
}
#: Sections of which one stands under a key, by the words that tell which.
CLIENT_AUTH: Final = get_args(get_args(servers.ClientAuth)[0])


@dataclass(frozen=True, slots=True)
class Place:
    """A section, and the path where it stands in a file."""

    path: str
    section: type[Section]


class Undescribed(Exception):
    """The code has something that the pages can't describe yet, or a remark is about what the code no longer has."""


def configuration() -> str:
    """Return the page about the configuration file."""
    parts, left, seen = [remarks.CONFIGURATION], dict(remarks.SECTIONS), dict[type[Section], str]()
    for place in _places(Place("", Config)):
        title = f"`{place.path}`" if place.path else "The file"
        parts.append(f"## {title}\n")
        if (first := seen.get(place.section)) is not None:
            parts.append(f"The same keys as [`{first}`](#{_anchor(first)}).\n")
        else:
            seen[place.section] = place.path
            if place.path:
                parts.append(f"{(place.section.__doc__ or '').splitlines()[0]}\n")
            parts.append("\n".join(_table(place.section)) + "\n")
        if (remark := left.pop(place.path, None)) is not None:
            parts.append(remark.strip("\n") + "\n")
    if left:
        raise Undescribed(f"no such section: {', '.join(left)}")
    return "\n".join(parts)


def _places(place: Place) -> Iterator[Place]:
    """A section, then those below it, in the order of its keys."""
    yield place
    for name, annotation in _keys(place.section).items():
        path = f"{place.path}.{name}" if place.path else name
        for section, step in _sections(annotation):
            yield from _places(Place(path + step, section))


def _sections(annotation: Any) -> Iterator[tuple[type[Section], str]]:
    """The sections that may stand under a key, each with what its path has besides."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        step = f" ({_shown(get_annotations(annotation)['method'])})" if annotation in CLIENT_AUTH else ""
        yield annotation, step.replace("`", "")
    elif get_origin(annotation) is Mapping:
        yield from ((section, f".NAME{step}") for section, step in _sections(get_args(annotation)[1]))
    elif get_origin(annotation) is tuple:
        yield from ((section, f"[]{step}") for section, step in _sections(get_args(annotation)[0]))
    elif get_origin(annotation) is Annotated:
        yield from _sections(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for member in get_args(annotation):
            yield from _sections(member)


def _keys(section: type[Section]) -> dict[str, Any]:
    return {name: annotation for name, annotation in get_annotations(section).items() if not name.startswith("_")}


def _table(section: type[Section]) -> Iterator[str]:
    annotations = _keys(section)
    yield "| key | value | default | |"
    yield "| --- | --- | --- | --- |"
    for field in fields(section):  # type: ignore[arg-type]
        about = field.metadata["description"]
        written = field.metadata.get("json_schema_extra")
        default = "required" if written is None else _default(written["default"])
        yield f"| `{field.name}` | {_cell(_shown(annotations[field.name]))} | {default} | {_cell(about)} |"


def _default(value: object) -> str:
    if value is None:
        return "none"
    if value in ({}, ()):
        return "empty"
    if isinstance(value, tuple):
        return f"`[{', '.join(value)}]`"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _shown(annotation: Any) -> str:
    """What a value may be, in words."""
    if annotation in KINDS:
        return KINDS[annotation]
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "section"
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{word}`" for word in arguments)
    if origin is Mapping:
        return f"mapping of {_shown(arguments[0])} to {_shown(arguments[1])}"
    if origin is tuple:
        return f"list of {_shown(arguments[0])}"
    if origin is Annotated:
        return _annotated(arguments[0], arguments[1:])
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_shown(member) for member in arguments if member is not NoneType))
    raise Undescribed(f"no word for {annotation}")


def _annotated(plain: Any, markers: tuple[object, ...]) -> str:
    for marker in markers:
        if isinstance(marker, Limit):
            return f"number, {marker.ge} to {marker.le}"
        if isinstance(marker, OneOf):
            return _shown(plain)
    if get_origin(plain) is tuple:
        return _shown(plain)
    raise Undescribed(f"no word for {plain}, {markers}")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def commands() -> str:
    """Return the page about the commands."""
    parts, left = [remarks.COMMANDS], dict(remarks.OF_COMMANDS)
    for name, summary in COMMANDS.items():
        module = import_module(f"sidecar.commands.{name}")
        parser = argparse.ArgumentParser(add_help=False)
        module.add(parser)
        parts.append(f"## sidecar {name}\n\n{summary[0].upper()}{summary[1:]}.\n")
        if arguments := "\n".join(_arguments(parser)):
            parts.append(f"{arguments}\n")
        if (remark := left.pop(name, None)) is not None:
            parts.append(remark.strip("\n") + "\n")
        parts.append("\n".join(_exits(name, module.run.__doc__ or "")) + "\n")
    if left:
        raise Undescribed(f"no such command: {', '.join(left)}")
    return "\n".join(parts)


def _arguments(parser: argparse.ArgumentParser) -> Iterator[str]:
    # argparse has no other way to ask a parser for them; its own text differs between versions of Python.
    exclusive = {
        id(action): group.required for group in parser._mutually_exclusive_groups for action in group._group_actions
    }
    for number, action in enumerate(parser._actions):
        if number == 0:
            yield "| argument | | |"
            yield "| --- | --- | --- |"
        words = " ".join(action.metavar) if isinstance(action.metavar, tuple) else action.metavar
        metavar = words or ("\\|".join(map(str, action.choices)) if action.choices else "")
        value = "" if action.nargs == 0 else f" {metavar or action.dest.upper()}"
        name = ", ".join(f"`{option}{value}`" for option in action.option_strings) or f"`{action.metavar}`"
        need = "one of these" if exclusive.get(id(action)) else "required" if action.required else ""
        if not action.option_strings and action.nargs == "*":
            need = "any number"
        default = f"default `{action.default}`" if isinstance(action.default, str) and not need else need
        about = action.help or remarks.ARGUMENTS.get(action.dest)
        if about is None:
            raise Undescribed(f"no word about {name}")
        yield f"| {name} | {default} | {_cell(about)} |"


def _exits(name: str, told: str) -> Iterator[str]:
    """The exit statuses, from what the command's function promises."""
    statuses = dict(re.findall(r"\b([0-9]) (.+?)(?:\.|, (?=[0-9] ))", told.split("\n\n", 1)[0]))
    if not statuses and remarks.ALWAYS.get(name) is None:
        raise Undescribed(f"{name}: no word about its exit status")
    yield "| exit status | |"
    yield "| ---: | --- |"
    for status in sorted({"0": remarks.ALWAYS.get(name, ""), **statuses}.items()):
        yield f"| {status[0]} | {status[1]} |"
