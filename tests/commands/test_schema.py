import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from sidecar.__main__ import main
from sidecar.commands.schema import document

ROUTE = {
    "name": "orders",
    "match": {"path": "/orders"},
    "upstream": {"url": "http://127.0.0.1:1"},
    "exchange": {"audience": ["a"]},
}


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    return Draft202012Validator(document())


def nodes(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        yield part
        for member in part.values():
            yield from nodes(member)
    elif isinstance(part, list):
        for item in part:
            yield from nodes(item)


def test_it_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == document()


def test_it_is_a_json_schema_with_a_name() -> None:
    schema = document()
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"].startswith("urn:token-exchange-sidecar:")
    assert schema["title"]
    assert not any("discriminator" in node for node in nodes(schema))


def test_every_key_is_described() -> None:
    schema = document()
    sections = [schema, *schema["$defs"].values()]
    assert len(sections) > 20
    for section in sections:
        assert section["description"]
        for name, key in section["properties"].items():
            described = key if "description" in key else schema["$defs"][key["$ref"].rpartition("/")[2]]
            assert described["description"], name


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"gateway": {"drain": {"grace": "20s"}, "max_body_bytes": None, "max_header_bytes": 4096}},
        {"gateway": {"drain": {"grace": "${GRACE}"}, "max_header_bytes": "${SIZE}"}},
        {"receipts": {"uses": "${USES}"}},
        {"routes": [{**ROUTE, "exchange": "none", "accept": {"exchange-none": "public"}}]},
        {"routes": [{**ROUTE, "subject": {"require_claims": {"a.b": ["x", 1], "c": True}}}]},
        {"routes": [{**ROUTE, "exchange": {"expect": {"audience": "any", "scope": ["x"]}}}]},
        {"authorization_servers": {"a": {"client_auth": {"method": "none"}, "dialect": "${DIALECT}"}}},
    ],
)
def test_what_fits(validator: Draft202012Validator, sections: dict[str, Any]) -> None:
    file = {"version": 1, "routes": [ROUTE], **sections}
    assert [error.message for error in validator.iter_errors(file)] == []


@pytest.mark.parametrize(
    "sections",
    [
        {"version": 2},
        {"gatway": {}},
        {"gateway": {"drain": {"grace": "20"}}},
        {"gateway": {"drain": {"grace": "$GRACE"}}},
        {"gateway": {"drain": {"grace": "20s "}}},
        {"gateway": {"max_in_flight": 0}},
        {"receipts": {"uses": "some"}},
        {"accept": {"exchange-none": "about a route"}},
        {"routes": [{**ROUTE, "exchange": "nothing"}]},
        {"routes": [{**ROUTE, "accept": {"exchange-nothing": "why"}}]},
        {"routes": [{**ROUTE, "accept": {"exchange-none": None}}]},
        {"routes": [{**ROUTE, "exchange": {"expect": {"audience": "some"}}}]},
        {"authorization_servers": {"a": {"client_auth": {"method": "private_key_jwt", "client_secret_file": "x"}}}},
    ],
)
def test_what_does_not(validator: Draft202012Validator, sections: dict[str, Any]) -> None:
    assert not validator.is_valid({"version": 1, "routes": [ROUTE], **sections})
