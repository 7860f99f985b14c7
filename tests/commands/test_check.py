import argparse
from pathlib import Path

import pytest

from sidecar.commands import check

GOOD = """
version: 1
gateway: {listen: '127.0.0.1:1'}
admin: {listen: '127.0.0.1:2'}
receipts: {sink: ./receipts.jsonl}
trusted_issuers: {corp: {issuer: 'https://login.example', audience: [gateway]}}
authorization_servers: {corp: {issuer: 'https://login.example', client_auth: {method: none}}}
routes:
  - name: orders
    match: {path_prefix: /orders}
    upstream: {url: 'http://127.0.0.1:9000'}
    exchange: {audience: [orders-api]}
  - name: health
    match: {path: /healthz}
    upstream: {url: 'http://127.0.0.1:9000'}
    exchange: none
"""


def checked(folder: Path, text: str) -> int:
    path = folder / "routes.yaml"
    path.write_text(text)
    parser = argparse.ArgumentParser()
    check.add(parser)
    return check.run(parser.parse_args(["-c", str(path)]))


def test_a_good_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing of it is there, and nobody is asked: it is checked where it is written, not where it will run."""
    assert checked(tmp_path, GOOD) == 0
    assert capsys.readouterr() == (f"{tmp_path}/routes.yaml: 2 routes, no problems\n", "")
    assert not (tmp_path / "receipts.jsonl").exists()


def test_a_broken_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checked(tmp_path, GOOD.replace("path_prefix", "prefix").replace("exchange: none", "exchange: some")) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert {line.split(":")[1] for line in err.splitlines()} == {"10", "16"}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("path: /healthz", "path_prefix: /orders"), "14:12: routes.1.match: takes requests"),
        (("{method: none}", "{method: none}, tls: {ca_file: bad}"), "authorization_servers.corp.tls: "),
        (("{method: none}", "{method: none}, dialect_overrides: {x: 1}"), "dialect_overrides.x: no such switch"),
        (
            (
                "{listen: '127.0.0.1:1'}",
                "{listeners: {a: {listen: '127.0.0.1:1', tls: {cert_file: bad, key_file: bad}}}}",
            ),
            "gateway.listeners.a.tls: ",
        ),
    ],
)
def test_whatever_run_would_refuse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: tuple[str, str], complaint: str
) -> None:
    (tmp_path / "bad").write_text("bad")
    assert checked(tmp_path, GOOD.replace(*change)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert complaint in err
    assert all(line.startswith(f"{tmp_path}/routes.yaml:") for line in err.splitlines())
