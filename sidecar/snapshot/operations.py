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
from sidecar.model.route import Route, SubjectPolicy
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
        yield replace(
            route,
            subject=_policy(route.subject, rule),
            exchange=exchange,
            by_issuer=by_issuer,
            approval=_approval(route, rule),
            rule=rule,
        )


def _policy(policy: SubjectPolicy, rule: Rule) -> SubjectPolicy:
    ages = [age for age in (policy.max_age, rule.max_age) if age is not None]
    return replace(policy, acr_values=rule.acr_values or policy.acr_values, max_age=min(ages, default=None))


def _approval(route: Route, rule: Rule) -> ApprovalPolicy | None:
    """A rule's own approver is told what the caller claims in the same field as the route's."""
    if rule.approval is None or route.approval is None:
        return rule.approval or route.approval
    return replace(rule.approval, reason_header=route.approval.reason_header)


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
