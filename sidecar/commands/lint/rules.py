"""The rules of ``sidecar check`` by name, each with what it finds, why that matters, and what to do instead.

Adding one is a function, a line here, its name in ``sidecar.config.schema.accept``, and a test. ``docs/lints.md`` is
made from this table.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from sidecar.commands.lint import elsewhere, one_route, same_token, several_routes
from sidecar.commands.lint.configuration import Configuration
from sidecar.config.problems import Finding

Check = Callable[[Configuration], Iterator[Finding]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. finds, why, instead: sentences for people; instead says what to do about a finding.

    opt_in: it is a choice of the house, not a likely mistake: looked for only where it is asked for.
    """

    checks: tuple[Check, ...]
    finds: str
    why: str
    instead: str
    opt_in: bool = False


#: Accepts that accept nothing; about them there is nothing to accept.
UNUSED_ACCEPT: Final = "unused-accept"

RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "empty-glob": Rule(
            (elsewhere.empty_glob,),
            "An `include` whose `files` are none.",
            "A mistyped folder, or one that was not mounted, looks like a team without routes.",
            "Correct the path, or remove the include until there is a file.",
        ),
        "exchange-none": Rule(
            (one_route.exchange_none,),
            "A route with `exchange: none`, other than the exact path of a probe "
            f"({', '.join(f'`{path}`' for path in sorted(one_route.PROBES))}).",
            "Whoever reaches the gateway reaches the upstream there, without a token.",
            "Exchange for a token, or accept it with a word on who may come in.",
        ),
        "expect-any": Rule(
            (one_route.expect_any,),
            "`expect` with `audience: any` and `scope: any` together, or with `subject: any`.",
            "A token that is good for more than was asked for, or that is about somebody else, would be forwarded "
            "without anybody noticing.",
            "List what may be there besides in `extra_audience` and `extra_scope`.",
        ),
        "impersonation": Rule(
            (one_route.impersonation,),
            "`semantics: impersonation`.",
            "The issued token looks as if the subject had come without us (RFC 8693 §1.1): nobody behind us can tell "
            "who acted, nor hold it against them.",
            "Use `delegation`, with an `actor_token` where the authorization server wants one.",
        ),
        "long-lifetime": Rule(
            (elsewhere.long_lifetime,),
            "`cache.max_lifetime` of more than an hour, or a `default_lifetime` of more than five minutes.",
            "An issued token goes on being used from the cache after the subject's rights, or the session, are gone.",
            "Shorten it; `refresh_ahead` already keeps callers from waiting.",
        ),
        "mixed-strictness": Rule(
            (same_token.mixed_strictness,),
            "A route, or a tool of one, that asks less of the caller's token (`require_scope`, `require_claims`, "
            "`clients`, `acr_values`, `max_age`, `require_actor`, `allowed_actors`), or needs no `approval`, unlike "
            "another one, while it asks the same authorization server for the same audience and the same scopes, or "
            "for more.",
            "A caller who is refused on one path gets the very token by the other.",
            "Demand the same on both, or ask for fewer scopes where less is demanded.",
        ),
        "nested-policy": Rule(
            (several_routes.nested_policy,),
            "A route that asks less of the caller's token than a route around it, or needs no `approval` unlike it, by "
            "path or by host, for example "
            "`/admin/export` under `/admin`; or than a route whose path differs from its own in case alone.",
            "Whoever reads the outer route believes that it protects everything below. And an upstream that does not "
            "tell `/Admin` from `/admin` serves one under the other's policy.",
            "Demand at least as much on the inner route, or move it elsewhere.",
        ),
        "no-target": Rule(
            (one_route.no_target,),
            "An exchange without `audience`, `resource` and `scope`, and without a list for `expect.audience`.",
            "The authorization server chooses what the token is good for, and nothing here notices when it changes its "
            "mind. A token for everything is what the exchange is there to avoid.",
            "Name the `audience` or the `resource`; where the server wants neither, list what it issues in "
            "`expect.audience`.",
        ),
        "overlapping-routes": Rule(
            (several_routes.overlapping_routes,),
            "A route that has its hosts and path in common with another, which goes first only because it names "
            "methods or header fields.",
            "The caller chooses the route by what it sends. A method that nobody thought of, or a header field left "
            "out, ends up at the other one.",
            "Name the methods on both, so that they have no request in common.",
        ),
        "plain-http": Rule(
            (one_route.plain_http, elsewhere.plain_http),
            "`allow_plain_http: true` of an upstream, an authorization server, a trusted issuer or an approver.",
            "Whoever sits between can read the tokens, replace the keys that they are verified with, or say yes in an "
            "approver's place.",
            "Use https, or accept it with a word on what encrypts the way.",
        ),
        "unauthenticated-client": Rule(
            (elsewhere.unauthenticated_client,),
            "`client_auth` with `method: none`.",
            "Anybody who gets hold of a caller's token can exchange it as we do (RFC 8693 §5).",
            "Authenticate, best with `private_key_jwt`.",
        ),
        "unconfirmed-writes": Rule(
            (one_route.unconfirmed_writes,),
            f"A route that takes a method other than {', '.join(sorted(one_route.SAFE))}, and asks for neither "
            "`subject.max_age` nor `approval`.",
            "Whoever holds a token, however old the login behind it, can change things there: an agent that was led "
            "astray, or a thief.",
            "Set `max_age` or `approval`, or name the methods that only read.",
            opt_in=True,
        ),
        "unnamed-operations": Rule(
            (one_route.unnamed_operations,),
            "`mcp` with `default: allow`, or with the tool `*` that asks for no `acr_values`, `max_age` or `approval`.",
            "What the tool server learns tomorrow may be called at once, under the token that it was thought too "
            "harmless to guard.",
            "Name the methods and the tools, or their beginnings.",
        ),
        "unused": Rule(
            (elsewhere.unused,),
            "A listener, trusted issuer, authorization server, workload token or approver that no route uses.",
            "It is trusted, reached or kept secret for nothing, and a route that was meant to use it may be missing.",
            "Remove it.",
        ),
        "websocket-outlives-token": Rule(
            (one_route.websocket_outlives_token,),
            "A `websocket_max_lifetime` that is a duration, or a WebSocket on the decision listener, on a route that "
            "exchanges.",
            "A token is looked at once, in the handshake. A caller whose rights or session have ended since goes on "
            "sending and receiving.",
            "Leave it at `token`, or accept it where the upstream, or the proxy that asks, ends what is not allowed "
            "any more.",
        ),
        "wildcard-host-without-methods": Rule(
            (one_route.wildcard_host_without_methods,),
            "A route with a wildcard among its hosts and without `methods`.",
            "It takes requests that nobody thought of, on hosts that may not exist yet.",
            "Name the methods, or the hosts.",
        ),
    }
)

#: The rules that are looked for only where they are asked for.
OPT_IN: Final = tuple(name for name, rule in RULES.items() if rule.opt_in)


def chosen(also: Iterable[str] = ()) -> frozenset[str]:
    """Return the names of the rules that are looked for always, and of those that are asked for besides."""
    return frozenset(RULES.keys() - set(OPT_IN)).union(also)
