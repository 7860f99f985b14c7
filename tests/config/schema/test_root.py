import subprocess
import sys
from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import Any

import pytest
from pydantic import TypeAdapter

from sidecar.config import schema
from sidecar.config.addresses import Address
from sidecar.config.schema import Config, Exchange
from sidecar.config.schema.base import Section
from tests.config.conftest import Workshop, put, read


def test_what_is_the_only_one_need_not_be_named(workshop: Workshop) -> None:
    config = workshop.load().config
    route = config.routes[0]
    assert config.listener_of(route) == "default"
    assert config.issuers_of(route) == ("corp",)
    assert isinstance(route.exchange, Exchange)
    assert config.servers_of(route.exchange) == {None: "corp"}
    assert config.issuer_of(config.trusted_issuers["corp"]) == "https://login.example.com"


def test_what_is_named_counts(workshop: Workshop) -> None:
    def change(tree: Any) -> None:
        for section in ("trusted_issuers", "authorization_servers"):
            tree[section]["partner"] = {**tree[section]["corp"], "issuer": "https://partner.example.com"}
        tree["trusted_issuers"]["borrowed"] = {"authorization_server": "partner", "audience": ["x"]}
        put(tree, "gateway.listeners", {"a": {"listen": "127.0.0.1:1"}, "b": {"listen": "127.0.0.1:2"}})
        tree["routes"][0] |= {"listener": "b", "subject": {"issuers": ["partner", "corp"]}}
        tree["routes"][0]["exchange"]["authorization_server"] = "partner"

    config = workshop.load(change).config
    route = config.routes[0]
    assert config.listener_of(route) == "b"
    assert config.issuers_of(route) == ("partner", "corp")
    assert isinstance(route.exchange, Exchange)
    assert config.servers_of(route.exchange) == {None: "partner"}
    assert config.issuer_of(config.trusted_issuers["borrowed"]) == "https://partner.example.com"


def listening(workshop: Workshop, **sections: object) -> dict[str, tuple[Address, str]]:
    def change(tree: Any) -> None:
        tree.update(sections)
        tree["routes"] = [{**tree["routes"][0], "name": name, "listener": name} for name in found]

    found: list[str] = []
    everything = read(Config, {"version": 1, "routes": [], **sections}).listeners
    found += everything
    assert workshop.load(change).config.listeners == everything
    return {name: (each.listen, each.direction) for name, each in everything.items()}


def test_there_is_always_a_listener(workshop: Workshop) -> None:
    local = Address("127.0.0.1", 1)
    assert listening(workshop) == {"default": (Address("127.0.0.1", 8080), "ingress")}
    assert listening(workshop, gateway={"listen": "unix:/run/x.sock"}) == {
        "default": (Address(None, 0, "/run/x.sock"), "ingress")
    }
    several = {"in": {"listen": "0.0.0.0:80"}, "out": {"listen": "127.0.0.1:1", "direction": "egress"}}
    assert listening(workshop, gateway={"listeners": several}) == {
        "in": (Address("0.0.0.0", 80), "ingress"),
        "out": (local, "egress"),
    }


def test_the_decision_listener_is_one_of_them(workshop: Workshop) -> None:
    decision = {"listen": "127.0.0.1:1", "form": "envoy"}
    there = {"decision": (Address("127.0.0.1", 1), "ingress")}
    assert listening(workshop, decision=decision) == there
    assert listening(workshop, decision=decision, gateway={"listen": "127.0.0.1:2"}) == {
        "default": (Address("127.0.0.1", 2), "ingress"),
        **there,
    }
    one = {"listeners": {"one": {"listen": "127.0.0.1:2"}}}
    assert listening(workshop, decision=decision, gateway=one) == {
        "one": (Address("127.0.0.1", 2), "ingress"),
        **there,
    }


def test_without_an_exchange_no_issuer_counts(workshop: Workshop) -> None:
    config = workshop.load_with("routes.0.exchange", "none").config
    assert config.issuers_of(config.routes[0]) == ()


def properties(document: Any) -> Iterator[tuple[str, Any]]:
    for definition in [document, *document["$defs"].values()]:
        yield from definition.get("properties", {}).items()


def test_every_key_has_a_line_about_it() -> None:
    document = TypeAdapter(Config).json_schema()
    assert all(definition["description"] for definition in document["$defs"].values())
    for name, value in properties(document):
        assert value.get("description") or value.get("$ref"), name  # left out where it equals the definition's


def test_the_schema_for_editors_writes_defaults_as_the_file_does() -> None:
    document = TypeAdapter(Config).json_schema()
    defaults = {name: value.get("default") for name, value in document["$defs"]["Drain"]["properties"].items()}
    assert defaults == {"delay": "5s", "grace": "20s"}
    assert {"const": "none", "type": "string"} in document["$defs"]["Route"]["properties"]["exchange"]["oneOf"]
    assert all(not definition["additionalProperties"] for definition in document["$defs"].values())


SECTIONS: list[Any] = [kind for kind in vars(schema).values() if isinstance(kind, type) and issubclass(kind, Section)]


@pytest.mark.parametrize("section", SECTIONS)
def test_a_default_is_what_the_file_would_give(section: Any) -> None:
    key: Any
    for key in fields(section):
        if (written := key.metadata.get("json_schema_extra")) is not None:
            value = key.default if key.default is not MISSING else key.default_factory()
            assert read(key.type, written["default"]) == value, key.name


def test_there_are_sections_with_defaults() -> None:
    assert len(SECTIONS) > 15
    assert sum("json_schema_extra" in key.metadata for section in SECTIONS for key in fields(section)) > 50


def test_the_sections_need_no_libraries() -> None:
    code = "import sys, sidecar.config.loaded; print({'pydantic', 'pydantic_core', 'yaml'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"
