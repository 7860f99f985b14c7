from typing import Any

import pytest

from sidecar.commands.lint.one_route import PROBES
from tests.commands.lint.conftest import Desk, Lints, route

ORDERS = route("orders", "/orders")


@pytest.mark.parametrize("path", ["/", "/public", "/healthz", "=/public", "=/healthz/", "=/{healthz}"])
def test_no_token_is_told(lints: Lints, path: str) -> None:
    found = lints(ORDERS, route("open", path, exchange="none"))
    assert found == [("exchange-none", "routes.1.exchange")]


@pytest.mark.parametrize("path", sorted(PROBES))
def test_a_probe_needs_none(lints: Lints, path: str) -> None:
    assert lints(ORDERS, route("probe", f"={path}", exchange="none")) == []


@pytest.mark.parametrize(
    ("expect", "where"),
    [
        ({"audience": "any", "scope": "any"}, ["expect"]),
        ({"subject": "any"}, ["expect.subject"]),
        ({"audience": "any", "scope": "any", "subject": "any"}, ["expect", "expect.subject"]),
        ({"audience": "any"}, []),
        ({"scope": "any"}, []),
        ({"audience": ["x"], "scope": "any", "subject": "same"}, []),
    ],
)
def test_expecting_anything(lints: Lints, expect: dict[str, Any], where: list[str]) -> None:
    found = lints(route("orders", "/orders", exchange={"audience": ["a"], "expect": expect}))
    assert found == [("expect-any", f"routes.0.exchange.{path}") for path in where]


@pytest.mark.parametrize(
    ("mcp", "where"),
    [
        ({}, []),
        ({"tools": {"search": {}, "read_*": {}}, "methods": {"tools/list": {}}}, []),
        ({"default": "allow"}, ["default"]),
        ({"tools": {"*": {}}}, ['tools."*"']),
        ({"tools": {"*": {"scope": ["a"]}}}, ['tools."*"']),
        ({"tools": {"*": {"acr_values": ["mfa"]}}}, []),
        ({"tools": {"*": {"max_age": "5m"}}}, []),
    ],
)
def test_operations_that_nobody_named(lints: Lints, mcp: dict[str, Any], where: list[str]) -> None:
    found = lints(route("tools", "/mcp", mcp=mcp))
    assert found == [("unnamed-operations", f"routes.0.mcp.{path}") for path in where]


@pytest.mark.parametrize(("semantics", "told"), [("impersonation", 1), ("delegation", 0), ("any", 0)])
def test_impersonation(lints: Lints, semantics: str, told: int) -> None:
    found = lints(route("orders", "/orders", exchange={"audience": ["a"], "semantics": semantics}))
    assert found == [("impersonation", "routes.0.exchange.semantics")] * told


@pytest.mark.parametrize(
    ("exchange", "told"),
    [
        ({"semantics": "any"}, 1),
        ({"expect": {"audience": "any"}}, 1),
        ({"expect": {"audience": "asked"}}, 1),
        ({"expect": {"scope": ["a"]}}, 1),
        ({"expect": {"audience": ["a"]}}, 0),
        ({"audience": ["a"]}, 0),
        ({"resource": ["https://a.example/"]}, 0),
        ({"scope": ["a"]}, 0),
    ],
)
def test_asking_for_nothing(lints: Lints, exchange: dict[str, Any], told: int) -> None:
    found = lints(route("orders", "/orders", exchange=exchange))
    assert found == [("no-target", "routes.0.exchange")] * told


def test_an_upstream_in_the_clear(lints: Lints) -> None:
    upstream = {"url": "http://orders.example", "allow_plain_http": True}
    assert lints(route("orders", "/", upstream=upstream)) == [("plain-http", "routes.0.upstream.allow_plain_http")]
    assert lints(route("orders", "/", upstream={"url": "http://127.0.0.1:1", "allow_plain_http": False})) == []


@pytest.mark.parametrize(
    ("match", "told"),
    [
        ({"hosts": ["*.example.com"]}, 1),
        ({"hosts": ["a.example.com", "*.example.com"]}, 1),
        ({"hosts": ["*.example.com"], "methods": ["GET"]}, 0),
        ({"hosts": ["a.example.com"]}, 0),
        ({}, 0),
    ],
)
def test_every_method_on_any_of_many_hosts(lints: Lints, match: dict[str, Any], told: int) -> None:
    found = lints(route("orders", "/orders", match=match))
    assert found == [("wildcard-host-without-methods", "routes.0.match")] * told


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, 1),
        ({"match": {"methods": ["GET"]}}, 0),
        ({"match": {"methods": ["GET", "OPTIONS", "PROPFIND"]}}, 0),
        ({"match": {"methods": ["GET", "POST"]}}, 1),
        ({"match": {"methods": ["DELETE"]}}, 1),
        ({"match": {"methods": ["DELETE"]}, "subject": {"max_age": "5m"}}, 0),
        ({"approval": {"by": "desk"}}, 0),
        ({"subject": {"acr_values": ["mfa"]}}, 1),  # it may be of last year
        ({"exchange": "none", "accept": {"exchange-none": "public"}}, 0),  # exchange-none tells
    ],
)
def test_a_write_after_any_old_login(desk: Desk, changes: dict[str, Any], told: int) -> None:
    asked = [route("orders", "/orders", **changes), route("reads", "/reads", match={"methods": ["GET"]})]
    approvers = {"desk": {"opa": {"url": "http://127.0.0.1:1/"}}} if "approval" in changes else {}
    assert desk.lints(*asked, approvers=approvers) == []  # nobody asked for it
    desk.also = ("unconfirmed-writes",)
    assert desk.lints(*asked, approvers=approvers) == [("unconfirmed-writes", "routes.0.subject.max_age")] * told


@pytest.mark.parametrize(
    ("keys", "exchange", "told"),
    [
        ({"websocket": True, "websocket_max_lifetime": "8h"}, None, 1),
        ({"websocket": True, "websocket_max_lifetime": "token"}, None, 0),
        ({"websocket": True}, None, 0),
        ({"websocket_max_lifetime": "8h"}, None, 0),
        ({"websocket": True, "websocket_max_lifetime": "8h"}, "none", 0),
    ],
)
def test_websocket_outlives_token(lints: Lints, keys: dict[str, Any], exchange: str | None, told: int) -> None:
    changes: dict[str, Any] = {} if exchange is None else {"exchange": exchange}
    found = lints(ORDERS, route("sockets", "=/healthz", upstream=keys, **changes))
    assert found == [("websocket-outlives-token", "routes.1.upstream.websocket_max_lifetime")] * told


def test_websockets_of_a_proxy(lints: Lints) -> None:
    upstream = {"url": "http://127.0.0.1:9000", "websocket": True}
    decision = {"decision": {"listen": "127.0.0.1:2", "form": "envoy"}}
    for exchange, told in (({"audience": ["a"]}, 1), ("none", 0)):
        opened = route("sockets", "=/sockets", upstream=upstream, exchange=exchange)
        found = [each for each in lints(opened, **decision) if each[0] == "websocket-outlives-token"]
        assert found == [("websocket-outlives-token", "routes.0.upstream.websocket")] * told
