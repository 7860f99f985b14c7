"""That ``explain`` and the running gateway decide alike, on requests and tables that chance made."""

import asyncio
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sidecar
from sidecar.commands.explain import Message, as_json, explain
from sidecar.config.load import load
from sidecar.observe.metrics import Metrics
from sidecar.snapshot import build
from tests.support.gateway import Answer, RunningGateway, Upstream, recording_upstream, running_gateway
from tests.support.sts import GATEWAY_SECRET, RunningSts, running_sts

KNOWN_SEED = 1
TABLES, REQUESTS = 4, 250  # requests to each table
AT_ONCE = 16

HEAD = """
gateway: {listen: '127.0.0.1:0', max_body_bytes: 1KiB}
trusted_issuers:
  corp: {issuer: ISSUER, audience: [orders-gateway]}
authorization_servers:
  corp:
    issuer: ISSUER
    client_auth: {method: client_secret_basic, client_id: gateway, client_secret_file: gateway.secret}
routes:
"""
PATHS = ["path_prefix: /", "path_prefix: /a", "path_prefix: /a/b", "path: /a", "path: /a/b", "path: '/a/{x}'"]
PATHS += ["path: '/{x}/b'", "path: '/{x}/{y}'", "path: /a/"]
HOSTS = ["", "hosts: [h.example]", "hosts: ['*.example']", "hosts: [h.example, '*.b.example']"]
METHODS = ["", "", "methods: [GET]", "methods: [POST]", "methods: [OPTIONS, PUT]"]
FIELDS = ["", "", "", "headers: {X-Tool: '1'}"]
ALLOW = ["", "", "allow: [path-parameters, empty-segment, encoded-slash]"]
SUBJECTS = ["", "require_scope: [orders.write]", "clients: [alice-cli]", "max_actor_depth: 0", "require_claims: {l: 1}"]
EXCHANGES = ["none", "{audience: [orders-api], scope: [orders.read]}", "{audience: [orders-api], scope: [orders.read]}"]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request; ``number`` tells it from all others on its way through."""

    number: int
    method: str
    host: str
    target: str
    fields: tuple[tuple[str, str], ...]

    @property
    def message(self) -> Message:
        """As ``explain`` is given it."""
        pairs = tuple((name.encode(), value.encode()) for name, value in self._all_fields)
        return Message(self.method, self.target, pairs)

    @property
    def text(self) -> bytes:
        """As it is sent."""
        lines = [f"{self.method} {self.target} HTTP/1.1", *(f"{name}: {value}" for name, value in self._all_fields)]
        return "\r\n".join([*lines, "Connection: close", "", ""]).encode()

    @property
    def _all_fields(self) -> list[tuple[str, str]]:
        return [("Host", self.host), ("X-Number", str(self.number)), *self.fields]


def route_lines(chance: random.Random, port: int) -> list[str]:
    """Routes no two of which tie: each has another path, or another choice of what is more specific."""
    taken: set[tuple[str, str, bool, bool]] = set()
    lines: list[str] = []
    for _ in range(40):
        path, host, methods, field = (chance.choice(options) for options in (PATHS, HOSTS, METHODS, FIELDS))
        kinds = {(each.strip("'"), path, not methods, not field) for each in host[8:-1].split(", ")}
        if kinds & taken:
            continue
        taken |= kinds
        exchange, subject = chance.choice(EXCHANGES), chance.choice(SUBJECTS)
        name = f"r{len(lines)}"
        match = ", ".join(filter(None, [path, host, methods, field, chance.choice(ALLOW)]))
        upstream = f"url: 'http://127.0.0.1:{port}/{name}'"
        upstream += ", strip_prefix: true" if path.startswith("path_prefix: /a") and chance.random() < 0.3 else ""
        asked = f", subject: {{{subject}}}" if exchange != "none" and subject else ""
        lines.append(f"  - {{name: {name}, match: {{{match}}}, upstream: {{{upstream}}}{asked}, exchange: {exchange}}}")
    return lines


def tokens(sts: RunningSts) -> list[list[tuple[str, str]]]:
    """What a caller may present: good tokens and bad ones, none, and more than one."""
    good = sts.mint()
    texts = [good, good, sts.mint(l=1, act={"sub": "agent-7"}), sts.mint(scope="orders.read", client_id="other")]
    texts += [sts.mint(aud="elsewhere"), sts.mint(lifetime=-100), good[:-8], "opaque", sts.mint(act={"sub": ""})]
    presented = [[("Authorization", f"Bearer {text}")] for text in texts]
    twice = [("Authorization", f"Bearer {good}")]
    return [*presented, [], twice * 2, [("Authorization", "Basic YTpi")], [*twice, ("X-Copy", good)]]


def requests(chance: random.Random, presented: list[list[tuple[str, str]]]) -> list[Asked]:
    segments = ["a", "b", "c", "", "a;x", "a%2Fb", "%61", "..", "%zz", "b%3bx"]
    weights = [12, 12, 6, 2, 2, 2, 2, 1, 1, 1]
    preflight = [("Origin", "https://app.example"), ("Access-Control-Request-Method", "PUT")]
    made = []
    for number in range(REQUESTS):
        path = "/" + "/".join(chance.choices(segments, weights, k=chance.randint(1, 3)))
        fields = [*chance.choice(presented), *chance.choice([[], [], [("X-Tool", "1")], preflight])]
        fields += chance.choice([[], [], [], [("Content-Length", "0")], [("Expect", "x")], [("X_Request_Id", "1")]])
        host = chance.choice(["h.example", "x.example", "x.b.example", "H.example:80", "other", "bad host"])
        method = chance.choice(["GET", "GET", "POST", "HEAD", "PUT", "OPTIONS", "PROPFIND", "TRACE"])
        query = chance.choice(["", "", "?a=b", "?access_token=x"])
        made.append(Asked(number, method, host, path + query, tuple(fields)))
    return made


def of_gateway(asked: Asked, answer: Answer, seen: dict[int, bytes]) -> tuple[Any, ...]:
    """What the gateway did: what the upstream got, or the status and, where there is a body to tell it, the kind."""
    if asked.number in seen:
        return "forwarded", seen[asked.number].decode()
    return "refused", answer.status, None if asked.method == "HEAD" else answer.kind


def of_explain(asked: Asked, told: dict[str, Any]) -> tuple[Any, ...]:
    if told["outcome"] == "forwarded":
        forward = told["steps"][-1]
        return "forwarded", f"{forward['method']} {forward['target']} HTTP/1.1"
    return "refused", told["status"], None if asked.method == "HEAD" else told["kind"]


async def compare(folder: Path, chance: random.Random, sts: RunningSts, upstream: Upstream) -> set[str]:
    """Ask both about every request of one table; return the kinds of outcome that there were."""
    (folder / "gateway.secret").write_text(GATEWAY_SECRET)
    text = HEAD.replace("ISSUER", sts.issuer) + "\n".join(route_lines(chance, upstream.port)) + "\n"
    async with running_gateway(folder, text) as gateway:
        everything = requests(chance, tokens(sts))
        upstream.seen.clear()
        answers = await ask_all(gateway, everything)
        seen = {int(each.values(b"x-number")[0]): each.line for each in upstream.seen}
        loaded = load(folder / "routes.yaml")
        snapshot = build(loaded, Metrics(sidecar.__version__))
        try:
            kinds = set()
            for asked, answer in zip(everything, answers, strict=True):
                told = as_json(await explain(loaded, snapshot, asked.message, "default"))
                assert of_explain(asked, told) == of_gateway(asked, answer, seen), asked
                kinds.add(told["kind"] or "forwarded")
            return kinds
        finally:
            await snapshot.close()


async def ask_all(gateway: RunningGateway, everything: list[Asked]) -> list[Answer]:
    room = asyncio.Semaphore(AT_ONCE)

    async def one(asked: Asked) -> Answer:
        async with room:
            return await gateway.ask(asked.text)

    return await asyncio.gather(*map(one, everything))


async def test_explain_and_the_gateway_agree(tmp_path: Path) -> None:
    kinds: dict[int, set[str]] = {}
    async with running_sts() as sts, recording_upstream() as upstream:
        for seed in (KNOWN_SEED, random.getrandbits(32)):
            chance = random.Random(seed)
            for number in range(TABLES // 2):
                folder = tmp_path / f"{seed}-{number}"
                folder.mkdir()
                kinds[seed] = kinds.get(seed, set()) | await compare(folder, chance, sts, upstream)
    # These tables make something of everything, or they would show nothing; others may leave a kind out.
    assert kinds[KNOWN_SEED] >= {"forwarded", "no-route", "invalid-request", "missing-token", "invalid-token"}


TOOLS = """  - name: tools
    match: {path: /mcp}
    upstream: {url: 'http://127.0.0.1:PORT'}
    mcp:
      allowed_origins: ['https://app.example']
      notifications: refuse
      tools: {read_*: {scope: [orders.read]}, write: {acr_values: [mfa]}, admin: {scope: [admin]}}
      methods: {tools/list: {}}
    exchange: {audience: [orders-api], scope: [orders.read]}
"""


def calls(chance: random.Random, presented: list[list[tuple[str, str]]]) -> list[tuple[Asked, bytes]]:
    """Requests of a tool server, most of which call a tool."""
    texts = ['"read_a"', '"write"', '"admin"', '"other"', '"WRITE"', '"read_\\u0000"', "1"]
    made = []
    for number in range(REQUESTS // 2):
        params = chance.choice([f'{{"name": {chance.choice(texts)}}}'] * 3 + ["{}", "[]"])
        method = chance.choice(['"tools/call"'] * 5 + ['"tools/list"', '"notifications/a"', '"tools/Call"', "1"])
        body = chance.choice(
            ['{"jsonrpc": "2.0", "id": 1, "method": METHOD, "params": PARAMS}'] * 7
            + [
                '{"jsonrpc": "2.0", "method": METHOD}',
                '{"jsonrpc": "2.0", "id": 1, "result": {}}',
                "[]",
                "",
                "{",
                "\ufeff{}",
            ]
        )
        content = body.replace("METHOD", method).replace("PARAMS", params).encode()
        fields = [*chance.choice(presented), ("Content-Length", str(len(content)))]
        fields += chance.choice([[("Content-Type", "application/json")]] * 5 + [[("Content-Type", "text/plain")]])
        fields += chance.choice([[], [], [], [("Mcp-Method", "tools/call")], [("Mcp-Name", "write")]])
        fields += chance.choice([[], [], [], [("Origin", "https://app.example")], [("Origin", "https://evil.example")]])
        how = chance.choice(["POST"] * 8 + ["GET", "DELETE", "PUT"])
        made.append((Asked(number, how, "h.example", "/mcp", tuple(fields)), content))
    return made


async def test_they_agree_about_bodies(tmp_path: Path) -> None:
    (tmp_path / "gateway.secret").write_text(GATEWAY_SECRET)
    kinds: dict[int, set[str]] = {}
    async with running_sts() as sts, recording_upstream() as upstream:
        text = HEAD.replace("ISSUER", sts.issuer) + TOOLS.replace("PORT", str(upstream.port))
        presented = [[("Authorization", f"Bearer {token}")] for token in (sts.mint(), sts.mint(acr="mfa"))] * 5
        async with running_gateway(tmp_path, text) as gateway:
            loaded = load(tmp_path / "routes.yaml")
            snapshot = build(loaded, Metrics(sidecar.__version__))
            try:
                for seed in (KNOWN_SEED, random.getrandbits(32)):
                    chance = random.Random(seed)
                    for asked, content in calls(chance, [*presented, []]):
                        upstream.seen.clear()
                        answer = await gateway.ask(asked.text + content)
                        seen = {int(each.values(b"x-number")[0]): each.line for each in upstream.seen}
                        steps = await explain(loaded, snapshot, asked.message, "default", body=content)
                        told = as_json(steps)
                        if told["kind"] is None and answer.status == 403 and answer.kind == "insufficient-scope":
                            told |= {"kind": "the server's"}  # whom explain does not ask
                        else:
                            assert of_explain(asked, told) == of_gateway(asked, answer, seen), (asked, content)
                        kinds.setdefault(seed, set()).add(told["kind"] or "forwarded")
            finally:
                await snapshot.close()
    assert kinds[KNOWN_SEED] >= {"forwarded", "policy-denied", "invalid-request", "missing-token", "step-up-required"}
