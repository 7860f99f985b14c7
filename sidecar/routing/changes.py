"""What becomes different for a request when another route serves it, and whether that is stricter or laxer.

Whom and what a request reaches, as whom, and what is asked of its token: that is compared. How long anything may take
and how much may be open at once is not. Pure; which requests these are is for ``regions``. Audience, resource and scope
are those of RFC 8693 §2.1.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Final

from sidecar.model.actors import ActorPattern
from sidecar.model.approval import ApprovalPolicy
from sidecar.model.mcp import MCP, Rule
from sidecar.model.route import ANY_ORIGIN, TLS, Exchange, Expect, Expected, Preflight, Route, SubjectPolicy

#: An upstream's name is made of these, and what is sent as Host is made of its URL.
_NAMED: Final = frozenset({"host", "port", "unix_path", "base_path", "host_header", "tls", "resource_server"})
#: Bounds of time and number: no request goes elsewhere, or is judged otherwise, by one of these.
OPERATIONAL: Final = frozenset(
    {"connect_timeout", "response_timeout", "send_idle", "read_idle", "max_connections", "max_connection_age"}
)
#: What may be another thing for each issuer of the subject token.
_BY_ISSUER: Final = frozenset({"authorization_server", *(f"expect.{each.name}" for each in fields(Expect))})


class Strictness(StrEnum):
    """Whether fewer or more requests come through than before."""

    STRICTER = "stricter"
    LAXER = "laxer"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is different.

    what: as the configuration calls it. old, new: text, numbers, truth, None for nothing, sorted tuples of text.
    note: whether it is stricter or laxer where that can be told, or else what is to be known; may be empty.
    """

    what: str
    old: Any
    new: Any
    note: str = ""


def changes(old: Route | None, new: Route | None) -> list[Change]:
    """Return what is different; empty where nothing is. None: no route takes the request."""
    if old is None or new is None:
        if old is new:
            return []
        note = Strictness.LAXER if old is None else Strictness.STRICTER
        return [Change("route", old and old.name, new and new.name, note)]
    return list(_changes(old, new))


def _changes(old: Route, new: Route) -> Iterator[Change]:
    issuers = sorted({name for route in (old, new) for name, _ in route.by_issuer})
    before, after = _facts(old, issuers), _facts(new, issuers)
    for what, value in before.items():
        # With ``exchange: none`` on one side only, everything that is asked of a token comes or goes with it.
        if what in after and after[what] != value:
            yield Change(what, _shown(value), _shown(after[what]), _note(what, value, after[what]))
    if old.upstream.host_header != new.upstream.host_header and before["upstream"] == after["upstream"]:
        yield Change("upstream.url", _shown(old.upstream.host_header), _shown(new.upstream.host_header))


def _facts(route: Route, issuers: Sequence[str]) -> dict[str, Any]:
    """Everything that is compared, by what the configuration calls it.

    issuers: those for which the authorization server is told apart, with what it makes be expected.
    """
    upstream, exchange = route.upstream, route.exchange
    facts: dict[str, Any] = {"route": route.name, "upstream": upstream.resource_server}
    facts |= {
        f"upstream.{each.name}": getattr(upstream, each.name)
        for each in fields(upstream)
        if each.name not in {*_NAMED, *OPERATIONAL}
    }
    lifetime = facts.pop("upstream.websocket_max_lifetime")
    if upstream.websocket:
        facts["upstream.websocket_max_lifetime"] = lifetime or "token"
    facts |= {f"upstream.tls.{each.name}": getattr(upstream.tls or TLS(), each.name) for each in fields(TLS)}
    facts["mcp"] = route.mcp is not None
    if route.mcp is not None:
        facts |= {f"mcp.{each.name}": getattr(route.mcp, each.name) for each in fields(MCP)}
        facts |= {f"mcp.{kind}": _demands(facts[f"mcp.{kind}"]) for kind in ("tools", "methods")}
    facts |= {"preflight": route.preflight, "cors.origins": route.cors.origins if route.cors else frozenset()}
    facts |= {"match.allow": route.match.allow, "exchange": "some" if exchange is not None else "none"}
    asked = exchange or Exchange("")
    facts |= {
        "authorization_server": asked.authorization_server or None,
        "audience": frozenset(asked.audience),
        "resource": frozenset(asked.resource),
        "scope": frozenset(asked.scope),
        "requested_token_type": asked.requested_token_type,
        "subject_token": asked.subject_token,
        "actor_token": asked.actor_token,
        "authorization_details": frozenset(asked.authorization_details),
    }
    told = route.resource_metadata
    facts["resource_metadata"] = told.resource if told is not None else None
    facts["resource_metadata.scopes_supported"] = frozenset(told.scopes if told is not None else ())
    approval = route.approval
    facts["approval"] = approval.by if approval is not None else None
    if approval is not None:
        facts |= {f"approval.{each.name}": getattr(approval, each.name) for each in fields(ApprovalPolicy)[1:]}
    if exchange is not None:
        asks = {each.name: getattr(route.subject, each.name) for each in fields(SubjectPolicy)}
        facts |= {"subject.header": asks.pop("header"), **asks}
        facts |= _expectations(exchange)
        for name in sorted(route.subject.issuers.intersection(issuers)):
            if (own := route.exchange_of(name)) is not None:
                facts[f"authorization_server of {name}"] = own.authorization_server
                facts |= {f"{what} of {name}": value for what, value in _expectations(own).items()}
        if issuers:
            facts = {what: value for what, value in facts.items() if what not in _BY_ISSUER}
        facts["require_scope"] = frozenset(route.subject.require_scope)
        facts["acr_values"] = frozenset(route.subject.acr_values)
        # As JSON, since a claim that should be true is not met by 1.
        facts["require_claims"] = {
            path: frozenset(json.dumps(value, ensure_ascii=False) for value in values)
            for path, values in route.subject.require_claims
        }
    return facts


def _expectations(exchange: Exchange) -> dict[str, Any]:
    return {f"expect.{each.name}": getattr(exchange.expect, each.name) for each in fields(Expect)}


def _demands(rules: Sequence[Rule]) -> dict[str, frozenset[str]]:
    """What is asked for each tool or method, as one text each."""
    return {
        rule.pattern: frozenset(
            [*(f"scope {scope}" for scope in rule.scope), *(f"acr {value}" for value in rule.acr_values)]
            + ([f"max_age {rule.max_age}"] if rule.max_age is not None else [])
            + _needed(rule)
        )
        for rule in rules
    }


def _needed(rule: Rule) -> list[str]:
    """Whose yes a rule needs, as texts."""
    if rule.approval is None:
        return []
    told = [f"approval.argument {name}" for name in rule.arguments]
    return [f"approval {rule.approval.by}", f"approval.max_age {rule.approval.max_age:g}", *told]


def _allows_less(new: bool, old: bool) -> bool:
    return old or not new


def _holds_more(new: frozenset[Any], old: frozenset[Any]) -> bool:
    return new >= old


def _holds_less(new: frozenset[Any], old: frozenset[Any]) -> bool:
    return new <= old


def _one_of(new: frozenset[str], old: frozenset[str]) -> bool:
    return not old or (bool(new) and new <= old)


def _actors(new: frozenset[ActorPattern], old: frozenset[ActorPattern]) -> bool:
    if not old:
        return True
    return bool(new) and all(any(each.covers(pattern) for each in old) for pattern in new)


def _claims(new: Mapping[str, frozenset[str]], old: Mapping[str, frozenset[str]]) -> bool:
    return all(path in new and new[path] <= values for path, values in old.items())


def _expected(new: Expected, old: Expected) -> bool:
    if old.allowed is None:
        return True
    return new.allowed is not None and new.allowed <= old.allowed and new.required >= old.required


def _at_most(new: int | None, old: int | None) -> bool:
    return old is None or (new is not None and new <= old)


#: By name, whether the new value lets nothing through that the old one did not. What has no order is not here.
AT_LEAST_AS_STRICT: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "upstream.max_body_bytes": _at_most,
    "upstream.websocket": _allows_less,
    "mcp": lambda new, old: new or not old,
    "mcp.default": _allows_less,
    "mcp.get": _allows_less,
    "mcp.delete": _allows_less,
    "mcp.responses": _allows_less,
    "mcp.notifications": _allows_less,
    "mcp.allowed_origins": _holds_less,
    "match.allow": _holds_less,
    "preflight": lambda new, old: new is Preflight.REFUSE or new is old,
    "cors.origins": lambda new, old: new <= old or ANY_ORIGIN in old,
    "exchange": lambda new, old: new == "some" or old == "none",
    "approval": lambda new, old: old is None or new == old,
    "approval.max_age": lambda new, old: new <= old,
    "approval.bind_path": lambda new, old: new or not old,
    "issuers": _holds_less,
    "require_scope": _holds_more,
    "require_claims": _claims,
    "clients": _one_of,
    "acr_values": _one_of,
    "max_age": _at_most,
    "require_actor": lambda new, old: new or not old,
    "allowed_actors": _actors,
    "max_actor_depth": _at_most,
    "expect.audience": _expected,
    "expect.scope": _expected,
    "expect.same_subject": lambda new, old: new or not old,
    "expect.semantics": lambda new, old: old is None or new == old,
}


def _note(what: str, old: Any, new: Any) -> str:
    at_least_as_strict = AT_LEAST_AS_STRICT.get(what.split(" of ", maxsplit=1)[0])
    if at_least_as_strict is None:
        return ""
    stricter, laxer = at_least_as_strict(new, old), at_least_as_strict(old, new)
    return "" if stricter == laxer else Strictness.STRICTER if stricter else Strictness.LAXER


def _shown(value: Any) -> Any:
    match value:
        case bytes():
            return value.decode("latin-1")
        case StrEnum():
            return value.value
        case frozenset():
            return tuple(sorted(str(_shown(each)) for each in value))
        case Expected():
            return _shown_expected(value)
        case dict():
            return tuple(f"{path}={'|'.join(sorted(values))}" for path, values in sorted(value.items()))
        case _:
            return value


def _shown_expected(expected: Expected) -> tuple[str, ...] | str:
    if expected.allowed is None:
        return "any"
    return (*sorted(expected.required), *(f"[{extra}]" for extra in sorted(expected.allowed - expected.required)))
