from typing import Any

import pytest

from sidecar.config import listeners
from sidecar.config.tree import Part
from tests.config.conftest import Workshop, put

DECISION = {"listen": "127.0.0.1:82", "form": "envoy"}
ROUTE = "routes.0.listener"


def wrong(workshop: Workshop, **values: object) -> dict[str, str]:
    def change(tree: Any) -> None:
        for path, value in values.items():
            put(tree, path, value)

    return workshop.wrong(change)


def at(**addresses: object) -> dict[str, Any]:
    return {name: {"listen": address} for name, address in addresses.items()}


def test_listen_and_listeners_exclude_each_other(workshop: Workshop) -> None:
    both = {"listen": "127.0.0.1:1", "listeners": at(a="127.0.0.1:2")}
    assert wrong(workshop, gateway=both) == {"gateway.listeners": "should not stand beside listen; give one of them"}
    assert wrong(workshop, gateway={"listeners": {}}) == {"gateway.listeners": "should name at least one listener"}


@pytest.mark.parametrize(
    ("tree", "path"),
    [
        (
            {"gateway": {"listeners": at(a="127.0.0.1:1", b="0.0.0.0:1")}, "routes.0.listener": "a"},
            "gateway.listeners.b.listen",
        ),
        (
            {"gateway": {"listeners": at(default="127.0.0.1:1", b="0.0.0.0:1")}, "routes.0.listener": "b"},
            "gateway.listeners.b.listen",
        ),
        ({"gateway": {"listen": "127.0.0.1:1"}, "admin": {"listen": "127.0.0.1:1"}}, "admin.listen"),
        ({"gateway": {"listen": "127.0.0.1:9090"}}, "admin.listen"),
        ({"admin": {"listen": "127.0.0.1:8080"}}, "admin.listen"),
        ({"decision": DECISION, "admin": {"listen": "127.0.0.1:82"}}, "admin.listen"),
        ({"gateway": {"listen": "unix:/run/x.sock"}, "admin": {"control": "unix:/run/x.sock"}}, "admin.control"),
        ({"admin": {"listen": "unix:/run/x.sock", "control": "unix:/run/x.sock"}}, "admin.control"),
        (
            {"decision": DECISION, "gateway": {"listen": "127.0.0.1:82"}, "routes.0.listener": "decision"},
            "decision.listen",
        ),
    ],
)
def test_every_listener_has_an_address_of_its_own(workshop: Workshop, tree: dict[str, object], path: str) -> None:
    assert wrong(workshop, **tree) == {path: "should not be the address of another listener"}


def test_beside_the_decision_listener_nobody_listens_unasked(workshop: Workshop) -> None:
    assert wrong(workshop, decision=DECISION, admin={"listen": "127.0.0.1:8080"}) == {}


def test_egress_is_not_for_others(workshop: Workshop) -> None:
    workshop.file("pem")
    tls = {"cert_file": "pem", "key_file": "pem"}
    path = "gateway.listeners.out"
    message = "egress should listen on loopback or a unix socket, or have tls.client_ca_file"
    for address, with_tls, found in (
        ("0.0.0.0:81", None, {f"{path}.listen": message}),
        ("10.0.0.1:81", tls, {f"{path}.listen": message}),
        ("0.0.0.0:81", {**tls, "client_ca_file": "pem"}, {}),
        ("[::1]:81", None, {}),
        ("unix:/run/x.sock", None, {}),
    ):
        assert wrong(workshop, **{path: {"listen": address, "direction": "egress", "tls": with_tls}}) == found
        assert wrong(workshop, **{path: {"listen": address, "direction": "ingress", "tls": with_tls}}) == {}


@pytest.mark.threat("S84")
def test_decisions_are_not_for_others(workshop: Workshop) -> None:
    workshop.file("pem")
    tls = {"cert_file": "pem", "key_file": "pem"}
    for address, with_tls, good in (
        ("0.0.0.0:82", None, False),
        ("10.0.0.1:82", tls, False),
        ("0.0.0.0:82", {**tls, "client_ca_file": "pem"}, True),
        ("[::1]:82", None, True),
        ("unix:/run/x.sock", None, True),
    ):
        found = wrong(workshop, decision={**DECISION, "listen": address, "tls": with_tls})
        assert list(found) == ([] if good else ["decision.listen"])


def test_a_form_is_never_guessed(workshop: Workshop) -> None:
    assert list(wrong(workshop, decision={"listen": "127.0.0.1:82"})) == ["decision.form"]
    assert list(wrong(workshop, decision={**DECISION, "form": "nginx"})) == ["decision.form"]


def test_its_name_is_its_own(workshop: Workshop) -> None:
    assert wrong(workshop, **{"gateway.listeners": at(decision="127.0.0.1:1", b="127.0.0.1:2"), ROUTE: "b"}) == {
        "gateway.listeners.decision": "is the name of the decision listener"
    }


def test_where_there_are_two_a_route_says_which(workshop: Workshop) -> None:
    gateway = {"listen": "127.0.0.1:1"}
    assert wrong(workshop, decision=DECISION) == {}
    assert wrong(workshop, decision=DECISION, gateway=gateway) == {ROUTE: "missing; one of default, decision"}
    assert wrong(workshop, decision=DECISION, gateway=gateway, **{ROUTE: "decision"}) == {}
    assert list(wrong(workshop, **{ROUTE: "decision"})) == [ROUTE]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("upstream.strip_prefix", True),
        ("upstream.preserve_host", True),
        ("upstream.connect_timeout", "1s"),
        ("upstream.response_timeout", "1s"),
        ("upstream.send_idle", "1s"),
        ("upstream.read_idle", "1s"),
        ("upstream.max_connections", 1),
        ("upstream.max_connection_age", "1s"),
        ("upstream.max_body_bytes", 1),
        ("upstream.websocket_max_lifetime", "1s"),
        ("upstream.tls", {"server_name": "a.example"}),
        ("upstream.drop_cookies", True),
        ("preflight", "answer"),
        ("resource_metadata", {"resource": "https://api.example.com/orders"}),
    ],
)
def test_what_is_the_proxys_can_not_be_said_of_a_route(workshop: Workshop, key: str, value: object) -> None:
    change = {f"routes.0.{key}": value, "routes.0.upstream.url": "https://127.0.0.1:1", "routes.0.cors": None}
    if value == "answer":
        change["routes.0.cors"] = {"origins": ["https://a.example"]}
    here = {"decision": {**DECISION, "form": "forwarded"}, "gateway.listen": "127.0.0.1:1"}
    assert list(wrong(workshop, **here, **change, **{ROUTE: "decision"})) == [f"routes.0.{key}"]
    assert wrong(workshop, **here, **change, **{ROUTE: "default"}) == {}


def test_envoy_is_told_which_fields_to_remove(workshop: Workshop) -> None:
    assert wrong(workshop, decision=DECISION, **{"routes.0.upstream.drop_cookies": True}) == {}


def test_where_a_route_is_that_says_nothing() -> None:
    decision = {"decision": DECISION}
    for root, expected in (
        ({}, "default"),
        (decision, "decision"),
        ({**decision, "gateway": {"listen": "127.0.0.1:1"}}, ""),
        ({"gateway": {"listeners": at(a="127.0.0.1:1")}}, "a"),
        ({"gateway": {"listeners": at(a="127.0.0.1:1", b="127.0.0.1:2")}}, ""),
    ):
        assert listeners.listener_of(Part(root), Part({})) == expected
        assert listeners.listener_of(Part(root), Part({"listener": "x"})) == "x"
