"""What ``diff`` tells of two files, and what its exit status says."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.__main__ import COMMANDS, main
from sidecar.commands import diff

PEERS = """
version: 1
trusted_issuers:
  corp: {issuer: 'https://login.example', audience: [gateway]}
authorization_servers:
  corp: {issuer: 'https://login.example', client_auth: {method: none, client_id: gateway}}
"""
ROUTES = """
routes:
  - name: orders
    match: {hosts: [api.example.com], path_prefix: /orders, methods: [GET]}
    upstream: {url: 'http://127.0.0.1:9000'}
    subject: {require_scope: [orders]}
    exchange: {audience: [orders-api], scope: [orders.read], expect: {scope: any}}
  - name: order
    match: {hosts: [api.example.com, b.example.com], path: '/orders/{id}', headers: {X-Tool: one}}
    upstream: {url: 'http://127.0.0.1:9000'}
    exchange: {audience: [orders-api]}
  - name: root
    match: {path_prefix: /, allow: [path-parameters]}
    upstream: {url: 'http://127.0.0.1:9001'}
    exchange: none
"""
FILE = PEERS + ROUTES


class Desk:
    """Compares files in a folder."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys
        self.errors = ""

    def run(self, old: str, new: str, *options: str) -> tuple[int, str]:
        """Return the exit status and what was told."""
        for name, text in (("old.yaml", old), ("new.yaml", new)):
            (self.folder / name).write_text(text)
        parser = argparse.ArgumentParser()
        diff.add(parser)
        files = [str(self.folder / "old.yaml"), str(self.folder / "new.yaml")]
        status = diff.run(parser.parse_args([*files, *options]))
        out, err = self._capsys.readouterr()
        self.errors = err.replace(f"{self.folder}/", "")
        return status, out

    def blocks(self, old: str, new: str) -> list[str]:
        """Return what is told of each region."""
        status, out = self.run(old, new)
        *blocks, last = out.split("\n\n")
        assert (status, self.errors) == (bool(blocks), "")
        counted = "1 region of requests changes" if len(blocks) == 1 else f"{len(blocks)} regions of requests change"
        assert last == (counted if blocks else "no request changes") + "\n"
        return blocks

    def regions(self, old: str, new: str) -> list[dict[str, Any]]:
        """Return what programs are told."""
        status, out = self.run(old, new, "--json")
        regions = json.loads(out)["regions"]
        assert isinstance(regions, list)
        assert (status, self.errors) == (bool(regions), "")
        return regions


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, capsys)


def block(*lines: str) -> str:
    return "\n".join([lines[0], *(f"  {line}" for line in lines[1:])])


def test_nothing_changes(desk: Desk) -> None:
    assert desk.blocks(FILE, FILE) == []
    assert desk.blocks(FILE, FILE.replace("'http://127.0.0.1:9000'", "'http://127.0.0.1:9000', read_idle: 1m")) == []
    assert desk.run(FILE, FILE, "--json") == (0, '{\n  "regions": []\n}\n')


def test_what_changes_of_a_route(desk: Desk) -> None:
    new = FILE.replace("name: orders", "name: orders-v2").replace("[orders.read]", "[orders.read, orders.write]")
    assert desk.blocks(FILE, new.replace("    subject: {require_scope: [orders]}\n", "")) == [
        block(
            "api.example.com  /orders/**  GET,HEAD",
            "except         /orders/{} x-tool: one",
            "route          orders → orders-v2",
            "scope          orders.read → orders.read orders.write",
            "require_scope  orders → none  (laxer)",
        )
    ]


def test_hosts_that_change_alike_are_told_together(desk: Desk) -> None:
    new = FILE.replace("exchange: {audience: [orders-api]}", "exchange: {audience: [other-api]}")
    assert desk.blocks(FILE, new) == [
        block(
            "api.example.com, b.example.com  /orders/{id}  any method  x-tool: one",
            "audience         orders-api → other-api",
            "expect.audience  orders-api → other-api",
        )
    ]


def test_what_no_route_takes(desk: Desk) -> None:
    bare = FILE[: FILE.index("  - name: root")]
    extra = """  - name: files
    match: {path: /files, methods: [PUT, POST]}
    upstream: {url: 'http://127.0.0.1:9002'}
    exchange: none
"""
    told = block("any host  /files  POST,PUT", "route  no route → files  (laxer)")
    assert desk.blocks(bare, bare + extra) == [told]
    assert desk.blocks(bare + extra, bare) == [
        told.replace("no route → files  (laxer)", "files → no route  (stricter)")
    ]


def test_what_odd_paths_may_be_read_as(desk: Desk) -> None:
    extra = """  - name: admin
    match: {path_prefix: /admin}
    upstream: {url: 'http://127.0.0.1:9001'}
    exchange: none
"""
    notes = "odd paths of root (match.allow) that can be read as one of these"
    assert desk.blocks(FILE, FILE + extra) == [
        block(
            "any host  /admin/**  any method",
            "route        root → admin",
            "match.allow  path-parameters → none  (stricter)",
            f"note         {notes} are refused from now on",
        )
    ]
    (back,) = desk.regions(FILE + extra, FILE)
    assert back["notes"] == [f"{notes} are no longer refused for that"]


def test_an_exchange_that_begins(desk: Desk) -> None:
    bare = FILE[: FILE.index("  - name: order\n")].replace("    subject: {require_scope: [orders]}\n", "")
    none = bare[: bare.index("    exchange:")] + "    exchange: none\n"
    assert desk.blocks(none, bare) == [
        block(
            "api.example.com  /orders/**  GET,HEAD",
            "preflight             forward → refuse  (stricter)",
            "exchange              none → some  (stricter)",
            "authorization_server  none → corp",
            "audience              none → orders-api",
            "scope                 none → orders.read",
        )
    ]


def test_truth_is_told_as_the_file_writes_it(desk: Desk) -> None:
    (told,) = desk.blocks(FILE, FILE.replace("'http://127.0.0.1:9001'", "'http://127.0.0.1:9001', drop_cookies: true"))
    assert told.splitlines()[-1] == "  upstream.drop_cookies  false → true"


def test_an_authorization_server_that_is_another_one(desk: Desk) -> None:
    new = FILE.replace(
        "corp: {issuer: 'https://login.example', client", "corp: {issuer: 'https://other.example', client"
    )
    changed = "authorization_server  corp → corp  (defined otherwise: issuer)"
    assert desk.blocks(FILE, new) == [
        block("api.example.com  /orders/**  GET,HEAD", "except                /orders/{} x-tool: one", changed),
        block("api.example.com, b.example.com  /orders/{id}  any method  x-tool: one", changed),
    ]


def test_listeners_are_named_where_it_matters(desk: Desk) -> None:
    gateway = "gateway: {listeners: {in: {listen: '127.0.0.1:1'}}}\n"
    routes = ROUTES.replace("    match:", "    listener: in\n    match:")
    (told,) = desk.blocks(PEERS + gateway + routes, PEERS + gateway + routes.replace("9001", "9002"))
    assert told.splitlines()[0] == "listener in  any host  /**  any method"


def test_exceptions_are_told_as_far_as_they_are_narrower(desk: Desk) -> None:
    exceptions = [
        "api.example.com /orders/** GET,HEAD",
        "api.example.com /orders/{} x-tool: one",
        "b.example.com /orders/{} x-tool: one",
    ]
    upstream = "upstream  http://127.0.0.1:9001 → http://127.0.0.1:9002"
    told = desk.blocks(FILE, FILE.replace("9001", "9002"))
    assert told == [block("any host  /**  any method", f"except    {', '.join(exceptions)}", upstream)]
    more = "".join(
        f"  - {{name: r{n}, match: {{path: /{n}}}, upstream: {{url: 'http://127.0.0.1:1'}}, exchange: none}}\n"
        for n in range(9)
    )
    told = desk.blocks(FILE + more, FILE.replace("9001", "9002") + more)
    first = ", ".join(["/0", "/1", "/2", "/3", "/4", "and more"])
    assert told == [block("any host  /**  any method", f"except    {first}", upstream)]
    (region,) = desk.regions(FILE + more, FILE.replace("9001", "9002") + more)
    assert (len(region["except"]), region["more_exceptions"]) == (12, False)


def test_for_programs(desk: Desk) -> None:
    (region,) = desk.regions(FILE, FILE.replace("orders.read", "orders.write"))
    assert region == {
        "listener": "default",
        "match": {"hosts": ["api.example.com"], "path_prefix": "/orders", "methods": ["GET", "HEAD"]},
        "except": [{"path": "/orders/{}", "methods": ["GET", "HEAD"], "headers": {"x-tool": "one"}}],
        "more_exceptions": False,
        "example": {"method": "GET", "host": "api.example.com", "path": "/orders", "headers": {}},
        "changes": [{"what": "scope", "old": ["orders.read"], "new": ["orders.write"], "note": None}],
        "notes": [],
    }
    (region,) = desk.regions(FILE, FILE[: FILE.index("  - name: root")])
    assert region["match"] == {"path_prefix": "/"}
    assert region["changes"] == [{"what": "route", "old": "root", "new": None, "note": "stricter"}]


def test_broken_files_are_told_both(desk: Desk) -> None:
    broken = FILE.replace("exchange: none", "exchange: some")
    tied = FILE + ROUTES[ROUTES.index("  - name: root") :].replace("root", "again")
    status, out = desk.run(broken, tied)
    lines = desk.errors.splitlines()
    assert (status, out) == (2, "")
    assert lines[0].startswith(f"old.yaml:{broken[: broken.index('some')].count(chr(10)) + 1}:")
    assert lines[-1].startswith("new.yaml:")
    assert "routes.3.match: takes requests" in lines[-1]


def test_it_is_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "diff" in COMMANDS
    path = tmp_path / "routes.yaml"
    path.write_text(FILE)
    assert main(["diff", str(path), str(path)]) == 0
    assert capsys.readouterr().out == "no request changes\n"
    assert main(["diff", str(path), str(tmp_path / "nowhere")]) == 2
