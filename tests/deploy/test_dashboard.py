"""The dashboard: committed is what the code makes, and a Prometheus that scraped a gateway answers every query."""

import asyncio
import json
import re
import runpy
import shutil
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.gateway import get, recording_upstream, running_gateway
from tests.support.process import free_port, running
from tests.support.sts import GATEWAY_SECRET, running_sts

FOLDER: Final = Path(__file__).parents[2] / "deploy" / "grafana"
COMMITTED: Final = json.loads((FOLDER / "dashboard.json").read_text())
PANELS: Final = [panel for panel in COMMITTED["panels"] if panel["type"] != "row"]
QUERIES: Final = {
    f"{panel['title']}: {target['legendFormat']}": target["expr"] for panel in PANELS for target in panel["targets"]
}
#: What Grafana puts into the queries, for a look a few seconds after the start.
VARIABLES: Final = {"$job": ".*", "$__rate_interval": "15s", "$__range": "1m"}
SCRAPES: Final = 8


def test_it_is_what_the_code_makes() -> None:
    made = runpy.run_path(str(FOLDER / "dashboard.py"))["dashboard"]()
    assert made == COMMITTED, "make it anew: python deploy/grafana/dashboard.py >deploy/grafana/dashboard.json"


def test_panels_do_not_overlap_and_fill_their_rows() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in COMMITTED["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in COMMITTED["panels"]}) == len(COMMITTED["panels"])


def test_every_legend_names_a_label_of_its_query() -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                assert label == "instance" or re.search(rf"by \([^)]*\b{label}\b", target["expr"]), panel["title"]


@pytest.mark.interop
async def test_every_query_returns_data(tmp_path: Path) -> None:
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("a Prometheus is needed (Debian: prometheus)")
    secret = tmp_path / "secret"
    secret.write_text(GATEWAY_SECRET)
    async with running_sts() as sts, recording_upstream() as upstream:
        config = f"""
gateway: {{listen: "127.0.0.1:0"}}
trusted_issuers: {{corp: {{issuer: "{sts.issuer}", audience: [orders-gateway]}}}}
authorization_servers:
  corp:
    issuer: "{sts.issuer}"
    client_auth: {{method: client_secret_basic, client_id: gateway, client_secret_file: {secret}}}
routes:
  - name: orders
    match: {{path_prefix: /orders}}
    upstream: {{url: "http://127.0.0.1:{upstream.port}"}}
    exchange: {{audience: [orders-api], scope: [orders.read]}}
"""
        async with running_gateway(tmp_path, config) as gateway:
            admin = gateway.app.addresses["admin"].port
            port = free_port()
            argv = scraping(program, tmp_path, admin, port)
            with running(argv, ready=lambda: is_ready(port), log=tmp_path / "prometheus.log"):
                async with asyncio.timeout(120):
                    while await asyncio.to_thread(scrapes, port) < SCRAPES:
                        await gateway.ask(get(token=sts.mint(sub="alice", jti=None)))
                        await gateway.ask(get(token=sts.mint(sub="bob")))
                        await gateway.ask(get())
                        await asyncio.sleep(0.1)
                empty = [name for name, query in QUERIES.items() if not await asyncio.to_thread(ask, port, query)]
    assert empty == []


def scraping(program: str, folder: Path, admin: int, port: int) -> list[str]:
    """The command of a Prometheus that scrapes this admin listener every second."""
    file = folder / "prometheus.yml"
    file.write_text(
        "global: {scrape_interval: 1s}\n"
        f"scrape_configs: [{{job_name: gateway, static_configs: [{{targets: ['127.0.0.1:{admin}']}}]}}]\n"
    )
    return [
        program,
        f"--config.file={file}",
        f"--storage.tsdb.path={folder}/tsdb",
        f"--web.listen-address=127.0.0.1:{port}",
    ]


def is_ready(port: int) -> bool:
    """Whether the Prometheus answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def ask(port: int, query: str) -> list[Any]:
    """The result of an instant query, with Grafana's variables filled in."""
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
    with urllib.request.urlopen(url, timeout=10) as response:
        answer = json.load(response)
    assert answer["status"] == "success", query
    return [found for found in answer["data"]["result"] if found["value"][1] != "NaN"]


def scrapes(port: int) -> int:
    """How often the gateway was scraped so far."""
    found = ask(port, 'count_over_time(up{job="gateway"}[5m])')
    return int(found[0]["value"][1]) if found else 0
