import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from sidecar.oauth.jwt import VerificationKeys, peek, verify
from tests.support.canary import Canary, search
from tests.support.process import free_port, running, stop

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


def run(path: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*command(path), *options], capture_output=True, text=True, timeout=BOUND, stdin=subprocess.DEVNULL, check=False
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
    line = path.read_text().count("\n") + 1
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{path}:{line}:1: new: unknown key\n")
    done = run(tmp_path / "missing.yaml")
    assert done.returncode == 2
    assert "missing.yaml: can't be read" in done.stderr


def test_a_check_serves_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:  # which it does not even notice
        path = configuration(tmp_path, taken.getsockname()[1])
        done = run(path, "--check")
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{path}: 1 clients, 0 policies, no problems\n", "")
    (tmp_path / "alice.secret").unlink()
    done = run(path, "--check")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{path}:7:5: clients.alice-cli.secret_file: can't be read: No such file or directory\n"


def get(url: str) -> dict[str, Any]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=BOUND) as response:
        return dict(json.loads(response.read()))


def token_of(port: int) -> str:
    form = {"grant_type": "client_credentials", "client_id": "alice-cli", "client_secret": SECRET.text}
    return str(post(f"http://127.0.0.1:{port}/token", form)["access_token"])


def test_it_signs_with_a_new_key_when_it_is_told_to(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    with running(command(configuration(tmp_path, port)), ready=lambda: listening(port), log=log) as process:
        old = token_of(port)
        process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + BOUND
        while "signs with a new key" not in log.read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        new = token_of(port)
        keys = VerificationKeys.from_jwks(get(f"http://127.0.0.1:{port}/jwks"))
        assert stop(process) == 0
    kids = [peek(token).header["kid"] for token in (old, new)]
    assert kids[0] != kids[1]
    for token in (old, new):
        assert verify(token, keys, ["ES256"]).claims["sub"] == "alice"
    [line] = [json.loads(line) for line in log.read_text().splitlines() if "signs with a new key" in line]
    assert (line["logger"], line["kid"], line["old_key_for_s"]) == ("sidecar.sts", kids[1], 300)


def test_the_file_in_the_documentation_works(tmp_path: Path) -> None:
    """As it stands there, but for the port: it is good, and a token can be had and exchanged."""
    text = (Path(__file__).parents[2] / "docs" / "sts.md").read_text()
    example, *_ = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    port = free_port()
    path = tmp_path / "sts.yaml"
    path.write_text(example.replace("8090", str(port)))
    (tmp_path / "alice.secret").write_text(SECRET.text)
    (tmp_path / "gateway.secret").write_text("canary-gateway-secret")
    done = run(path, "--check")
    assert (done.returncode, done.stdout) == (0, f"{path}: 2 clients, 1 policies, no problems\n")
    with running(command(path), ready=lambda: listening(port), log=tmp_path / "log"):
        subject_token = token_of(port)
        assert peek(subject_token).claims["acr"] == "mfa"
        reply = post(
            f"http://127.0.0.1:{port}/token",
            {
                "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                "client_id": "gateway",
                "client_secret": "canary-gateway-secret",
                "subject_token": subject_token,
                "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
                "audience": "orders-api",
                "scope": "orders.read",
            },
        )
    issued = peek(str(reply["access_token"])).claims
    assert (issued["sub"], issued["aud"], issued["act"]["sub"]) == ("alice", ["orders-api"], "gateway")
    assert reply["expires_in"] == 60


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
