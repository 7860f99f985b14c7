from typing import Any

import pytest

from tests.config.conftest import Workshop, put

ROUTE = "routes.0"
AMONG = "should be among subject.acr_values, which count for every operation"
LONGER = "should be no longer than subject.max_age, which counts as well"


def wrong(workshop: Workshop, mcp: object, **route: Any) -> dict[str, str]:
    """What is wrong with a route that has this ``mcp``."""

    def change(tree: Any) -> None:
        for key, value in {"mcp": mcp, **route}.items():
            put(tree, f"{ROUTE}.{key.replace('__', '.')}", value)

    return {path.removeprefix(f"{ROUTE}."): message for path, message in workshop.wrong(change).items()}


EVERYTHING = {
    "default": "refuse",
    "get": "allow",
    "allowed_origins": ["https://app.example.com"],
    "tools": {"search": {"scope": ["a"]}, "delete_*": {"acr_values": ["mfa"], "max_age": "5m"}, "*": {}},
    "methods": {"tools/list": {"scope": ["b"]}, "resources/templates/list": {}},
}


def test_what_is_right(workshop: Workshop) -> None:
    assert wrong(workshop, {}) == {}
    assert wrong(workshop, EVERYTHING) == {}
    assert wrong(workshop, EVERYTHING, subject={"acr_values": ["mfa", "hw"], "max_age": "5m"}) == {}


def test_without_an_exchange_no_operation_is_judged(workshop: Workshop) -> None:
    told = "has no effect with exchange: none, where nobody's token is looked at"
    assert wrong(workshop, EVERYTHING, exchange="none") == {"mcp": told}


def test_a_websocket_would_go_past_it(workshop: Workshop) -> None:
    told = "should be false beside mcp: messages in a WebSocket are not read"
    assert wrong(workshop, {}, upstream__websocket=True) == {"upstream.websocket": told}


def test_an_operation_asks_for_no_less_than_its_route(workshop: Workshop) -> None:
    subject = {"acr_values": ["mfa"], "max_age": "5m"}
    laxer = {"acr_values": ["mfa", "pwd"], "max_age": "6m"}
    assert wrong(workshop, {"tools": {"a": laxer}, "methods": {"b": laxer}}, subject=subject) == {
        "mcp.tools.a.acr_values.1": AMONG,
        "mcp.tools.a.max_age": LONGER,
        "mcp.methods.b.acr_values.1": AMONG,
        "mcp.methods.b.max_age": LONGER,
    }


def test_without_a_callers_token_nobody_has_logged_in(workshop: Workshop) -> None:
    def change(tree: Any) -> None:
        tree["workload_tokens"] = {"self": {"file": workshop.file("token"), "type": "jwt"}}
        tree["gateway"] = {"listeners": {"out": {"listen": "127.0.0.1:8081", "direction": "egress"}}}
        put(tree, f"{ROUTE}.exchange.subject_token", "self")
        put(tree, f"{ROUTE}.mcp.tools.a", {"acr_values": ["mfa"], "max_age": "1m", "scope": ["s"]})

    told = "needs subject.issuers: without a caller's token nobody has logged in"
    assert workshop.wrong(change) == dict.fromkeys(
        (f"{ROUTE}.mcp.tools.a.acr_values", f"{ROUTE}.mcp.tools.a.max_age"), told
    )


def test_approvals_of_operations(workshop: Workshop) -> None:
    def change(tree: Any) -> None:
        tree["approvers"] = {"desk": {"authzen": {"url": "https://pdp.example"}}}
        put(tree, f"{ROUTE}.mcp.tools.a.approval", {"by": "desk", "arguments": ["path"], "max_age": "1m"})
        put(tree, f"{ROUTE}.mcp.tools.b.approval", {"by": "dest"})
        put(tree, f"{ROUTE}.mcp.methods.c.approval", {"by": "desk", "arguments": ["path"]})

    assert workshop.wrong(change) == {
        f"{ROUTE}.mcp.tools.b.approval.by": "no approver of this name is defined; did you mean 'desk'?",
        f"{ROUTE}.mcp.methods.c.approval.arguments": "has no effect: only tools have arguments",
    }


@pytest.mark.parametrize(
    ("mcp", "path"),
    [
        ({"default": "deny"}, "mcp.default"),
        ({"get": False}, "mcp.get"),
        ({"tools": ["search"]}, "mcp.tools"),
        ({"tools": {"a*b": {}}}, 'mcp.tools."a*b"'),
        ({"tools": {"**": {}}}, 'mcp.tools."**"'),
        ({"tools": {" a": {}}}, 'mcp.tools." a"'),
        ({"tools": {"": {}}}, 'mcp.tools.""'),
        ({"tools": {"a": {"scope": "b"}}}, "mcp.tools.a.scope"),
        ({"tools": {"a": {"scope": ["b c"]}}}, "mcp.tools.a.scope.0"),
        ({"tools": {"a": {"require_scope": []}}}, "mcp.tools.a.require_scope"),
        ({"methods": {"tools/call": {}}}, "mcp.methods.tools/call"),
        ({"methods": {"tools/*": {}}}, 'mcp.methods."tools/*"'),
        ({"methods": {"notifications/cancelled": {}}}, "mcp.methods.notifications/cancelled"),
        ({"methods": {"a b": {}}}, 'mcp.methods."a b"'),
        ({"allowed_origins": ["app.example.com"]}, "mcp.allowed_origins.0"),
    ],
)
def test_what_is_refused_by_itself(workshop: Workshop, mcp: object, path: str) -> None:
    assert list(wrong(workshop, mcp)) == [path]


@pytest.mark.parametrize(
    "mcp", [1, "a", [1], {"tools": 1}, {"tools": {"a": 1}}, {"tools": {"a": {"acr_values": 1, "max_age": "x"}}}]
)
def test_what_can_not_be_read_is_passed_over(workshop: Workshop, mcp: object) -> None:
    assert not {AMONG, LONGER}.intersection(
        wrong(workshop, mcp, subject={"acr_values": ["m"], "max_age": "5m"}).values()
    )
