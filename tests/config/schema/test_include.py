from dataclasses import fields

import pytest
from pydantic import ValidationError

from sidecar.config.schema.include import Allow, Include, PublishedHouse
from tests.config.conftest import read


def test_a_key_left_out_allows_nothing() -> None:
    include = read(Include, {"name": "a", "files": "a.yaml"})
    assert include.on_error == "reject"
    assert all(getattr(include.allow, key.name) == () for key in fields(Allow))


def test_entries_are_read() -> None:
    allow = read(Allow, {"hosts": ["A.example.com", "*"], "upstreams": ["http://127.0.0.1:*"], "scopes": ["a.*"]})
    assert allow.hosts == ("a.example.com", "*")
    assert allow.upstreams[0].text == "http://127.0.0.1:*"
    assert allow.scopes == ("a.*",)


@pytest.mark.parametrize(
    "wrong",
    [
        {"hosts": "a.example.com"},
        {"hosts": ["a.example.com:80"]},
        {"path_prefixes": ["a"]},
        {"path_prefixes": ["/a/"]},
        {"audiences": ["a*b"]},
        {"scopes": ["a b"]},
        {"upstreams": ["*"]},
        {"upstreams": [1]},
        {"listeners": ["in"]},
    ],
)
def test_what_is_no_entry_is_refused(wrong: object) -> None:
    with pytest.raises(ValidationError):
        read(Allow, wrong)


def test_a_published_house_has_a_listener() -> None:
    with pytest.raises(ValidationError):
        read(PublishedHouse, {"version": 1, "include": {"name": "a"}, "listeners": []})
