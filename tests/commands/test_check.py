import argparse
import gc
import json
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
accept: {unauthenticated-client: only this test asks}
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


def checked(folder: Path, text: str, *options: str) -> int:
    path = folder / "routes.yaml"
    path.write_text(text)
    parser = argparse.ArgumentParser()
    check.add(parser)
    return check.run(parser.parse_args(["-c", str(path), *options]))


def test_a_good_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing of it is there, and nobody is asked: it is checked where it is written, not where it will run."""
    assert checked(tmp_path, GOOD) == 0
    assert capsys.readouterr() == (f"{tmp_path}/routes.yaml: 2 routes, no problems, 1 accepted\n", "")
    assert not (tmp_path / "receipts.jsonl").exists()


def test_a_broken_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checked(tmp_path, GOOD.replace("path_prefix", "prefix").replace("exchange: none", "exchange: some")) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert {line.split(":")[1] for line in err.splitlines()} == {"11", "17"}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("path: /healthz", "path_prefix: /orders"), "15:12: routes.1.match: takes requests"),
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


def test_what_may_not_be_meant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checked(tmp_path, GOOD.replace("/healthz", "/open")) == 1
    file = f"{tmp_path}/routes.yaml"
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        f"{file}:17:5: routes.1.exchange: lets requests through that carry no token [exchange-none]",
        f"{file}: 2 routes, 1 to look at, 1 accepted",
    ]
    assert err == ""


@pytest.mark.parametrize(
    ("change", "status", "severity"),
    [(("none", "none"), 0, None), (("/healthz", "/open"), 1, "warning"), (("/healthz", "no path"), 2, "error")],
)
def test_every_format_tells_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: tuple[str, str], status: int, severity: str | None
) -> None:
    text = GOOD.replace(*change)
    assert checked(tmp_path, text, "--format", "json") == status
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert [each["severity"] for each in problems] == ([severity] if severity else [])
    assert checked(tmp_path, text, "--format", "github") == status
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" ")[0] for line in lines] == ([f"::{severity}"] if severity else [])
    assert checked(tmp_path, text, "--format", "text") == status
    told = capsys.readouterr()
    for each in problems:
        place = f"{each['file']}:{each['line']}:{each['column']}: {each['path']}: {each['message']}"
        assert place in (told.err if severity == "error" else told.out)


def test_no_other_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        checked(tmp_path, GOOD, "--format", "xml")
    assert caught.value.code == 2
    assert "text, json, github" in capsys.readouterr().err.replace("'", "")


TEAM = """
routes:
  - name: orders
    match: {path_prefix: /a/orders}
    upstream: {url: 'http://127.0.0.1:9000'}
    exchange: none
"""
INCLUDE = """
include:
  - name: a
    files: team.yaml
    on_error: isolate
    allow: {hosts: ['*'], path_prefixes: [/a], upstreams: ['http://127.0.0.1:9000']}
"""


def test_a_broken_include_is_an_error_also_where_the_rest_would_be_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "team.yaml").write_text(TEAM.replace("/a/orders", "/b/orders"))
    assert checked(tmp_path, GOOD + INCLUDE) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert all(line.startswith(f"{tmp_path}/team.yaml:4:") for line in err.splitlines())
    assert err


def test_a_finding_in_a_teams_file_is_told_and_accepted_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "team.yaml").write_text(TEAM)
    assert checked(tmp_path, GOOD + INCLUDE) == 1
    assert capsys.readouterr().out.startswith(f"{tmp_path}/team.yaml:6:5: routes.0.exchange: ")
    (tmp_path / "team.yaml").write_text(TEAM + "    accept: {exchange-none: anybody may see orders}\n")
    assert checked(tmp_path, GOOD + INCLUDE) == 0


def test_garbage_is_looked_for_again_afterwards(tmp_path: Path) -> None:
    checked(tmp_path, GOOD)
    assert gc.isenabled()
