"""What ``exchange`` tells of one real exchange, and whose fault it says a failure is."""

import argparse
import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.commands import exchange
from sidecar.exchange.dialects.errors import DEFAULT_ERRORS
from sidecar.model.tokens import TOKEN_TYPES
from sidecar.oauth.jwt import generate_key, sign
from sidecar.policy import CHECKS
from sidecar.sts.config import Config
from tests.support.canary import Canary, search
from tests.support.certificates import Authority
from tests.support.credentials import KINDS, Kind, known, put
from tests.support.scripted import ScriptedServer, granted, refused, replied, scripted_server
from tests.support.sts import GATEWAY_SECRET, SECRET_CANARY, RunningSts, running_sts

CONFIG = """
version: 1
gateway: {listen: '127.0.0.1:1'}
trusted_issuers:
  corp:
    issuer: ISSUER
    audience: [orders-gateway]
    token_profile: jwt
    algorithms: [ES256]
authorization_servers:
  corp:
    SERVER
    timeout: 2s
    extra_params: {tenant: canary-extra-param}
    client_auth:
      method: client_secret_basic
      client_id: gateway
      client_secret_file: secret
    tls: null
workload_tokens:
  self:
    type: jwt
    file: actor
routes:
  - name: orders
    match: {path_prefix: /orders}
    upstream: {url: 'http://127.0.0.1:9000'}
    subject:
      issuers: [corp]
      require_scope: [orders.read]
      clients: [alice-cli]
    exchange:
      audience: [orders-api]
      scope: [orders.read]
      semantics: any
  - name: acting
    match: {path_prefix: /acting}
    upstream: {url: 'http://127.0.0.1:9000'}
    exchange: {resource: ['https://orders.example/'], actor_token: self}
  - name: health
    match: {path: /healthz}
    upstream: {url: 'http://127.0.0.1:9000'}
    exchange: none
"""
ACTOR = "canary-actor-token-0123456789"


class Desk:
    """Makes exchanges by the file above, and has the whole output searched for what must not be in it."""

    def __init__(
        self, folder: Path, sts: RunningSts, scripted: ScriptedServer, out: pytest.CaptureFixture[str]
    ) -> None:
        self.folder, self.sts, self.scripted, self._out = folder, sts, scripted, out
        self.text = CONFIG.replace("ISSUER", sts.issuer).replace(
            "SERVER", f"token_endpoint: 'http://127.0.0.1:{scripted.port}/token'"
        )
        self.token = sts.mint()
        self.printed = self.errors = ""
        (folder / "secret").write_text(GATEWAY_SECRET)
        (folder / "actor").write_text(ACTOR)

    def with_sts(self) -> "Desk":
        """Ask the embedded authorization server from now on, by discovery."""
        return self.change(re.search("token_endpoint: .*", self.text)[0], f"issuer: {self.sts.issuer}")  # type: ignore[index]

    def change(self, old: str, new: str) -> "Desk":
        """Write the file otherwise."""
        assert old in self.text
        self.text = self.text.replace(old, new)
        return self

    async def run(self, *options: str, route: str = "orders") -> int:
        """Return the exit status. The command has an event loop of its own, and so runs in a thread."""
        (self.folder / "token").write_text(self.token + "\n")
        (self.folder / "routes.yaml").write_text(self.text)
        parser = argparse.ArgumentParser()
        exchange.add(parser)
        words = ["-c", str(self.folder / "routes.yaml"), "--route", route]
        words += ["--subject-token-file", str(self.folder / "token"), *options]
        status = await asyncio.to_thread(exchange.run, parser.parse_args(words))
        self.printed, self.errors = self._out.readouterr()
        hidden = [self.token, self.token.rpartition(".")[2], SECRET_CANARY.text, ACTOR, "canary-extra-param"]
        everything = (self.printed + self.errors).encode()
        assert search(everything, *(text for text in hidden if len(text) >= 8)) == []
        return status

    async def told(self, route: str = "orders") -> dict[str, Any]:
        """What is told as JSON, and that the exit status fits."""
        status = await self.run("--json", route=route)
        assert self.errors == ""
        found: dict[str, Any] = json.loads(self.printed)
        assert status == (0 if found["outcome"] == "issued" else 1)
        assert ("fault" in found) == (status == 1)
        return found

    async def fault(self, route: str = "orders") -> tuple[str, str | None]:
        """Whose fault a failure is, and the key; the place is the key's line, or its section's."""
        fault = (await self.told(route))["fault"]
        sentence = fault["sentence"]
        assert sentence.startswith(f"The fault lies with {fault['party']}: ")
        assert sentence.count(". ") == 0
        assert "\n" not in sentence
        if fault["key"] is None:
            assert sentence.endswith("; no key of the file changes that.")
            assert fault["place"] is None
        else:
            assert sentence.endswith(f"; the key is {fault['key']} ({fault['place']}).")
            file, line = fault["place"].rsplit(":", 1)
            assert file == str(self.folder / "routes.yaml")
            self.line = self.text.splitlines()[int(line) - 1]
        return fault["party"], fault["key"]


@pytest.fixture
async def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Desk]:
    async with running_sts() as sts, scripted_server() as scripted:
        yield Desk(tmp_path, sts, scripted, capsys)


CALLER, OURS, CREDENTIALS = "the caller's token", "our configuration", "our credentials"
POLICY, SERVER = "the authorization server's policy", "the authorization server's health"
REPLY, ISSUER = "the authorization server's reply", "the issuer's health"
ENDPOINT = "authorization_servers.corp.token_endpoint"
SECRET = "authorization_servers.corp.client_auth.client_secret_file"

# --- a good one


async def test_one_that_succeeds(desk: Desk) -> None:
    told = await desk.with_sts().change("semantics: any", "semantics: delegation").told()
    assert list(told) == [
        *("route", "subject", "checks", "form", "reply", "issued"),
        *("verified", "lifetime", "expect", "timings", "outcome"),
    ]
    assert (
        told["route"]
        == f"orders ({desk.folder}/routes.yaml:{desk.text[: desk.text.index('- name')].count(chr(10)) + 1})"
    )
    assert (told["subject"]["sub"], told["subject"]["aud"]) == ("alice", "orders-gateway")
    assert told["checks"] == {
        "token": "yes: alice, by trusted issuer corp",
        **dict.fromkeys(CHECKS, "yes"),
    }
    assert told["form"] == [
        ["grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"],
        ["audience", "orders-api"],
        ["tenant", "(from extra_params)"],
        ["scope", "orders.read"],
        ["subject_token", "(the caller's)"],
        ["subject_token_type", TOKEN_TYPES["access_token"]],
    ]
    assert told["issued"]["aud"] == ["orders-api"]
    assert told["issued"]["act"] == {"iss": desk.sts.issuer, "sub": "gateway"}
    assert told["reply"]["token_type"] == "Bearer"
    assert told["verified"] == "signature"
    assert re.fullmatch(r"[1-9]\d* s", told["lifetime"])
    assert told["expect"] == {
        "audience": "yes: expected orders-api (allowed: orders-api), found orders-api",
        "scope": "yes: expected none (allowed: orders.read), found orders.read",
        "subject": "yes: expected same, found alice",
        "semantics": "yes: expected delegation, found delegation",
    }
    assert list(told["timings"]) == ["keys", "discovery", "exchange", "reply"]
    assert all(re.fullmatch(r"\d+\.\d ms", text) for text in told["timings"].values())
    assert desk.sts.exchanges == 1
    assert await desk.run() == 0
    assert desk.sts.exchanges == 2  # nothing is kept
    assert "outcome     issued\n" in desk.printed
    assert re.search(r"^issued      .*: ", desk.printed, re.MULTILINE)


async def test_an_opaque_token_is_told_by_what_the_reply_said(desk: Desk) -> None:
    desk.scripted.reply = granted("canary-opaque-issued", scope="orders.read", refresh_token="canary-refresh-token")
    told = await desk.told()
    assert "issued" not in told
    assert told["verified"] == "taken"
    assert told["reply"] == {
        "issued_token_type": TOKEN_TYPES["access_token"],
        "token_type": "Bearer",
        "expires_in": 300,
        "scope": "orders.read",
    }
    assert told["expect"]["audience"].endswith("found (not told)")
    assert search(desk.printed.encode(), "canary-opaque-issued", "canary-refresh-token") == []


async def test_an_actor_is_told_but_not_shown(desk: Desk) -> None:
    told = await desk.told("acting")
    assert ["actor_token", "(ours)"] in told["form"]
    assert desk.scripted.asked[0].form["actor_token"] == ACTOR
    assert told["outcome"] == "refused: 502 exchange-unusable"  # an opaque token shows no actor
    assert told["fault"]["party"] == REPLY
    assert told["fault"]["key"] == "routes.1.exchange.semantics"


# --- whose fault: what the server says

CODES: dict[str, tuple[str, str | None]] = {
    "invalid_grant": (CALLER, None),
    "invalid_request": (OURS, "routes.0.exchange"),
    "invalid_scope": (POLICY, "routes.0.exchange.scope"),
    "access_denied": (POLICY, "routes.0.exchange"),
    "invalid_target": (OURS, "routes.0.exchange.audience"),
    "invalid_client": (CREDENTIALS, SECRET),
    "unauthorized_client": (CREDENTIALS, "authorization_servers.corp.client_auth.client_id"),
    "unsupported_grant_type": (OURS, ENDPOINT),
    "unsupported_token_type": (OURS, "routes.0.exchange.requested_token_type"),
    **dict.fromkeys(
        ("interaction_required", "login_required", "consent_required", "insufficient_user_authentication"),
        (CALLER, None),
    ),
    "temporarily_unavailable": (SERVER, ENDPOINT),
    "server_error": (SERVER, ENDPOINT),
}


def test_every_code_is_tried() -> None:
    assert CODES.keys() == DEFAULT_ERRORS.keys()


@pytest.mark.parametrize("code", CODES)
async def test_an_error_code(desk: Desk, code: str) -> None:
    desk.scripted.reply = refused(code, error_description=f"{desk.token} {GATEWAY_SECRET}")
    assert await desk.fault() == CODES[code]
    assert code in desk.printed
    if (key := CODES[code][1]) is not None and not key.endswith("requested_token_type"):
        assert desk.line.strip().startswith((f"{key.rpartition('.')[2]}:", "audience:"))


PROOFS = {
    "client_secret_basic": "client_secret_file",
    "client_secret_post": "client_secret_file",
    "client_secret_jwt": "client_secret_file",
    "private_key_jwt": "key_file",
    "jwt_file": "jwt_file",
    "spiffe_jwt": "jwt_file",
    "tls_client_auth": "cert_file",
    "self_signed_tls_client_auth": "cert_file",
}


@pytest.mark.parametrize("method", KINDS)
async def test_a_refused_proof(desk: Desk, method: str) -> None:
    """By a server that knows the client by another one; the key that says where ours is from is named."""
    authority = Authority(desk.folder)
    kinds: list[Kind] = []

    def configure(issuer: str) -> Config:
        kinds.append(KINDS[method](desk.folder, authority, issuer))
        return known(issuer, kinds[0].after, authority.issue("127.0.0.1"), authority)

    async with running_sts(configure) as sts:
        put(desk.folder, kinds[0].files, 0)
        desk.token = sts.mint()
        desk.text = CONFIG.replace("ISSUER", sts.issuer).replace("SERVER", f"issuer: {sts.issuer}")
        before, _, rest = desk.text.partition("    client_auth:")
        _, _, after = rest.partition("    tls: null")
        desk.text = f"{before}    client_auth: {kinds[0].method}\n    tls: {{ca_file: '{authority.ca_file}'}}{after}"
        party, key = await desk.fault()
    assert (party, key) == (CREDENTIALS, f"authorization_servers.corp.client_auth.{PROOFS[method]}")
    assert not search((desk.printed + desk.errors).encode(), *kinds[0].secrets)


async def test_a_target_may_be_a_resource(desk: Desk) -> None:
    desk.scripted.reply = refused("invalid_target")
    assert await desk.fault("acting") == (OURS, "routes.1.exchange.resource")


async def test_a_code_that_the_file_gives_another_meaning(desk: Desk) -> None:
    desk.change("    timeout: 2s", "    timeout: 2s\n    dialect_overrides: {errors: {invalid_request: subject-token}}")
    desk.scripted.reply = refused("invalid_request")
    assert await desk.fault() == (CALLER, None)


UNUSABLE: list[tuple[bytes, str | None]] = [
    (refused("no_such_code"), "authorization_servers.corp.dialect_overrides.errors"),
    (replied({}, status=b"400 Bad Request"), ENDPOINT),
    (replied({}, status=b"404 Not Found"), ENDPOINT),
    (replied({}, b"Location: /other", status=b"302 Found"), ENDPOINT),
    (replied(b"<html>", content_type=b"text/html"), ENDPOINT),
    (replied(b"[]"), ENDPOINT),
    (b"SSH-2.0-OpenSSH\r\n\r\n", ENDPOINT),
    (replied({"error": "invalid_grant"}), None),
    (replied({}), None),
    (granted(token_type="N_A"), None),
    (granted(expires_in="soon"), None),
    (granted("two words"), None),
    (granted(issued_token_type=None), "authorization_servers.corp.dialect_overrides.issued_token_type"),
    (granted(issued_token_type=TOKEN_TYPES["id_token"]), "routes.0.exchange.requested_token_type"),
    (granted(scope="orders.read admin"), "routes.0.exchange.expect.extra_scope"),
]


@pytest.mark.parametrize(("reply", "key"), UNUSABLE, ids=[str(number) for number in range(len(UNUSABLE))])
async def test_an_unusable_reply(desk: Desk, reply: bytes, key: str | None) -> None:
    desk.scripted.reply = reply
    assert await desk.fault() == (REPLY, key)


@pytest.mark.parametrize(
    ("claims", "key", "part"),
    [
        ({"aud": ["orders-api", "more"]}, "extra_audience", "audience"),
        ({"aud": "other"}, "audience", "audience"),
        ({"scope": "admin"}, "extra_scope", "scope"),
        ({"sub": "bob"}, "subject", "subject"),
    ],
)
async def test_a_token_that_is_not_what_the_route_expects(
    desk: Desk, claims: dict[str, Any], key: str, part: str
) -> None:
    token = desk.sts.mint(**{"aud": "orders-api", "scope": "orders.read", **claims})
    desk.scripted.reply = granted(token)
    told = await desk.told()
    assert told["fault"]["key"] == f"routes.0.exchange.expect.{key}"
    assert told["fault"]["party"] == REPLY
    name, value = next(iter(claims.items()))
    assert told["issued"][name] == value  # shown, though it must not be used
    assert [part for part, text in told["expect"].items() if text.startswith("no: ")] == [part]
    assert search(desk.printed.encode(), token) == []


async def test_a_token_of_a_wrong_key(desk: Desk) -> None:
    desk.scripted.reply = granted(desk.sts.mint(aud="orders-api", key=generate_key("ES256", "strange")))
    assert await desk.fault() == (REPLY, None)


async def test_the_callers_own_token_is_no_reply(desk: Desk) -> None:
    desk.scripted.reply = granted(desk.token)
    assert await desk.fault() == (REPLY, None)


# --- whose fault: how the server is


@pytest.mark.parametrize(
    "reply",
    [
        replied({}, status=b"500 Internal Server Error"),
        replied({}, status=b"503 Service Unavailable"),
        replied({}, b"Retry-After: 5", status=b"429 Too Many Requests"),
        b"",
    ],
)
async def test_a_server_that_fails(desk: Desk, reply: bytes) -> None:
    desk.scripted.reply = reply
    assert await desk.fault() == (SERVER, ENDPOINT)


async def test_a_server_that_is_down(desk: Desk) -> None:
    desk.change(str(desk.scripted.port), "1")
    assert await desk.fault() == (SERVER, ENDPOINT)
    assert desk.line.strip().startswith("token_endpoint:")


async def test_a_server_that_does_not_answer(desk: Desk) -> None:
    async def never(_: object) -> bytes:
        await asyncio.Event().wait()
        return b""

    desk.change("timeout: 2s", "timeout: 100ms").scripted.reply = never
    assert await desk.fault() == (SERVER, "authorization_servers.corp.timeout")
    assert desk.line.strip() == "timeout: 100ms"


async def test_a_name_that_is_nobodys(desk: Desk) -> None:
    desk.change(f"http://127.0.0.1:{desk.scripted.port}", "https://nobody.invalid")
    party, key = await desk.fault()
    assert (party, key) == (OURS, ENDPOINT)


async def test_a_server_that_does_not_speak_tls(desk: Desk) -> None:
    desk.change(f"http://127.0.0.1:{desk.scripted.port}", desk.sts.issuer.replace("http:", "https:"))
    assert await desk.fault() == (OURS, "authorization_servers.corp.tls")


async def test_a_proxy_that_is_down(desk: Desk) -> None:
    desk.change("timeout: 2s", "timeout: 2s\n    proxy_url: 'http://127.0.0.1:1'")
    assert await desk.fault() == (OURS, "authorization_servers.corp.proxy_url")


async def test_discovery_at_the_wrong_place(desk: Desk) -> None:
    desk.with_sts()
    server = desk.text.index("authorization_servers")
    desk.text = desk.text[:server] + desk.text[server:].replace(desk.sts.issuer, f"{desk.sts.issuer}/realm")
    assert await desk.fault() == (OURS, "authorization_servers.corp.issuer")


# --- whose fault: what is ours


async def test_a_wrong_secret(desk: Desk) -> None:
    desk.with_sts()
    (desk.folder / "secret").write_text("another-secret")
    assert await desk.fault() == (CREDENTIALS, SECRET)
    assert desk.line.strip() == "client_secret_file: secret"


async def test_a_client_without_a_policy(desk: Desk) -> None:
    desk.with_sts().change("client_id: gateway", "client_id: nobody")
    assert (await desk.fault())[0] == CREDENTIALS


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("audience: [orders-api]", "audience: [nowhere]", (OURS, "routes.0.exchange.audience")),
        ("\n      scope: [orders.read]", "\n      scope: [admin]", (POLICY, "routes.0.exchange.scope")),
    ],
)
async def test_what_the_server_does_not_allow(desk: Desk, old: str, new: str, fault: tuple[str, str]) -> None:
    assert await desk.with_sts().change(old, new).fault() == fault


async def test_a_key_in_a_teams_file(desk: Desk) -> None:
    """It is named as it stands there: the third route of all is that file's first."""
    (desk.folder / "team.yaml").write_text("""
routes:
  - name: invoices
    match: {hosts: [a.example.com], path_prefix: /a}
    upstream: {url: 'http://127.0.0.1:9000'}
    subject: {issuers: [corp]}
    exchange:
      authorization_server: corp
      audience: [a-api]
      scope: [a.read]
""")
    desk.text += """
include:
  - name: a
    files: team.yaml
    allow:
      hosts: [a.example.com]
      path_prefixes: [/a]
      authorization_servers: [corp]
      audiences: [a-*]
      scopes: [a.*]
      upstreams: ['http://127.0.0.1:*']
"""
    desk.scripted.reply = refused("invalid_target")
    told = await desk.told("a/invoices")
    assert (told["fault"]["party"], told["fault"]["key"]) == (OURS, "routes.0.exchange.audience")
    assert told["fault"]["place"] == f"{desk.folder}/team.yaml:9"


async def test_our_own_token_that_is_none(desk: Desk) -> None:
    (desk.folder / "actor").write_text("not one token")
    assert await desk.run(route="acting") == 2
    assert desk.errors.endswith(f"workload_tokens.self.file: {desk.folder}/actor: the file does not hold one token\n")
    assert desk.scripted.asked == []


# --- whose fault: the caller's token


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"lifetime": -100}, "trusted_issuers.corp.leeway"),
        ({"aud": "other"}, "trusted_issuers.corp.audience"),
        ({"iss": "https://stranger.example"}, "routes.0.subject.issuers"),
        ({"cnf": {"jkt": "x"}}, None),
        ({"key": generate_key("ES256", "strange")}, "trusted_issuers.corp.issuer"),
        ({"key": generate_key("ES384", "strange"), "algorithm": "ES384"}, "trusted_issuers.corp.algorithms"),
        ({"scope": "other"}, "routes.0.subject.require_scope"),
        ({"client_id": "bob-cli"}, "routes.0.subject.clients"),
        (
            {"act": {"sub": "a", "act": {"sub": "b", "act": {"sub": "c", "act": {"sub": "d"}}}}},
            "routes.0.subject.max_actor_depth",
        ),
        ({"may_act": {"sub": "another-gateway"}}, "routes.0.exchange.actor_token"),
        ({"may_act": "gateway"}, "routes.0.exchange.actor_token"),
    ],
)
async def test_a_token_that_is_not_good_here(desk: Desk, changes: dict[str, Any], key: str | None) -> None:
    desk.token = desk.sts.mint(**changes)
    assert await desk.fault() == (CALLER, key)
    assert desk.scripted.asked == []


async def test_a_token_that_lets_us_act(desk: Desk) -> None:
    desk.token = desk.sts.mint(may_act={"sub": "gateway"})
    told = await desk.with_sts().told()
    assert (told["outcome"], told["checks"]["may_act"]) == ("issued", "yes")


async def test_a_token_that_is_too_plain(desk: Desk) -> None:
    desk.token = desk.sts.mint(header={"typ": "JWT"})
    assert await desk.change("token_profile: jwt", "token_profile: at+jwt").fault() == (
        CALLER,
        "trusted_issuers.corp.token_profile",
    )


async def test_a_token_that_is_no_jwt(desk: Desk) -> None:
    desk.token = "canary-opaque-subject-token"
    told = await desk.told()
    assert (told["subject"], told["fault"]["party"], told["fault"]["key"]) == ({}, CALLER, None)


async def test_every_check_is_told_though_one_is_enough(desk: Desk) -> None:
    desk.token = desk.sts.mint(scope="other", client_id="bob-cli")
    told = await desk.told()
    assert [name for name, said in told["checks"].items() if said.startswith("no: ")] == ["clients", "require_scope"]
    assert told["outcome"] == "refused: 403 policy-denied"


async def test_an_issuer_that_is_down(desk: Desk) -> None:
    desk.change(desk.sts.issuer, "http://127.0.0.1:1")
    desk.token = desk.sts.mint(iss="http://127.0.0.1:1")
    assert await desk.fault() == (ISSUER, "trusted_issuers.corp.issuer")


async def test_an_issuer_that_is_not_where_the_file_says(desk: Desk) -> None:
    desk.change(f"issuer: {desk.sts.issuer}", f"issuer: {desk.sts.issuer}\n    jwks_uri: {desk.sts.issuer}/nowhere")
    assert await desk.fault() == (OURS, "trusted_issuers.corp.jwks_uri")


# --- secrets


async def test_what_a_server_repeats_is_not_repeated(desk: Desk) -> None:
    """In every member and claim that is shown, whole or by a segment; ``run`` searches all that is printed."""
    (desk.folder / "secret").write_text(secret := Canary.fresh("repeated").text)
    other = sign({"sub": "x"}, generate_key("ES256", "k"), "ES256")
    signature = desk.token.rpartition(".")[2]
    claims: dict[str, Any] = {
        "aud": "orders-api",
        "scope": f"orders.read {secret}",
        "note": [desk.token, {signature: signature}],
    }
    for reply in (
        granted(desk.sts.mint(**claims, more=other, quoted=f"Bearer {other}")),
        granted(scope=f"{desk.token} {secret}", expires_in=desk.token, token_type=secret),
        refused(secret),
        refused(signature[:64]),
    ):
        desk.scripted.reply = reply
        for options in (["--json"], []):
            assert await desk.run(*options) == 1
            assert search(desk.printed.encode(), secret, other, other.rpartition(".")[2]) == []
            assert signature[:60] not in desk.printed


async def test_a_secret_in_the_environment(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_SECRET", secret := Canary.fresh("environment").text)
    desk.change("client_secret_file: secret", "client_secret_env: GATEWAY_SECRET").scripted.reply = refused(secret)
    assert await desk.run() == 1
    assert search(desk.printed.encode(), secret) == []
    desk.scripted.reply = refused("invalid_client")
    assert await desk.fault() == (CREDENTIALS, SECRET.replace("file", "env"))


async def test_a_claim_moves_no_cursor(desk: Desk) -> None:
    hidden: dict[str, Any] = {"\x1b]0;x": 1}
    desk.token = desk.sts.mint("alice", note="\x1b[2J\r\nissued", **hidden)
    assert await desk.run() == 0
    assert "\x1b" not in desk.printed
    assert "\r" not in desk.printed
    assert "\nissued" not in desk.printed


# --- bad input


async def test_routes_that_exchange_nothing(desk: Desk) -> None:
    for route in ("health", "nowhere"):
        assert await desk.run(route=route) == 2
        assert desk.errors == f"--route: {route} is no route that exchanges; there are: orders, acting\n"
        assert desk.printed == ""


@pytest.mark.parametrize("text", ["", "two words", "a,b", "tök"])
async def test_a_file_without_one_token(desk: Desk, text: str) -> None:
    desk.token = text
    assert await desk.run() == 2
    assert desk.errors.startswith(f"--subject-token-file: {desk.folder}/token ")


async def test_a_broken_file(desk: Desk) -> None:
    assert await desk.change("client_id: gateway", "client: gateway").run() == 2
    assert "routes.yaml:" in desk.errors
    (desk.folder / "secret").unlink()
    assert await desk.change("client: gateway", "client_id: gateway").run() == 2
    assert "client_secret_file" in desk.errors


async def test_a_token_of_ours_and_nobody_elses(desk: Desk) -> None:
    own = "  - name: own\n    listener: out\n    match: {path: /own}\n    upstream: {url: 'http://127.0.0.1:9000'}\n"
    own += "    exchange: {audience: [orders-api], subject_token: self, expect: {scope: any}}\n"
    desk.change("routes:", f"routes:\n{own}").change(
        "gateway: {listen: '127.0.0.1:1'}",
        "gateway:\n  listeners:\n    default: {listen: '127.0.0.1:1'}\n"
        "    out: {listen: '127.0.0.1:2', direction: egress}",
    )
    for name in ("orders", "acting", "health"):
        desk.change(f"name: {name}\n", f"name: {name}\n    listener: default\n")
    told = await desk.told("own")
    assert (told["outcome"], told["checks"]) == ("issued", {})
    assert ["subject_token", "(ours)"] in told["form"]
    assert desk.scripted.asked[0].form["subject_token"] == ACTOR


async def test_the_callers_token_is_needed_where_the_route_asks_for_it(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    path = desk.folder / "routes.yaml"
    path.write_text(desk.text)
    parser = argparse.ArgumentParser()
    exchange.add(parser)
    status = await asyncio.to_thread(exchange.run, parser.parse_args(["-c", str(path), "--route", "orders"]))
    assert status == 2
    assert capsys.readouterr().err == "--subject-token-file: route orders asks for the caller's token\n"


async def test_a_server_that_gives_us_no_token(desk: Desk) -> None:
    desk.change("    type: jwt\n    file: actor", "    client_credentials: {}")
    desk.scripted.reply = refused("invalid_client", status=b"401 Unauthorized")
    assert await desk.fault("acting") == (OURS, "workload_tokens.self.client_credentials")
    desk.scripted.reply = replied(b"", status=b"500 Oops")
    assert await desk.fault("acting") == (SERVER, "workload_tokens.self.client_credentials")
