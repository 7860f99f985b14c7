"""Every key of a route, from YAML to the value that requests are decided by."""

from dataclasses import fields

import pytest

from sidecar.model.actors import ActorPattern
from sidecar.model.approval import ApprovalPolicy
from sidecar.model.route import (
    TLS,
    Cors,
    Exchange,
    Expect,
    Expected,
    Match,
    PathRelaxation,
    Preflight,
    Route,
    SubjectPolicy,
    Upstream,
)
from sidecar.model.tokens import TOKEN_TYPES, Semantics
from sidecar.snapshot.routes import peer_tls
from tests.snapshot.conftest import PEERS, ROUTE, Folder, one
from tests.support.certificates import Authority

FULL = """
version: 1
gateway:
  trusted_proxies: [10.0.0.0/8]
  max_body_bytes: 1MiB
  listeners:
    in: {listen: '127.0.0.1:0'}
    out: {listen: '127.0.0.1:0', direction: egress}
trusted_issuers:
  corp: {issuer: 'https://login.example', audience: [gateway]}
  partner: {issuer: 'https://partner.example', audience: [gateway]}
authorization_servers:
  corp: {issuer: 'https://login.example', client_auth: {method: none}}
  partner:
    issuer: 'https://partner.example'
    dialect_overrides: {subject_claim: oid}
    client_auth: {method: none}
workload_tokens:
  self: {file: token, type: jwt}
approvers:
  desk: {opa: {url: 'http://127.0.0.1:8181/v1/data/approve'}}
routes:
  - name: team/orders
    listener: out
    preflight: answer
    cors: {origins: ['https://app.example', 'null'], max_age: 1m}
    match:
      hosts: [API.example.com, '*.orders.example']
      path_prefix: /orders/v1
      methods: [GET, POST]
      headers: {X-Tenant: 'A b'}
      allow: [encoded-slash, empty-segment, path-parameters]
    upstream:
      url: https://Orders.example:8443/base/
      strip_prefix: true
      preserve_host: true
      connect_timeout: 1500ms
      response_timeout: 7s
      send_idle: 8s
      read_idle: 9m
      max_connections: 12
      max_connection_age: 30s
      max_body_bytes: 2KiB
      tls: {ca_file: CA, cert_file: CERT, key_file: KEY, server_name: inner.example}
      token_header: X-Token
      drop_cookies: true
      websocket: true
      websocket_max_lifetime: 8h
    subject:
      issuers: [corp, partner]
      header: X-Forwarded-Access-Token
      require_scope: [a, b]
      require_claims: {realm.roles: [admin, ops], level: 3, ok: true}
      clients: [app, cli]
      max_actor_depth: 1
      acr_values: [hw, mfa]
      max_age: 5m
      require_actor: true
      allowed_actors: [{iss: 'https://a', sub: agent-7}, 'spiffe://example.com/agents/*']
    approval: {by: desk, max_age: 90s, bind: [], reason_header: X-Task}
    exchange:
      authorization_server: partner
      audience: [orders-api, stock-api]
      resource: ['https://orders.example/v1']
      scope: [orders.read, orders.write]
      requested_token_type: jwt
      subject_token: self
      actor_token: self
      authorization_details: [{type: order, locations: ['https://orders.example']}]
      semantics: impersonation
      expect: {audience: any, scope: [orders.read], extra_scope: [openid], subject: any}
"""


def full(folder: Folder) -> tuple[TLS, Route]:
    """The route with every key, and its TLS, whose files are made here."""
    authority = Authority(folder.path)
    ours = authority.issue("gateway")
    folder.file("token", "a-token")
    text = FULL.replace("CA,", f"{authority.ca_file},").replace("CERT", ours.cert_file).replace("KEY", ours.key_file)
    [route] = folder.build(text).routes.values()
    return TLS(authority.ca_file, ours.cert_file, ours.key_file, "inner.example"), route


def test_every_key_of_a_route(folder: Folder) -> None:
    tls, route = full(folder)
    assert route == Route(
        name="team/orders",
        listener="out",
        match=Match(
            hosts=("api.example.com", "*.orders.example"),
            path=None,
            path_prefix="/orders/v1",
            methods=frozenset({"GET", "POST"}),
            headers=((b"x-tenant", b"A b"),),
            allow=frozenset(PathRelaxation),
        ),
        upstream=Upstream(
            host="orders.example",
            port=8443,
            unix_path=None,
            base_path=b"/base",
            host_header=b"Orders.example:8443",
            tls=tls,
            strip_prefix=b"/orders/v1",
            preserve_host=True,
            connect_timeout=1.5,
            response_timeout=7,
            send_idle=8,
            read_idle=540,
            max_connections=12,
            max_connection_age=30,
            max_body_bytes=2048,
            token_header=b"X-Token",
            drop_cookies=True,
            websocket=True,
            websocket_max_lifetime=28800,
        ),
        subject=SubjectPolicy(
            issuers=frozenset({"corp", "partner"}),
            header="x-forwarded-access-token",
            require_scope=("a", "b"),
            require_claims=(("realm.roles", ("admin", "ops")), ("level", (3,)), ("ok", (True,))),
            clients=frozenset({"app", "cli"}),
            max_actor_depth=1,
            acr_values=("hw", "mfa"),
            max_age=300,
            require_actor=True,
            allowed_actors=frozenset(
                {ActorPattern("https://a", "agent-7"), ActorPattern(None, "spiffe://example.com/agents/*")}
            ),
        ),
        exchange=Exchange(
            authorization_server="partner",
            audience=("orders-api", "stock-api"),
            resource=("https://orders.example/v1",),
            scope=("orders.read", "orders.write"),
            requested_token_type=TOKEN_TYPES["jwt"],
            subject_token="self",
            actor_token="self",
            authorization_details=('{"locations":["https://orders.example"],"type":"order"}',),
            expect=Expect(
                audience=Expected(),
                scope=Expected(frozenset({"orders.read"}), frozenset({"orders.read", "openid"})),
                same_subject=False,
                subject_claim="oid",
                semantics=Semantics.IMPERSONATION,
            ),
        ),
        preflight=Preflight.ANSWER,
        cors=Cors(frozenset({b"https://app.example", b"null"}), 60),
        approval=ApprovalPolicy("desk", 90.0, False, "x-task"),
    )
    assert route.place.endswith("routes.yaml:23")


def test_the_full_route_leaves_nothing_at_its_default(folder: Folder) -> None:
    """Else a key could be forgotten above and nobody would notice."""
    _, everything = full(folder)
    [plain] = folder.build().routes.values()
    assert everything.exchange is not None
    assert plain.exchange is not None
    assert everything.approval is not None
    # The first of these needs the token in Authorization; the last two are in test_operations.
    either_or = {"unix_path", "path", "by_issuer", "resource_metadata", "mcp", "rule"}
    for mine, other in (
        (everything, plain),
        (everything.match, plain.match),
        (everything.upstream, plain.upstream),
        (everything.subject, plain.subject),
        (everything.exchange, plain.exchange),
        (everything.approval, ApprovalPolicy("")),
        (everything.exchange.expect, plain.exchange.expect),
    ):
        for field in fields(mine):
            if field.name not in either_or:
                assert getattr(mine, field.name) != getattr(other, field.name), field.name


def test_what_is_left_out(folder: Folder) -> None:
    [route] = folder.build().routes.values()
    assert (route.listener, route.match) == ("default", Match(path_prefix="/orders"))
    assert route.upstream == Upstream("127.0.0.1", 9000, None, b"", b"127.0.0.1:9000", None, b"")
    assert route.subject == SubjectPolicy(frozenset({"corp"}))
    assert route.exchange == Exchange(
        "corp",
        ("orders-api",),
        (),
        ("orders.read",),
        expect=Expect(
            audience=Expected(frozenset({"orders-api"}), frozenset({"orders-api"})),
            scope=Expected(frozenset(), frozenset({"orders.read"})),
        ),
    )


@pytest.mark.parametrize(
    ("url", "upstream"),
    [
        ("http://127.0.0.1", ("127.0.0.1", 80, None, b"", b"127.0.0.1", None)),
        ("https://a.example", ("a.example", 443, None, b"", b"a.example", TLS())),
        ("http://[::1]:81/x/", ("::1", 81, None, b"/x", b"[::1]:81", None)),
        ("http://127.0.0.1:9000/", ("127.0.0.1", 9000, None, b"", b"127.0.0.1:9000", None)),
        ("unix:/run/x.sock", (None, 0, "/run/x.sock", b"", b"localhost", None)),
    ],
)
def test_where_an_upstream_is(folder: Folder, url: str, upstream: tuple[object, ...]) -> None:
    found = one(folder, "http://127.0.0.1:9000", url).upstream
    assert (found.host, found.port, found.unix_path, found.base_path, found.host_header, found.tls) == upstream


def test_the_gateways_limit_is_a_routes_unless_it_has_its_own(folder: Folder) -> None:
    peers = PEERS + "gateway: {max_body_bytes: 10}\n"
    assert one(folder, "9000'", "9000'", peers).upstream.max_body_bytes == 10
    assert one(folder, "9000'", "9000', max_body_bytes: 20", peers).upstream.max_body_bytes == 20


def test_a_route_for_every_path_strips_nothing(folder: Folder) -> None:
    text = ROUTE.replace("/orders", "/").replace("9000'", "9000', strip_prefix: true")
    [route] = folder.build(PEERS + text).routes.values()
    assert (route.match.path_prefix, route.upstream.strip_prefix) == ("/", b"")


def test_an_exact_path(folder: Folder) -> None:
    assert one(folder, "path_prefix: /orders", "path: '/orders/{id}'").match == Match(path="/orders/{id}")


def test_no_exchange(folder: Folder) -> None:
    route = one(folder, "{audience: [orders-api], scope: [orders.read]}", "none")
    assert (route.exchange, route.subject.issuers) == (None, frozenset())


def test_the_default_is_verified_tls() -> None:
    assert peer_tls(None) == TLS()
