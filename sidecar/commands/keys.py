"""Which keys of the file decide each step of a request, for ``sidecar explain``: their paths, and where they stand.

Nothing is decided here. A key that the file leaves out is told as such, at the place of the nearest one that is there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from sidecar.config.loaded import Loaded, locate
from sidecar.config.problems import Path, show
from sidecar.model.refusal import Kind, Refusal
from sidecar.model.route import Exchange, Route
from sidecar.model.tokens import Subject
from sidecar.policy import CHECKS

#: Of a refused subject token: a part of the finding, and the key of its trusted issuer that counts.
_OF_FINDINGS: Final[Mapping[str, str]] = {
    "has expired": "leeway",
    "not valid yet": "leeway",
    "not meant for this gateway": "audience",
    "token_profile": "token_profile",
    "no access token": "token_profile",
    "algorithm is not allowed": "algorithms",
    "no key fits": "keys",
    "signature does not verify": "keys",
}
_ASKED: Final = ("audience", "resource", "scope", "requested_token_type", "actor_token", "authorization_details")
_EXPECTED: Final = ("audience", "extra_audience", "scope", "extra_scope", "subject")
_FORWARDED: Final = ("url", "strip_prefix", "preserve_host", "token_header", "drop_cookies")


@dataclass(frozen=True, slots=True)
class Key:
    """A key. place: ``file:line``; written: whether the file has it."""

    name: str
    place: str
    written: bool


class Keys:
    """The keys that count for one route, step by step; each method returns those that decided, most telling first."""

    def __init__(self, loaded: Loaded, route: Route) -> None:
        self._loaded = loaded
        self._route = route
        self._base: Path = ("routes", [each.name for each in loaded.config.routes].index(route.name))

    def match(self) -> list[Key]:
        """What the request met."""
        names = ("hosts", "path", "path_prefix", "methods", "headers")
        return self._written((*self._base, "match"), names)

    def relaxation(self) -> list[Key]:
        """What would let an odd path in."""
        return [self._key(*self._base, "match", "allow")]

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

    def unverified(self, refusal: Refusal, iss: object) -> list[Key]:
        """What a token was refused by. iss: what it says of itself."""
        names = [name for name in sorted(self._route.subject.issuers) if self._iss(name) == iss]
        if not names:
            return [self._key(*self._base, "subject", "issuers")]
        return [key for name in names for key in self._of_issuer(name, refusal)]

    def allow(self, subject: Subject) -> list[Key]:
        """What is asked of a token; where one of these says no, that one alone."""
        policy, path = self._route.subject, (*self._base, "subject")
        for name, check in CHECKS.items():
            if (refusal := check(policy, subject)) is not None:
                claim = refusal.finding.removeprefix("subject.require_claims.")
                return [self._key(*path, name, claim) if claim != refusal.finding else self._key(*path, name)]
        return self._written(path, tuple(CHECKS))

    def exchange(self, exchange: Exchange, issuer: str) -> list[Key]:
        """Who is asked, and for what. issuer: the trusted issuer of the subject token."""
        path, server = (*self._base, "exchange"), ("authorization_servers", exchange.authorization_server)
        choice = ("by_issuer", issuer) if self._route.by_issuer else ()
        keys = [self._key(*path, "authorization_server", *choice)]
        keys += self._written(server, ("token_endpoint", "discovery_url", "issuer"))[:1]
        keys += self._written(server, ("grant",))
        keys += self._written(path, _ASKED)
        if exchange.actor_token is not None:
            keys.append(self._key("workload_tokens", exchange.actor_token, "file"))
        return keys + self._written(server, ("extra_params",))

    def own_token(self) -> list[Key]:
        """Where the actor token is read from."""
        actor = self._route.exchange.actor_token if self._route.exchange is not None else None
        return [self._key("workload_tokens", actor, "file")] if actor is not None else []

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

    def _of_issuer(self, name: str, refusal: Refusal) -> Iterator[Key]:
        section, path = self._loaded.config.trusted_issuers[name], ("trusted_issuers", name)
        found = [key for part, key in _OF_FINDINGS.items() if part in refusal.finding]
        if refusal.finding == f"{section.audience_claim} is malformed":
            found = ["audience_claim"]
        elif refusal.finding in {f"{claim} is malformed" for claim in section.scope_claim}:
            found = ["scope_claim"]
        if refusal.kind is Kind.ISSUER_UNAVAILABLE or found[:1] == ["keys"]:
            sources = ("jwks_file", "jwks_uri", "discovery_url", "issuer", "authorization_server")
            yield from self._written(path, sources)[:1]
        elif found:
            yield self._key(*path, found[0])

    def _iss(self, name: str) -> str:
        return self._loaded.config.issuer_of(self._loaded.config.trusted_issuers[name])

    def _written(self, path: Path, names: tuple[str, ...]) -> list[Key]:
        return [key for name in names if (key := self._key(*path, name)).written]

    def _key(self, *path: str | int) -> Key:
        positions, local = locate(self._loaded.files, path) or (self._loaded.positions, path)
        return Key(show(path), self._loaded.place(path), local in positions.values)
