import json

import pytest

from sidecar.model.resource_metadata import ResourceMetadata


@pytest.mark.parametrize(
    ("resource", "url", "host", "path"),
    [
        (
            "https://api.example.com/payments",
            "https://api.example.com/.well-known/oauth-protected-resource/payments",
            "api.example.com",
            "/payments",
        ),
        (
            "https://API.example.com:8443/v1/mcp/",
            "https://API.example.com:8443/.well-known/oauth-protected-resource/v1/mcp/",
            "api.example.com",
            "/v1/mcp/",
        ),
        ("https://a.example", "https://a.example/.well-known/oauth-protected-resource", "a.example", "/"),
        # RFC 9728 §3.1: a slash right behind the host is removed first.
        ("https://a.example/", "https://a.example/.well-known/oauth-protected-resource", "a.example", "/"),
        ("http://[::1]:80/x", "http://[::1]:80/.well-known/oauth-protected-resource/x", "::1", "/x"),
    ],
)
def test_where_it_is(resource: str, url: str, host: str, path: str) -> None:
    metadata = ResourceMetadata(resource, ("https://login.example",), ("a",))
    assert (metadata.url, metadata.host, metadata.path) == (url, host, path)
    assert metadata.url.endswith(metadata.place.decode())


def test_what_it_says() -> None:
    metadata = ResourceMetadata("https://a.example/x", ("https://one.example", "https://two.example"), ("b", "a"))
    assert json.loads(metadata.document) == {
        "resource": "https://a.example/x",
        "authorization_servers": ["https://one.example", "https://two.example"],
        "scopes_supported": ["b", "a"],
        "bearer_methods_supported": ["header"],
    }
    assert "scopes_supported" not in json.loads(ResourceMetadata("https://a.example/x", ("https://o",), ()).document)
