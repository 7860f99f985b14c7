from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from sidecar.config.schema import Exchange, Expect, Match, Route, Subject, Upstream, mcp
from sidecar.config.teams.house import _KEYS, ANY_NAME
from tests.config.teams.writing import Teams, route

#: Keys that reach beyond a team's own routes.
PLATFORMS = {
    Upstream: {"tls", "token_header", "websocket_max_lifetime"},
    Subject: {"header"},
    Exchange: {"actor_token"},
}


BOUNDED = "a team's issued tokens are good for what is known only"


@pytest.fixture
def teams(tmp_path: Path) -> Teams:
    return Teams(tmp_path)


def said(teams: Teams, **changes: Any) -> str:
    """What is said of one route after a change, without its place."""
    teams.include("a", route(**changes))
    (line,) = teams.complaints()
    file, path, message = line.split(": ", 2)
    assert file.startswith("a/routes.yaml:")
    return f"{path.removeprefix('routes.0.')}: {message}"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"match__hosts": ["b.example.com"]}, "match.hosts.0: b.example.com is not among the hosts"),
        ({"match__path_prefix": "/ab"}, "match.path_prefix: /ab is not among the path_prefixes"),
        ({"upstream__url": "http://127.0.0.1:1/x"}, "upstream.url: http://127.0.0.1:1/x is not among the upstreams"),
        ({"exchange__audience": ["a-x", "b-x"]}, "exchange.audience.1: b-x is not among the audiences"),
        ({"exchange__resource": ["urn:b"]}, "exchange.resource.0: urn:b is not among the audiences"),
        ({"exchange__scope": ["b.read"]}, "exchange.scope.0: b.read is not among the scopes"),
        ({"exchange__expect": {"extra_scope": ["b.x"]}}, "exchange.expect.extra_scope.0: b.x is not among the scopes"),
        ({"exchange__expect": {"audience": ["b"]}}, "exchange.expect.audience.0: b is not among the audiences"),
        ({"exchange__audience": ["\u2603" * 90]}, 'exchange.audience.0: "\\u2603\\u2603'),
    ],
)
def test_whose_house_it_is_and_where_that_is_written(teams: Teams, changes: dict[str, Any], message: str) -> None:
    whole = said(teams, **changes)
    assert whole.startswith(message)
    assert "that include 'a' allows (sidecar.yaml:1)" in whole


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"upstream__tls": None}, "upstream.tls: only the platform's file may have this key"),
        ({"upstream__token_header": "X-T"}, "upstream.token_header: only the platform's file may have this key"),
        (
            {"exchange__expect": {"audience": "any"}},
            "exchange.expect.audience: should be asked, or a list; " + BOUNDED,
        ),
        (
            {"exchange__audience": [], "exchange__resource": []},
            (
                "exchange.audience: none is named, so the authorization server would choose; "
                "or else list what is right in expect.audience"
            ),
        ),
        ({"exchange__expect": {"scope": "any"}}, "exchange.expect.scope: should be asked, or a list; " + BOUNDED),
        (
            {"exchange__requested_token_type": "refresh_token"},
            "exchange.requested_token_type: a team's upstreams get an access_token or a jwt, nothing else",
        ),
        (
            {"match__headers": {"X-T": "${HOME}"}},
            "match.headers.X-T: team files take nothing from the environment: ${ has no place in them",
        ),
    ],
)
def test_what_no_team_may_say(teams: Teams, changes: dict[str, Any], message: str) -> None:
    assert said(teams, **changes) == message


@pytest.mark.parametrize(
    ("listen", "upstream", "ours"),
    [
        ("127.0.0.1:9090", "http://localhost:9090", True),
        ("[::]:9090", "http://127.0.0.1:9090", True),
        ("0.0.0.0:9090", "http://orders.svc:9090", False),
        ("0.0.0.0:9090", "http://localhost:9091", False),
        ("10.0.0.1:9090", "http://10.0.0.1:9090", True),
        ("10.0.0.1:9090", "http://10.0.0.2:9090", False),
        ("unix:/run/x.sock", "unix:/run/x.sock", True),
        ("unix:/run/x.sock", "http://localhost:9090", False),
    ],
)
def test_the_gateway_itself_is_no_upstream(teams: Teams, listen: str, upstream: str, ours: bool) -> None:
    teams.platform["gateway"] = {"listen": listen}
    teams.platform["admin"] = {"listen": "127.0.0.1:1"}
    changes: dict[str, Any] = {"upstream__url": upstream, "upstream__allow_plain_http": True}
    teams.include("a", route(**changes), upstreams=[upstream])
    assert [line.rpartition(": ")[2] for line in teams.complaints()] == ["the gateway itself listens there"] * ours


def test_hosts_left_out_are_any_host(teams: Teams) -> None:
    anywhere = route()
    del anywhere["match"]["hosts"]
    teams.include("a", anywhere)
    (line,) = teams.complaints()
    assert line.endswith("match.hosts: missing; include 'a' does not allow every host (sidecar.yaml:1)")
    teams.platform["include"][0]["allow"]["hosts"] = ["*"]
    assert teams.names() == ["orders", "a/orders"]


def test_a_server_left_out_is_the_only_one(teams: Teams) -> None:
    teams.include("a", route(), authorization_servers=[])
    (line,) = teams.complaints()
    assert "corp is not among the authorization_servers that include 'a' allows" in line


def test_without_an_exchange_none_is_judged(teams: Teams) -> None:
    teams.include("a", route(exchange="none"), authorization_servers=[], audiences=[], scopes=[])
    assert teams.names() == ["orders", "a/orders"]


def test_what_an_issued_token_is_good_for_may_be_listed(teams: Teams) -> None:
    listed = {"audience": [], "scope": [], "expect": {"audience": ["a-orders"], "scope": ["a.read"]}}
    teams.include("a", route(exchange=listed))
    assert teams.names() == ["orders", "a/orders"]


def test_a_teams_operations_are_judged_as_the_platforms(teams: Teams) -> None:
    assert said(teams, mcp={}, upstream__websocket=True).startswith("upstream.websocket: should be false beside mcp")


@pytest.mark.parametrize("kind", ["tools", "methods"])
def test_an_operation_asks_for_scopes_that_are_allowed(teams: Teams, kind: str) -> None:
    asked = {kind: {"a/b": {"scope": ["a.read", "b.read"], "acr_values": ["mfa"], "max_age": "1m"}}}
    assert said(teams, mcp=asked).startswith(f"mcp.{kind}.a/b.scope.1: b.read is not among the scopes")
    asked[kind]["a/b"]["scope"] = ["a.read"]
    teams.write("a", route(mcp={**asked, "default": "allow", "allowed_origins": ["https://app.example"]}))
    assert teams.complaints() == []


@pytest.mark.parametrize(
    "section", [Route, Match, Upstream, Subject, Exchange, Expect, mcp.Operations, mcp.Operation, mcp.OperationApproval]
)
def test_every_key_is_a_teams_or_the_platforms(section: Any) -> None:
    """One that comes to the schema is the platform's, until it is thought about."""
    keys = {
        Route: _KEYS,
        Match: _KEYS["match"],
        Upstream: _KEYS["upstream"],
        Subject: _KEYS["subject"],
        Exchange: _KEYS["exchange"],
        Expect: _KEYS["exchange"]["expect"],
        mcp.Operations: _KEYS["mcp"],
        mcp.Operation: _KEYS["mcp"]["tools"][ANY_NAME],
        mcp.OperationApproval: _KEYS["mcp"]["tools"][ANY_NAME]["approval"],
    }[section]
    known = {key.name for key in fields(section)}
    assert set(keys) <= known
    assert PLATFORMS.get(section, set()) <= known - set(keys)


@pytest.mark.parametrize("key", ["audience", "scope"])
def test_what_an_issued_token_is_good_for_is_never_left_open(teams: Teams, key: str) -> None:
    open_one = route()
    del open_one["exchange"][key]
    teams.include("a", open_one)
    (line,) = teams.complaints()
    assert f"routes.0.exchange.{key}: none is named, so the authorization server would choose" in line


def test_each_issuers_server_is_one_that_is_allowed(teams: Teams) -> None:
    for section in ("trusted_issuers", "authorization_servers"):
        own = teams.platform[section]["corp"]
        teams.platform[section]["partner"] = {**own, "issuer": "https://partner.example"}
    teams.platform["routes"][0]["exchange"] = "none"
    chosen = {"by_issuer": {"corp": "corp", "partner": "partner"}}
    changes: dict[str, Any] = {"exchange__authorization_server": chosen, "subject": {"issuers": ["corp", "partner"]}}
    found = "exchange.authorization_server.by_issuer.partner: partner is not among the authorization_servers"
    assert said(teams, **changes).startswith(found)
    chosen["by_issuer"]["partner"] = "corp"
    teams.write("a", route(**changes))
    assert teams.complaints() == []
