"""Compiles what a route asks the authorization server for, and what it expects of the reply. Pure.

What a route leaves out is as the dialect of the server says (RFC 8693 §2.1).
"""

import json
from collections.abc import Iterator, Mapping, Sequence

from sidecar.config.schema import Config
from sidecar.config.schema import Exchange as ExchangeSection
from sidecar.config.schema import Expect as ExpectSection
from sidecar.exchange.dialects import Dialect
from sidecar.model.route import Exchange, Expect, Expected
from sidecar.model.tokens import Semantics


def compile_exchanges(
    config: Config, section: ExchangeSection, dialects: Mapping[str, Dialect]
) -> tuple[Exchange | None, tuple[tuple[str, Exchange], ...]]:
    """Return what is asked for, and by which trusted issuer of the subject token where that makes a difference."""
    asked = dict(_exchanges(config, section, dialects))
    return next(iter(asked.values()), None), tuple(
        (issuer, each) for issuer, each in asked.items() if issuer is not None
    )


def _exchanges(
    config: Config, section: ExchangeSection, dialects: Mapping[str, Dialect]
) -> Iterator[tuple[str | None, Exchange]]:
    """What is asked for, by the trusted issuer of the subject token; None where that makes no difference."""
    for issuer, server in config.servers_of(section).items():
        yield issuer, _exchange(section, server, dialects[server], _client_id(config, server))


def _exchange(section: ExchangeSection, server: str, dialect: Dialect, client_id: str | None) -> Exchange:
    semantics = section.semantics or ("delegation" if section.actor_token is not None else "any")
    return Exchange(
        authorization_server=server,
        audience=section.audience,
        resource=section.resource,
        scope=section.scope,
        requested_token_type=section.requested_token_type or dialect.requested_token_type,
        subject_token=None if section.subject_token == "caller" else section.subject_token,
        actor_token=section.actor_token,
        authorization_details=tuple(
            json.dumps(detail, sort_keys=True, separators=(",", ":")) for detail in section.authorization_details
        ),
        expect=_expect(section, section.expect, semantics, dialect, client_id),
    )


def _client_id(config: Config, server: str) -> str | None:
    return config.authorization_servers[server].client_auth.client_id


def _expect(
    exchange: ExchangeSection, section: ExpectSection, semantics: str, dialect: Dialect, client_id: str | None
) -> Expect:
    audience, scope = section.audience, section.scope
    if audience is None and dialect.expect_audience == "client_id":
        audience = (client_id or "",)
    asked_scope = tuple(map(dialect.scope_name, exchange.scope))
    if scope in (None, "asked") and dialect.qualified_scope and ".default" in asked_scope:
        scope = "any"  # whatever was consented to
    extra_audience = dialect.extra_audience if section.extra_audience is None else section.extra_audience
    extra_scope = dialect.extra_scope if section.extra_scope is None else section.extra_scope
    return Expect(
        # All audiences that were asked for must be there; of the scopes, fewer are allowed (RFC 8693 §2.2.1).
        audience=_expected(audience, exchange.audience, exchange.audience, extra_audience),
        scope=_expected(scope, asked_scope, (), extra_scope),
        same_subject=section.subject != "any",
        subject_claim=dialect.subject_claim,
        semantics=None if semantics == "any" else Semantics(semantics),
    )


def _expected(
    choice: str | Sequence[str] | None, asked: Sequence[str], required: Sequence[str], extra: Sequence[str]
) -> Expected:
    """Compile ``asked`` (nothing asked: not checked), ``any``, or a list."""
    if choice == "any" or (choice in (None, "asked") and not asked):
        return Expected()
    if choice in (None, "asked"):
        return Expected(frozenset(required), frozenset([*asked, *extra]))
    return Expected(frozenset(choice or ()), frozenset([*(choice or ()), *extra]))
