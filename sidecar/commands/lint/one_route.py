"""Rules that look at one route at a time."""

from collections.abc import Callable, Iterator
from typing import Final

from sidecar.commands.lint.configuration import Configuration, found
from sidecar.config.problems import Finding
from sidecar.model.listener import DECISION
from sidecar.model.route import Route
from sidecar.model.tokens import Semantics

#: Methods that change nothing (RFC 9110 §9.2.1, RFC 4918 §9.1, RFC 3253 §3.6, RFC 5323 §2).
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "PROPFIND", "REPORT", "SEARCH"})
#: What may stand between a token and a change; one of these is enough.
_CONFIRMED: Final[tuple[Callable[[Route], bool], ...]] = (
    lambda route: route.subject.max_age is not None,
    lambda route: route.approval is not None,
)
#: Exact paths that probes ask for, who have no token.
PROBES: Final = frozenset({"/health", "/healthz", "/livez", "/metrics", "/readyz"})


def exchange_none(configuration: Configuration) -> Iterator[Finding]:
    """Find routes that need no token, other than a probe's path."""
    for path, _, route in configuration.pairs():
        if route.exchange is None and route.match.path not in PROBES:
            yield found((*path, "exchange"), "lets requests through that carry no token")


def expect_any(configuration: Configuration) -> Iterator[Finding]:
    """Find routes that use an issued token whatever it is good for, or whoever it is about."""
    for path, section, _ in configuration.pairs():
        if section.exchange == "none":
            continue
        expect, where = section.exchange.expect, (*path, "exchange", "expect")
        if expect.audience == "any" and expect.scope == "any":
            yield found(where, "neither the audience nor the scope of an issued token is checked")
        if expect.subject == "any":
            yield found((*where, "subject"), "an issued token may be about somebody else than the caller")


def impersonation(configuration: Configuration) -> Iterator[Finding]:
    """Find routes whose issued tokens must not show who acts."""
    for path, _, route in configuration.pairs():
        if route.exchange is not None and route.exchange.expect.semantics is Semantics.IMPERSONATION:
            yield found((*path, "exchange", "semantics"), "the upstream can't see that anybody acts for the subject")


def unnamed_operations(configuration: Configuration) -> Iterator[Finding]:
    """Find routes that let tools or methods through which nobody thought of."""
    for path, _, route in configuration.pairs():
        if route.mcp is None:
            continue
        if route.mcp.default:
            yield found((*path, "mcp", "default"), "lets methods through that nobody named")
        for rule in route.mcp.tools:
            asked = rule.acr_values or rule.max_age is not None or rule.approval is not None
            if rule.pattern == "*" and not asked:
                yield found((*path, *rule.key), "lets tools through that nobody named, also those to come")


def no_target(configuration: Configuration) -> Iterator[Finding]:
    """Find routes that ask for nothing in particular and take what comes."""
    for path, _, route in configuration.pairs():
        if any(
            not (exchange.audience or exchange.resource or exchange.scope) and exchange.expect.audience.allowed is None
            for exchange in route.exchanges
        ):
            yield found(
                (*path, "exchange"), "asks for no audience, resource or scope, and takes a token for any audience"
            )


def plain_http(configuration: Configuration) -> Iterator[Finding]:
    """Find upstreams that tokens may be sent to in the clear."""
    for path, section, _ in configuration.pairs():
        if section.upstream.allow_plain_http:
            yield found((*path, "upstream", "allow_plain_http"), "issued tokens may leave this machine unencrypted")


def unconfirmed_writes(configuration: Configuration) -> Iterator[Finding]:
    """Find routes that take methods which may change something, and ask for nothing beyond a token."""
    for path, _, route in configuration.pairs():
        writes = not route.match.methods or route.match.methods - SAFE
        if route.exchange is not None and writes and not any(confirmed(route) for confirmed in _CONFIRMED):
            yield found((*path, "subject", "max_age"), "takes methods that may change something, after any old login")


def websocket_outlives_token(configuration: Configuration) -> Iterator[Finding]:
    """Find routes whose WebSockets stay open whatever becomes of the token they were opened with."""
    for path, _, route in configuration.pairs():
        upstream = route.upstream
        if not upstream.websocket or route.exchange is None:
            continue
        if route.listener == DECISION:
            yield found((*path, "upstream", "websocket"), "how long a WebSocket stays open is for the proxy to limit")
        elif upstream.websocket_max_lifetime is not None:
            where = (*path, "upstream", "websocket_max_lifetime")
            yield found(where, "a WebSocket may stay open after the token that it was opened with has expired")


def wildcard_host_without_methods(configuration: Configuration) -> Iterator[Finding]:
    """Find routes that take every method on hosts that they don't name one by one."""
    for path, _, route in configuration.pairs():
        if not route.match.methods and any(host.startswith("*.") for host in route.match.hosts):
            yield found((*path, "match"), "takes every method on hosts that it doesn't name one by one")
