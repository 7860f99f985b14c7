"""Which keys of the file decide each step of a request, for ``sidecar explain``: their paths, and where they stand.

Nothing is decided here. A key that the file leaves out is told as such, at the place of the nearest one that is there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sidecar.config.loaded import Loaded, locate
from sidecar.config.problems import Path, show
from sidecar.model.refusal import Refusal
from sidecar.model.route import Exchange, Route
from sidecar.model.tokens import Subject
from sidecar.policy import CHECKS

#: Keys that stand for one another: a section has one of them, which counts whichever a refusal names.
_INSTEAD: Final[Mapping[str, tuple[str, ...]]] = {
    "jwks_uri": ("jwks_file", "jwks_uri", "discovery_url", "issuer", "authorization_server"),
    "token_endpoint": ("token_endpoint", "discovery_url", "issuer"),
}
_OF_ROUTES: Final = frozenset({"match", "upstream", "subject", "approval", "exchange", "mcp"})
_ASKED: Final = (
    "subject_token",
    "audience",
    "resource",
    "scope",
    "requested_token_type",
    "actor_token",
    "authorization_details",
)
_EXPECTED: Final = ("audience", "extra_audience", "scope", "extra_scope", "subject")
_TAKEN: Final = ("default", "get", "delete", "responses", "notifications")
_FORWARDED: Final = ("url", "strip_prefix", "preserve_host", "token_header", "drop_cookies", "websocket")


@dataclass(frozen=True, slots=True)
class Key:
    """A key. place: ``file:line``; written: whether the file has it."""

    name: str
    place: str
    written: bool


def decisive(loaded: Loaded, route: Route, refusal: Refusal) -> Path | None:
    """Return the path in the file of the key that a refusal names; None where no key decided."""
    if not refusal.key:
        return None
    rule = route.rule
    if rule is not None and refusal.key[0] == "subject" and getattr(rule, refusal.key[-1], None):
        return (*_base(loaded, route), *rule.key, refusal.key[-1])
    if rule is not None and refusal.key[0] == "approval" and rule.approval is not None:
        return (*_base(loaded, route), *rule.key, *refusal.key)
    if refusal.key[0] in _OF_ROUTES:
        return (*_base(loaded, route), *refusal.key)
    section, name, *rest = refusal.key
    of = getattr(loaded.config, section)[name]
    names = _INSTEAD.get(rest[0], ())
    written = next((each for each in names if getattr(of, each, None) is not None), None)
    return (section, name, written) if written is not None else refusal.key


def _base(loaded: Loaded, route: Route) -> Path:
    return ("routes", [each.name for each in loaded.config.routes].index(route.name))


class Keys:
    """The keys that count for one route, step by step; each method returns those that decided, most telling first."""

    def __init__(self, loaded: Loaded, route: Route) -> None:
        self._loaded = loaded
        self._route = route
        self._base = _base(loaded, route)

    def match(self) -> list[Key]:
        """What the request met."""
        names = ("hosts", "path", "path_prefix", "methods", "headers")
        return self._written((*self._base, "match"), names)

    def relaxation(self) -> list[Key]:
        """What would let an odd path in."""
        return [self._key(*self._base, "match", "allow")]

    def refused(self, refusal: Refusal) -> list[Key]:
        """What a refusal names, if it names a key."""
        path = decisive(self._loaded, self._route, refusal)
        return [] if path is None else [self._key(*path)]

    def size(self) -> list[Key]:
        """How large a body may be."""
        own = self._key(*self._base, "upstream", "max_body_bytes")
        return [own if own.written else self._key("gateway", "max_body_bytes")]

    def take(self) -> list[Key]:
        """Where a token is looked for, if it is."""
        if self._route.exchange is None:
            return [self._key(*self._base, "exchange")]
        return [self._key(*self._base, "subject", "header")]

    def preflight(self) -> list[Key]:
        """What becomes of a preflight, and whose."""
        return [self._key(*self._base, "preflight"), *self._written((*self._base, "cors"), ("origins",))]

    def verified(self, subject: Subject) -> list[Key]:
        """Whose token it is, and what made it good."""
        issuer: Path = ("trusted_issuers", subject.issuer)
        names = ("issuer", "authorization_server", "audience", "token_profile")
        return [self._key(*self._base, "subject", "issuers"), *self._written(issuer, names)]

    def operation(self) -> list[Key]:
        """What is said of the operation that the body asks for."""
        rule = self._route.rule
        return [self._key(*self._base, *rule.key)] if rule is not None else self._written((*self._base, "mcp"), _TAKEN)

    def allow(self) -> list[Key]:
        """What is asked of a token."""
        keys = self._written((*self._base, "subject"), tuple(CHECKS))
        return keys + self._ruled(("acr_values", "max_age"))

    def approve(self) -> list[Key]:
        """Whose yes is needed, and for what it counts."""
        names, rule = ("by", "max_age", "bind", "reason_header"), self._route.rule
        if rule is None or rule.approval is None:
            return self._written((*self._base, "approval"), names)
        return self._written((*self._base, *rule.key, "approval"), ("by", "max_age", "arguments"))

    def exchange(self, exchange: Exchange, issuer: str) -> list[Key]:
        """Who is asked, and for what. issuer: the trusted issuer of the subject token."""
        path, server = (*self._base, "exchange"), ("authorization_servers", exchange.authorization_server)
        choice = ("by_issuer", issuer) if self._route.by_issuer else ()
        keys = [self._key(*path, "authorization_server", *choice)]
        keys += self._written(server, ("token_endpoint", "discovery_url", "issuer"))[:1]
        keys += self._written(server, ("grant",))
        keys += self._written(path, _ASKED) + self._ruled(("scope",))
        sources = ("file", "client_credentials", "header")
        for name in (exchange.subject_token, exchange.actor_token):
            keys += self._written(("workload_tokens", name), sources) if name is not None else []
        return keys + self._written(server, ("extra_params",))

    def expect(self, exchange: Exchange) -> list[Key]:
        """What the issued token will be held against."""
        path = (*self._base, "exchange")
        server = ("authorization_servers", exchange.authorization_server)
        keys = self._written((*path, "expect"), _EXPECTED) or [self._key(*path, "expect")]
        keys += self._written(path, ("semantics",))
        return keys + self._written(server, ("dialect", "dialect_overrides"))

    def forward(self) -> list[Key]:
        """Where it goes, and what becomes of its head."""
        return self._written((*self._base, "upstream"), _FORWARDED)

    def _ruled(self, names: tuple[str, ...]) -> list[Key]:
        """Those that the rule for the operation has, if one counts."""
        rule = self._route.rule
        return self._written((*self._base, *rule.key), names) if rule is not None else []

    def _written(self, path: Path, names: tuple[str, ...]) -> list[Key]:
        return [key for name in names if (key := self._key(*path, name)).written]

    def _key(self, *path: str | int) -> Key:
        positions, local = locate(self._loaded.files, path) or (self._loaded.positions, path)
        return Key(show(path), self._loaded.place(path), local in positions.values)
