"""Every dialect's faults, told by ``sidecar exchange`` in one sentence with the key to change."""

from pathlib import Path
from typing import Any

import pytest

from sidecar.commands.exchange.attempt import Attempt
from sidecar.commands.exchange.fault import Party
from sidecar.commands.exchange.watch import Watch
from sidecar.observe.metrics import Metrics
from sidecar.snapshot import build
from tests.support.vendors import VENDORS, Vendor, vendor_server
from tests.support.vendors.exchanges import Case, cases, prepared, subject_token
from tests.support.vendors.server import State

SERVER = "authorization_servers.corp"
TARGETS = {"authlete": "resource", "entra-obo": "scope"}
#: RFC 8693 has one code for a bad token and a bad form; these don't say which.
ONE_CODE = {"rfc8693", "connect2id", "pingam", "pingfederate", "curity"}


async def told(vendor: Vendor, port: int, folder: Path, case: Case) -> dict[str, Any]:
    vendor.state = State(**case.state)
    file, watch = prepared(type(vendor), port, folder, case).file, Watch()
    snapshot = build(file, Metrics("test"))
    return await Attempt(file, snapshot, snapshot.plans["orders"], subject_token(case), watch).made()


def expected(name: str) -> dict[str, tuple[Party, str | None]]:
    return {
        "unknown": (
            (Party.REPLY, "routes.0.exchange.expect.audience")
            if name == "spring"
            else (Party.CONFIGURATION, f"routes.0.exchange.{TARGETS.get(name, 'audience')}")
        ),
        "credentials": (Party.CREDENTIALS, f"{SERVER}.client_auth.client_secret_file"),
        "dead": (Party.CONFIGURATION, "routes.0.exchange") if name in ONE_CODE else (Party.CALLER, None),
        "scope": (Party.POLICY, "routes.0.exchange.scope"),
        "surplus scope": (Party.REPLY, "routes.0.exchange.expect.extra_scope"),
        "surplus audience": (Party.REPLY, "routes.0.exchange.expect.extra_audience"),
        "another person": (Party.REPLY, "routes.0.exchange.expect.subject"),
        "no issued_token_type": (Party.REPLY, f"{SERVER}.dialect_overrides.issued_token_type"),
        "consent": (Party.CALLER, None),
    }


@pytest.mark.parametrize("name", VENDORS)
async def test_a_fault_is_one_sentence_with_a_key(name: str, tmp_path: Path) -> None:
    vendor = VENDORS[name]()
    faults = expected(name)
    async with vendor_server(vendor) as server:
        by_name = {case.name: case for case in cases(VENDORS[name])}
        assert (await told(vendor, server.port, tmp_path, by_name["usual"]))["outcome"] == "issued"
        for case in (by_name[fault] for fault in faults if fault in by_name):
            fault = (await told(vendor, server.port, tmp_path, case))["fault"]
            assert (fault["party"], fault["key"]) == faults[case.name], case.name
            assert fault["sentence"].startswith(f"The fault lies with {fault['party']}: ")
            assert fault["sentence"].count(". ") == 0
        await server.stop()
        stopped = (await told(vendor, server.port, tmp_path, by_name["usual"]))["fault"]
        assert (stopped["party"], stopped["key"]) == (Party.SERVER, f"{SERVER}.token_endpoint")
