"""Every key of ``mcp``, from YAML to the values that requests are decided by."""

from dataclasses import fields, replace

from sidecar.model.approval import ApprovalPolicy
from sidecar.model.mcp import MCP, Rule
from sidecar.model.route import Expected
from tests.snapshot.conftest import PEERS, ROUTE, Folder
from tests.support.values import subject

APPROVERS = """approvers:
  desk: {authzen: {url: 'https://desk.example'}}
  chief: {authzen: {url: 'https://chief.example'}}
"""
EVERY = """    subject: {acr_values: [hw, mfa], max_age: 10m}
    mcp:
      default: allow
      get: refuse
      delete: refuse
      responses: refuse
      notifications: refuse
      allowed_origins: ['https://app.example', 'null']
      tools:
        '*': {}
        'file_*': {max_age: 5m}
        file_delete:
          scope: [files.delete, orders.read]
          acr_values: [hw]
          max_age: 1m
          approval: {by: desk, max_age: 2m, arguments: [path, force]}
      methods: {tools/list: {scope: [tools.list]}}
"""
DELETE = Rule(
    ("mcp", "tools", "file_delete"),
    ("files.delete", "orders.read"),
    ("hw",),
    60,
    ApprovalPolicy("desk", 120),
    ("path", "force"),
)
FILES = Rule(("mcp", "tools", "file_*"), max_age=300)
ANY = Rule(("mcp", "tools", "*"))
LIST = Rule(("mcp", "methods", "tools/list"), ("tools.list",))


def test_every_key(folder: Folder) -> None:
    [route] = folder.build(APPROVERS + PEERS + ROUTE + EVERY).routes.values()
    assert route.mcp == MCP(
        default=True,
        get=False,
        delete=False,
        responses=False,
        notifications=False,
        allowed_origins=frozenset({b"https://app.example", b"null"}),
        tools=(DELETE, FILES, ANY),  # in the order in which they count
        methods=(LIST,),
    )
    assert route.rule is None
    for field in fields(MCP):
        assert getattr(route.mcp, field.name) != getattr(MCP(), field.name), field.name


def test_what_is_left_out(folder: Folder) -> None:
    [route] = folder.build(PEERS + ROUTE + "    mcp: {}\n").routes.values()
    assert route.mcp == MCP(default=False, get=True, delete=True, responses=True, notifications=True)
    [route] = folder.build().routes.values()
    assert route.mcp is None


def test_a_route_is_narrower_under_a_rule(folder: Folder) -> None:
    snapshot = folder.build(APPROVERS + PEERS + ROUTE + EVERY)
    [route] = snapshot.routes.values()
    assert snapshot.narrowed(route, None) is route
    demands = {
        DELETE: (("hw",), 60),
        FILES: (("hw", "mfa"), 300),
        ANY: (("hw", "mfa"), 600),
        LIST: (("hw", "mfa"), 600),
    }
    for rule, (acr_values, max_age) in demands.items():
        under = snapshot.narrowed(route, rule)
        assert (under.name, under.rule, under.upstream) == (route.name, rule, route.upstream)
        assert (under.subject.acr_values, under.subject.max_age) == (acr_values, max_age)


def test_whose_yes_a_rule_needs(folder: Folder) -> None:
    snapshot = folder.build(APPROVERS + PEERS + ROUTE + EVERY)
    route = snapshot.routes["orders"]
    assert snapshot.narrowed(route, DELETE).approval == DELETE.approval
    assert snapshot.narrowed(route, FILES).approval is None
    snapshot = folder.build(APPROVERS + PEERS + ROUTE + EVERY + "    approval: {by: chief, reason_header: X-Task}\n")
    route = snapshot.routes["orders"]
    assert snapshot.narrowed(route, FILES).approval == route.approval
    assert snapshot.narrowed(route, DELETE).approval == ApprovalPolicy("desk", 120, reason_header="x-task")


def test_each_rule_has_a_plan_of_its_own(folder: Folder) -> None:
    snapshot = folder.build(APPROVERS + PEERS + ROUTE + EVERY)
    [route] = snapshot.routes.values()
    asked = {}
    for rule, scope in {
        None: ("orders.read",),
        ANY: ("orders.read",),
        DELETE: ("orders.read", "files.delete"),
        LIST: ("orders.read", "tools.list"),
    }.items():
        plan = snapshot.plan(snapshot.narrowed(route, rule), subject())
        assert plan.exchange.scope == scope
        assert plan.exchange.expect.scope == Expected(frozenset(), frozenset(scope))
        assert plan.route.exchange == plan.exchange
        ask = plan.asker.ask(subject(), None)
        assert dict(ask.form)["scope"] == " ".join(scope)
        asked[rule] = ask.key
    assert asked[None] == asked[ANY]  # the same token, and the same place in the cache
    assert len(set(asked.values())) == 3


def test_the_issuer_chooses_the_server_under_a_rule_too(folder: Folder) -> None:
    partner = "  partner: {issuer: 'https://b.example', "
    peers = PEERS.replace("authorization_servers:", f"{partner}audience: [gateway]}}\nauthorization_servers:")
    peers += partner + "client_auth: {method: none, client_id: gateway}}\n"
    route = ROUTE.replace(
        "    exchange: {", "    exchange: {authorization_server: {by_issuer: {corp: corp, partner: partner}}, "
    )
    route += "    subject: {issuers: [corp, partner]}\n    mcp: {tools: {write: {scope: [w]}}}\n"
    snapshot = folder.build(peers + route)
    [rule] = snapshot.routes["orders"].mcp.tools if snapshot.routes["orders"].mcp else ()
    under = snapshot.narrowed(snapshot.routes["orders"], rule)
    assert [(each.authorization_server, each.scope) for each in under.exchanges] == [
        ("corp", ("orders.read", "w")),
        ("partner", ("orders.read", "w")),
    ]
    for issuer in ("corp", "partner"):
        plan = snapshot.plan(under, replace(subject(), issuer=issuer))
        assert (plan.server.name, plan.exchange.scope) == (issuer, ("orders.read", "w"))
