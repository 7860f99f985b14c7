"""Metadata of routes, and what is wrong with it where a route asks for something else than it says."""

import json

import pytest

from tests.snapshot.conftest import PEERS, Folder


def text(
    metadata: str,
    *,
    match: str = "{hosts: [api.example.com, '*.orders.example'], path_prefix: /orders}",
    subject: str = "{}",
    exchange: str = "{audience: [orders-api]}",
    more: str = "",
) -> str:
    return f"""{PEERS}
routes:
  - name: orders
    match: {match}
    upstream: {{url: 'http://127.0.0.1:9000'}}
    subject: {subject}
    resource_metadata: {metadata}
    exchange: {exchange}
{more}"""


def test_a_document_of_a_route(folder: Folder) -> None:
    snapshot = folder.build(text("{resource: https://api.example.com/orders/v1}", subject="{require_scope: [b, a]}"))
    [((listener, place), by_host)] = snapshot.documents.items()
    assert (listener, place) == ("default", b"/.well-known/oauth-protected-resource/orders/v1")
    assert by_host == {"api.example.com": snapshot.routes["orders"].resource_metadata}
    assert json.loads(by_host["api.example.com"].document) == {
        "resource": "https://api.example.com/orders/v1",
        "authorization_servers": ["https://login.example"],
        "scopes_supported": ["b", "a"],
        "bearer_methods_supported": ["header"],
    }


def test_a_route_of_every_host_has_one_for_every_host(folder: Folder) -> None:
    snapshot = folder.build(text("{resource: https://anything.example}", match="{path_prefix: /}"))
    [by_host] = snapshot.documents.values()
    assert list(by_host) == [""]


@pytest.mark.parametrize(
    ("changed", "key", "why"),
    [
        ({"metadata": "{resource: https://other.example/orders}"}, ".resource", "its host is none of match.hosts"),
        ({"metadata": "{resource: https://orders.example/orders}"}, ".resource", "its host is none of match.hosts"),
        ({"metadata": "{resource: https://api.example.com/ordersx}"}, ".resource", "its path is none that the route"),
        ({"metadata": "{resource: https://api.example.com}"}, ".resource", "its path is none that the route takes"),
        (
            {"match": "{path: /orders}", "metadata": "{resource: https://api.example.com/orders/1}"},
            ".resource",
            "its path is none that the route takes",
        ),
        (
            {
                "subject": "{require_scope: [a, b, c]}",
                "metadata": "{resource: https://api.example.com/orders, scopes_supported: [b]}",
            },
            ".scopes_supported",
            "lacks a, c of subject.require_scope",
        ),
        ({"exchange": "none", "subject": "null"}, "", "has no effect on a route that asks for no caller's token"),
    ],
)
def test_what_is_not_true_of_its_route(folder: Folder, changed: dict[str, str], key: str, why: str) -> None:
    settings = {"metadata": "{resource: https://api.example.com/orders}", **changed}
    whole = text(settings.pop("metadata"), **settings).replace("    subject: null\n", "")
    [line] = folder.complaints(whole)
    assert f"routes.0.resource_metadata{key}: {why}" in line


@pytest.mark.threat("S73")
def test_another_header_than_the_metadata_says(folder: Folder) -> None:
    whole = text("{resource: https://api.example.com/orders}", subject="{header: X-Forwarded-Access-Token}")
    [line] = folder.complaints("gateway: {trusted_proxies: [10.0.0.1]}\n" + whole.lstrip())
    assert "says that the token goes into Authorization, and subject.header is another field" in line


OTHER = """
  - name: other
    match: {match}
    upstream: {url: 'http://127.0.0.1:9000'}
    {subject}
    resource_metadata: {resource: 'https://api.example.com/orders'}
    exchange: {audience: [orders-api]}
"""


@pytest.mark.parametrize(
    ("match", "subject", "told"),
    [
        ("{hosts: [api.example.com], path_prefix: /orders, methods: [POST]}", "", 0),
        ("{hosts: [api.example.com], path_prefix: /orders, methods: [POST]}", "subject: {require_scope: [a]}", 1),
        ("{path_prefix: /orders}", "subject: {require_scope: [a]}", 0),  # it is another host's, or none's
    ],
)
def test_two_routes_of_one_resource_say_the_same(folder: Folder, match: str, subject: str, told: int) -> None:
    more = OTHER.replace("{match}", match).replace("{subject}", subject)
    whole = text("{resource: 'https://api.example.com/orders'}", more=more)
    if told:
        [line] = folder.complaints(whole)
        assert "routes.1.resource_metadata.resource: route orders says something else of itself" in line
    else:
        assert folder.build(whole).documents
