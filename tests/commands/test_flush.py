"""``sidecar flush`` against a running gateway, and against what is none."""

import asyncio
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sidecar.__main__ import main
from tests.support.gateway import get, recording_upstream, running_gateway
from tests.support.sts import GATEWAY_SECRET, running_sts

CONFIG = """
gateway: {listen: '127.0.0.1:0'}
admin: {listen: '127.0.0.1:0', control: 'unix:SOCKET'}
trusted_issuers:
  corp: {issuer: ISSUER, audience: [orders-gateway]}
authorization_servers:
  corp:
    issuer: ISSUER
    client_auth: {method: client_secret_basic, client_id: gateway, client_secret_file: gateway.secret}
routes:
  - name: orders
    match: {path_prefix: /orders}
    upstream: {url: 'http://127.0.0.1:PORT'}
    exchange: {audience: [orders-api], scope: [orders.read]}
"""


@pytest.fixture
def control() -> Iterator[Path]:
    """A path that is short enough for a socket."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "control.sock"


async def test_it_tells_how_much_was_dropped(tmp_path: Path, control: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gateway.secret").write_text(GATEWAY_SECRET)
    text = CONFIG.replace("SOCKET", str(control))
    async with running_sts() as sts, recording_upstream() as upstream:
        text = text.replace("ISSUER", sts.issuer).replace("PORT", str(upstream.port))
        async with running_gateway(tmp_path, text) as gateway:
            file = ["-c", str(tmp_path / "routes.yaml")]

            async def flush(*words: str) -> tuple[int, str, str]:
                status = await asyncio.to_thread(main, ["flush", *words])
                return status, *capsys.readouterr()

            for where in (file, ["--control", str(control)]):
                for what in (
                    ["--subject", "corp", "alice"],
                    ["--subject", sts.issuer, "alice"],
                    ["--issuer", "corp"],
                    ["--all"],
                ):
                    assert (await gateway.ask(get(token=sts.mint()))).status == 200
                    told = "dropped 1 issued tokens, 1 verified tokens of callers\n"
                    assert await flush(*where, *what) == (0, told, "")
            token = sts.mint()
            for what in (["--route", "orders"], ["--server", "corp"]):
                assert (await gateway.ask(get(token=token))).status == 200
                assert await flush(*file, *what) == (0, "dropped 1 issued tokens\n", "")
            assert await flush(*file, "--route", "orders") == (0, "there was nothing to drop\n", "")
            assert await flush(*file, "--route", "order") == (1, "", "There is no route of this name.\n")
            assert [line["event"] for line in await gateway.receipt_lines()].count("flush") == 11


def test_a_gateway_without_a_control_socket(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(
        "version: 1\nroutes:\n  - {name: a, match: {path: /}, upstream: {url: 'http://127.0.0.1:1'}, exchange: none}\n"
    )
    assert main(["flush", "-c", str(path), "--all"]) == 2
    assert "admin.control is not set" in capsys.readouterr().err
    path.write_text("version: 2\n")
    assert main(["flush", "-c", str(path), "--all"]) == 2
    assert "version" in capsys.readouterr().err


def test_a_gateway_that_does_not_run(control: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flush", "--control", str(control), "--all"]) == 2
    assert capsys.readouterr().err == f"{control}: can't be asked: No such file or directory\n"


@contextmanager
def answering(control: Path, says: bytes) -> Iterator[list[bytes]]:
    """A program that answers one request with these bytes; yields the bodies it got."""
    seen: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(control))
        listening.listen()
        listening.settimeout(10)

        def answer() -> None:
            connection, _ = listening.accept()
            with connection, connection.makefile("rb") as file:
                length = 0
                while line := file.readline().strip():
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                seen.append(file.read(length))
                connection.sendall(says)

        thread = threading.Thread(target=answer)
        thread.start()
        yield seen
        thread.join(10)


@pytest.mark.parametrize(
    "says",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"dropped":1}',
    ],
)
def test_what_is_no_gateway(control: Path, capsys: pytest.CaptureFixture[str], says: bytes) -> None:
    with answering(control, says):
        assert main(["flush", "--control", str(control), "--all"]) == 2
    assert capsys.readouterr().err == f"{control}: this is no gateway's control socket\n"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--all"],
        ["--control", "/x"],
        ["--control", "/x", "-c", "f", "--all"],
        ["--control", "/x", "--all", "--route", "a"],
        ["--control", "/x", "--subject", "alice"],
    ],
)
def test_what_is_meant_must_be_said_once(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["flush", *words])
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_an_empty_name_is_not_everything(control: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A variable that a shell had nothing for must not flush all."""
    refusal = b'HTTP/1.1 404 Not Found\r\nContent-Length: 15\r\n\r\n{"detail":"no"}'
    with answering(control, refusal) as seen:
        assert main(["flush", "--control", str(control), "--route", ""]) == 1
    assert seen == [b'{"route": ""}']
    assert capsys.readouterr().err == "no\n"
