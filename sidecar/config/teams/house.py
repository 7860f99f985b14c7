"""What a team may write: every key of its routes held against what its include allows; whatever is not is refused.

Works on the files' content, as ``rules`` does, and reads each value by the function that the schema reads it by. A key
that is not among those of a team is the platform's, also one that comes to the schema later; a value that can't be read
is none that is allowed. What routes of several houses mean together is ``teams.borders``'.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from sidecar.config import addresses, paths, values
from sidecar.config.mcp import operations
from sidecar.config.problems import Finding, show
from sidecar.config.schema.include import Allow
from sidecar.config.teams.patterns import ANY, covers_host, covers_path, covers_text
from sidecar.config.tree import Part
from sidecar.model.tokens import ACCESS_TOKEN, JWT

T = TypeVar("T")

_Keys = Mapping[str, Any]  # a key of a section to the keys in it; empty: whatever stands there

_ANYTHING: Final[_Keys] = {}
ANY_NAME: Final = ""  # among keys: whatever the team calls it
_OPERATION: Final[_Keys] = {
    **dict.fromkeys(("scope", "acr_values", "max_age"), _ANYTHING),
    "approval": dict.fromkeys(("by", "max_age", "arguments"), _ANYTHING),
}
#: What a team may say. Left out is what reaches beyond its own routes: names of header fields that carry tokens are
#: removed from everybody's requests, workload tokens and TLS files are secrets of the platform, and a server name
#: picks a server behind an address that others share.
_KEYS: Final[_Keys] = {
    "name": _ANYTHING,
    "listener": _ANYTHING,
    "match": dict.fromkeys(("hosts", "path", "path_prefix", "methods", "headers", "allow"), _ANYTHING),
    "upstream": dict.fromkeys(
        (
            "url",
            "strip_prefix",
            "preserve_host",
            "connect_timeout",
            "response_timeout",
            "send_idle",
            "read_idle",
            "max_connections",
            "max_connection_age",
            "max_body_bytes",
            "allow_plain_http",  # says nothing where the include's upstreams are https or loopback
            "drop_cookies",
            "websocket",
        ),
        _ANYTHING,
    ),
    "subject": dict.fromkeys(
        (
            "issuers",
            "require_scope",
            "require_claims",
            "clients",
            "acr_values",
            "max_age",
            "require_actor",
            "allowed_actors",
            "max_actor_depth",
        ),
        _ANYTHING,
    ),
    "exchange": {
        **dict.fromkeys(
            ("authorization_server", "audience", "resource", "scope", "requested_token_type", "semantics"), _ANYTHING
        ),
        "expect": dict.fromkeys(("audience", "extra_audience", "scope", "extra_scope", "subject"), _ANYTHING),
    },
    "approval": dict.fromkeys(("by", "max_age", "bind", "reason_header"), _ANYTHING),  # it only makes a route stricter
    "mcp": {
        **dict.fromkeys(("default", "get", "delete", "responses", "notifications", "allowed_origins"), _ANYTHING),
        "tools": {ANY_NAME: _OPERATION},
        "methods": {ANY_NAME: _OPERATION},
    },
    "preflight": _ANYTHING,
    "cors": dict.fromkeys(("origins", "max_age"), _ANYTHING),
    "accept": _ANYTHING,
}
#: What an upstream may be given; a refresh token would be a key to everything.
_TOKEN_TYPES: Final = (ACCESS_TOKEN, JWT)


@dataclass(frozen=True, slots=True)
class House:
    """An include, as its team's routes meet it. places: where each key of ``allow`` stands, as ``file:line``.

    ours: where the gateway itself listens, as far as that is known; no upstream of a team.
    """

    name: str
    allow: Allow
    places: Mapping[str, str] = field(repr=False)
    ours: tuple[addresses.Address, ...] = ()

    def refuses(self, part: Part, what: object, key: str) -> Finding:
        """Return that a value is not allowed. what: the value, where it was read; else None."""
        value = f"{_quoted(str(what))} " if what is not None else ""
        return part.finding(f"{value}is not among the {key} that include '{self.name}' allows ({self.places[key]})")


def findings(route: Part, house: House, servers: Part) -> Iterator[Finding]:
    """Return what a route has that its team may not write. servers: the platform's authorization servers by name."""
    yield from _platforms_keys(route, _KEYS)
    yield from _match(route["match"], house)
    url = route["upstream"]["url"]
    if "url" in route["upstream"]:
        yield from _judge(url, addresses.upstream_url, house, "upstreams", _covers_upstream)
        if (read := url.read(addresses.upstream_url)) is not None and any(_is(read, ours) for ours in house.ours):
            yield url.finding("the gateway itself listens there")
    if isinstance(route["exchange"].value, dict):
        yield from _exchange(route["exchange"], house, servers)
    for operation in operations(route["mcp"]):
        yield from _judge_each(operation["scope"], values.scope, house, "scopes", covers_text)


def substitutions(part: Part) -> Iterator[Finding]:
    """Return where a team's content would take something from the environment."""
    match part.value:
        case str(text) if "${" in text:
            yield part.finding("team files take nothing from the environment: ${ has no place in them")
        case list():
            for item in part.items():
                yield from substitutions(item)
        case dict():
            for _, member in part.members():
                yield from substitutions(member)


def _platforms_keys(part: Part, keys: _Keys) -> Iterator[Finding]:
    for name, member in part.members():
        known = keys.get(name, keys.get(ANY_NAME))
        if known is None:
            yield Finding(member.path, "only the platform's file may have this key", at_key=True)
        elif known:
            yield from _platforms_keys(member, known)


def _match(match: Part, house: House) -> Iterator[Finding]:
    if "hosts" in match:
        yield from _judge_each(match["hosts"], addresses.host_pattern, house, "hosts", covers_host)
    elif ANY not in house.allow.hosts:
        yield match["hosts"].finding(
            f"missing; include '{house.name}' does not allow every host ({house.places['hosts']})"
        )
    for key, read in (("path", paths.exact_path), ("path_prefix", paths.path_prefix)):
        if key in match:
            yield from _judge(match[key], read, house, "path_prefixes", covers_path)


def _exchange(exchange: Part, house: House, servers: Part) -> Iterator[Finding]:
    named = exchange["authorization_server"]
    if isinstance(named.value, dict):
        for _, server in named["by_issuer"].members():
            yield from _judge(server, values.name, house, "authorization_servers", str.__eq__)
    elif "authorization_server" in exchange:
        yield from _judge(named, values.name, house, "authorization_servers", str.__eq__)
    elif len(defined := servers.members()) == 1 and defined[0][0] not in house.allow.authorization_servers:
        yield house.refuses(named, defined[0][0], "authorization_servers")
    expect = exchange["expect"]
    for key, read in (("audience", values.text), ("resource", values.absolute_uri)):
        yield from _judge_each(exchange[key], read, house, "audiences", covers_text)
    yield from _judge_each(expect["extra_audience"], values.text, house, "audiences", covers_text)
    yield from _judge_each(exchange["scope"], values.scope, house, "scopes", covers_text)
    yield from _judge_each(expect["extra_scope"], values.scope, house, "scopes", covers_text)
    yield from _bounded(exchange, "audience", house, "audiences")
    yield from _bounded(exchange, "scope", house, "scopes")
    wanted = exchange["requested_token_type"]
    if wanted.value is not None and wanted.read(values.token_type) not in _TOKEN_TYPES:
        yield wanted.finding("a team's upstreams get an access_token or a jwt, nothing else")


def _bounded(exchange: Part, key: str, house: House, allowed: str) -> Iterator[Finding]:
    """What an issued token is good for is held against what was asked for, or against a list; never left open."""
    expected = exchange["expect"][key]
    if isinstance(expected.value, list):
        yield from _judge_each(expected, values.text, house, allowed, covers_text)
    elif expected.value not in (None, "asked"):
        yield expected.finding("should be asked, or a list; a team's issued tokens are good for what is known only")
    elif not exchange[key].value:
        yield exchange[key].finding(
            f"none is named, so the authorization server would choose; or else list what is right in expect.{key}"
        )


def _judge_each(
    part: Part, read: Callable[[str], T], house: House, key: str, covers: Callable[[Any, T], bool]
) -> Iterator[Finding]:
    if part.value is not None and not isinstance(part.value, list):
        yield part.finding("should be a list, such as [a, b]")
    for item in part.items():
        yield from _judge(item, read, house, key, covers)


def _judge(
    part: Part, read: Callable[[str], T], house: House, key: str, covers: Callable[[Any, T], bool]
) -> Iterator[Finding]:
    """A value has to be covered by an entry of ``allow``."""
    value = part.read(read)
    if value is None or not any(covers(entry, value) for entry in getattr(house.allow, key)):
        yield house.refuses(part, value.text if isinstance(value, addresses.URL) else value, key)


def _covers_upstream(pattern: Any, url: addresses.URL) -> bool:
    return bool(pattern.covers(url))


def _is(url: addresses.URL, ours: addresses.Address) -> bool:
    """Whether an upstream is, as far as can be told without asking for a name, an address where we listen."""
    if url.host is None or ours.host is None:
        return url.unix_path is not None and url.unix_path == ours.unix_path
    if not url.is_local:  # another machine, or this one's outer address
        return (url.host, url.port) == (ours.host, ours.port)
    here = "localhost" if ours.is_local else ours.host
    return addresses.Address("localhost", url.port).overlaps(addresses.Address(here, ours.port))


def _quoted(text: str) -> str:
    """A team's own word, which has no secret in it."""
    return text if text.isascii() and text.isprintable() and len(text) <= 80 else show((text,))
