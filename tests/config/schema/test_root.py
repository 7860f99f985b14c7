from collections.abc import Iterator
from typing import Any

from sidecar.config.schema import Config, Exchange
from tests.config.conftest import Workshop, put


def test_what_is_the_only_one_need_not_be_named(workshop: Workshop) -> None:
    config = workshop.load().config
    route = config.routes[0]
    assert config.listener_of(route) == "default"
    assert config.issuers_of(route) == ("corp",)
    assert isinstance(route.exchange, Exchange)
    assert config.server_of(route.exchange) == "corp"
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
    assert config.server_of(route.exchange) == "partner"
    assert config.issuer_of(config.trusted_issuers["borrowed"]) == "https://partner.example.com"


def test_without_an_exchange_no_issuer_counts(workshop: Workshop) -> None:
    config = workshop.load_with("routes.0.exchange", "none").config
    assert config.issuers_of(config.routes[0]) == ()


def properties(schema: Any) -> Iterator[tuple[str, Any]]:
    for definition in [schema, *schema["$defs"].values()]:
        yield from definition.get("properties", {}).items()


def test_every_key_has_a_line_about_it() -> None:
    schema = Config.model_json_schema()
    assert all(definition["description"] for definition in schema["$defs"].values())
    for name, value in properties(schema):
        assert value.get("description") or value.get("$ref"), name  # left out where it equals the definition's


def test_the_schema_for_editors_writes_defaults_as_the_file_does() -> None:
    schema = Config.model_json_schema()
    defaults = {name: value.get("default") for name, value in schema["$defs"]["Drain"]["properties"].items()}
    assert defaults == {"delay": "5s", "grace": "20s"}
    assert {"const": "none", "type": "string"} in schema["$defs"]["Route"]["properties"]["exchange"]["oneOf"]
    assert all(not definition["additionalProperties"] for definition in schema["$defs"].values())
