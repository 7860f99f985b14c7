"""``sidecar diff``: which requests go elsewhere, or are judged otherwise, by one configuration file than by another.

It compares the two compiled tables (``routing.regions``), not the files' text and no samples; nothing is asked of
anybody. How long anything may take and how much may be open at once is not compared.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any, Final

from sidecar.commands.configuration import load_or_explain
from sidecar.commands.versions import Version, Versions
from sidecar.config.problems import ConfigError
from sidecar.routing.changes import Change
from sidecar.routing.conditions import PathKind
from sidecar.routing.regions import Region, regions
from sidecar.routing.rules import Box

#: As many of a region's exceptions are told to people; to programs, all that the region has.
_EXCEPTIONS_TOLD: Final = 5


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("old", metavar="OLD", help="a configuration file")
    parser.add_argument("new", metavar="NEW", help="what is to take its place")
    parser.add_argument("--json", action="store_true", help="one JSON object, for programs")


def run(arguments: argparse.Namespace) -> int:
    """Compare two files. 0 where no request changes, 1 where one does, 2 where a file is broken."""
    old, new = _version(arguments.old), _version(arguments.new)
    if old is None or new is None:
        return 2
    versions = Versions(old, new)
    found = regions(old.routes, new.routes, versions.differ)
    if arguments.json:
        print(json.dumps({"regions": [_as_json(region, versions) for region in found]}, indent=2))
        return 1 if found else 0
    for region in found:
        print(*_told(region, versions), sep="\n", end="\n\n")
    counted = "1 region of requests changes" if len(found) == 1 else f"{len(found)} regions of requests change"
    print(counted if found else "no request changes")
    return 1 if found else 0


def _version(path: str) -> Version | None:
    """Load and compile a file; where it is broken, print all its problems and return None."""
    loaded = load_or_explain(path)
    try:
        return None if loaded is None else Version.of(loaded, path)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return None


def _told(region: Region, versions: Versions) -> Iterator[str]:
    """A region as a block of lines."""
    box = region.boxes[0]
    hosts = ", ".join(host or "any host" for host in region.hosts)
    conditions = [hosts, _path(region, box), ",".join(sorted(box.methods)) or "any method", *_fields(box)]
    listener = [] if region.listener == "default" else [f"listener {region.listener}"]
    yield "  ".join([*listener, *conditions])
    lines = [("except", exceptions)] if (exceptions := _exceptions(region)) else []
    lines += [(change.what, _change(change)) for change in versions.changes(region)]
    lines += [("note", note) for note in versions.notes(region)]
    width = max(len(what) for what, _ in lines)
    for what, text in lines:
        yield f"  {what:{width}}  {text}"


def _change(change: Change) -> str:
    note = f"  ({change.note})" if change.note else ""
    if change.what == "route":
        return f"{change.old or 'no route'} → {change.new or 'no route'}{note}"
    return f"{_value(change.old)} → {_value(change.new)}{note}"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        value = " ".join(value)
    return "none" if value in (None, "") else str(value)


def _exceptions(region: Region) -> str:
    """What of the box other routes take first; of each exception, what is narrower than the region."""
    box, told = region.boxes[0], []
    for each in region.exceptions[:_EXCEPTIONS_TOLD]:
        parts = [each.host] if each.host else []
        parts += [_path(region, each)] if each.path != box.path else []
        parts += [",".join(sorted(each.methods))] if each.methods != box.methods else []
        told.append(" ".join([*parts, *_fields(each, box)]))
    if region.more or len(region.exceptions) > _EXCEPTIONS_TOLD:
        told.append("and more")
    return ", ".join(told)


def _fields(box: Box, beside: Box | None = None) -> list[str]:
    known = frozenset() if beside is None else beside.headers
    return [f"{name.decode('latin-1')}: {value.decode('latin-1')}" for name, value in sorted(box.headers - known)]


def _path(region: Region, box: Box) -> str:
    """A path as the configuration writes it; a prefix ends in ``/**``."""
    named = [
        route.match.path.split("/")[1:]
        for route in (region.old, region.new)
        if route is not None and route.match.path is not None
    ]
    text = ""
    for depth, segment in enumerate(box.path.segments):
        names = [path[depth] for path in named if depth < len(path) and path[depth].startswith("{")]
        text += "/" + (segment.decode() if segment is not None else [*names, "{}"][0])
    return f"{text}/**" if box.path.kind is PathKind.PREFIX else text


def _as_json(region: Region, versions: Versions) -> dict[str, Any]:
    """A region as an object. ``except`` without hosts means all of the region's."""
    example = region.example
    return {
        "listener": region.listener,
        "match": _match(region, region.boxes[0], list(filter(None, region.hosts))),
        "except": [_match(region, box, [box.host] if box.host else []) for box in region.exceptions],
        "more_exceptions": region.more,
        "example": {
            "method": example.method,
            "host": example.host,
            "path": example.path.decode("ascii"),
            "headers": {name.decode("latin-1"): value.decode("latin-1") for name, value in example.fields},
        },
        "changes": [
            {"what": each.what, "old": each.old, "new": each.new, "note": each.note or None}
            for each in versions.changes(region)
        ],
        "notes": versions.notes(region),
    }


def _match(region: Region, box: Box, hosts: list[str]) -> dict[str, Any]:
    """A box in the words of a route's ``match``; what is left open is left out."""
    path = _path(region, box)
    prefix = box.path.kind is PathKind.PREFIX
    match: dict[str, Any] = {"hosts": hosts} if hosts else {}
    match |= {"path_prefix": path.removesuffix("/**") or "/"} if prefix else {"path": path}
    match |= {"methods": sorted(box.methods)} if box.methods else {}
    if box.headers:
        match["headers"] = {name.decode("latin-1"): value.decode("latin-1") for name, value in sorted(box.headers)}
    return match
