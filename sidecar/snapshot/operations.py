"""Compiles the part of a route about the Model Context Protocol: its rules, and the route as it is under each. Pure.

Under a rule a route asks for more scopes, for another login and for another's yes. That is settled here once, so that a
request finds its exchange, with what is expected of it, ready.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from sidecar.config.loaded import Loaded
from sidecar.config.schema import mcp as schema
from sidecar.exchange.dialects import Dialect
from sidecar.model.approval import ApprovalPolicy
from sidecar.model.mcp import MCP, Rule
from sidecar.model.route import Route
from sidecar.snapshot.exchanges import compile_exchanges


def compile_mcp(section: schema.Operations | None) -> MCP | None:
    """Return what a route takes of the protocol; None where it says nothing of it."""
    if section is None:
        return None
    return MCP(
        default=section.default == "allow",
        get=section.get == "allow",
        delete=section.delete == "allow",
        responses=section.responses == "allow",
        notifications=section.notifications == "allow",
        allowed_origins=frozenset(origin.encode() for origin in section.allowed_origins),
        tools=tuple(sorted(_rules("tools", section.tools), key=_precedence)),
        methods=tuple(_rules("methods", section.methods)),
    )


def narrowed(loaded: Loaded, index: int, route: Route, dialects: Mapping[str, Dialect]) -> Iterator[Route]:
    """Return a route as it is under each of its rules. index, dialects: as for ``compile_route``."""
    section = loaded.config.routes[index]
    if route.mcp is None or section.exchange == "none":
        return
    for rule in route.mcp.rules:
        asked = replace(section.exchange, scope=tuple(dict.fromkeys((*section.exchange.scope, *rule.scope))))
        exchange, by_issuer = compile_exchanges(loaded.config, asked, dialects)
        yield replace(route.under(rule), exchange=exchange, by_issuer=by_issuer)


def _rules(kind: str, sections: Mapping[str, schema.Operation]) -> Iterator[Rule]:
    for name, section in sections.items():
        key = ("mcp", kind, name)
        asked = section.approval
        approval = ApprovalPolicy(asked.by, asked.max_age) if asked is not None else None
        arguments = asked.arguments if asked is not None else ()
        yield Rule(key, section.scope, section.acr_values, section.max_age, approval, arguments)


def _precedence(rule: Rule) -> tuple[bool, int]:
    """Exact names first, then the longer beginnings."""
    return rule.pattern.endswith("*"), -len(rule.pattern)
