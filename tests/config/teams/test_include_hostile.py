"""Team files written to get out of the house: whatever is accepted, an independent and slow look finds no way out."""

import json
import posixpath
import re
from collections.abc import Iterator
from copy import deepcopy
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from sidecar.config.load import load
from sidecar.config.problems import ConfigError
from sidecar.model.refusal import Refused
from sidecar.model.request import RequestHead
from sidecar.model.route import Route
from sidecar.observe.metrics import Metrics
from sidecar.routing.table import Table
from sidecar.snapshot import build
from tests.config.conftest import put
from tests.routing.builders import request

ALLOW = {
    "hosts": ["a.example.com", "*.a.example.com", "shared.example.com"],
    "path_prefixes": ["/a", "/shared"],
    "authorization_servers": ["corp"],
    "audiences": ["a-*", "https://api.example.com/a/*"],
    "scopes": ["a.*"],
    "upstreams": ["http://127.0.0.1:*", "https://*.a.svc:8443/base/*"],
}
PLATFORM: dict[str, Any] = {
    "version": 1,
    "gateway": {
        "listeners": {"in": {"listen": "127.0.0.1:8080"}, "out": {"listen": "127.0.0.1:8081"}},
        "trusted_proxies": ["10.0.0.0/8"],
    },
    "admin": {"listen": "127.0.0.1:9090"},
    "trusted_issuers": {"corp": {"issuer": "https://login.example.com", "audience": ["gateway"]}},
    "authorization_servers": {
        "corp": {"issuer": "https://login.example.com", "client_auth": {"method": "none"}},
        "vault": {"issuer": "https://vault.example.com", "client_auth": {"method": "none"}},
    },
    "workload_tokens": {"self": {"file": "token", "type": "jwt"}},
    "include": [
        {"name": "a", "files": "a.yaml", "allow": ALLOW},
        {"name": "b", "files": "b.yaml", "allow": {**ALLOW, "hosts": ["b.example.com", "shared.example.com"]}},
    ],
    "routes": [
        {
            "name": name,
            "listener": "in",
            "match": match,
            "upstream": {"url": "http://127.0.0.1:9100"},
            "exchange": {"authorization_server": "vault", "audience": ["vault"]},
        }
        for name, match in {
            "admin": {"path_prefix": "/a/admin"},
            "reports": {"hosts": ["a.example.com"], "path": "/a/reports/{id}", "methods": ["GET"]},
            "odd": {"hosts": ["*.example.com"], "path_prefix": "/a/odd", "allow": ["encoded-slash", "empty-segment"]},
            "other": {"hosts": ["api.example.com"], "path_prefix": "/"},
        }.items()
    ],
}
GOOD: dict[str, Any] = {
    "name": "orders",
    "listener": "in",
    "match": {"hosts": ["a.example.com"], "path_prefix": "/a/orders"},
    "upstream": {"url": "http://127.0.0.1:9000"},
    "exchange": {"authorization_server": "corp", "audience": ["a-orders"], "scope": ["a.read"]},
}
NEIGHBOUR: dict[str, Any] = {
    **deepcopy(GOOD),
    "match": {"hosts": ["b.example.com", "shared.example.com"], "path_prefix": "/shared/b"},
}

#: Where a team may write, and what it may try there: some of it allowed, most of it not.
TRICKS: dict[str, list[object]] = {
    "name": ["orders", "../b/orders", "b/orders", "none", "x" * 64, "a/orders", "/"],
    "listener": ["in", "out", "admin", None],
    "match.hosts": [
        ["a.example.com"],
        ["A.Example.COM"],
        ["x.a.example.com", "*.y.a.example.com"],
        ["shared.example.com"],
        ["b.example.com"],
        ["*.example.com"],
        ["*.com"],
        ["*"],
        ["a.example.com."],
        ["a.example.com:80"],
        ["a.example.com", "api.example.com"],
        ["a.example.com@b.example.com"],
        ["xa.example.com"],
        ["127.1"],
        [],
        None,
        "a.example.com",
    ],
    "match.path_prefix": [
        "/",
        "/a",
        "/ab",
        "/a/",
        "/a/x",
        "/a/..",
        "/%61",
        "/A",
        "/a%2Fb",
        "/a/admin",
        "/a/odd/x",
        None,
    ],
    "match.path": [
        "/{x}",
        "/a",
        "/a/",
        "/a/{x}",
        "/{x}/a",
        "/a/{x}/{y}",
        "/a/reports/1",
        "/a/reports/{id}",
        "/a/../b",
        "/a/%2e%2e/b",
        "/a/..;/b",
        "/a//b",
        "/a/admin/keys",
        "/a;x/b",
        "/a%2Fodd",
        "//a",
        "a",
        "/shared/b/{x}",
        None,
    ],
    "match.methods": [["GET"], ["POST"], ["OPTIONS"], ["CONNECT"], None],
    "match.headers": [{"X-T": "1"}, {"Host": "b.example.com"}, {"x-t": "1", "X-T": "2"}, None],
    "match.allow": [["encoded-slash"], ["empty-segment"], ["path-parameters", "encoded-slash", "empty-segment"], None],
    "upstream.url": [
        "http://127.0.0.1:1",
        "http://127.0.0.1",
        "http://127.0.0.1:9000/",
        "http://127.0.0.1:9000/x",
        "http://127.0.0.1:9000@evil.example",
        "http://127.0.0.1:9000?x",
        "http://127.0.0.1:9090",
        "http://127.0.0.1:8080",
        "http://127.0.0.2:9000",
        "http://localhost:9000",
        "http://2130706433:9000",
        "http://127.0.0.1.evil.example:9000",
        "https://127.0.0.1:9000",
        "http://[::1]:9000",
        "unix:/run/docker.sock",
        "https://x.a.svc:8443/base",
        "https://x.a.svc:8443/base/x",
        "https://x.a.svc:8443/base/%2e%2e/x",
        "https://x.a.svc:8443/base/..;/x",
        "https://x.a.svc:8443/base/..%2fx",
        "https://x.a.svc:8443/basement",
        "https://x.a.svc:8443/",
        "https://x.a.svc/base",
        "https://a.svc:8443/base",
        "https://xa.svc:8443/base",
        "https://*.a.svc:8443/base",
        "HTTP://127.0.0.1:9000",
        "http://127.0.0.1:*",
        ["http://127.0.0.1:9000"],
    ],
    "upstream.strip_prefix": [True],
    "upstream.preserve_host": [True],
    "upstream.token_header": ["X-Request-Tenant", "Authorization"],
    "upstream.allow_plain_http": [True],
    "upstream.tls": [{"ca_file": "token"}, {"server_name": "b.svc"}, {}, None],
    "subject.header": ["X-Tenant"],
    "subject.issuers": [["corp"], ["vault"], []],
    "subject.max_actor_depth": [32],
    "subject.require_claims": [{"sub": "${HOME}"}, {"sub": "x"}],
    "exchange.authorization_server": ["corp", "vault", "c*", None, ["corp"], {"by_issuer": {"corp": "vault"}}],
    "exchange.audience": [
        ["a-orders", "a-*"],
        ["a-orders b-orders"],
        ["b-orders"],
        ["a-orders", "vault"],
        ["https://api.example.com/a/x"],
        ["https://api.example.com/a/../b"],
        ["https://api.example.com/ab"],
        ["A-orders"],
        ["*"],
        [],
        "a-orders",
        None,
    ],
    "exchange.resource": [
        ["https://api.example.com/a/x"],
        ["https://api.example.com/b"],
        ["https://api.example.com/a/../b"],
        ["https://api.example.com/a/%2e%2e/b"],
    ],
    "exchange.scope": [["a.read"], ["a.read", "b.read"], ["a.*"], ["*"], ["a"], [], None],
    "exchange.requested_token_type": [
        "jwt",
        "access_token",
        "refresh_token",
        "id_token",
        "urn:ietf:params:oauth:token-type:refresh_token",
    ],
    "exchange.actor_token": ["self"],
    "exchange.semantics": ["any", "delegation", "impersonation"],
    "exchange.expect.audience": ["any", "asked", ["a-x"], ["vault"], []],
    "exchange.expect.extra_audience": [["a-y"], ["vault"]],
    "exchange.expect.scope": ["any", "asked", ["a.x"], ["b.x"], []],
    "exchange.expect.extra_scope": [["a.y"], ["b.y"]],
    "exchange.expect.subject": ["any", "same"],
    "exchange": ["none", None, {}],
    "gateway": [{}],
}
FIRST = ("exchange",)  # replaces what others would write into


def write(route: Any, path: str, value: object) -> None:
    if value is None and path != "exchange":
        *parents, last = path.split(".")
        for step in parents:
            route = route.get(step) if isinstance(route, dict) else None
        if isinstance(route, dict):
            route.pop(last, None)
        return
    if path.startswith("exchange.") and not isinstance(route.get("exchange"), dict):
        return
    if path == "match.path":
        route["match"].pop("path_prefix", None)
    put(route, path, value)


@st.composite
def team_routes(draw: st.DrawFn) -> list[dict[str, Any]]:
    routes = []
    for number in range(draw(st.integers(1, 2))):
        route = deepcopy(GOOD) | {"name": f"r{number}"}
        route["match"]["path_prefix"] = f"/a/r{number}"
        tricks = draw(st.lists(st.sampled_from(sorted(TRICKS)), max_size=4, unique=True))
        for path in sorted(tricks, key=lambda path: path not in FIRST):
            write(route, path, deepcopy(draw(st.sampled_from(TRICKS[path]))))
        routes.append(route)
    return routes


class World:
    """The platform's file, with the neighbour's; and what it serves without team a."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "token").write_text("secret")
        (directory / "routes.yaml").write_text(json.dumps(PLATFORM))
        (directory / "b.yaml").write_text(json.dumps({"routes": [NEIGHBOUR]}))
        self.without = self.routes([])

    def routes(self, team: list[dict[str, Any]]) -> dict[str, Route] | None:
        """Compile everything with a team's routes; None where they are refused."""
        (self.directory / "a.yaml").write_text(json.dumps({"routes": team}))
        try:
            snapshot = build(load(self.directory / "routes.yaml"), Metrics("test"))
        except ConfigError:
            return None
        return dict(snapshot.routes)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with TemporaryDirectory() as directory:
        yield World(Path(directory))


HOSTS = [
    "a.example.com",
    "x.a.example.com",
    "b.example.com",
    "shared.example.com",
    "api.example.com",
    "evil",
    "xa.example.com",
    "example.com",
]
PATHS = [
    *(
        b"/",
        b"/a",
        b"/a/",
        b"/ab",
        b"/a/r0",
        b"/a/r0/x",
        b"/a/r1",
        b"/a/orders",
        b"/a/x",
        b"/a/x/y",
        b"/A",
        b"/%61/x",
        b"/b",
    ),
    *(
        b"/a/admin",
        b"/a/admin/keys",
        b"/a/reports/1",
        b"/a/odd",
        b"/a/odd/x",
        b"/shared/b",
        b"/shared/b/x",
        b"/shared/x",
    ),
    *(
        b"/a%2Fodd",
        b"/a/odd%2Fx",
        b"/a//odd",
        b"/a/x%2Fy",
        b"/a/x;y",
        b"/a;x/b",
        b"/a/r0%2Fx",
        b"/a/r0//x",
        b"/a/r0/;x",
    ),
    *(b"/a/%2e%2e/b", b"/a/..;/b", b"/a/x%2F..%2F..%2Fb", b"/{x}", b"/x/a"),
]
REQUESTS = [
    request(path, method=method, host=host, fields=fields, listener=listener)
    for path, method, host, fields, listener in product(
        PATHS, ["GET", "POST", "OPTIONS"], HOSTS, [(), ((b"x-t", b"1"),)], ["in", "out"]
    )
]


def served(table: Table, head: RequestHead) -> str:
    """The route, or why none."""
    try:
        return table.match(head).name
    except Refused as refused:
        return f"{refused.refusal.kind}: {refused.refusal.finding or ''}"


def plain_paths(path: bytes) -> Iterator[str]:
    """What the most obliging upstreams make of a path."""
    text = unquote(path.decode())
    for way in (text, re.sub(r";[^/]*", "", text), re.sub(r"//+", "/", text)):
        yield posixpath.normpath(way)


def inside(head: RequestHead) -> bool:
    hosts = re.fullmatch(r"(.+\.)?a\.example\.com|shared\.example\.com", head.host)
    return hosts is not None and all(re.match(r"/(a|shared)(/|$)", way) for way in plain_paths(head.path))


AUDIENCE = re.compile(r"a-[^ *]*|https://api\.example\.com/a/(?:(?!\.\.)[^ *%])*")
SCOPE = re.compile(r"a\.[^ *]*")


def look(route: Route) -> None:
    """What a team's route reaches, by the words of its include's ``allow`` and nothing of the code that judged it."""
    upstream, exchange = route.upstream, route.exchange
    assert upstream.unix_path is None
    if upstream.tls is None:
        assert (upstream.host, upstream.base_path) == ("127.0.0.1", b"")
        assert upstream.port not in (8080, 8081, 9090)
    else:
        assert upstream.host is not None
        assert re.fullmatch(r"[a-z]+\.a\.svc", upstream.host)
        assert upstream.port == 8443
        assert re.fullmatch(rb"/base(/[a-z]+)?", upstream.base_path)
        assert (upstream.tls.ca_file, upstream.tls.cert_file, upstream.tls.server_name) == (None, None, None)
    assert upstream.token_header == b"Authorization"
    assert route.subject.header == "authorization"
    if exchange is None:
        return
    assert exchange.authorization_server == "corp"
    assert exchange.actor_token is None
    assert exchange.requested_token_type in (
        None,
        *(f"urn:ietf:params:oauth:token-type:{t}" for t in ("access_token", "jwt")),
    )
    expected = exchange.expect
    assert expected.audience.allowed is not None
    assert expected.scope.allowed is not None
    for audience in (*exchange.audience, *exchange.resource, *expected.audience.allowed):
        assert AUDIENCE.fullmatch(audience)
    for scope in (*exchange.scope, *expected.scope.allowed):
        assert SCOPE.fullmatch(scope)


def examine(world: World, compiled: dict[str, Route]) -> None:
    """Nothing of a team's leads out of its house, and nothing of anybody else's is as it would not be without."""
    assert world.without is not None
    before, after = Table(tuple(world.without.values())), Table(tuple(compiled.values()))
    for name, route in compiled.items():
        if name.startswith("a/"):
            look(route)
        else:
            assert route == world.without[name]
    for head in REQUESTS:
        now = served(after, head)
        if now.startswith("a/"):
            assert inside(head), (now, head.host, head.path)
        then = served(before, head)
        if then in world.without or "upstream may read" in then:
            assert now == then, (head.host, head.path, head.method)


@settings(max_examples=250, deadline=None)
@given(team_routes())
def test_no_file_finds_a_way_out(world: World, team: list[dict[str, Any]]) -> None:
    if (compiled := world.routes(team)) is not None:
        examine(world, compiled)


def test_the_generator_has_both_kinds(world: World) -> None:
    """Else what is said of accepted files would be said of none."""
    assert find(team_routes(), lambda team: world.routes(team) is None)
    accepted = find(team_routes(), lambda team: len(team) == 2 and world.routes(team) is not None)
    assert world.routes([*accepted, accepted[0]]) is None


@pytest.mark.parametrize(
    ("path", "accepted"),
    [
        ("match.hosts", [0, 1, 2, 3]),
        ("match.path_prefix", [4]),
        ("match.path", [1, 2, 7, 17, 18]),
        ("upstream.url", [0, 1, 2, 15, 16]),
        ("exchange.audience", [4]),
        ("exchange.resource", [0]),
        ("exchange.scope", [0]),
        ("exchange.requested_token_type", [0, 1]),
        ("exchange.authorization_server", [0]),
        ("exchange.actor_token", []),
        ("exchange.expect.audience", [1, 2, 4]),
        ("exchange.expect.extra_audience", [0]),
        ("exchange.expect.scope", [1, 2, 4]),
        ("exchange.expect.extra_scope", [0]),
        ("exchange", [0]),
        ("upstream.tls", [3]),
        ("upstream.token_header", []),
        ("subject.header", []),
        ("subject.issuers", [0, 2]),
        ("subject.require_claims", [1]),
        ("name", [0, 1, 2, 5, 6]),
        ("listener", [0, 1]),
        ("gateway", []),
    ],
)
def test_each_trick_alone(world: World, path: str, accepted: list[int]) -> None:
    taken = []
    for number, value in enumerate(TRICKS[path]):
        route = deepcopy(GOOD)
        write(route, path, deepcopy(value))
        if (compiled := world.routes([route])) is not None:
            examine(world, compiled)
            taken.append(number)
    assert taken == accepted, [TRICKS[path][number] for number in taken]
