"""Rules about the sections outside of routes: issuers, authorization servers, workload tokens, listeners, includes, the
cache."""

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from sidecar.commands.lint.configuration import Configuration, found
from sidecar.config.problems import Finding, Path
from sidecar.model.listener import DECISION

#: Longer than this, in seconds: an issued token is kept, and is supposed to live where nobody says how long it does.
LONG_LIFETIME: Final = 3600.0
LONG_DEFAULT_LIFETIME: Final = 300.0


def empty_glob(configuration: Configuration) -> Iterator[Finding]:
    """Find includes without a file."""
    for index, include in enumerate(configuration.loaded.includes):
        if not include.sources and not include.problems:
            yield found(("include", index, "files"), "there is no such file")


def long_lifetime(configuration: Configuration) -> Iterator[Finding]:
    """Find times for which a token that was withdrawn at its authorization server would go on being used."""
    config = configuration.config
    if config.cache.max_lifetime > LONG_LIFETIME:
        yield found(("cache", "max_lifetime"), "an issued token may go on being used for more than an hour")
    for name, server in config.authorization_servers.items():
        if server.default_lifetime > LONG_DEFAULT_LIFETIME:
            yield found(
                ("authorization_servers", name, "default_lifetime"),
                "more than five minutes, for a token of which nobody says how long it lives",
            )


def plain_http(configuration: Configuration) -> Iterator[Finding]:
    """Find peers that are spoken to in the clear."""
    config = configuration.config
    for name, server in config.authorization_servers.items():
        if server.allow_plain_http:
            path = ("authorization_servers", name, "allow_plain_http")
            yield found(path, "tokens and our own credentials may leave this machine unencrypted")
    for name, approver in config.approvers.items():
        if approver.allow_plain_http:
            path = ("approvers", name, "allow_plain_http")
            yield found(path, "whoever sits between can say yes in the approver's place")
    for name, issuer in config.trusted_issuers.items():
        if issuer.allow_plain_http:
            path = ("trusted_issuers", name, "allow_plain_http")
            yield found(path, "the keys that callers' tokens are verified with may come unencrypted")


def unauthenticated_client(configuration: Configuration) -> Iterator[Finding]:
    """Find authorization servers that would exchange a token for anybody who has it."""
    for name, server in configuration.config.authorization_servers.items():
        if server.client_auth.method == "none":
            yield found(
                ("authorization_servers", name, "client_auth", "method"),
                "whoever has a caller's token can exchange it as we do",
            )


def unused(configuration: Configuration) -> Iterator[Finding]:
    """Find what is defined, and named by no route."""
    config = configuration.config
    exchanges = [section.exchange for section in config.routes if section.exchange != "none"]
    issuers: set[str | None] = {name for section in config.routes for name in config.issuers_of(section)}
    servers: set[str | None] = {name for exchange in exchanges for name in config.servers_of(exchange).values()}
    servers |= {issuer.authorization_server for name, issuer in config.trusted_issuers.items() if name in issuers}
    tokens = {name for exchange in exchanges for name in (exchange.subject_token, exchange.actor_token)}
    for token in (config.workload_tokens[name] for name in tokens & config.workload_tokens.keys() if name is not None):
        issuers.add(token.issuer)
        servers |= {config.server_of(token.client_credentials)} if token.client_credentials is not None else set()
    approvers = {route.approval.by for route in configuration.routes if route.approval is not None}
    rules = (rule for route in configuration.routes if route.mcp is not None for rule in route.mcp.rules)
    approvers |= {rule.approval.by for rule in rules if rule.approval is not None}
    listeners: set[str | None] = {route.listener for route in configuration.routes}
    used: dict[Path, tuple[Iterable[str], Collection[str | None]]] = {
        (): ([DECISION] if config.decision is not None else [], listeners),
        ("gateway", "listeners"): (config.gateway.listeners or {}, listeners),
        ("trusted_issuers",): (config.trusted_issuers, issuers),
        ("authorization_servers",): (config.authorization_servers, servers),
        ("workload_tokens",): (config.workload_tokens, tokens),
        ("approvers",): (config.approvers, approvers),
    }
    for path, (defined, named) in used.items():
        for name in defined:
            if name not in named:
                yield found((*path, name), "no route uses it")
