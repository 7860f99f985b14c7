"""Approvers as the file says them: whom they are asked as, with what, and what becomes of them in the next snapshot."""

import json
from pathlib import Path

import pytest

from sidecar.app import App
from sidecar.model.approval import Verdict
from sidecar.model.refusal import Kind, Refused
from sidecar.snapshot import Snapshot, build
from tests.oauth.peers import raw_peer, reply
from tests.snapshot.conftest import PEERS, ROUTE, Folder
from tests.support.canary import Canary, search
from tests.support.values import request, subject

YES = reply(200, {"decision": True, "result": True})


def text(approver: str, approval: str = "{by: desk, max_age: 60s}") -> str:
    return f"{PEERS}approvers: {{desk: {approver}}}\n{ROUTE.rstrip()}\n    approval: {approval}\n"


async def approved(snapshot: Snapshot, token: str = "subject-token") -> Verdict:
    route = snapshot.routes["orders"]
    assert route.approval is not None
    who = subject(token)
    approval = await snapshot.approve(route.approval, snapshot.plan(route, who), who, request(), None)
    assert approval.by == "desk"
    return approval.verdict


async def test_a_decision_point_is_shown_the_token_of_its_file(folder: Folder) -> None:
    tokens = [Canary.fresh("desk"), Canary.fresh("desk")]
    path = folder.file("desk.token", tokens[0].text + "\n")
    async with raw_peer(YES) as peer:
        section = f"{{authzen: {{url: 'http://127.0.0.1:{peer.port}/pdp/', token_file: {path}}}, timeout: 5s}}"
        snapshot = folder.build(text(section))
        try:
            assert await approved(snapshot) is Verdict.APPROVED
            assert peer.seen[0].target == "/pdp/access/v1/evaluation"
            assert peer.seen[0].value("authorization") == f"Bearer {tokens[0].text}"
            folder.file("desk.token", tokens[1].text)
            for _ in range(2):  # it may be half-written at the first look
                await folder.rotation.look()
            await approved(snapshot, "another")
            assert peer.seen[1].value("authorization") == f"Bearer {tokens[1].text}"
            assert not search(repr(snapshot.approvers).encode(), *tokens)
        finally:
            await snapshot.close()


async def test_opa_is_asked_at_its_url(folder: Folder) -> None:
    async with raw_peer(YES) as peer:
        url = f"http://127.0.0.1:{peer.port}/v1/data/sidecar/approve?strict-builtin-errors=true"
        snapshot = folder.build(text(f"{{opa: {{url: '{url}'}}}}"))
        try:
            assert await approved(snapshot) is Verdict.APPROVED
            assert peer.seen[0].target == "/v1/data/sidecar/approve?strict-builtin-errors=true"
            assert json.loads(peer.seen[0].body)["input"]["resource"]["audience"] == ["orders-api"]
            metrics = folder.metrics.render()[0].decode()
            assert 'token_sidecar_approvals_total{approver="desk",outcome="success",route="orders"} 1.0' in metrics
            assert 'token_sidecar_approval_duration_seconds_count{approver="desk"} 1.0' in metrics
        finally:
            await snapshot.close()


async def test_nobody_is_approved_where_nobody_is_known(folder: Folder) -> None:
    snapshot = folder.build(text("{opa: {url: 'http://127.0.0.1:1/'}}"))
    route = snapshot.routes["orders"]
    assert route.approval is not None
    with pytest.raises(Refused) as caught:
        await snapshot.approve(route.approval, snapshot.plan(route, None), None, request(), None)
    assert caught.value.refusal.kind is Kind.APPROVAL_DENIED
    await snapshot.close()


@pytest.mark.parametrize(
    ("change", "asked"), [("{by: desk, max_age: 60s}", 1), ("{by: desk, max_age: 30s}", 1), ("{by: desk}", 2)]
)
async def test_a_yes_outlives_a_reload_that_leaves_its_approver(folder: Folder, change: str, asked: int) -> None:
    async with raw_peer(YES) as peer:
        section = f"{{opa: {{url: 'http://127.0.0.1:{peer.port}/v1/data/a'}}}}"
        first = folder.build(text(section))
        await approved(first)
        second = build(folder.load(text(section, change)), folder.metrics, folder.time.clock, folder.rotation, first)
        await first.close(second)
        assert await approved(second) is Verdict.APPROVED
        assert len(peer.seen) == asked
        await second.close()


async def test_another_approver_of_the_same_name_knows_no_yes(folder: Folder) -> None:
    async with raw_peer(YES) as peer, raw_peer(reply(200, {"result": False})) as other:
        first, second = (text(f"{{opa: {{url: 'http://127.0.0.1:{each.port}/v1/data/a'}}}}") for each in (peer, other))
        before = folder.build(first)
        assert await approved(before) is Verdict.APPROVED
        after = build(folder.load(second), folder.metrics, folder.time.clock, folder.rotation, before)
        await before.close(after)
        assert await approved(after) is Verdict.DENIED
        await after.close()


def test_files_that_are_no_good(folder: Folder) -> None:
    path = folder.file("desk.token", "two words")
    section = f"{{authzen: {{url: 'https://pdp.example', token_file: {path}}}}}"
    assert any("approvers.desk.authzen.token_file" in line for line in folder.complaints(text(section)))
    authority = folder.file("ca.pem", "no certificate")
    section = f"{{authzen: {{url: 'https://pdp.example'}}, tls: {{ca_file: {authority}}}}}"
    assert any("approvers.desk.tls" in line for line in folder.complaints(text(section)))


async def test_what_a_reload_takes_away_leaves_the_metrics(folder: Folder, tmp_path: Path) -> None:
    head = "gateway: {listen: '127.0.0.1:0'}\nadmin: {listen: '127.0.0.1:0'}\nreceipts: {sink: none}\n"
    app = App(folder.load(text("{opa: {url: 'http://127.0.0.1:1/'}}") + head))
    await app.start()
    try:
        name = 'token_sidecar_approvals_total{approver="desk",outcome="success",route="orders"} 0.0'
        assert name in app.metrics.render()[0].decode()
        await app.reload(folder.load(PEERS + ROUTE + head))
        assert "desk" not in app.metrics.render()[0].decode()
    finally:
        await app.close()
