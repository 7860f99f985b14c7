"""Every dialect through the running gateway: what went wrong is told apart in status, metric and receipt."""

import re
from pathlib import Path

import pytest
import yaml

from tests.support.canary import search
from tests.support.gateway import RunningGateway, get, recording_upstream, running_gateway
from tests.support.vendors import VENDORS, vendor_server
from tests.support.vendors.exchanges import ISSUED, cases, configuration, subject_token
from tests.support.vendors.server import SECRET, State

STATUS = {
    ISSUED: 200,
    "invalid-token": 401,
    "insufficient-scope": 403,
    "exchange-misconfigured": 502,
    "exchange-unusable": 502,
    "exchange-unavailable": 503,
}
STOPPED = ("exchange-unavailable", "no connection")


async def counted(gateway: RunningGateway) -> dict[tuple[str, str], float]:
    """How many exchanges were counted, by route and outcome."""
    found = re.findall(r'exchanges_total{.*outcome="(.*?)",route="(.*?)"} (.*)', await gateway.metrics())
    return {(route, outcome): float(count) for outcome, route, count in found}


@pytest.mark.parametrize("name", VENDORS)
async def test_faults_are_told_apart(name: str, tmp_path: Path) -> None:
    vendor = VENDORS[name]()
    by_name = {case.name: case for case in cases(VENDORS[name])}
    usual = by_name["usual"]
    faults = {fault: by_name[fault] for fault in ("unknown", "credentials", "dead", "scope")}
    seen: dict[str, tuple[int, str, str]] = {}
    async with recording_upstream() as upstream, vendor_server(vendor) as server:
        routes = {"orders": usual, **faults}
        text = yaml.safe_dump(configuration(VENDORS[name], server.port, tmp_path, routes, upstream.port))
        async with running_gateway(tmp_path, text) as gateway:

            async def outcome(route: str, expected: str, says: str) -> tuple[int, str, str]:
                """Ask, and return status, outcome as it is counted, and what the receipt tells."""
                before = await counted(gateway)
                answer = await gateway.ask(get(f"/{route}", token=subject_token(usual)))
                assert answer.status == STATUS[expected], (route, answer.body)
                after = await counted(gateway)
                [new] = [key for key, count in after.items() if count != before.get(key, 0)]
                told = [line for line in await gateway.receipt_lines() if line["event"] == "exchange"][-1]
                assert says in told.get("finding", "")
                assert told["decision"] == ("allowed" if expected == ISSUED else expected)
                assert new == (route, "success" if expected == ISSUED else expected)
                return answer.status, new[1], told.get("finding", "")

            seen["issued"] = await outcome("orders", ISSUED, "")
            for fault, case in faults.items():
                vendor.state = State(**case.state)
                seen[fault] = await outcome(fault, case.expected, case.says)
            await server.stop()
            seen["stopped"] = await outcome("orders", *STOPPED)
            receipts = gateway.receipts
    assert len(set(seen.values())) == len(seen) == 6, seen
    assert len(upstream.seen) == 1
    assert search(receipts + bytes(upstream.bytes), SECRET) == []
