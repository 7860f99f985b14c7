from typing import Any

import pytest

from tests.commands.lint.conftest import VALID, Desk, Lints, route

SERVER = VALID["authorization_servers"]["corp"]
ISSUER = VALID["trusted_issuers"]["corp"]


def with_server(**changes: Any) -> dict[str, Any]:
    return {"authorization_servers": {"corp": {**SERVER, **changes}}}


@pytest.mark.parametrize(
    ("sections", "path"),
    [
        ({"cache": {"max_lifetime": "61m"}}, "cache.max_lifetime"),
        ({"cache": {"max_lifetime": "60m"}}, None),
        (with_server(default_lifetime="301s"), "authorization_servers.corp.default_lifetime"),
        (with_server(default_lifetime="5m"), None),
    ],
)
def test_long_lifetimes(lints: Lints, sections: dict[str, Any], path: str | None) -> None:
    assert lints(**sections) == ([("long-lifetime", path)] if path else [])


@pytest.mark.parametrize(
    ("sections", "path"),
    [
        (with_server(issuer="http://a.example", allow_plain_http=True), "authorization_servers.corp.allow_plain_http"),
        (
            {"trusted_issuers": {"corp": {**ISSUER, "issuer": "http://a.example", "allow_plain_http": True}}},
            "trusted_issuers.corp.allow_plain_http",
        ),
        (
            {
                "approvers": {"desk": {"opa": {"url": "http://opa.example/"}, "allow_plain_http": True}},
                "accept": {"unused": "it is looked at alone"},
            },
            "approvers.desk.allow_plain_http",
        ),
        (with_server(allow_plain_http=False), None),
    ],
)
def test_peers_in_the_clear(lints: Lints, sections: dict[str, Any], path: str | None) -> None:
    assert lints(**sections) == ([("plain-http", path)] if path else [])


def test_a_client_that_anybody_could_be(lints: Lints) -> None:
    found = lints(**with_server(client_auth={"method": "none", "client_id": "gateway"}))
    assert found == [("unauthenticated-client", "authorization_servers.corp.client_auth.method")]


def test_what_no_route_uses(desk: Desk) -> None:
    sections = {
        "gateway": {"listeners": {"in": {"listen": "127.0.0.1:1"}, "out": {"listen": "127.0.0.1:2"}}},
        "trusted_issuers": {
            "corp": ISSUER,
            "old": {**ISSUER, "issuer": "https://old.example"},
            "borrowed": {"authorization_server": "other", "audience": ["gateway"]},
        },
        "authorization_servers": {
            "corp": SERVER,
            "other": {**SERVER, "issuer": "https://other.example"},
            "left": {**SERVER, "issuer": "https://left.example"},
        },
        "approvers": {
            "desk": {"opa": {"url": "http://127.0.0.1:1/"}},
            "idle": {"authzen": {"url": "https://pdp.example"}},
        },
        "workload_tokens": {"agent": {"file": "secret", "type": "jwt"}, "spare": {"file": "secret", "type": "jwt"}},
    }
    exchange = {"audience": ["a"], "authorization_server": "corp", "actor_token": "agent"}
    using = route("orders", "/", listener="in", subject={"issuers": ["corp", "borrowed"]}, exchange=exchange)
    using["approval"] = {"by": "desk"}
    assert desk.lints(using, **sections) == [
        ("unused", "approvers.idle"),
        ("unused", "authorization_servers.left"),
        ("unused", "gateway.listeners.out"),
        ("unused", "trusted_issuers.old"),
        ("unused", "workload_tokens.spare"),
    ]


def test_nobody_is_decided_on(lints: Lints) -> None:
    probe = route("probe", "=/healthz", exchange="none", listener="default")
    sections: dict[str, Any] = {
        "trusted_issuers": {},
        "authorization_servers": {},
        "gateway": {"listen": "127.0.0.1:1"},
        "decision": {"listen": "127.0.0.1:2", "form": "envoy"},
    }
    assert lints(probe, **sections) == [("unused", "decision")]
    there = route("there", "=/healthz", exchange="none", listener="decision")
    assert lints(probe, there, **sections) == []


def test_without_any_exchange_nobody_is_needed(lints: Lints) -> None:
    assert lints(route("probe", "=/healthz", exchange="none")) == [
        ("unused", "authorization_servers.corp"),
        ("unused", "trusted_issuers.corp"),
    ]


def test_an_include_without_files(desk: Desk) -> None:
    include = [{"name": "a", "files": "teams/a/*.yaml", "allow": {"path_prefixes": ["/a"], "hosts": ["*"]}}]
    assert desk.lints(include=include) == [("empty-glob", "include.0.files")]
    (desk.folder / "teams" / "a").mkdir(parents=True)
    (desk.folder / "teams" / "a" / "routes.yaml").write_text("routes: []\n")
    assert desk.lints(include=include) == []


def test_what_only_a_token_of_ours_needs_is_used(desk: Desk) -> None:
    sections = {
        "gateway": {"listen": "127.0.0.1:1", "trusted_proxies": ["10.0.0.1"]},
        "trusted_issuers": {"corp": ISSUER, "hops": {**ISSUER, "issuer": "https://hops.example"}},
        "authorization_servers": {"corp": SERVER, "giving": {**SERVER, "issuer": "https://giving.example"}},
        "workload_tokens": {
            "own": {"client_credentials": {"authorization_server": "giving"}},
            "borne": {"header": "X-Agent", "issuer": "hops"},
        },
    }
    exchange = {"audience": ["a"], "authorization_server": "corp", "subject_token": "own", "actor_token": "borne"}
    using = route("orders", "/", subject={"issuers": ["corp"]}, exchange=exchange)
    assert not [found for found in desk.lints(using, **sections) if found[0] == "unused"]
