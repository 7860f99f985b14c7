import argparse
import re
from pathlib import Path

import pytest

import sidecar
from sidecar.commands import check
from sidecar.config.load import load
from sidecar.demo.example import FILE_PORTS, LOOPBACK, NAME, Ports, example_file, shown, with_ports
from sidecar.demo.folder import AGENT_TOKEN, GATEWAY_SECRET


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the file needs to be there."""
    (tmp_path / GATEWAY_SECRET).write_text("a secret")
    (tmp_path / AGENT_TOKEN).write_text("a-token")
    monkeypatch.setenv("DEMO_DIR", str(tmp_path))
    return tmp_path


def test_the_file_is_at_the_top_of_the_checkout() -> None:
    assert example_file() == Path(sidecar.__file__).parent.parent / NAME


def test_the_file_passes_check(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    check.add(parser)
    assert check.run(parser.parse_args(["-c", str(example_file())])) == 0
    assert capsys.readouterr().out.endswith("4 routes, no problems\n")


def test_the_file_speaks_of_these_ports_and_no_others(folder: Path) -> None:
    config = load(example_file()).config
    assert config.gateway.listen is not None
    assert (config.gateway.listen.port, config.admin.listen.port) == (FILE_PORTS.gateway, FILE_PORTS.admin)
    assert {server.issuer for server in config.authorization_servers.values()} == {
        f"http://{LOOPBACK}:{FILE_PORTS.authorization_server}"
    }
    assert {route.upstream.url.port for route in config.routes} == {FILE_PORTS.orders}
    named = {int(port) for port in re.findall(r":(\d{4,5})\b", example_file().read_text("utf-8"))}
    assert named == {port for _, port in FILE_PORTS.named}


def test_other_ports_change_nothing_else() -> None:
    text = example_file().read_text("utf-8")
    there = with_ports(text, Ports(1, 2, 3, 4))
    assert "listen: 127.0.0.1:1\n" in there
    assert "listen: 127.0.0.1:2\n" in there
    assert there.count("http://127.0.0.1:3\n") == 2
    assert there.count('"http://127.0.0.1:4"') == 4
    assert re.sub(r"127\.0\.0\.1:\d+", "", there) == re.sub(r"127\.0\.0\.1:\d+", "", text)
    assert with_ports(text, FILE_PORTS) == text


def test_a_port_is_replaced_as_a_whole_and_once() -> None:
    ports = Ports(gateway=9090, admin=8080, authorization_server=0, orders=0)
    assert with_ports("127.0.0.1:8080 127.0.0.1:9090 127.0.0.1:80801", ports) == (
        "127.0.0.1:9090 127.0.0.1:8080 127.0.0.1:80801"
    )


def test_a_path_is_shown_relative_where_it_is_near(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shown(tmp_path / "a" / "b.yaml") == "a/b.yaml"
    assert shown(Path("/elsewhere/b.yaml")) == "/elsewhere/b.yaml"
