from copy import deepcopy
from typing import Any

import pytest

from tests.config.conftest import Workshop, put

MEANT = "; did you mean 'corp'?"


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("routes.0.subject", {"issuers": ["corp", "crop"]}, "no trusted issuer of this name is defined" + MEANT),
        ("routes.0.exchange.authorization_server", "crop", "no authorization server of this name is defined" + MEANT),
        ("routes.0.exchange.actor_token", "self", "no workload token of this name is defined"),
        ("routes.0.listener", "defualt", "no listener of this name is defined; did you mean 'default'?"),
        (
            "trusted_issuers.corp",
            {"authorization_server": "zz", "audience": ["x"]},
            "no authorization server of this name is defined",
        ),
    ],
)
def test_a_name_refers_to_something(workshop: Workshop, path: str, value: object, complaint: str) -> None:
    found = workshop.wrong_with(path, value)
    assert list(found.values()) == [complaint]
    assert next(iter(found)).startswith(path)


def test_what_is_defined_may_be_named(workshop: Workshop) -> None:
    workshop.file("token")

    def change(tree: Any) -> None:
        tree["workload_tokens"]["self"] = {"file": "token", "type": "jwt"}
        tree["routes"][0] |= {"listener": "default", "subject": {"issuers": ["corp"]}}
        tree["routes"][0]["exchange"] |= {"authorization_server": "corp", "actor_token": "self"}

    assert workshop.wrong(change) == {}


def test_where_there_are_several_each_is_named(workshop: Workshop) -> None:
    def change(tree: Any) -> None:
        for section in ("trusted_issuers", "authorization_servers"):
            tree[section]["partner"] = {**tree[section]["corp"], "issuer": "https://partner.example.com"}
        put(tree, "gateway.listeners", {"a": {"listen": "127.0.0.1:1"}, "b": {"listen": "127.0.0.1:2"}})

    assert workshop.wrong(change) == {
        "routes.0.listener": "missing; one of a, b",
        "routes.0.subject.issuers": "missing; one of corp, partner",
        "routes.0.exchange.authorization_server": "missing; one of corp, partner",
    }


def test_an_exchange_needs_an_issuer_and_a_server(workshop: Workshop) -> None:
    def change(tree: Any) -> None:
        tree["trusted_issuers"], tree["authorization_servers"] = {}, {}

    assert workshop.wrong(change) == {
        "routes.0.subject.issuers": "an exchange needs a trusted issuer, and none is defined",
        "routes.0.exchange.authorization_server": "an exchange needs an authorization server, and none is defined",
    }

    def without_exchange(tree: Any) -> None:
        change(tree)
        tree["routes"][0]["exchange"] = "none"

    assert workshop.wrong(without_exchange) == {}


def test_an_issuer_is_taken_from_a_server_that_has_one(workshop: Workshop) -> None:
    def change(tree: Any) -> None:
        tree["authorization_servers"]["corp"] |= {"issuer": None, "token_endpoint": "https://a/token"}
        tree["trusted_issuers"]["corp"] = {"authorization_server": "corp", "audience": ["x"]}

    assert workshop.wrong(change) == {
        "trusted_issuers.corp.authorization_server": "this authorization server has no issuer to take"
    }


def test_a_route_has_a_name_of_its_own(workshop: Workshop) -> None:
    def change(tree: Any) -> None:
        tree["routes"] += [deepcopy(tree["routes"][0]), {**tree["routes"][0], "name": "other"}]

    assert workshop.wrong(change) == {"routes.1.name": "another route has this name"}


def test_a_section_of_the_wrong_shape_orphans_nobody(workshop: Workshop) -> None:
    assert workshop.wrong_with("trusted_issuers", "corp") == {
        "trusted_issuers": "should be a mapping of keys to values"
    }


def test_one_issuer_of_a_route_may_be_opaque(workshop: Workshop) -> None:
    workshop.file("secret")

    def opaque(name: str) -> dict[str, object]:
        client = {"method": "client_secret_basic", "client_id": "gateway", "client_secret_file": "secret"}
        asked = {"endpoint": "https://a/introspect", "client_auth": client}
        return {"issuer": name, "audience": ["x"], "token_profile": "opaque", "introspection": asked}

    def change(tree: Any, *names: str) -> None:
        tree["trusted_issuers"] |= {"one": opaque("one"), "two": opaque("two")}
        tree["routes"][0]["subject"] = {"issuers": list(names)}

    assert workshop.wrong(lambda tree: change(tree, "corp", "one")) == {}
    assert workshop.wrong(lambda tree: change(tree, "one", "corp", "two")) == {
        "routes.0.subject.issuers.2": "should not stand beside one: nothing in an opaque token says whose it is"
    }


def test_every_issuer_of_a_route_has_its_server(workshop: Workshop) -> None:
    def change(tree: Any, **chosen: str) -> None:
        tree["trusted_issuers"]["partner"] = {"issuer": "https://partner.example", "audience": ["x"]}
        tree["authorization_servers"]["partner"] = {"issuer": "https://p.example", "client_auth": {"method": "none"}}
        tree["routes"][0]["subject"] = {"issuers": ["corp", "partner"]}
        tree["routes"][0]["exchange"]["authorization_server"] = {"by_issuer": chosen}

    path = "routes.0.exchange.authorization_server.by_issuer"
    assert workshop.wrong(lambda tree: change(tree, corp="corp", partner="partner")) == {}
    assert workshop.wrong(lambda tree: change(tree, corp="corp")) == {
        f"{path}.partner": "missing; the authorization server for this trusted issuer of the route"
    }
    assert workshop.wrong(lambda tree: change(tree, corp="corp", partner="partner", stranger="corp")) == {
        f"{path}.stranger": "the route takes no tokens of this trusted issuer"
    }
    [(where, what)] = workshop.wrong(lambda tree: change(tree, corp="corp", partner="partne")).items()
    assert where == f"{path}.partner"
    assert what.startswith("no authorization server of this name is defined")


def test_where_a_server_for_an_issuer_is_missing_is_told(workshop: Workshop) -> None:
    text = """version: 1
trusted_issuers: {corp: {issuer: 'https://a', audience: [x]}, partner: {issuer: 'https://b', audience: [x]}}
authorization_servers: {corp: {issuer: 'https://a', client_auth: {method: none}}}
routes:
  - name: orders
    match: {path_prefix: /orders}
    upstream: {url: 'http://127.0.0.1:9000'}
    subject: {issuers: [corp, partner]}
    exchange:
      audience: [a]
      authorization_server:
        by_issuer: {corp: corp}
"""
    [line] = workshop.complaints(text)
    assert line == (
        "12:9: routes.0.exchange.authorization_server.by_issuer.partner: "
        "missing; the authorization server for this trusted issuer of the route"
    )
