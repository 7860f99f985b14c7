"""What the page about errors says of each kind of refusal that the code can't: what it means, and who repairs it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sidecar.model.refusal import Kind

CALLER: Final = "the caller"
OPERATOR: Final = "who runs the gateway"
SERVER: Final = "who runs the authorization server"
UPSTREAM: Final = "who runs the upstream"


@dataclass(frozen=True, slots=True)
class About:
    """meaning, repair: sentences. who: can do something about it, the likeliest first. keys: of the configuration, by
    section and key. commands: names of those that tell more.
    """

    meaning: str
    who: tuple[str, ...]
    repair: str
    keys: tuple[tuple[str, str], ...] = ()
    commands: tuple[str, ...] = ()


_SUBJECT: Final = "routes[].subject"
_EXCHANGE: Final = "routes[].exchange"
_UPSTREAM: Final = "routes[].upstream"
_SERVER: Final = "authorization_servers.NAME"
_ISSUER: Final = "trusted_issuers.NAME"

ABOUT: Final[Mapping[str, About]] = {
    Kind.INVALID_REQUEST: About(
        "The request can be read in more than one way, or it carries its token in more than one place.",
        (CALLER,),
        "Send one well-formed request with one token in one field. For applications that need encoded slashes, empty "
        "segments or parameters in paths, the route can allow them.",
        (("routes[].match", "allow"), (_SUBJECT, "header"), (_UPSTREAM, "drop_cookies")),
        ("explain",),
    ),
    Kind.MISSING_TOKEN: About(
        "There is no bearer token, or not where the route takes it from.",
        (CALLER, OPERATOR),
        "Send `Authorization: Bearer …`. Where something in front of the gateway puts the token elsewhere, name that "
        "field and trust its address. A route for everybody says `exchange: none`.",
        ((_SUBJECT, "header"), ("gateway", "trusted_proxies"), ("routes[]", "exchange")),
        ("explain",),
    ),
    Kind.INVALID_TOKEN: About(
        "The token is not one that this route takes: expired, of another issuer, for another audience, of another "
        "type, with a bad signature; or the authorization server would not have it.",
        (CALLER, OPERATOR),
        "Get a newer token. If new ones are refused too, `finding` says which check failed; ask the gateway about a "
        "token with `explain --token-file`.",
        ((_ISSUER, "audience"), (_ISSUER, "issuer"), (_ISSUER, "token_profile"), (_SUBJECT, "issuers")),
        ("explain", "exchange"),
    ),
    Kind.STEP_UP_REQUIRED: About(
        "The token is good, but the login behind it is not strong or not fresh enough (RFC 9470).",
        (CALLER,),
        "Log the user in again as the challenge's `acr_values` and `max_age` say, and come back with the new token.",
        ((_SUBJECT, "acr_values"), (_SUBJECT, "max_age")),
        ("explain",),
    ),
    Kind.INSUFFICIENT_SCOPE: About(
        "The token does not have a scope that the route asks for, or the authorization server grants the exchange's "
        "scope to nobody with this token.",
        (CALLER, OPERATOR),
        "Get a token with the scopes that the challenge names. Where the authorization server said it, its client may "
        "lack the scope.",
        ((_SUBJECT, "require_scope"), (_EXCHANGE, "scope")),
        ("exchange",),
    ),
    Kind.POLICY_DENIED: About(
        "The token is good, and this route is not for its client, its claims or who acts with it; or a page of another "
        "origin may not call it.",
        (OPERATOR, CALLER),
        "`finding` names the key that says no. Whether it should is for whoever owns the route.",
        (
            (_SUBJECT, "clients"),
            (_SUBJECT, "require_claims"),
            (_SUBJECT, "allowed_actors"),
            (_SUBJECT, "max_actor_depth"),
            ("routes[]", "preflight"),
        ),
        ("explain",),
    ),
    Kind.EXCHANGE_DENIED: About(
        "The authorization server's policy says no to this exchange (`access_denied`).",
        (SERVER,),
        "Look there for what the gateway's client may exchange, for whom and for which audience.",
        ((_EXCHANGE, "audience"), (_SERVER, "client_auth")),
        ("exchange",),
    ),
    Kind.APPROVAL_DENIED: About(
        "Whoever is asked for approval of such requests said no, or a yes that had expired.",
        (CALLER, OPERATOR),
        "The receipt has the approver's reason. `explain` tells what it would be asked.",
        (("routes[].approval", "by"),),
        ("receipts", "explain"),
    ),
    Kind.NO_ROUTE: About(
        "No route takes this listener, host, path and method. Nothing leaves without one.",
        (CALLER, OPERATOR),
        "`explain` says which routes came near, and what they lack.",
        (("routes[]", "match"), ("routes[]", "listener")),
        ("explain",),
    ),
    Kind.TOO_LARGE: About(
        "The body (413), the target (414) or the head (431) is larger than allowed.",
        (CALLER, OPERATOR),
        "Send less, or raise the limit.",
        ((_UPSTREAM, "max_body_bytes"), ("gateway", "max_header_bytes")),
    ),
    Kind.REQUEST_TIMEOUT: About(
        "The head or the body did not arrive in time.",
        (CALLER,),
        "A slow network, or a client that announced more than it sends.",
        (("gateway", "header_timeout"), (_UPSTREAM, "send_idle")),
    ),
    Kind.EXPECTATION_FAILED: About(
        "The request has an `Expect` other than `100-continue`.", (CALLER,), "Leave the field out."
    ),
    Kind.UPGRADE_REQUIRED: About(
        "A WebSocket handshake asks for a version other than 13 (RFC 6455).",
        (CALLER,),
        "Use a client that speaks version 13.",
        ((_UPSTREAM, "websocket"),),
    ),
    Kind.VERSION_NOT_SUPPORTED: About(
        "The request is neither HTTP/1.1 nor HTTP/1.0.", (CALLER,), "Speak HTTP/1.1 to the gateway."
    ),
    Kind.NOT_SUPPORTED: About(
        "`CONNECT`, `TRACE`, or a transfer coding other than chunked. The gateway is no forward proxy.",
        (CALLER,),
        "Call the gateway's own address, with the path of a route.",
    ),
    Kind.EXCHANGE_MISCONFIGURED: About(
        "The authorization server refuses what the gateway is or asks for: its credentials, its client's rights, the "
        "grant, the audience.",
        (OPERATOR, SERVER),
        "`sidecar exchange` says which of these, and names the key. `check --online` tries the credentials.",
        ((_SERVER, "client_auth"), (_EXCHANGE, "audience"), (_SERVER, "dialect")),
        ("exchange", "check"),
    ),
    Kind.EXCHANGE_UNUSABLE: About(
        "The authorization server answered, and the answer must not be used: not what was asked for, more than was "
        "asked for, of another subject, without the actor, already expired, or not a token reply at all.",
        (OPERATOR, SERVER),
        "`finding` says what is wrong with it, and which key would allow it where one would.",
        ((f"{_EXCHANGE}.expect", "audience"), (_EXCHANGE, "semantics"), (_SERVER, "dialect_overrides")),
        ("exchange",),
    ),
    Kind.ISSUED_TOKEN_REFUSED: About(
        "The upstream answered `invalid_token`, also to a token that was exchanged anew. The caller's own token is "
        "good; refreshing it would not help, which is why this is no 401.",
        (UPSTREAM, OPERATOR),
        "Compare the issued token's claims, as `exchange` prints them, with what the upstream checks: audience, "
        "issuer, its keys, its clock.",
        ((_EXCHANGE, "audience"), (_UPSTREAM, "token_header")),
        ("exchange",),
    ),
    Kind.LEAK_GUARD: About(
        "The caller's token was found in what was about to leave, and the request was stopped.",
        (OPERATOR,),
        "This should never happen: please report it, with the receipt and without the token (SECURITY.md).",
        (),
        ("receipts",),
    ),
    Kind.UPSTREAM_UNAVAILABLE: About(
        "There is no connection to the upstream, or it broke before an answer, or the answer is not HTTP.",
        (UPSTREAM, OPERATOR),
        "`finding` says what failed: name, connection, TLS, or the form of the answer.",
        ((_UPSTREAM, "url"), (f"{_UPSTREAM}.tls", "ca_file"), (_UPSTREAM, "connect_timeout")),
    ),
    Kind.EXCHANGE_UNAVAILABLE: About(
        "The authorization server can't be reached, fails, asked to be left alone (429), or has failed so often that "
        "it is left alone; or `receipts.on_failure: refuse` has an exchange that can't be put on record.",
        (SERVER, OPERATOR),
        "Callers whose token is cached are still served. [BreakerOpen](runbooks/BreakerOpen.md) and "
        "[AuthorizationServerUnavailable](runbooks/AuthorizationServerUnavailable.md) say what to do.",
        ((_SERVER, "timeout"), ("receipts", "on_failure")),
        ("check",),
    ),
    Kind.ISSUER_UNAVAILABLE: About(
        "The keys of the token's issuer could never be read or are too old, or its introspection does not answer. "
        "Nothing is said of the token.",
        (SERVER, OPERATOR),
        "[TrustedIssuerUnavailable](runbooks/TrustedIssuerUnavailable.md) says what to do.",
        ((_ISSUER, "keys_stale"), (_ISSUER, "discovery_url"), (f"{_ISSUER}.introspection", "endpoint")),
        ("check",),
    ),
    Kind.APPROVAL_UNAVAILABLE: About(
        "Whoever is asked for approval of such requests does not answer, or not in a form that can be understood. "
        "Nothing goes on without a yes.",
        (OPERATOR,),
        "The receipt's `finding` says what failed, [ApprovalsFailing](runbooks/ApprovalsFailing.md) what to do.",
        (("approvers.NAME", "timeout"), ("approvers.NAME", "authzen"), ("approvers.NAME", "opa")),
        ("receipts",),
    ),
    Kind.OVERLOADED: About(
        "A limit is reached: requests, connections or streams of the gateway, connections to the upstream, or "
        "exchanges in line. Refused before any work.",
        (CALLER, OPERATOR),
        "Come back after `Retry-After`: it may have passed. If it lasts: more pods, a slow upstream, or a limit that "
        "is too low; see [Overloaded](runbooks/Overloaded.md).",
        (
            ("gateway", "max_in_flight"),
            ("gateway", "max_connections"),
            ("gateway", "max_streams"),
            (_UPSTREAM, "max_connections"),
            (_SERVER, "max_in_flight"),
        ),
    ),
    Kind.UPSTREAM_TIMEOUT: About(
        "The upstream took the request and did not answer in time, or took too long to be connected to.",
        (UPSTREAM, OPERATOR),
        "It may have been carried out there.",
        ((_UPSTREAM, "response_timeout"), (_UPSTREAM, "connect_timeout")),
    ),
    Kind.EXCHANGE_TIMEOUT: About(
        "The authorization server did not answer in time.",
        (SERVER, OPERATOR),
        "See [ExchangesSlow](runbooks/ExchangesSlow.md).",
        ((_SERVER, "timeout"),),
    ),
    Kind.LOOP: About(
        "The request came back to the gateway that sent it: `Via` has this process's own random name.",
        (OPERATOR,),
        "An upstream's address leads to the gateway itself.",
        ((_UPSTREAM, "url"),),
        ("explain",),
    ),
}
