"""What ``check --online`` finds of peers that are right, wrong, late, silent or somebody else."""

import argparse
import asyncio
import json
from collections.abc import AsyncIterator
from email.utils import formatdate
from pathlib import Path
from time import time

import pytest
import yaml

from sidecar.commands import check
from sidecar.commands.online import Answers, ask
from sidecar.config.load import load
from tests.oauth.peers import raw_peer, reply
from tests.support.canary import search
from tests.support.certificates import Authority
from tests.support.proxy import running_proxy
from tests.support.scripted import ScriptedServer, granted, refused, replied, scripted_server
from tests.support.sts import GATEWAY_SECRET, SECRET_CANARY, RunningSts, running_sts
from tests.support.vendors.exchanges import Case, configuration
from tests.support.vendors.known import VENDORS

CONFIG = """
version: 1
gateway: {listen: '127.0.0.1:1'}
admin: {listen: '127.0.0.1:2'}
trusted_issuers:
  corp:
    issuer: ISSUER
    audience: [orders-gateway]
    leeway: 30s
authorization_servers:
  corp:
    SERVER
    timeout: 1s
    client_auth:
      method: client_secret_basic
      client_id: gateway
      client_secret_file: secret
routes:
  - name: orders
    match: {path_prefix: /orders}
    upstream: {url: 'http://127.0.0.1:9000'}
    subject: {require_scope: [orders.read]}
    exchange: {audience: [orders-api]}
"""


class Desk:
    """Asks by the file above, and has everything searched for what must not be told."""

    def __init__(self, folder: Path, sts: RunningSts) -> None:
        self.folder, self.sts = folder, sts
        self.text = CONFIG.replace("ISSUER", sts.issuer)
        self.server(f"issuer: {sts.issuer}")
        (folder / "secret").write_text(GATEWAY_SECRET)

    def server(self, line: str) -> "Desk":
        """Say where the authorization server is."""
        self.text = self.text.replace("SERVER", line)
        return self

    def change(self, old: str, new: str) -> "Desk":
        """Write the file otherwise."""
        assert old in self.text
        self.text = self.text.replace(old, new)
        return self

    def elsewhere(self, port: int) -> "Desk":
        """Ask another server for exchanges."""
        parts = self.text.partition("authorization_servers:")
        moved = parts[2].replace(f"issuer: {self.sts.issuer}", f"token_endpoint: 'http://127.0.0.1:{port}/token'")
        self.text = parts[0] + parts[1] + moved
        return self

    async def asked(self) -> Answers:
        """What is found. Asking has an event loop of its own, and so is done in a thread."""
        path = self.folder / "routes.yaml"
        path.write_text(self.text)
        answers = await asyncio.to_thread(ask, load(str(path)))
        assert search(repr(answers).encode(), SECRET_CANARY.text, GATEWAY_SECRET) == []
        return answers

    async def error(self) -> tuple[str, str]:
        """The one error: its key and what is said."""
        answers = await self.asked()
        assert answers.lints == ()
        (problem,) = answers.errors
        assert problem.line > 1
        return problem.path, problem.message

    async def lint(self) -> tuple[str, str]:
        """The one finding that is no error: its key and what is said."""
        answers = await self.asked()
        assert answers.errors == ()
        (lint,) = answers.lints
        assert lint.rule == "online"
        return lint.problem.path, lint.problem.message


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with running_sts() as sts:
        yield Desk(tmp_path, sts)


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedServer]:
    async with scripted_server() as server:
        yield server


# --- authorization servers


async def test_all_is_well(desk: Desk) -> None:
    assert await desk.asked() == Answers(asked=2)
    assert [line.error for line in desk.sts.audit] == ["invalid_request"]  # the void token was judged, so we were taken


async def test_a_wrong_secret(desk: Desk) -> None:
    (desk.folder / "secret").write_text(f"wrong-{SECRET_CANARY.text}")
    path, said = await desk.error()
    assert path == "authorization_servers.corp.client_auth.client_secret_file"
    assert said.startswith("the server said 401 invalid_client; it does not accept who we say we are")


@pytest.mark.parametrize(
    ("answer", "path", "says"),
    [
        (refused("unauthorized_client"), "client_auth.client_id", "allow it the grant there"),
        (refused("unsupported_grant_type"), "dialect", "no such grant"),
        (granted(), "token_endpoint", "issued a token"),
        (replied(b"<html>", content_type=b"text/html"), "token_endpoint", "content type is not JSON"),
        (replied({}, b"Location: /", status=b"302 Found"), "token_endpoint", "redirects are not followed"),
        (replied({}, status=b"500 Oops"), "token_endpoint", "the server failed"),
        (b"", "token_endpoint", "the connection was closed; see whether it is up"),
    ],
)
async def test_what_an_answer_says_about_us(
    desk: Desk, scripted: ScriptedServer, answer: bytes, path: str, says: str
) -> None:
    scripted.reply = answer
    found, said = await desk.elsewhere(scripted.port).error()
    assert found == f"authorization_servers.corp.{path}"
    assert says in said


@pytest.mark.parametrize(
    "code", ["invalid_grant", "invalid_request", "invalid_target", "invalid_scope", "access_denied"]
)
async def test_a_refusal_of_the_void_token_is_what_is_hoped_for(
    desk: Desk, scripted: ScriptedServer, code: str
) -> None:
    scripted.reply = refused(code)
    assert await desk.elsewhere(scripted.port).asked() == Answers(asked=2)
    (asked,) = scripted.asked
    assert asked.form["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange"
    assert asked.form["subject_token"].count(".") == 2


@pytest.mark.parametrize("code", ["canary-code-of-nobody", "temporarily_unavailable"])
async def test_an_answer_that_says_nothing_about_us_is_no_error(
    desk: Desk, scripted: ScriptedServer, code: str
) -> None:
    scripted.reply = refused(code)
    path, said = await desk.elsewhere(scripted.port).lint()
    assert path == "authorization_servers.corp.token_endpoint"
    assert "nobody can tell" in said
    assert "canary" not in said


async def test_a_server_that_hangs(desk: Desk, scripted: ScriptedServer) -> None:
    async def hang(_: object) -> bytes:
        await asyncio.sleep(5)
        return b""

    scripted.reply = hang
    desk.change("timeout: 1s", "timeout: 100ms")
    path, said = await desk.elsewhere(scripted.port).error()
    assert path == "authorization_servers.corp.timeout"
    assert said.startswith("no answer in time")


async def test_metadata_of_another_issuer(desk: Desk) -> None:
    port = desk.sts.issuer.rpartition(":")[2]
    desk.change(
        "authorization_servers:\n  corp:\n    issuer: http://127.0.0.1",
        "authorization_servers:\n  corp:\n    issuer: http://localhost",
    )
    path, said = await desk.error()
    assert path == "authorization_servers.corp.issuer"
    assert "the document names another issuer" in said
    assert port not in said


@pytest.mark.parametrize("name", VENDORS)
async def test_every_dialect_tells_us_from_somebody_else(tmp_path: Path, name: str) -> None:
    vendor = VENDORS[name]()
    vendor.state.dead = "expired"
    async with scripted_server() as server:
        server.reply = vendor.reply
        config = configuration(type(vendor), server.port, tmp_path, {"usual": Case("usual", vendor.usual)})
        (tmp_path / "routes.yaml").write_text(yaml.safe_dump({"version": 1, **config}))
        loaded = load(str(tmp_path / "routes.yaml"))
        assert (await asyncio.to_thread(ask, loaded)).errors == ()
        vendor.state.secret = "another"
        (problem,) = (await asyncio.to_thread(ask, loaded)).errors
        assert ".client_auth." in problem.path
        assert "does not accept who we say we are" in problem.message


# --- TLS


async def test_a_certificate_of_somebody_else(desk: Desk, tmp_path: Path) -> None:
    context = Authority(tmp_path).issue("127.0.0.1").server_context()
    async with raw_peer(refused("invalid_grant"), tls=context) as peer:
        parts = desk.text.partition("authorization_servers:")
        desk.text = "".join(parts[:2]) + parts[2].replace(f"issuer: {desk.sts.issuer}", f"token_endpoint: {peer.url}")
        path, said = await desk.error()
        assert path == "authorization_servers.corp.tls"
        assert said.startswith("the certificate is not trusted; name its authority in ca_file")
        desk.change("timeout: 1s", f"timeout: 1s\n    tls: {{ca_file: {tmp_path}/authority.pem}}")
        assert (await desk.asked()).errors == ()


# --- a proxy


async def test_a_proxy_that_refuses(desk: Desk, scripted: ScriptedServer) -> None:
    async with running_proxy() as proxy:
        proxy.manner = "refuse"
        desk.change("timeout: 1s", f"timeout: 1s\n    proxy_url: {proxy.url}")
        parts = desk.text.partition("authorization_servers:")
        desk.text = "".join(parts[:2]) + parts[2].replace(
            f"issuer: {desk.sts.issuer}", f"token_endpoint: 'https://127.0.0.1:{scripted.port}/token'"
        )
        path, said = await desk.error()
        assert path == "authorization_servers.corp.proxy_url"
        assert said == "the proxy gives no connection; see whether it is up, and lets us through to that host"


# --- trusted issuers


async def test_keys_that_are_not_there(desk: Desk) -> None:
    desk.change("audience: [orders-gateway]", f"audience: [orders-gateway]\n    jwks_uri: {desk.sts.issuer}/nowhere")
    path, said = await desk.error()
    assert path == "trusted_issuers.corp.jwks_uri"
    assert said.startswith("keys: ")


async def test_an_issuer_that_is_down(desk: Desk) -> None:
    desk.change("audience: [orders-gateway]", "audience: [orders-gateway]\n    jwks_uri: 'http://127.0.0.1:1/keys'")
    path, said = await desk.error()
    assert path == "trusted_issuers.corp.jwks_uri"
    assert said == "keys: no connection; see whether it is up, and may be reached from here"


def introspecting(desk: Desk, port: int) -> Desk:
    """Have the issuer's tokens introspected there."""
    client = "{method: client_secret_post, client_id: gateway, client_secret_file: secret}"
    section = f"introspection: {{endpoint: 'http://127.0.0.1:{port}/', client_auth: {client}}}"
    return desk.change("leeway: 30s", f"leeway: 30s\n    {section}")


@pytest.mark.parametrize(
    ("answer", "path", "says"),
    [
        (refused("invalid_client", status=b"401 No"), ".client_auth.client_secret_file", "does not accept who we say"),
        (replied({"active": True, "sub": "anybody"}), "", "a token which nobody issued is active"),
        (replied({}), ".endpoint", "does not say whether"),
        (b"", ".endpoint", "the connection was closed"),
    ],
)
async def test_introspection(desk: Desk, scripted: ScriptedServer, answer: bytes, path: str, says: str) -> None:
    scripted.reply = answer
    found, said = await introspecting(desk, scripted.port).error()
    assert found == f"trusted_issuers.corp.introspection{path}"
    assert says in said


async def test_a_token_that_nobody_knows_is_not_active(desk: Desk, scripted: ScriptedServer) -> None:
    scripted.reply = replied({"active": False})
    assert (await introspecting(desk, scripted.port).asked()).errors == ()
    (asked,) = scripted.asked
    assert len(asked.form["token"]) >= 32


# --- clocks


@pytest.mark.parametrize(
    ("ahead", "age", "found"),
    [
        (0, "", None),
        (29, "", None),
        (-29, "", None),
        (95, "", "ahead of"),
        (-95, "", "behind"),
        (-95, "95", None),  # a cache kept it
        (-95, "x", "behind"),
    ],
)
async def test_a_clock_that_is_wrong(
    desk: Desk, scripted: ScriptedServer, ahead: int, age: str, found: str | None
) -> None:
    date = f"Date: {formatdate(time() + ahead, usegmt=True)}".encode()
    scripted.reply = refused("invalid_grant", date, f"Age: {age}".encode())
    desk.elsewhere(scripted.port)
    if found is None:
        assert (await desk.asked()).lints == ()
    else:
        path, said = await desk.lint()
        assert path == "authorization_servers.corp"
        assert f" s {found} ours, more than 30 s" in said


async def test_an_issuers_clock_is_held_against_its_leeway(desk: Desk) -> None:
    late = reply(200, {"keys": []}, Date=formatdate(time() - 60, usegmt=True))
    async with raw_peer(late) as peer:
        uri = f"jwks_uri: 'http://127.0.0.1:{peer.port}/keys'"
        desk.change("audience: [orders-gateway]", f"audience: [orders-gateway]\n    {uri}")
        answers = await desk.asked()
        assert [problem.path for problem in answers.errors] == ["trusted_issuers.corp.jwks_uri"]  # it has no keys, too
        (lint,) = answers.lints
        assert lint.problem.path == "trusted_issuers.corp.leeway"
        desk.change("leeway: 30s", "leeway: 2m")
        assert (await desk.asked()).lints == ()


# --- the command


async def run(desk: Desk, *options: str) -> int:
    path = desk.folder / "routes.yaml"
    path.write_text(desk.text)
    parser = argparse.ArgumentParser()
    check.add(parser)
    return await asyncio.to_thread(check.run, parser.parse_args(["-c", str(path), *options]))


def _line(desk: Desk, text: str) -> int:
    """The number of the first line with this in it."""
    return next(number for number, line in enumerate(desk.text.splitlines(), 1) if text in line)


async def test_the_command_asks_only_when_told(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    (desk.folder / "secret").write_text("wrong")
    assert await run(desk) == 0
    assert desk.sts.audit == []
    capsys.readouterr()
    assert await run(desk, "--online") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"{desk.folder}/routes.yaml:{_line(desk, 'client_secret_file')}:")
    assert "authorization_servers.corp.client_auth.client_secret_file: the server said 401 invalid_client" in err


async def test_the_command_says_how_many_it_asked(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(desk, "--online") == 0
    assert capsys.readouterr().out.endswith("1 routes, no problems, 2 issuers and servers asked\n")


async def test_every_format_tells_it(desk: Desk, scripted: ScriptedServer, capsys: pytest.CaptureFixture[str]) -> None:
    scripted.reply = refused("of-nobody")
    desk.elsewhere(scripted.port)
    assert await run(desk, "--online", "--format", "json") == 1
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert (problem["severity"], problem["rule"]) == ("warning", "online")
    assert problem["line"] == _line(desk, "token_endpoint")
    scripted.reply = refused("invalid_client", status=b"401 No")
    assert await run(desk, "--online", "--format", "github") == 2
    assert capsys.readouterr().out.startswith("::error file=")


async def test_a_file_that_is_broken_is_not_asked_about(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.change("path_prefix", "prefix")
    assert await run(desk, "--online") == 2
    assert desk.sts.audit == []
    assert "prefix" in capsys.readouterr().err


def test_a_team_has_nobody_to_ask(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    check.add(parser)
    words = ["--as-team", "a", "--house", "h", "--online", "f"]
    assert check.run(parser.parse_args(words)) == 2
    assert "--online goes with -c" in capsys.readouterr().err
