"""What ``explain`` tells of a request, step by step, and what its exit status says."""

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.commands import explain
from tests.support.canary import search
from tests.support.sts import GATEWAY_SECRET, SECRET_CANARY, RunningSts, running_sts

CONFIG = """
version: 1
gateway:
  listeners:
    in: {listen: '127.0.0.1:1'}
    out: {listen: '127.0.0.1:2', direction: egress}
trusted_issuers:
  corp: {issuer: ISSUER, audience: [orders-gateway]}
authorization_servers:
  corp:
    issuer: https://login.example
    client_auth: {method: client_secret_basic, client_id: gateway, client_secret_file: secret}
workload_tokens:
  self: {file: actor, type: jwt}
routes:
  - name: orders
    listener: in
    match: {hosts: [api.example.com], path_prefix: /orders, methods: [GET]}
    upstream: {url: 'http://127.0.0.1:9000/base', strip_prefix: true}
    subject: {require_scope: [orders.read], clients: [alice-cli], max_actor_depth: 1}
    exchange: {audience: [orders-api], scope: [orders.read], expect: {extra_scope: [openid]}}
  - name: writes
    listener: in
    match: {hosts: [api.example.com], path_prefix: /orders, methods: [POST]}
    upstream: {url: 'http://127.0.0.1:9000'}
    subject: {require_scope: [admin], require_claims: {level: 3}}
    exchange: {audience: [orders-api]}
  - name: acting
    listener: in
    match: {path_prefix: /acting}
    upstream: {url: 'http://127.0.0.1:9000'}
    exchange: {resource: ['https://orders.example/'], actor_token: self, expect: {audience: any, subject: any}}
  - name: health
    listener: in
    match: {path: /healthz}
    upstream: {url: 'unix:/run/app.sock'}
    exchange: none
  - name: outside
    listener: out
    match: {path_prefix: /outside}
    upstream: {url: 'http://127.0.0.1:9000'}
    exchange: none
  - name: payments
    listener: in
    match: {path_prefix: /payments}
    upstream: {url: 'http://127.0.0.1:9000'}
    subject: {acr_values: [hw, mfa], max_age: 5m, allowed_actors: [{iss: 'https://a', sub: agent-*}, bot]}
    exchange: {audience: [payments-api]}
  - name: tools
    listener: in
    match: {path: /mcp}
    upstream: {url: 'http://127.0.0.1:9000'}
    mcp:
      notifications: refuse
      tools: {search: {}, delete_*: {scope: [files.delete], acr_values: [mfa]}}
    exchange: {audience: [tools-api], scope: [tools]}
"""


class Desk:
    """Explains requests by the file above."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys
        self.issuer = "https://login.example"
        self.told: dict[str, list[str]] = {}
        self.keys: dict[str, list[str]] = {}
        self.errors = ""
        (folder / "secret").write_text(GATEWAY_SECRET)
        (folder / "actor").write_text("canary-actor-token")

    def explain(self, method: str, url: str, *options: str) -> int:
        """Return the exit status; what was told is in ``told``, by step, and the keys that decided in ``keys``."""
        path = self.folder / "routes.yaml"
        path.write_text(CONFIG.replace("ISSUER", self.issuer))
        parser = argparse.ArgumentParser()
        explain.add(parser)
        status = explain.run(parser.parse_args(["-c", str(path), method, url, *options]))
        out, self.errors = self._capsys.readouterr()
        self.told, self.keys = {}, {}
        for line in out.replace(f"{self.folder}/", "").splitlines():
            if name := line[:10].strip():
                step, self.told[name], self.keys[name] = name, [], []
            (self.keys if line[10:].startswith("by ") else self.told)[step].append(line[10:].removeprefix("by "))
        return status

    def json(self, method: str, url: str, *options: str) -> dict[str, Any]:
        """Return what programs are told."""
        parser = argparse.ArgumentParser()
        explain.add(parser)
        path = self.folder / "routes.yaml"
        path.write_text(CONFIG.replace("ISSUER", self.issuer))
        status = explain.run(parser.parse_args(["-c", str(path), method, url, "--json", *options]))
        out, _ = self._capsys.readouterr()
        told = json.loads(out.replace(f"{self.folder}/", ""))
        assert isinstance(told, dict)
        assert status == (told["outcome"] == "refused")
        return told


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, capsys)


def line(name: str) -> int:
    """Where the file defines a route."""
    return CONFIG[: CONFIG.index(f"- name: {name}\n")].count("\n") + 1


def place(text: str, below: int = 0) -> str:
    """Where a line with this text stands, or one that is so many lines below it."""
    return f"routes.yaml:{CONFIG[: CONFIG.index(text)].count(chr(10)) + 1 + below}"


def key(name: str, text: str) -> str:
    """How a key that stands in a line with this text is told."""
    return f"{name} ({place(text)})"


# --- without a token


def test_a_route_that_needs_none(desk: Desk) -> None:
    assert desk.explain("GET", "http://any.example/healthz") == 0
    assert list(desk.told) == ["match", "take", "forward"]
    assert desk.told["match"][0] == f"route health (routes.yaml:{line('health')})"
    assert desk.told["take"] == ["exchange: none — no credential is needed, none is forwarded"]
    assert desk.told["forward"] == ["GET unix:/run/app.sock /healthz"]


def test_a_route_that_needs_one(desk: Desk) -> None:
    assert desk.explain("GET", "http://api.example.com/orders/1") == 1
    assert list(desk.told) == ["match", "take"]
    assert desk.told["match"][:2] == [
        f"route orders (routes.yaml:{line('orders')})",
        f"not writes (routes.yaml:{line('writes')}): other method: it serves POST",
    ]
    assert desk.told["take"] == [
        "refused: 401 missing-token — A bearer token is needed.",
        "issuers: corp",
        "require_scope: orders.read",
        "clients: alice-cli",
        "max_actor_depth: 1",
    ]


def test_no_route(desk: Desk) -> None:
    assert desk.explain("GET", "http://other.example/orders/1") == 1
    assert list(desk.told) == ["match"]
    assert desk.told["match"][:2] == [
        "refused: 404 no-route — No route takes this request.",
        f"not orders (routes.yaml:{line('orders')}): other host: it serves api.example.com",
    ]


@pytest.mark.parametrize(
    ("url", "options", "refused"),
    [
        ("http://api.example.com/orders/../admin", (), "400 invalid-request"),
        ("http://api.example.com/orders;x", (), "400 invalid-request"),
        ("http://api.example.com/orders/%zz", (), "400 invalid-request"),
        ("http://api.example.com/orders", ("-H", "Host: twice"), "400 invalid-request"),
        ("http://api.example.com/orders", ("-H", "X_Request_ID: 1"), "400 invalid-request"),
        ("http://api.example.com/orders", ("-H", "Authorization: Bearer a,b"), "400 invalid-request"),
        ("http://api.example.com/orders", ("-H", "Authorization: Basic YTpi"), "401 missing-token"),
        ("http://api.example.com/orders", ("-H", "Authorization: Bearer abc"), "401 invalid-token"),
        ("http://user@api.example.com/orders", (), "400 invalid-request"),
    ],
)
def test_requests_that_are_refused(desk: Desk, url: str, options: tuple[str, ...], refused: str) -> None:
    assert desk.explain("GET", url, *options) == 1
    last = list(desk.told)[-1]
    assert desk.told[last][0].startswith(f"refused: {refused} — ")
    assert "forward" not in desk.told


def test_the_listener_counts(desk: Desk) -> None:
    assert desk.explain("GET", "http://a.example/outside") == 1
    assert desk.explain("GET", "http://a.example/outside", "--listener", "out") == 0
    assert desk.told["match"] == [f"route outside (routes.yaml:{line('outside')})"]
    assert desk.explain("GET", "http://a.example/outside", "--listener", "none") == 2
    assert (desk.errors, desk.told) == ("there is no listener none; there are: in, out\n", {})


def test_the_query_goes_along(desk: Desk) -> None:
    assert desk.explain("get", "http://a.example/healthz?a=%zz&b") == 0
    assert desk.told["forward"] == ["GET unix:/run/app.sock /healthz?a=%zz&b"]
    assert desk.explain("GET", "http://a.example/healthz?") == 0
    assert desk.told["forward"] == ["GET unix:/run/app.sock /healthz?"]


@pytest.mark.parametrize(
    ("url", "options", "sentence"),
    [
        ("/orders", (), "URL: should be absolute"),
        ("orders", (), "URL: should be absolute"),
        ("http:///orders", (), "URL: should be absolute"),
        ("http://a/", ("-H", "no colon"), "--header: should be 'NAME: VALUE'"),
        ("http://a/", ("-H", ": value"), "--header: should be 'NAME: VALUE'"),
        ("http://a/", ("--token-file", "/nowhere/token"), "--token-file: /nowhere/token can't be read"),
    ],
)
def test_what_is_no_request(desk: Desk, url: str, options: tuple[str, ...], sentence: str) -> None:
    assert desk.explain("GET", url, *options) == 2
    assert desk.errors.startswith(sentence)
    assert desk.told == {}


def test_a_broken_file(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "secret").unlink()
    assert desk.explain("GET", "http://a/") == 2
    assert "client_secret_file" in desk.errors


def test_what_shows_only_when_parts_meet(desk: Desk) -> None:
    desk.issuer = "'https://login.example', tls: {ca_file: secret}"
    assert desk.explain("GET", "http://a/") == 2
    assert "trusted_issuers.corp.tls" in desk.errors


def test_a_token_where_no_route_wants_one(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a.b.c")
    assert desk.explain("GET", "http://other.example/orders", "--token-file", str(tmp_path / "token")) == 1
    assert desk.told["match"][0] == "refused: 404 no-route — No route takes this request."


def test_an_issuer_that_is_not_there(desk: Desk, tmp_path: Path) -> None:
    async def minted() -> str:
        async with running_sts() as sts:
            desk.issuer = sts.issuer
            return sts.mint()

    (tmp_path / "token").write_text(asyncio.run(minted()))
    assert desk.explain("GET", "http://api.example.com/orders", "--token-file", str(tmp_path / "token")) == 1
    assert desk.told["verify"][0] == "refused: 503 issuer-unavailable — The token can't be checked at the moment."


# --- with a token, and an issuer that is there


class Told:
    """What was told of a request with a token, in another thread: the command has a loop of its own."""

    def __init__(self, desk: Desk, sts: RunningSts) -> None:
        self.desk = desk
        self.sts = sts
        desk.issuer = sts.issuer

    async def __call__(self, method: str, target: str, token: str, *options: str) -> int:
        path = self.desk.folder / "token"
        path.write_text(token + "\n")
        url = f"http://api.example.com{target}"
        before = self.sts.exchanges
        status = await asyncio.to_thread(self.desk.explain, method, url, "--token-file", str(path), *options)
        assert self.sts.exchanges == before  # a dry exchange asks nobody
        told = "\n".join(step + "\n".join(lines) for step, lines in self.desk.told.items())
        assert search(told.encode(), token, token.rpartition(".")[2], "canary-actor-token", SECRET_CANARY) == []
        return status


async def test_the_whole_way(desk: Desk) -> None:
    async with running_sts() as sts:
        told = Told(desk, sts)
        act = {"sub": "agent-7"}
        assert await told("GET", "/orders/1?x", sts.mint(exp=4_000_000_000, act=act)) == 0
        assert list(desk.told) == ["match", "take", "verify", "allow", "exchange", "forward"]
        assert desk.told["take"] == ["one token in Authorization"]
        assert desk.told["verify"] == [
            f"alice of {sts.issuer} (trusted issuer corp), until 2096-10-02T07:06:40+00:00",
            "client alice-cli",
            "scope orders.read orders.write",
            f"actor agent-7 of {sts.issuer}",
        ]
        assert desk.told["allow"] == [
            "yes",
            "issuers: corp",
            "require_scope: orders.read",
            "clients: alice-cli",
            "max_actor_depth: 1",
        ]
        assert desk.told["exchange"] == [
            "at corp, with",
            "  grant_type=urn:ietf:params:oauth:grant-type:token-exchange",
            "  audience=orders-api",
            "  scope=orders.read",
            "  subject_token=(the caller's)",
            "  subject_token_type=urn:ietf:params:oauth:token-type:access_token",
            "expects audience orders-api",
            "expects scope none, allows openid orders.read",
            "expects the same subject",
        ]
        assert desk.told["forward"] == ["GET http://127.0.0.1:9000 /base/1?x"]


async def test_an_actor_is_told_but_not_shown(desk: Desk) -> None:
    async with running_sts() as sts:
        told = Told(desk, sts)
        assert await told("GET", "/acting", sts.mint()) == 0
        assert "  actor_token=(ours)" in desk.told["exchange"]
        assert "  resource=https://orders.example/" in desk.told["exchange"]
        assert desk.told["exchange"][-3:] == ["expects audience any", "expects scope any", "expects delegation"]
        (desk.folder / "actor").write_text("not one token")
        assert await told("GET", "/acting", sts.mint()) == 2
        assert desk.errors.endswith("actor: the file does not hold one token\n")


#: An approver that must not be asked, and a workload token that no server is asked for.
ASKING = """  - name: asking
    listener: in
    match: {path_prefix: /asking}
    upstream: {url: 'http://127.0.0.1:9000'}
    approval: {by: desk, max_age: 90s, reason_header: X-Task}
    exchange: {audience: [payments-api], actor_token: own}
"""


async def test_an_approval_is_told_and_nobody_is_asked_for_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    head = "approvers: {desk: {opa: {url: 'http://127.0.0.1:1/'}}}\nworkload_tokens:\n  own: {client_credentials: {}}\n"
    monkeypatch.setitem(globals(), "CONFIG", CONFIG.replace("workload_tokens:\n", head) + ASKING)
    async with running_sts() as sts:
        told = Told(desk, sts)
        assert await told("GET", "/asking/1", sts.mint(), "-H", "X-Task: tidy up") == 0
        assert list(desk.told) == ["match", "take", "verify", "allow", "approve", "exchange", "forward"]
        first, *rest = desk.told["approve"]
        assert first == "desk would be asked: nobody is now; a yes counts 90 s for the same host, path and query"
        assert '  action: {"method": "GET"}' in rest
        assert any('"path": "/asking/1", "audience": ["payments-api"]' in line for line in rest)
        assert any('"claimed_task": "tidy up"' in line for line in rest)
        base = "routes.7.approval"
        assert [each.split(" (")[0] for each in desk.keys["approve"]] == [
            f"{base}.by",
            f"{base}.max_age",
            f"{base}.reason_header",
        ]
        monkeypatch.setitem(globals(), "CONFIG", CONFIG.replace("max_age: 90s, ", ""))
        assert await told("GET", "/asking/1", sts.mint()) == 0
        assert desk.told["approve"][0] == "desk would be asked: nobody is now; asked for every request"


async def test_a_token_that_is_not_good(desk: Desk) -> None:
    async with running_sts() as sts:
        told = Told(desk, sts)
        assert await told("GET", "/orders", sts.mint(lifetime=-100)) == 1
        assert list(desk.told) == ["match", "verify"]
        assert desk.told["verify"][:2] == [
            "refused: 401 invalid-token — The token is not valid here.",
            "because the token has expired, or has no exp",
        ]


async def test_a_login_that_is_too_old(desk: Desk) -> None:
    async with running_sts() as sts:
        told = Told(desk, sts)
        assert await told("GET", "/payments", sts.mint(acr="mfa")) == 1
        assert desk.told["verify"][-1] == "acr mfa"
        assert desk.told["allow"] == [
            "refused: 401 step-up-required — A newer or stronger login is needed.",
            "because no auth_time that is one, which subject.max_age asks for",
            "issuers: corp",
            "acr_values: hw mfa",
            "max_age: 300 s",
            "allowed_actors: agent-* of https://a, bot",
            "max_actor_depth: 3",
        ]
        assert desk.keys["allow"] == [key("routes.5.subject.max_age", "acr_values: [hw, mfa]")]
        good: dict[str, Any] = {"acr": "mfa", "auth_time": int(sts.clock.wall()), "act": {"sub": "bot"}}
        assert await told("GET", "/payments", sts.mint(**good)) == 0
        assert desk.told["verify"][-2].startswith("logged in 20")
        assert await told("GET", "/payments", sts.mint(**good, may_act={"sub": "bot"})) == 1
        assert desk.told["allow"][1] == "because who would act is not whom may_act of the token names"
        assert desk.keys["allow"] == [f"routes.5.exchange.actor_token ({place('acr_values: [hw, mfa]', 1)}, left out)"]


async def test_a_token_that_is_not_enough(desk: Desk) -> None:
    async with running_sts() as sts:
        told = Told(desk, sts)
        assert await told("POST", "/orders", sts.mint(scope="orders.write", level=3)) == 1
        assert list(desk.told) == ["match", "take", "verify", "allow"]
        assert desk.told["allow"] == [
            "refused: 403 insufficient-scope — The token does not carry the scope that is needed.",
            "issuers: corp",
            "require_scope: admin",
            "require_claims: level",
            "max_actor_depth: 3",
        ]
        assert await told("POST", "/orders", sts.mint(scope="admin", level="3")) == 1
        assert desk.told["allow"][1] == "because subject.require_claims.level"


async def test_a_token_in_a_second_place(desk: Desk) -> None:
    async with running_sts() as sts:
        token = sts.mint()
        told = Told(desk, sts)
        for target in (f"/orders/{token}", f"/orders?x={token}", f"/orders/{token.rpartition('.')[2]}"):
            assert await told("GET", target, token) == 1
            assert desk.told["take"][0] == "refused: 400 invalid-request — The token is in a second place."


# --- which keys decided


async def test_the_keys_of_the_whole_way(desk: Desk) -> None:
    async with running_sts() as sts:
        assert await Told(desk, sts)("GET", "/orders/1", sts.mint()) == 0
    match, subject = "[api.example.com], path_prefix: /orders, methods: [GET]", "require_scope: [orders.read]"
    exchange, server = "exchange: {audience: [orders-api], scope", "issuer: https://login.example"
    assert desk.keys == {
        "match": [key(f"routes.0.match.{name}", match) for name in ("hosts", "path_prefix", "methods")],
        "take": [f"{key('routes.0.subject.header', subject)[:-1]}, left out)"],
        "verify": [
            f"{key('routes.0.subject.issuers', subject)[:-1]}, left out)",
            key("trusted_issuers.corp.issuer", "ISSUER"),
            key("trusted_issuers.corp.audience", "ISSUER"),
        ],
        "allow": [key(f"routes.0.subject.{name}", subject) for name in ("clients", "max_actor_depth", "require_scope")],
        "exchange": [
            f"{key('routes.0.exchange.authorization_server', exchange)[:-1]}, left out)",
            key("authorization_servers.corp.issuer", server),
            key("routes.0.exchange.audience", exchange),
            key("routes.0.exchange.scope", exchange),
            key("routes.0.exchange.expect.extra_scope", exchange),
        ],
        "forward": [
            key("routes.0.upstream.url", "9000/base"),
            key("routes.0.upstream.strip_prefix", "9000/base"),
        ],
    }


async def test_the_key_that_said_no(desk: Desk) -> None:
    async with running_sts() as sts:
        told = Told(desk, sts)
        await told("GET", "/orders", sts.mint(aud="elsewhere"))
        assert desk.keys["verify"] == [key("trusted_issuers.corp.audience", "ISSUER")]
        await told("POST", "/orders", sts.mint(scope="admin"))
        assert desk.keys["allow"] == [key("routes.1.subject.require_claims.level", "level: 3")]
        await told("POST", "/orders", sts.mint(level=3))
        assert desk.keys["allow"] == [key("routes.1.subject.require_scope", "level: 3")]


def test_the_key_that_said_no_before_there_was_a_token(desk: Desk) -> None:
    desk.explain("GET", "http://api.example.com/orders/1;x")
    assert desk.keys["match"] == [
        f"{key('routes.0.match.allow', '[api.example.com], path_prefix: /orders, methods: [GET]')[:-1]}, left out)"
    ]
    desk.explain("GET", "http://a.example/healthz")
    assert desk.keys["take"] == [key("routes.3.exchange", "exchange: none")]
    desk.explain("GET", "http://other.example/orders")
    assert desk.keys["match"] == []


def test_a_body_that_says_it_is_too_large(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    bounded = CONFIG.replace("gateway:\n", "gateway:\n  max_body_bytes: 1KiB\n")
    monkeypatch.setitem(globals(), "CONFIG", bounded)
    assert desk.explain("POST", "http://a.example/healthz", "-H", "Content-Length: 1025") == 1
    assert list(desk.told) == ["match"]
    assert "refused: 413 too-large — The request's body is too large." in desk.told["match"]
    assert desk.keys["match"] == [key("gateway.max_body_bytes", "1KiB")]


PREFLIGHT = ("-H", "Origin: https://app.example", "-H", "Access-Control-Request-Method: GET")


@pytest.mark.parametrize(
    ("settings", "steps", "told"),
    [
        ("refuse", ["match", "take"], "refused: 403 policy-denied — Pages of other origins may not call this route."),
        ("forward", ["match", "take", "forward"], "a CORS preflight: goes on without any credential"),
        (
            "answer, cors: {origins: ['https://app.example']}",
            ["match", "take"],
            "a CORS preflight: answered here, nothing goes upstream",
        ),
        (
            "answer, cors: {origins: ['https://other.example']}",
            ["match", "take"],
            "refused: 403 policy-denied — Pages of this origin may not call this route.",
        ),
    ],
)
def test_a_preflight(desk: Desk, monkeypatch: pytest.MonkeyPatch, settings: str, steps: list[str], told: str) -> None:
    route = "  - {name: pages, listener: in, match: {path: /pages}, upstream: {url: 'http://127.0.0.1:9000'},\n"
    route += f"     preflight: {settings},\n     exchange: {{audience: [a]}}}}\n"
    monkeypatch.setitem(globals(), "CONFIG", CONFIG + route)
    assert desk.explain("OPTIONS", "http://a.example/pages", *PREFLIGHT) == ("refused" in told)
    assert list(desk.told) == steps
    assert desk.told["take"][0] == told
    assert desk.keys["take"][0] == key("routes.7.preflight", "preflight:")


# --- for programs


async def test_the_whole_way_for_programs(desk: Desk) -> None:
    async with running_sts() as sts:
        desk.issuer = sts.issuer
        (desk.folder / "token").write_text(token := sts.mint(exp=4_000_000_000, jti="j"))
        where = str(desk.folder / "token")
        told = await asyncio.to_thread(desk.json, "GET", "http://api.example.com/orders/1", "--token-file", where)
    assert search(json.dumps(told).encode(), token, token.rpartition(".")[2], SECRET_CANARY) == []
    steps = {step.pop("step"): step for step in told.pop("steps")}
    assert told == {"outcome": "forwarded", "status": None, "kind": None, "reason": None, "finding": None}
    assert all(step.pop("passed") for step in steps.values())
    assert steps["take"].pop("keys") == [
        {"key": "routes.0.subject.header", "place": f"routes.yaml:{line('orders') + 4}", "written": False}
    ]
    assert all(step.pop("keys") for name, step in steps.items() if name != "take")
    others = steps["match"].pop("others")
    assert others[0] == {
        "route": "writes",
        "place": f"routes.yaml:{line('writes')}",
        "why": "other method: it serves POST",
    }
    assert steps == {
        "match": {"route": "orders", "place": f"routes.yaml:{line('orders')}"},
        "take": {"header": "Authorization"},
        "verify": {
            "subject": {
                "iss": sts.issuer,
                "sub": "alice",
                "trusted_issuer": "corp",
                "expires": "2096-10-02T07:06:40+00:00",
                "client_id": "alice-cli",
                "scope": ["orders.read", "orders.write"],
                "acr": None,
                "auth_time": None,
                "actors": [],
                "token": "jti:j",
            }
        },
        "allow": {
            "demands": {
                "issuers": "corp",
                "require_scope": "orders.read",
                "clients": "alice-cli",
                "max_actor_depth": "1",
            }
        },
        "exchange": {
            "authorization_server": "corp",
            "form": [
                ["grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"],
                ["audience", "orders-api"],
                ["scope", "orders.read"],
                ["subject_token", "(the caller's)"],
                ["subject_token_type", "urn:ietf:params:oauth:token-type:access_token"],
            ],
            "expect": {
                "audience": "orders-api",
                "scope": "none, allows openid orders.read",
                "subject": "same",
                "semantics": "any",
            },
        },
        "forward": {"method": "GET", "upstream": "http://127.0.0.1:9000", "target": "/base/1"},
    }


def test_a_refusal_for_programs(desk: Desk) -> None:
    told = desk.json("GET", "http://api.example.com/orders/1", "-H", "Authorization: Bearer a.b.c")
    steps = told.pop("steps")
    assert told == {
        "outcome": "refused",
        "status": 401,
        "kind": "invalid-token",
        "reason": "The token is not valid here.",
        "finding": "not a compact JWS over JSON",
    }
    assert [(step["step"], step["passed"]) for step in steps] == [("match", True), ("verify", False)]
    assert desk.json("GET", "http://other.example/orders/1")["kind"] == "no-route"
    told = desk.json("GET", "http://api.example.com/orders/1", "-H", "Host: twice")
    assert (told["status"], told["steps"]) == (400, [{"step": "accept", "passed": False, "keys": []}])


# --- what is never shown


def test_the_values_of_extra_params(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    keyed = CONFIG.replace("    client_auth:", "    extra_params: {tenant: canary-extra}\n    client_auth:")
    monkeypatch.setitem(globals(), "CONFIG", keyed)

    async def told() -> int:
        async with running_sts() as sts:
            return await Told(desk, sts)("GET", "/orders", sts.mint())

    assert asyncio.run(told()) == 0
    assert "  tenant=(from extra_params)" in desk.told["exchange"]
    assert "canary-extra" not in str(desk.told)
    assert key("authorization_servers.corp.extra_params", "extra_params") in desk.keys["exchange"]


async def test_what_would_move_a_terminals_cursor(desk: Desk) -> None:
    async with running_sts() as sts:
        assert await Told(desk, sts)("GET", "/orders", sts.mint(sub="a\x1b[2Jb")) == 0
        assert desk.told["verify"][0].startswith('"a\\u001b[2Jb of http')


async def test_a_token_goes_where_its_route_looks_for_one(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    text = CONFIG.replace("gateway:\n", "gateway:\n  trusted_proxies: [127.0.0.1/32]\n")
    text = text.replace("max_actor_depth: 1}", "max_actor_depth: 1, header: X-Token}")
    monkeypatch.setitem(globals(), "CONFIG", text)
    async with running_sts() as sts:
        assert await Told(desk, sts)("GET", "/orders", sts.mint()) == 0
        assert desk.told["take"] == ["one token in X-Token"]
        assert desk.keys["take"] == [key("routes.0.subject.header", "X-Token")]
        assert await Told(desk, sts)("GET", "/orders", sts.mint(aud="elsewhere")) == 1
        assert desk.keys["verify"] == [key("trusted_issuers.corp.audience", "ISSUER")]


ALONE = """  - name: alone
    listener: out
    match: {path_prefix: /alone}
    upstream: {url: 'http://127.0.0.1:9000'}
    exchange: {subject_token: own, actor_token: self, audience: [orders-api]}
"""


def test_a_token_of_ours_is_told_and_nobody_is_asked_for_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    own = "workload_tokens:\n  own: {client_credentials: {scope: [act]}}\n"
    monkeypatch.setitem(globals(), "CONFIG", CONFIG.replace("workload_tokens:\n", own) + ALONE)
    assert desk.explain("GET", "http://x/alone/1", "--listener", "out") == 0
    assert desk.told["take"] == ["no credential is asked for; workload token own is exchanged"]
    assert "  subject_token=(ours)" in desk.told["exchange"]
    assert "  actor_token=(ours)" in desk.told["exchange"]
    assert any("workload_tokens.own.client_credentials" in key for key in desk.keys["exchange"])
    assert "verify" not in desk.told
    twice = "abcdefghijklmnopqrst"
    options = ("--listener", "out", "-H", f"Authorization: Bearer {twice}")
    assert desk.explain("GET", f"http://x/alone/{twice}", *options) == 1
    assert list(desk.told) == ["match", "take"]


# --- the Model Context Protocol

DELETE = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"delete_file","arguments":{"path":"/a"}}}'


def token(desk: Desk, text: str) -> str:
    (desk.folder / "token").write_text(text)
    return str(desk.folder / "token")


def body(desk: Desk, text: str) -> tuple[str, str]:
    (desk.folder / "body").write_text(text)
    return "--body", str(desk.folder / "body")


async def test_what_a_body_asks_for(desk: Desk) -> None:
    async with running_sts() as sts:
        desk.issuer = sts.issuer
        options = ("--token-file", token(desk, sts.mint(acr="mfa")), *body(desk, DELETE))
        assert await asyncio.to_thread(desk.explain, "POST", "http://api.example.com/mcp", *options) == 0
        assert list(desk.told) == ["match", "take", "verify", "operation", "allow", "exchange", "forward"]
        assert desk.told["operation"] == ["tools/call delete_file", "asks for scope files.delete besides"]
        rule = "tools: {search"
        assert desk.keys["operation"] == [key('routes.6.mcp.tools."delete_*"', rule)]
        assert key('routes.6.mcp.tools."delete_*".acr_values', rule) in desk.keys["allow"]
        assert "  scope=tools files.delete" in desk.told["exchange"]
        assert key('routes.6.mcp.tools."delete_*".scope', rule) in desk.keys["exchange"]
        told = await asyncio.to_thread(desk.json, "POST", "http://api.example.com/mcp", *options)
        assert {"method": "tools/call", "tool": "delete_file", "rule": "delete_*"}.items() <= told["steps"][3].items()


@pytest.mark.parametrize(
    ("text", "told", "decided"),
    [
        (DELETE.replace("delete_file", "other"), ["tools/call other", "refused: 403"], "routes.6.mcp.tools"),
        ("[]", ["refused: 400"], "routes.6.mcp"),
        ("", ["refused: 400"], "routes.6.mcp"),
        ('{"jsonrpc":"2.0","method":"notifications/a"}', ["refused: 403"], "routes.6.mcp.notifications"),
    ],
)
async def test_what_a_route_does_not_take_of_a_body(desk: Desk, text: str, told: list[str], decided: str) -> None:
    async with running_sts() as sts:
        desk.issuer = sts.issuer
        options = ("--token-file", token(desk, sts.mint()), *body(desk, text))
        assert await asyncio.to_thread(desk.explain, "POST", "http://api.example.com/mcp", *options) == 1
        assert list(desk.told) == ["match", "take", "verify", "operation"]
        lines = desk.told["operation"]
        assert all(line.startswith(start) for line, start in zip(lines, told, strict=False))
        assert [each.split(" ")[0] for each in desk.keys["operation"]] == [decided]


async def test_a_tools_own_demand_is_the_key_that_decides(desk: Desk) -> None:
    async with running_sts() as sts:
        desk.issuer = sts.issuer
        options = ("--token-file", token(desk, sts.mint()), *body(desk, DELETE))
        assert await asyncio.to_thread(desk.explain, "POST", "http://api.example.com/mcp", *options) == 1
        assert desk.told["allow"][0].startswith("refused: 401 step-up-required")
        assert [each.split(" ")[0] for each in desk.keys["allow"]] == ['routes.6.mcp.tools."delete_*".acr_values']


async def test_whose_yes_a_tool_needs(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    head = "approvers: {desk: {opa: {url: 'http://127.0.0.1:1/'}}}\nroutes:\n"
    publish = "tools: {publish: {approval: {by: desk, arguments: [path]}}, search"
    asking = CONFIG.replace("routes:\n", head).replace("tools: {search", publish)
    monkeypatch.setitem(globals(), "CONFIG", asking)
    async with running_sts() as sts:
        desk.issuer = sts.issuer
        options = ("--token-file", token(desk, sts.mint()), *body(desk, DELETE.replace("delete_file", "publish")))
        assert await asyncio.to_thread(desk.explain, "POST", "http://api.example.com/mcp", *options) == 0
        assert list(desk.told)[3:6] == ["operation", "allow", "approve"]
        assert (
            '  action: {"method": "tools/call", "tool": "publish", "arguments": {"path": "/a"}}' in desk.told["approve"]
        )
        base = "routes.6.mcp.tools.publish.approval"
        assert [each.split(" ")[0] for each in desk.keys["approve"]] == [f"{base}.by", f"{base}.arguments"]


async def test_a_stream_has_no_message(desk: Desk) -> None:
    async with running_sts() as sts:
        desk.issuer = sts.issuer
        options = ("--token-file", token(desk, sts.mint()))
        assert await asyncio.to_thread(desk.explain, "GET", "http://api.example.com/mcp", *options) == 0
        assert desk.told["operation"] == ["GET, without a message"]
        assert [each.split(" ")[0] for each in desk.keys["operation"]] == ["routes.6.mcp.notifications"]


def test_a_page_is_refused_before_a_token_is_looked_for(desk: Desk) -> None:
    assert desk.explain("POST", "http://api.example.com/mcp", "-H", "Origin: https://evil.example") == 1
    assert list(desk.told) == ["match"]
    assert [each.split(" ")[0] for each in desk.keys["match"]] == ["routes.6.mcp.allowed_origins"]


def test_a_body_that_can_not_be_read(desk: Desk) -> None:
    assert desk.explain("POST", "http://api.example.com/mcp", "--body", str(desk.folder / "none")) == 2
    assert "--body" in desk.errors
