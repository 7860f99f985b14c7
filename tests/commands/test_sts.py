import json
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

import pytest

from sidecar.oauth.jwt import peek
from tests.support.canary import Canary, search
from tests.support.process import running, stop

BOUND = 30.0  # seconds for any single wait
SECRET = Canary.fresh("sts")


def command(path: Path) -> list[str]:
    return [sys.executable, "-m", "sidecar", "sts", "-c", str(path)]


def configuration(folder: Path, port: int, more: str = "") -> Path:
    (folder / "alice.secret").write_text(SECRET.text)
    path = folder / "sts.yaml"
    path.write_text(f"""
issuer: http://127.0.0.1:{port}
listen: 127.0.0.1:{port}
clients:
  alice-cli:
    auth_methods: [client_secret_post]
    secret_file: alice.secret
    client_credentials: {{sub: alice, audience: [gateway]}}
{more}""")
    return path


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def post(url: str, form: Mapping[str, str]) -> dict[str, object]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, urlencode(form).encode(), timeout=BOUND) as response:
        members = json.loads(response.read())
    assert isinstance(members, dict)
    return members


def run(path: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(path), capture_output=True, text=True, timeout=BOUND, stdin=subprocess.DEVNULL, check=False
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    port, log = free_port(), tmp_path / "log"
    path = configuration(tmp_path, port)
    with running(command(path), ready=lambda: listening(port), log=log) as process:
        form = {"grant_type": "client_credentials", "client_id": "alice-cli", "client_secret": SECRET.text}
        token = str(post(f"http://127.0.0.1:{port}/token", form)["access_token"])
        assert peek(token).claims["sub"] == "alice"
        process.send_signal(number)
        assert process.wait(BOUND) == 0
        assert stop(process) == 0
    text = log.read_text()
    assert "Not for production" in text.splitlines()[0]
    assert json.loads(text.splitlines()[1])["decision"] == "issued"
    assert search(text.encode(), SECRET, token) == []


def test_a_broken_file_is_told_in_full(tmp_path: Path) -> None:
    path = configuration(tmp_path, free_port(), "policies: [{client: nobody, subjects: any, audience: [a]}]\nnew: 1")
    done = run(path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{path}: new: unknown key\n")
    done = run(tmp_path / "missing.yaml")
    assert done.returncode == 2
    assert "missing.yaml: can't be read" in done.stderr


def test_an_address_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        done = run(configuration(tmp_path, port))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"can't listen on 127.0.0.1:{port}: Address already in use\n"


def test_a_name_that_is_nobodys_is_told(tmp_path: Path) -> None:
    path = configuration(tmp_path, free_port())
    path.write_text(path.read_text().replace("listen: 127.0.0.1", "listen: nobody.invalid"))
    done = run(path)
    assert done.returncode == 2
    assert done.stderr.startswith("can't listen on nobody.invalid:")
    assert "Traceback" not in done.stderr
