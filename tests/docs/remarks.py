"""What the reference pages say that the code can't: how values are written, and the traps of sections and commands."""

from typing import Final

VALUES: Final = """\
| value | how it is written |
| --- | --- |
| duration | a whole number and its unit: `250ms`, `5s`, `2m`, `1h` |
| size | bytes, or with a unit: `512`, `64KiB`, `1MiB` |
| count | a whole number, at least 1, without quotes |
| share | more than 0, at most 1 |
| text | no control characters, no spaces around it |
| name | 1 to 64 letters, digits, `.`, `_`, `-` |
| route name | the same, and `/`; never `none`, which metrics use for requests without a route |
| scope | one scope, without spaces; several are a list |
| method | in capitals: `GET` |
| header name | in any case; for a token, none that has a meaning of its own, such as `Cookie` |
| claim path | a claim's name, or names with dots between them: `realm_access.roles` |
| claim value | text, a number, `true` or `false` |
| token type | a short name (`access_token`, `jwt`, `id_token`, …) or a URI (RFC 8693 §3) |
| authorization detail | a mapping with a `type`; what else is in it, the authorization server knows |
| URI | absolute, without a fragment |
| URL | `http://…` or `https://…`; a route's `upstream.url` may be `unix:/path` too |
| URL pattern | a URL in which the port, the first label or the end of the path may be `*` |
| address | `host:port`, `[v6]:port` or `unix:/path` |
| host | a name without a port; in a route's `hosts` also `*.example.com` |
| origin | of a web page, as browsers write it: `https://app.example.com`, without a path |
| path | begins with `/`; for percent signs and dots see [match](#routesmatch) |
| network | an address or a CIDR range, such as `10.0.0.0/8` |
| file | a path; a relative one starts at the configuration file's directory |
| variable | the name of an environment variable, not its value |
"""

CONFIGURATION: Final = f"""\
# Configuration

One YAML file, version 1. This page is made from the code; `sidecar schema` prints the same for editors
([config.schema.json](config.schema.json)). [The tutorial](tutorial.md) writes a small file step by step.

`sidecar check -c FILE` names every mistake with file, line, column and key. Mistakes are: unknown keys (there is no key
that does nothing), keys given twice, values of another type, names that refer to nothing, secrets that can't be read,
routes that tie, and plain http to another machine.

- Secrets never stand in the file. Keys that end in `_file` or `_env` name where they are.
- `${{NAME}}` inside a value is the environment's value of that name; not set is an error, and there are no defaults.
  `$${{` is a literal `${{`.
- Lists are YAML lists, also of one entry: `[orders.read]`, not `orders.read`.
- `none` as a default means: not set. `empty` means an empty list or mapping, or that all keys inside have their
  defaults.
- In paths of keys, `NAME` is a name of your own, and `[]` stands for each entry of a list.

{VALUES}"""

SECTIONS: Final[dict[str, str]] = {
    "": """
Where only one trusted issuer or one authorization server is defined, a route need not name it.
""",
    "gateway": """
`listen` and `listeners` exclude each other. `max_in_flight` counts requests until their response head is there; a long
download does not count there, but in `max_streams`. Above either of them, and above `max_connections`, callers get 503
with `Retry-After: 1` before any work is done. The admin listener has room of its own and still answers. A connection in
may need one out, so a process whose limit of open files is below about twice `max_connections` raises that limit as far
as it may, and then takes as many as fit and logs a warning.

A head that does not come whole within `header_timeout` is answered with 408, a connection that sends nothing at all is
closed. A head has 128 fields at most.

`trusted_proxies` are peers whose word on the caller's address and scheme is believed. For all others `Forwarded` and
`X-Forwarded-*` are replaced. The networks also decide from whom a `subject.header` other than `Authorization` is taken.
""",
    "gateway.listeners.NAME": """
*Ingress* is in front of an application: `X-Forwarded-*` are set. *Egress* is on its way out: none is added, and those
that came are removed. Whoever reaches an egress listener can use it, so it has to be on loopback, on a unix socket, or
ask for certificates (`tls.client_ca_file`).
""",
    "gateway.drain": """
After SIGTERM, `/readyz` says no at once. For `delay`, new connections are still taken, until whoever balances the load
has noticed. Then requests that run have `grace` to end. Give the process at least the sum of both before it is killed.
""",
    "gateway.tracing": """
[Tracing](tracing.md) says which requests are traced, and what spans there are. The token of `bearer_file` is sent to
the origin of `otlp_endpoint` alone.
""",
    "admin": """
It answers `/livez`, `/readyz`, `/metrics`, `/status` and, with a [page for people](status-page.md), `/`; it changes
nothing. Ready means: configuration loaded, listeners bound, not draining. It does not depend on the authorization
server, whose outage would otherwise take every instance out at once.

What changes something is asked for on `control`, by [`sidecar flush`](operations.md#revoke). That socket has the mode
0600, and is for the gateway's own user and root.
""",
    "receipts": """
With `subject: hashed`, `subject_key_file` is required: without a key, a hash of a name is the name to whoever can
guess. `on_failure: refuse` answers 503 rather than forward what could not be accounted for; `continue` forwards, and
counts what was lost in `token_sidecar_receipts_dropped_total`.
""",
    "trusted_issuers.NAME": """
Give `issuer` or `authorization_server`, not both. `issuer` is compared byte for byte with the token's `iss`; a slash at
the end makes another issuer.

`audience` is required: a token that was not made for us is not ours to trade. Keys are found through the issuer's
metadata; only one of `discovery_url`, `jwks_uri` and `jwks_file` may stand instead. A key that is gone from the key set
is dead as soon as the set was read again; `keys_stale` is about an issuer that can't be reached, not about removed
keys.

`probe` looks at the keys now and then, so that the first user need not wait for them and
`token_sidecar_trusted_issuer_available` knows of an outage before anybody notices. An issuer whose keys were never
reached is 503, not a bad token. A token with an unknown `kid` causes one look in 30 seconds at most.

`token_profile` says which of an issuer's tokens callers present:

- `jwt`: access tokens as most servers issue them. What is visibly an ID, refresh or logout token is refused.
- `at+jwt`: RFC 9068, strictly.
- `id_token`: OpenID Connect Core §3.1.3.7. `audience` names the clients whose ID tokens are taken: every entry of `aud`
  must be among them, and so must `azp`, which is required where `aud` has several. No `nonce` is compared.
- `opaque`: any text that the issuer's introspection says is active. A SAML assertion (`subject_token_type: saml2`)
  comes as a bearer token in base64url, of at most 16 KiB. It is never read here; only introspection can vouch for it.

A JWT goes to the issuer that its `iss` names and is shown to no other. What has no `iss` to read goes to the route's
opaque issuer, of which there can be only one.

`leeway` forgives clocks that differ when a token is checked; what is issued for a token past its `exp` serves for one
second, so that not every request costs an exchange.
""",
    "trusted_issuers.NAME.introspection": """
The issuer is asked (RFC 7662) about each token, and believed for `max_age`, never past the token's `exp`. It has to say
`"active": true`, and its answer is judged as the claims of a JWT are: `sub`, `exp` and an audience of ours must be
there, `iss` must be the issuer's where it is, `cnf` must not be. Whatever is no proper answer is 503
`issuer-unavailable`, also where it does not accept our own credentials; a token that is not active is 401.

A JWT's signature is checked first. Then the answer can only take away: that the token was withdrawn, or ends earlier.
""",
    "authorization_servers.NAME": """
Give `issuer`, `discovery_url` or `token_endpoint`. With `issuer` alone, the metadata's own `issuer` has to be the same.

`verify_issued: introspection` has the server say what an opaque token is that it has just issued (RFC 7662), found in
its metadata and asked by the same `client_auth`; the answer is judged as a JWT's claims are, by `expect` too. Without
it an opaque token is taken, and shows no actor. JWTs are never asked about.

`timeout` covers the whole exchange, with discovery and one retry. Above `max_in_flight`, as many again wait; the next
ones get 503. `default_lifetime` is used only where the server says nothing: keep it short.

A server that fails five exchanges in a row, or half of the last twenty, over at least three different asks, is left
alone: callers without a cached token get 503 at once, and about once a second one exchange is let through to see.
`token_sidecar_breaker_state` tells. A server that answers 429, or 5xx with `Retry-After`, is asked nothing until then,
a minute at most. Cached tokens serve all the while.

`probe` looks at the metadata now and then; a server given by its `token_endpoint` alone has none to look at.

`dialect` says how the server departs from RFC 8693; [Authorization servers](authorization-servers.md) tells what each
one does, how that is known, and how to route to it. `dialect_overrides` changes a single
[switch](authorization-servers.md#the-switches) of it.

`grant: jwt-bearer` sends the token as `assertion` (RFC 7523) to a server that makes no token exchanges; no types of
tokens are named then, and no actor token can be sent. `entra-obo` is Microsoft's form of it.
""",
    "authorization_servers.NAME.client_auth (client_secret_basic, client_secret_post)": """
Give one of `client_secret_file` and `client_secret_env`. One newline at the file's end does not count. The file is read
again when it changes; the environment is not.
""",
    "authorization_servers.NAME.client_auth (client_secret_jwt)": """
Give one of `client_secret_file` and `client_secret_env`. The secret has at least as many bytes as the algorithm's hash
(RFC 7518 §3.2): 32 for `HS256`, 48 for `HS384`, 64 for `HS512`.
""",
    "authorization_servers.NAME.client_auth (tls_client_auth, self_signed_tls_client_auth)": """
The certificate goes with every connection to this server, so `tls` beside it has no `cert_file` of its own. Where the
metadata has `mtls_endpoint_aliases`, the token endpoint is the one among them.
""",
    "authorization_servers.NAME.client_auth (jwt_file, spiffe_jwt)": """
See [client authentication](client-authentication.md) for what the token has to say, and for all methods side by side.
""",
    "authorization_servers.NAME.client_auth (none)": """
A server that lets a public client exchange tokens lets everybody who knows its name do it.
""",
    "authorization_servers.NAME.tls": """
`cert_file` and `key_file` go together.
""",
    "workload_tokens.NAME": """
A token of ours comes from one of three places:

- `file` (with `type`): the platform rotates it in place.
- `client_credentials`: an authorization server gives it to us (RFC 6749 §4.4), by its own `client_auth`. It is held,
  and a newer one is asked for ahead of its end, by the rules of `cache`; after a refusal that may be about it, too.
- `header` and `issuer`: a hop in `gateway.trusted_proxies` puts it into each request. It is verified like a caller's
  token of that trusted issuer, and the field never goes upstream, on any route.

It is sent as `actor_token`, or exchanged instead of the caller's (`exchange.subject_token`). In the cache it counts by
its `iss` and `sub`, since it rotates; one that can't be read, and one from a header, by its text.
""",
    "cache": """
An issued token serves from the cache until shortly before it ends:

```text
life     = min(expires_in, its own exp − when it was asked for, max_lifetime)
margin   = min(early_expiry, a fifth of life)
used for = life − margin, and never beyond the subject token's exp
```

So a token of 60 s is used for 48 s, not for 30 s. Where `life` is 1 s or less, it serves the request that asked, and
those that waited with it. From `refresh_ahead` of that time on, a use fetches the next token in the background, but
only if a newer one could live longer: where the subject token ends first, nothing is asked for in vain.

A hit skips no check: what a route expects of an issued token is judged on every use.
""",
    "include[]": """
A team's file has `routes:` and nothing else, without `${…}` and without keys that name files. In metrics and commands
its routes are called `NAME/route`.

<!-- fragment -->
```yaml
include:
  - name: shop
    files: teams/shop/*.yaml
    on_error: isolate
    allow:
      hosts: [shop.example.com]
      path_prefixes: [/shop]
      authorization_servers: [corp]
      audiences: [shop-*]
      scopes: [shop.*]
      upstreams: ["http://127.0.0.1:*"]
```
""",
    "include[].allow": """
A key that is left out allows nothing, so an include without `allow` can have no route. A team checks its own files with
`sidecar check --as-team`.
""",
    "routes[]": """
`exchange` has no default: a route says what it exchanges for, or `none`. With `none`, no credential is needed, and one
that came is removed without being checked; `subject` would have no effect there and is an error.

The order of routes in the file means nothing. What decides is [which one is more specific](#routesmatch).
""",
    "routes[].match": """
Give `path` or `path_prefix`, not both.

**Hosts.** Left out: any host. `*.example.com` is one label or more in front, and not `example.com` itself. Ports are
ignored, case does not matter.

**Paths.** A prefix is of whole segments: `/orders` takes `/orders` and `/orders/42`, not `/orders-old`. `{name}` stands
for exactly one whole segment. What is forwarded are the path's own bytes. What is matched is the same with needless
percent-encoding undone, so `/orders/%61dmin` meets the rule of `/orders/admin`. Refused with 400, since programs read
them differently: `%2f`, `%5c`, `%00`, backslashes, `.` and `..` as segments (also encoded), `//`, `;`, control and
non-ASCII bytes, broken percent signs. `allow` lets three of them pass for applications that need them; they are
ordinary bytes then.

**Methods.** Left out: every one but CONNECT and TRACE, which are never forwarded. `GET` includes `HEAD`. A CORS
preflight is matched by the method that it asks for.

**Which route wins.** First the host: exact, then the longest wildcard, then none. Then the path: exact, then templates,
segment by segment from the left with literal text before `{name}`, then the longest prefix. Then methods given before
left out, then headers given before left out. Two routes that still tie are an error. So a route with a host goes before
one without, however long the other's path is; `sidecar explain` tells which one took a request, and why not the others.
""",
    "routes[].upstream": """
Where a request goes is this URL, never what the caller wrote. The upstream gets its own host name as `Host`;
`preserve_host: true` keeps the caller's.

Plain http is taken for loopback and unix sockets only. `allow_plain_http: true` says that the network encrypts, for
example a mesh: the issued token would be readable on the way otherwise.

`strip_prefix` goes with `match.path_prefix` and leaves at least `/`. `Location` and cookie paths in responses are not
rewritten.

`response_timeout` ends with the response's head. After it, a stream may last for as long as it is never silent for
longer than `read_idle`.

An upstream that answers 401 refuses the issued token, not the caller's. Where that token is older than two seconds, it
is given up, another is got and the same request is sent again, once; not where the challenge gives another reason than
`invalid_token`, or the body is larger than 64 KiB. When the upstream says `invalid_token` again, the caller gets a 502,
`issued-token-refused`, since refreshing its own token would change nothing. Every other 401 goes on, and so does every
403. `token_sidecar_issued_token_refusals_total` tells what came of it: `replayed` (the newer token was taken),
`refused` (it was not either), `limited` (a newer one was got less than ten seconds ago), `not-replayable` (given up,
but the request could not be sent again), `exchange-failed`.

With `websocket: true` a WebSocket is checked and exchanged for like any request, and lasts no longer than the issued
token unless `websocket_max_lifetime` says so; [WebSockets and streams](websockets.md) tells the rest.

In an upstream's `WWW-Authenticate`, demands for another login or for more scope (RFC 9470, `insufficient_scope`) go on.
What would lead callers to another authorization server does not: `resource_metadata`, and outside such demands
`authorization_uri` and `claims`.
""",
    "routes[].mcp": """
With it the body of each request is read and decides: [Tools for agents](mcp.md) tells how. A route that exchanges for
nothing can't have it, nor one that takes WebSockets.
""",
    "routes[].upstream.tls": """
It has no effect without an https URL, and is an error there.
""",
    "routes[].subject": """
`require_scope` demands all of its entries, `require_claims` each of its paths, `clients` one of its entries. A list
under a path of `require_claims` means: one of these. An array in the token matches if it contains one.

`acr_values` and `max_age` ask for a login that is strong and new enough: `acr` is one of the values, and `auth_time` no
longer ago, in whole seconds. A token that does not say counts as too old. The caller is answered 401
`insufficient_user_authentication` with both demands in the challenge (RFC 9470), before anything is exchanged and also
where an issued token is in the cache; its next login then has to meet them. The issuer's `leeway` excuses an
`auth_time` that seems to be still to come, and never adds to `max_age`. Where the authorization server demands another
login itself, the same challenge goes on, with its `acr_values` and `max_age` where it names them.

Who acts is the outermost `act` of the token (RFC 8693 §4.1). `require_actor` demands one; `allowed_actors` says who it
may be where there is one, so that only both together keep out a caller for whom nobody acts. An entry is a `sub` of the
token's own issuer, or `{iss, sub}`; a `*` at the end of `sub` stands for anything more. The actors before that one
count for `max_actor_depth` alone.

A `may_act` in the token binds without any key: the actor token's claims, or `sub` and `client_id` of our client at the
authorization server where no actor token is sent, have to hold every member of it, else 403. Without `iss` it names one
of the token's own issuer.

A `header` other than `Authorization` carries the token alone, without `Bearer`, and is taken from
`gateway.trusted_proxies` only: anybody else could write it. A token of which a copy stands anywhere else in the
request's head is refused with 400.
""",
    "routes[].cors": """
Before a page of another origin sends a bearer token, its browser asks with a *preflight*, an `OPTIONS` request without
any credential. It is matched by the method that it asks for.

- `preflight: refuse`: 403. No page of another origin can call the route.
- `forward`: it goes upstream without token and cookies, and the application answers it. With `cors.origins` beside it,
  pages of these origins can also read why the gateway refuses a request.
- `answer`: the gateway answers it, with 204 for the listed origins and 403 for all others, and says for every response
  of the route which origin may read it; what the upstream says of that is left out. `X-Request-ID`, `Retry-After` and
  `WWW-Authenticate` can be read, so that a page sees a demand for another login.

Origins are compared exactly. `*` stands for every page. Credentials mode is never allowed: pages present bearer tokens
by themselves, and cookies would not be sent. An application that needs it answers its own preflights.
""",
    "routes[].exchange": """
Without `audience`, `resource` and `scope`, the server alone decides what the issued token is good for. The file is
taken, and `check` tells it ([no-target](lints.md#no-target)).

`authorization_server: {by_issuer: {corp: corp, partner: partner}}` exchanges each trusted issuer's tokens at a server
of its own, with that server's dialect. Every issuer of the route has to be there. Nothing else in a request ever
chooses the server.

`subject_token` names a workload token that is exchanged instead of the caller's: a call without a user. On an egress
listener no credential is then asked for, and one that came is removed. On an ingress listener the callers have to be
named in `subject.issuers`, and are verified and judged as on any other route; their tokens are not exchanged. Receipts
tell it as `subject_source: workload`. What the server has against such a token is 502 `exchange-misconfigured`, never a
reason for the caller to come with another.

`semantics: delegation` demands an `act` claim in the issued token, `impersonation` demands that there is none. A token
that nobody here can read can't show an actor, so it is refused where delegation is demanded.

`requested_token_type` is sent only when it is given, here or by the dialect. An access token or a JWT is expected
without it.

`authorization_details` (RFC 9396) go to the server as they stand here. What it grants of them has to be in its reply or
in the token, and may be no wider: lists may be shorter, everything else has to be the same. Receipts tell both.
""",
    "routes[].exchange.expect": """
What the server issued is compared with what was asked for. Without this, a generous server would widen what a route is
good for, and nobody would notice.

- `audience: asked` (the default): every asked audience is there, and nothing but them and `extra_audience`.
- `scope: asked` (the default): nothing but what was asked and `extra_scope`. Fewer scopes are allowed.
- A list instead of `asked`: these have to be there, and nothing but them and the extra ones.
- `any`: not compared. Nothing asked: not compared either.
- `subject: same` (the default): equal `sub`, where both tokens are JWTs of one issuer.

A [dialect](authorization-servers.md) may have other defaults: `keycloak` allows `openid`, `profile` and `email` as
extra scopes, `spring` expects our own client id as audience, `entra-obo` compares `oid`. A token that fails is not
forwarded:
callers get 502, and the receipt names what was too much and the key that would allow it.
""",
}

COMMANDS: Final = """\
# Commands

This page is made from the code. `python -m sidecar` is the same as `sidecar`; `sidecar --version` tells the version,
and `sidecar COMMAND --help` the options.

Logs and mistakes go to stderr, answers to stdout. No command prints a token or a secret. Wrong options end with 2,
Ctrl-C with 130 where a command does not say otherwise.
"""

#: What there is to say of an argument that has no help of its own.
ARGUMENTS: Final = {
    "log_level": "what is logged on stderr",
    "method": "the request's method",
    "route": "the route whose exchange is made",
}

OF_COMMANDS: Final[dict[str, str]] = {
    "run": """
SIGTERM and SIGINT drain: `/readyz` says no at once, requests that run are answered
([`gateway.drain`](configuration.md#gatewaydrain)). A second one ends at once. SIGHUP, or a change of its files, has
the configuration read again ([operations](operations.md#reload)). Receipts go to stdout, unless
[`receipts.sink`](configuration.md#receipts) says otherwise.
""",
    "check": """
It asks nobody: a server that is down is no mistake of the file. What it may find in a file that could be served is told
in [lints](lints.md). Run it wherever the file is changed; with `--format github`, findings show in the review. What it
passes, a gateway that runs may still refuse as a [reload](operations.md#reload): a few settings take a restart.

With `--online` it asks: every trusted issuer for its keys, every authorization server for an exchange, all at once and
each within the time that the gateway would give it. Run it where the gateway will run, with its files. What it finds
would fail requests, and is told at the key that leads there; a clock that differs by more than the `leeway` (30 s where
there is none) may, and is a finding named `online`.

- The subject token of that exchange is a JWT of nobody, long expired, signed by a key that nobody has. A server that
  refuses it has looked at our client authentication before; which of its errors are about us, its dialect knows. No
  token is issued. Where one is, that is an error: such a server takes anything.
- An `invalid_request` counts as a refusal of that token, since RFC 8693 has no other code for it. Few servers say so
  too where they can't read the credentials; `sidecar exchange` tells these apart.
- An issuer with introspection is asked about a random token, which it must say is not active.

A team that has its own files but not the platform's checks them with `--as-team`, against what `--export-house`
printed. It learns of lints about its routes too; what its routes and others' mean together, only the platform's check
can tell.

`--also unconfirmed-writes` holds every route that may change something to a fresh login: a choice for a whole house,
made where it runs its checks.
""",
    "diff": """
It compares what the two files mean, not their text: which requests take another route, or get a token for another
audience or scope. Nobody is asked anything.
""",
    "schema": """
It is also in the repository as [config.schema.json](config.schema.json). What takes two keys to tell is beyond a
schema; `check` tells that.
""",
    "explain": """
It decides as the gateway does, but the exchange asks nobody. Without a token it ends where one is needed; with
`--token-file` the token's issuer is asked for its keys, and the token is verified.
""",
    "exchange": """
It makes one real exchange: where it succeeds, a token was issued, and is thrown away. What is told are claims, never
the token. Where it fails, the last line says whose fault that is and which key has to do with it.
""",
    "flush": """
[Revoke](operations.md#revoke) says what is dropped by which option, and what is not. Without `admin.control`, a gateway
can't be asked.
""",
    "receipts": """
[Receipts](receipts.md) has examples of all of it. Lines that are no receipts are named on standard error and passed
over.
""",
    "sts": """
For development, tests and demos only. [Its file](sts.md) has a page of its own.
""",
    "demo": """
It runs on [`routes.example.yaml`](../routes.example.yaml), and uses the ports of that file unless `--free-ports` is
given.
""",
}

#: Exit status 0, where it is not one answer among several.
ALWAYS: Final = {"schema": "always", "sts": "after SIGTERM or SIGINT, or where the file has no problems"}
