from typing import Any

import pytest

from tests.commands.lint.conftest import VALID, Desk, Lints, route


def asking(name: str, exchange: dict[str, Any], **subject: Any) -> dict[str, Any]:
    return route(name, f"/{name}", exchange=exchange, **({"subject": subject} if subject else {}))


A_READ = {"audience": ["a"], "scope": ["read"]}
A_USE = {"audience": ["a"], "scope": ["use"]}


def test_a_tools_demands_are_a_routes(lints: Lints) -> None:
    tools = {"tools": {"list": {}, "read": {"scope": ["read"], "acr_values": ["mfa"], "max_age": "5m"}}}
    guarded = route("tools", "/mcp", exchange=A_USE, mcp=tools)
    assert lints(guarded) == []
    assert lints(guarded, asking("beside", {"audience": ["a"], "scope": ["use", "read"]})) == [
        ("mixed-strictness", "routes.1.subject.acr_values")
    ]
    assert lints(guarded, asking("beside", {"audience": ["a"], "scope": ["read"]})) == []


def test_a_tool_asks_less_than_a_route(lints: Lints) -> None:
    tools = {"tools": {"list": {}, "read": {"scope": ["read"]}}}
    strict = asking("strict", A_READ, acr_values=["mfa"])
    assert lints(route("tools", "/mcp", exchange=A_USE, mcp=tools), strict) == [
        ("mixed-strictness", "routes.0.mcp.tools.read.acr_values")
    ]
    tools["tools"]["read"]["acr_values"] = ["mfa"]
    assert lints(route("tools", "/mcp", exchange=A_USE, mcp=tools), strict) == []


def test_tools_of_one_route_may_differ(lints: Lints) -> None:
    tools = {"tools": {"list": {}, "read": {"acr_values": ["mfa"]}}}
    assert lints(route("tools", "/mcp", exchange=A_USE, mcp=tools)) == []


@pytest.mark.parametrize(
    ("lax", "strict", "told"),
    [
        (asking("lax", A_READ), asking("strict", A_READ, require_scope=["x"]), "require_scope"),
        (
            asking("lax", A_READ, require_scope=["x"]),
            asking("strict", A_READ, require_scope=["y", "x"]),
            "require_scope",
        ),
        (asking("lax", A_READ), asking("strict", A_READ, require_claims={"tenant": "t"}), "require_claims"),
        (asking("lax", A_READ), asking("strict", A_READ, clients=["c"]), "clients"),
        (asking("lax", A_READ), asking("strict", A_READ, acr_values=["mfa"]), "acr_values"),
        (asking("lax", A_READ), asking("strict", A_READ, max_age="5m"), "max_age"),
        (asking("lax", A_READ), asking("strict", A_READ, require_actor=True), "require_actor"),
        (asking("lax", A_READ), asking("strict", A_READ, allowed_actors=["agent-*"]), "allowed_actors"),
        # more is asked for with less
        (
            asking("lax", {"audience": ["b", "a"], "scope": ["write", "read"]}),
            asking("strict", A_READ, require_scope=["x"]),
            "require_scope",
        ),
        # whatever the server gives
        (asking("lax", {"audience": ["a"]}), asking("strict", A_READ, require_scope=["x"]), "require_scope"),
        (asking("lax", {"audience": ["a"]}), asking("strict", {"audience": ["a"]}, clients=["c"]), "clients"),
        (asking("lax", {"scope": ["read"]}), asking("strict", {"scope": ["read"]}, clients=["c"]), "clients"),
        (
            asking("lax", {"resource": ["https://a.example/"]}),
            asking("strict", {"resource": ["https://a.example/"]}, clients=["c"]),
            "clients",
        ),
    ],
)
def test_the_route_that_asks_less_is_told(desk: Desk, lax: dict[str, Any], strict: dict[str, Any], told: str) -> None:
    assert desk.lints(lax, strict) == [("mixed-strictness", f"routes.0.subject.{told}")]
    assert desk.lints(strict, lax) == [("mixed-strictness", f"routes.1.subject.{told}")]
    assert desk.messages(lax, strict) == ["asks less than route strict, whose exchange asks for the same or less"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (asking("one", A_READ, require_scope=["x"]), asking("other", A_READ, require_scope=["y"])),
        (asking("one", A_READ, require_scope=["x"]), asking("other", A_READ, require_scope=["x"])),
        # another audience, or less of it
        (asking("one", A_READ), asking("other", {"audience": ["b"], "scope": ["read"]}, clients=["c"])),
        (asking("one", A_READ), asking("other", {"audience": ["a"], "scope": ["read", "write"]}, clients=["c"])),
        (asking("one", A_READ), asking("other", {"audience": ["a"]}, clients=["c"])),
        # which clients or which values is no difference of strictness
        (asking("one", A_READ, clients=["c"]), asking("other", A_READ, clients=["d"])),
        (asking("one", A_READ, require_claims={"t": "x"}), asking("other", A_READ, require_claims={"t": "y"})),
    ],
)
def test_what_is_none_of_it(lints: Lints, one: dict[str, Any], other: dict[str, Any]) -> None:
    assert lints(one, other) == []


def test_a_route_is_told_once(lints: Lints) -> None:
    both = {"audience": ["a", "b"], "scope": ["read", "write"]}
    strict = asking("strict", both, require_scope=["x"], clients=["c"])
    assert lints(asking("lax", both), strict) == [("mixed-strictness", "routes.0.subject.require_scope")]


def test_another_authorization_server_issues_other_tokens(lints: Lints) -> None:
    corp = VALID["authorization_servers"]["corp"]
    servers = {"corp": corp, "other": {**corp, "issuer": "https://other.example"}}
    one = asking("one", {**A_READ, "authorization_server": "corp"})
    other = asking("other", {**A_READ, "authorization_server": "other"}, clients=["c"])
    assert lints(one, other, authorization_servers=servers) == []


@pytest.mark.parametrize(("strict", "told"), [(["s3"], 1), ([f"s{n}" for n in range(9)], 1), (["s1", "s2"], 0)])
def test_many_scopes_are_compared_one_by_one_and_all_together(lints: Lints, strict: list[str], told: int) -> None:
    many = {"audience": ["a"], "scope": [f"s{n}" for n in range(9)]}
    found = lints(asking("lax", many), asking("strict", {"audience": ["a"], "scope": strict}, clients=["c"]))
    assert found == [("mixed-strictness", "routes.0.subject.clients")] * told


def test_a_route_without_an_exchange_asks_for_nothing(lints: Lints) -> None:
    assert lints(route("probe", "=/healthz", exchange="none"), asking("strict", A_READ, clients=["c"])) == []
