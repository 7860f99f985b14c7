"""Makes the page about authorization servers: the switches and each dialect from the code, with what only people know.

Of a server that the code knows and nothing is said about here, or the other way round, the page can't be made.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from sidecar.exchange.dialects import DIALECTS, Dialect
from sidecar.exchange.dialects.errors import DEFAULT_ERRORS, KINDS, Cause, DescribedError
from sidecar.model.tokens import TOKEN_TYPES

RUN: Final = "run"
DOCUMENTED: Final = "documented"

HEAD: Final = """\
# Authorization servers

RFC 8693 leaves much open, and servers differ in the rest. `dialect` names the server, and the gateway knows what to
ask, what the answer looks like, and what its errors mean. This page is made from the code.

"Run" means that tests exchange tokens with the real program, as it comes out of its box. "Documented" means that the
dialect rests on the server's documentation or source, and that tests exchange with a server that is scripted to do what
is written there; your own may differ, and then `sidecar exchange` says how and which switch to change.

A route that asks for what the server refuses or takes no notice of is an error when the file is read, not at the first
request.
"""

#: What each switch means, as people write and read it.
SWITCHES: Final[Mapping[str, str]] = {
    "audience": "`many`; `one`: exactly one has to be asked for; `none`: the server takes none, and a route with "
    "`audience` is an error",
    "resource": "`many`, or `none`: likewise",
    "scope": "`optional`, or `required`",
    "subject_token_types": "the types of subject tokens it trades, a list of short names or URIs; empty: any",
    "actor_token": "`true`, or `false`: it takes no notice of one, and a route with `actor_token` is an error",
    "requested_token_type": "what is sent where the route does not say; none: nothing",
    "form_encoding": "`true`: name and secret are percent-encoded in Basic credentials (RFC 6749 §2.3.1); `false`: the "
    "server never decodes them",
    "assertion_audience": "`issuer`, or `token_endpoint`: what a client assertion is addressed to",
    "issued_token_type": "`strict`: a reply has to name it; `lenient`: it may be missing. A wrong one is refused "
    "either way",
    "expect_audience": "what an issued token's `aud` is held against where `expect.audience` is left out: `asked`; "
    "`client_id`: ours; `listed`: `expect.audience` has to be given",
    "extra_audience": "what the server adds to `aud` of itself, a list; the default of `expect.extra_audience`",
    "extra_scope": "what it adds to the scope, a list; the default of `expect.extra_scope`",
    "qualified_scope": "`true`: a scope is asked for as `resource/name` and told as `name`; `resource/.default` asks "
    "for whatever was consented to, and is not compared",
    "subject_claim": "the claim that is the same for one person in all tokens, for `expect.subject: same`",
    "relay_claims": "`true`: the `claims` of an error that asks for another login go on in our challenge, whose code "
    "is then `insufficient_claims`, as Entra's clients expect",
    "errors": f"a mapping from error codes to what they are about: {', '.join(f'`{cause}`' for cause in Cause)}",
    "described_errors": "a list of `{error, description, cause}`, for codes that mean several things; the description "
    "is how the server's begins, and is never shown to callers",
}


@dataclass(frozen=True, slots=True)
class Server:
    """What people know of a server: its name, how its dialect is known, what has to be set up there, a file."""

    title: str
    known: str
    setup: tuple[str, ...]
    file: str


def _file(server: str, exchange: str, subject: str = "") -> str:
    """A whole configuration file with one route."""
    return f"""\
version: 1
trusted_issuers:
  corp: {{authorization_server: corp, audience: [orders-gateway]{subject}}}
authorization_servers:
  corp:
{server.strip(chr(10))}
routes:
  - name: orders
    match: {{path_prefix: /orders}}
    upstream: {{url: 'http://127.0.0.1:9000'}}
    exchange:
{exchange.strip(chr(10))}
"""


_BASIC: Final = (
    "    client_auth: {method: client_secret_basic, client_id: orders-gateway, client_secret_file: gateway.secret}"
)
#: Of those whose documentation tells no error codes; they are scripted to say what the RFC does.
_ONE_CODE: Final = (
    "Its error codes are not documented. RFC 8693 has one for a bad token and a bad request, so callers with a token "
    "that this server refuses get 502; where you see it say so, map the code with `dialect_overrides: {errors: …}`."
)
_PLAIN: Final = "      audience: [orders-api]\n      scope: [orders.read]"

SERVERS: Final[Mapping[str, Server]] = {
    "rfc8693": Server(
        "Any other, and the embedded one",
        RUN,
        (
            "This is the default. The embedded server (`sidecar sts`) is what tests run it against.",
            "Start with it for a server that is not on this page, and let `sidecar exchange` tell what differs.",
        ),
        _file(f"    issuer: https://login.example.com\n{_BASIC}", _PLAIN),
    ),
    "keycloak": Server(
        "Keycloak, standard token exchange (26.2 and later)",
        RUN,
        (
            "[Step by step](keycloak.md), with every command.",
            "The gateway's client: *Client authentication* and *Standard token exchange* on.",
            "Callers' tokens name that client in `aud`: give the client they log in with an *Audience* mapper for it.",
            "`audience` only filters what client scopes and roles give; ask for the scope whose mapper adds it.",
            "Its standard exchange names no actor, so `semantics: delegation` refuses every token.",
        ),
        _file(f"    issuer: https://login.example.com/realms/corp\n    dialect: keycloak\n{_BASIC}", _PLAIN),
    ),
    "spring": Server(
        "Spring Authorization Server (1.3 and later), Spring Security 7",
        DOCUMENTED,
        (
            "The registered client has the token exchange grant, and the scopes that are asked for.",
            "Only tokens that this server issued to a user can be exchanged.",
            (
                "As it comes, `aud` of every token is the client's own id, whatever was asked for: every upstream "
                "of this gateway could use it at the next. Apply `audience` in an `OAuth2TokenCustomizer`, then say "
                "`expect: {audience: asked}` in the route."
            ),
        ),
        _file(
            f"    issuer: https://login.example.com\n    dialect: spring\n{_BASIC}",
            f"{_PLAIN}\n      expect: {{audience: asked}}   # with a token customizer; leave it out without",
        ),
    ),
    "zitadel": Server(
        "ZITADEL",
        DOCUMENTED,
        (
            (
                "The application has the *Token Exchange* grant, and its id or its project's is in the subject token's "
                "audience."
            ),
            "An audience can be narrowed, not added: ask for `urn:zitadel:iam:org:project:id:ID:aud` at the login.",
            "Without `requested_token_type: jwt` the issued token is opaque, and nobody here can check what it is for.",
        ),
        _file(
            f"    issuer: https://login.example.com\n    dialect: zitadel\n{_BASIC}",
            "      audience: ['271234567890123456']   # the project's id\n      scope: [orders.read]\n"
            "      requested_token_type: jwt",
        ),
    ),
    "authlete": Server(
        "Authlete, java-oauth-server",
        DOCUMENTED,
        (
            "The service allows the grant, and the client has `tokenExchangePermitted`.",
            "`resource` names the target; `audience` is passed over. Tokens are opaque unless the service signs them.",
        ),
        _file(
            f"    issuer: https://login.example.com\n    dialect: authlete\n{_BASIC}",
            "      resource: ['https://orders.example.com/']\n      scope: [orders.read]\n"
            "      expect: {audience: ['https://orders.example.com/']}",
        ),
    ),
    "connect2id": Server(
        "Connect2id server",
        DOCUMENTED,
        ("A `TokenExchangeGrantHandler` plugin decides about types, targets and policy: its author knows.", _ONE_CODE),
        _file(f"    issuer: https://login.example.com\n    dialect: connect2id\n{_BASIC}", _PLAIN),
    ),
    "pingam": Server(
        "PingAM, Advanced Identity Cloud",
        DOCUMENTED,
        (
            "Provider and client both have the token exchange grant and its types.",
            (
                "The subject token's `may_act` names the gateway's client, also for impersonation: an *OAuth2 May Act* "
                "script adds it when the token is issued."
            ),
            "Only tokens that the same realm issued can be exchanged.",
            _ONE_CODE,
        ),
        _file(
            f"    issuer: https://am.example.com/am/oauth2/realms/root/realms/corp\n    dialect: pingam\n{_BASIC}",
            _PLAIN,
        ),
    ),
    "pingfederate": Server(
        "PingFederate",
        DOCUMENTED,
        (
            "A token exchange processor policy is selected for the client, and decides which types it takes.",
            "`audience` names another client, whose access token manager is used; `resource` names a manager itself.",
            (
                "Its documentation writes `urn:params:oauth:token-type:jwt`; say what your policy has as "
                "`subject_token_type`."
            ),
            _ONE_CODE,
        ),
        _file(f"    issuer: https://login.example.com\n    dialect: pingfederate\n{_BASIC}", _PLAIN),
    ),
    "curity": Server(
        "Curity Identity Server",
        DOCUMENTED,
        (
            "The client has the *OAuth 2.0 Token Exchange* capability, not the older proprietary one.",
            "A token procedure decides what is issued: let it write what was asked for into `aud` and `scope`.",
            _ONE_CODE,
        ),
        _file(f"    issuer: https://login.example.com/oauth/v2/oauth-anonymous\n    dialect: curity\n{_BASIC}", _PLAIN),
    ),
    "okta": Server(
        "Okta, custom authorization servers",
        DOCUMENTED,
        (
            "An *API Services* app with the token exchange grant, and a rule of the access policy that allows it.",
            "`audience` is the authorization server's own. The subject token's `aud` is the gateway's client id.",
            "Tokens of another of your authorization servers can be exchanged where that is a trusted server.",
        ),
        _file(
            "    issuer: https://corp.okta.com/oauth2/aus1example\n    dialect: okta\n" + _BASIC,
            "      audience: ['api://orders']\n      scope: [orders.read]",
        ),
    ),
    "auth0": Server(
        "Auth0, on-behalf-of token exchange",
        DOCUMENTED,
        (
            (
                "The gateway is a *Custom API client*, whose `resource_server_identifier` is the audience of callers' "
                "tokens."
            ),
            "The client becomes the actor: `semantics: delegation` works without `actor_token`, at most five deep.",
        ),
        _file(
            "    issuer: https://corp.eu.auth0.com/\n    dialect: auth0\n" + _BASIC,
            "      audience: ['https://orders.example.com/']\n      scope: [orders.read]\n      semantics: delegation",
        ),
    ),
    "wso2": Server(
        "WSO2 Identity Server, Asgardeo",
        DOCUMENTED,
        (
            (
                "The token's issuer is registered as a trusted token issuer, and the token's `aud` holds the server's "
                "own issuer or its alias."
            ),
            "The audience is registered at the application; exactly one can be asked for.",
            "Where the application's tokens name its client id in `aud` too, say so in `expect.extra_audience`.",
        ),
        _file(
            f"    issuer: https://login.example.com/oauth2/token\n    dialect: wso2\n{_BASIC}",
            f"{_PLAIN}\n      expect: {{extra_audience: [orders-gateway]}}",
            ", subject_token_type: jwt",
        ),
    ),
    "entra-obo": Server(
        "Microsoft Entra ID, on-behalf-of flow",
        DOCUMENTED,
        (
            "[Step by step](entra.md).",
            "The subject token's `aud` is the gateway's application; application-only tokens can't be exchanged.",
            (
                "The scope names the target. With `.default` the token holds whatever was consented to, so list what "
                "it may be for in `expect.audience`; with a single scope, tokens hold all consented ones of that API: "
                "list the others in `expect.extra_scope`."
            ),
            "`sub` is another one for every client, so `expect.subject: same` compares `oid`.",
            "Where conditional access asks for more, its `claims` reach the caller in a 401, which logs in anew.",
        ),
        _file(
            "    issuer: https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0\n"
            "    dialect: entra-obo\n"
            "    client_auth: {method: client_secret_post, client_id: 66666666-7777-8888-9999-000000000000, "
            "client_secret_file: gateway.secret}",
            "      scope: ['api://orders/Orders.Read']\n      expect: {audience: ['api://orders']}",
        ),
    ),
}


class Unknown(Exception):
    """The code has a dialect or a switch that nothing is said about here, or the other way round."""


def page() -> str:
    """Return the page."""
    _all_known(SERVERS, DIALECTS)
    _all_known(SWITCHES, [each.name for each in fields(Dialect) if each.name != "grant"])
    parts = [HEAD, "| dialect | server | known |\n| --- | --- | --- |"]
    for name, server in SERVERS.items():
        parts[-1] += f"\n| [`{name}`](#{_anchor(server.title)}) | {server.title} | {server.known} |"
    for name, server in SERVERS.items():
        parts.append(f"\n## {server.title}\n")
        parts.append("\n".join(f"- {line}" for line in server.setup) + "\n")
        parts.append("\n".join(_differences(DIALECTS[name])) + "\n")
        parts.append(f"```yaml\n{server.file}```")
    parts.append("\n## The switches\n")
    parts.append(
        "`dialect_overrides` changes any single one; a table of `errors` is added to, all others are replaced.\n"
    )
    parts.append("| switch | default | |\n| --- | --- | --- |")
    parts[-1] += "".join(
        f"\n| `{name}` | {_value(getattr(Dialect(), name))} | {about} |" for name, about in SWITCHES.items()
    )
    parts.append("\n## What errors mean\n")
    parts.append("Where the dialect does not say otherwise. A code that is not here makes the reply unusable (502).\n")
    parts.append("| code | about | callers get |\n| --- | --- | --- |")
    parts[-1] += "".join(f"\n| `{code}` | `{cause}` | `{KINDS[cause]}` |" for code, cause in DEFAULT_ERRORS.items())
    return "\n".join(parts) + "\n"


def _all_known(said: Mapping[str, object], known: Any) -> None:
    if (different := set(said) ^ set(known)) or list(said) != list(known):
        raise Unknown(f"{', '.join(sorted(different)) or 'the order'}")


def _differences(dialect: Dialect) -> Iterator[str]:
    """The switches that are not the RFC's, as a table."""
    plain = Dialect()
    changed = [each.name for each in fields(Dialect) if getattr(dialect, each.name) != getattr(plain, each.name)]
    if not changed:
        yield "Everything is as RFC 8693 has it."
        return
    yield "| departs in | |"
    yield "| --- | --- |"
    yield from (f"| `{name}` | {_value(getattr(dialect, name))} |" for name in changed)


def _value(value: Any) -> str:
    """A switch's value as a cell."""
    if value is None:
        return "none"
    if value in ((), {}):
        return "empty"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, Mapping):
        return ", ".join(f"`{code}`: `{cause}`" for code, cause in value.items())
    if isinstance(value, tuple):
        return ", ".join(
            _described(entry) if isinstance(entry, DescribedError) else f"`{_short(entry)}`" for entry in value
        )
    return f"`{_short(value)}`"


def _described(error: DescribedError) -> str:
    return f"`{error.error}` “{error.description}…”: `{error.cause}`"


def _short(text: str) -> str:
    return next((name for name, uri in TOKEN_TYPES.items() if uri == text), text)


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
