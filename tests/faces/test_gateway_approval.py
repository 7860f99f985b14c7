"""Approvals end to end: a real decision point beside a real gateway. Nothing is exchanged without its yes, nothing is
forwarded, and it never sees a token."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faces.conftest import CONFIG, MakeWorld, World
from tests.support.canary import Canary, search
from tests.support.desk import Desk, running_desk
from tests.support.gateway import get
from tests.support.process import free_port

HEALTH = "  - name: health\n"


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with running_desk(tmp_path_factory.mktemp("desk") / "desk") as desk:
        yield desk


@pytest.fixture
def desk(process: Desk) -> Desk:
    """The same decision point, saying yes and having been asked nothing."""
    process.says(decision=True)
    (process.folder / "asked.jsonl").unlink(missing_ok=True)
    return process


def asking(desk: Desk, approval: str = "{by: desk}", timeout: str = "5s", url: str | None = None) -> str:
    """The usual file, its route asking the desk; beside it one that asks for the same token and nobody's yes."""
    approvers = f"approvers:\n  desk: {{authzen: {{url: '{url or desk.url}'}}, timeout: {timeout}}}\n"
    free = CONFIG[CONFIG.index("  - name: orders\n") : CONFIG.index(HEALTH)].replace("orders\n", "free\n", 1)
    free = free.replace("path_prefix: /orders", "path_prefix: /free")
    return approvers + CONFIG.replace(HEALTH, f"    approval: {approval}\n{free}{HEALTH}")


async def last(here: World) -> dict[str, Any]:
    return (await here.gateway.receipt_lines())[-1]


async def test_a_yes(world: MakeWorld, desk: Desk) -> None:
    desk.says(decision=True, approval_id="a-1", reason="within limits")
    here = await world(asking(desk, "{by: desk, reason_header: X-Task}"))
    answer = await here.gateway.ask(get("/orders/1", b"X-Task: refund 1", token=here.sts.mint()))
    assert answer.status == 200
    assert here.upstream.last.values(b"x-task") == []
    [asked] = desk.asked
    assert (asked["subject"]["id"], asked["action"]) == ("alice", {"name": "GET", "properties": {}})
    assert asked["resource"] == {
        "type": "route",
        "id": "orders",
        "properties": {"path": "/orders/1", "audience": ["orders-api"], "resource": [], "scope": ["orders.read"]},
    }
    assert asked["context"]["claimed_task"] == "refund 1"
    told = [line for line in await here.gateway.receipt_lines() if line["event"] in ("exchange", "use")]
    for line in told:
        approval = line["approval"]
        assert (approval["by"], approval["id"], approval["decision"], approval["reason"]) == (
            "desk",
            "a-1",
            "approved",
            "within limits",
        )
        assert (line["claimed_task"], line["decision"]) == ("refund 1", "allowed")
        assert asked["context"]["request_id"] == line["request_id"]
    assert [line["event"] for line in told] == ["exchange", "use"]
    scrape = await here.gateway.metrics()
    assert 'token_sidecar_approvals_total{approver="desk",outcome="success",route="orders"} 1.0' in scrape


async def test_a_no_though_the_token_is_there(world: MakeWorld, desk: Desk) -> None:
    desk.says(decision=False, reason="canary of the desk")
    here = await world(asking(desk))
    token = here.sts.mint()
    assert (await here.gateway.ask(get("/free/1", token=token))).status == 200
    forwarded, exchanges = len(here.upstream.seen), here.sts.exchanges
    answer = await here.gateway.ask(get(token=token))
    assert (answer.status, answer.kind, answer.json()["error"]) == (403, "approval-denied", "access_denied")
    assert answer.value("www-authenticate") == 'Bearer realm="token-exchange-sidecar"'
    assert b"canary" not in answer.raw
    assert (len(here.upstream.seen), here.sts.exchanges) == (forwarded, exchanges)
    line = await last(here)
    assert (line["event"], line["decision"], line["approval"]["decision"]) == ("refusal", "approval-denied", "denied")
    assert line["approval"]["reason"] == "canary of the desk"
    assert 'outcome="approval-denied",route="orders"} 1.0' in await here.gateway.metrics()


#: What the desk does, by what it is no yes for.
NO_ANSWERS: dict[str, dict[str, Any]] = {
    "HTML with 200": {"body": "<html>true</html>", "type": "text/html"},
    "HTML called JSON": {"body": "<html>true</html>"},
    "an error": {"status": 500, "body": {"decision": True}},
    "who are you": {"status": 401, "body": {"decision": True}},
    "text for true": {"body": {"decision": "true"}},
    "nothing": {"body": {}},
    "a hang": {"body": {"decision": True}, "pause": 2},
}


@pytest.mark.threat("S69")
@pytest.mark.parametrize("name", NO_ANSWERS)
async def test_what_is_no_answer_is_no_yes(name: str, world: MakeWorld, desk: Desk) -> None:
    desk.does(**NO_ANSWERS[name])
    here = await world(asking(desk, timeout="500ms" if name == "a hang" else "5s"))
    answer = await here.gateway.ask(get(token=here.sts.mint()))
    assert (answer.status, answer.kind, answer.value("retry-after")) == (503, "approval-unavailable", "1")
    assert (here.upstream.seen, here.sts.exchanges) == ([], 0)
    assert (await last(here))["approval"]["decision"] == "unavailable"


@pytest.mark.threat("S69")
async def test_a_desk_that_is_not_there_holds_up_no_other_route(world: MakeWorld, desk: Desk) -> None:
    here = await world(asking(desk, url=f"http://127.0.0.1:{free_port()}"))
    token = here.sts.mint()
    answer, other = await asyncio.gather(
        here.gateway.ask(get(token=token)), here.gateway.ask(get("/free/1", token=token))
    )
    assert (answer.status, answer.kind, other.status) == (503, "approval-unavailable", 200)


@pytest.mark.threat("S71")
async def test_it_changes_its_mind(world: MakeWorld, desk: Desk) -> None:
    here = await world(asking(desk))
    token = here.sts.mint()
    for decision, status in ((True, 200), (False, 403), (True, 200)):
        desk.says(decision=decision)
        assert (await here.gateway.ask(get(token=token))).status == status
    assert len(desk.asked) == 3
    # What was approved for one request served one.
    assert here.sts.exchanges == 2
    assert len(here.gateway.app.exchanger.cache) == 0


@pytest.mark.threat("S70")
async def test_a_yes_counts_for_what_it_was_given_for(world: MakeWorld, desk: Desk) -> None:
    here = await world(asking(desk, "{by: desk, max_age: 5m, reason_header: X-Task}"))
    token, other = here.sts.mint(), here.sts.mint()
    assert (await here.gateway.ask(get(token=token))).status == 200
    desk.says(decision=False)
    assert (await here.gateway.ask(get(token=token))).status == 200
    assert here.sts.exchanges == 1
    line = await last(here)
    assert (line["approval"]["decision"], line["cache"]) == ("approved", "hit")
    for another in (
        get(token=other),
        get("/orders/2", token=token),
        get("/orders/1?all=true", token=token),
        get(token=token, method="DELETE"),
        get("/orders/1", b"X-Task: another", token=token),
    ):
        assert (await here.gateway.ask(another)).kind == "approval-denied"


async def test_a_yes_that_ends(world: MakeWorld, desk: Desk) -> None:
    desk.says(decision=True, expires_at=1)
    here = await world(asking(desk, "{by: desk, max_age: 5m}"))
    assert (await here.gateway.ask(get(token=here.sts.mint()))).kind == "approval-denied"
    assert here.sts.exchanges == 0


async def test_without_a_good_token_nobody_is_asked(world: MakeWorld, desk: Desk) -> None:
    here = await world(asking(desk))
    assert (await here.gateway.ask(get())).status == 401
    assert (await here.gateway.ask(get(token="eyJhbGciOiJub25lIn0.e30."))).status == 401
    assert desk.recorded == b""


@pytest.mark.threat("S72")
async def test_the_desk_never_sees_a_token(world: MakeWorld, desk: Desk) -> None:
    canary = Canary.fresh("claim")
    here = await world(asking(desk, "{by: desk, reason_header: X-Task}"))
    token = here.sts.mint(secret=canary.text)
    fields = [b"Cookie: session=" + canary.text.encode(), b"X-Other: " + canary.text.encode()]
    pasted = here.sts.mint(sub="mallory")
    answer = await here.gateway.ask(
        get(f"/orders/{pasted}?q={canary.text}", b"X-Task: see " + pasted.encode(), *fields, token=token)
    )
    assert answer.status == 200
    issued = here.upstream.last.values(b"authorization")[0].removeprefix(b"Bearer ").decode()
    secrets = [token, pasted, issued, token.rsplit(".", 1)[1], pasted.rsplit(".", 1)[1]]
    assert desk.asked[0]["resource"]["properties"]["path"] == "/orders/[token]"
    assert not search(desk.recorded, canary, *secrets)
    # In a second place the caller's own token is refused before anybody is asked.
    answer = await here.gateway.ask(get("/orders/1", b"X-Task: see " + token.encode(), token=token))
    assert (answer.status, len(desk.asked)) == (400, 1)


async def test_many_at_once_are_one_question(world: MakeWorld, desk: Desk) -> None:
    desk.does(body={"decision": True}, pause=0.5)
    here = await world(asking(desk, "{by: desk, max_age: 1m}"))
    token = here.sts.mint()
    answers = await asyncio.gather(*(here.gateway.ask(get(token=token)) for _ in range(20)))
    assert {answer.status for answer in answers} == {200}
    assert (len(desk.asked), here.sts.exchanges) == (1, 1)


@pytest.mark.threat("S70")
async def test_everybody_gets_the_answer_to_his_own_question(world: MakeWorld, desk: Desk) -> None:
    """Whatever waits for whom: the receipts name, for every request, the yes that was given for it."""
    here = await world(asking(desk))
    tokens = {f"user-{number}": here.sts.mint(sub=f"user-{number}") for number in range(20)}
    asks = [here.gateway.ask(get(f"/orders/{name}", token=token)) for name, token in tokens.items()]
    assert {answer.status for answer in await asyncio.gather(*asks)} == {200}
    asked = {question["context"]["request_id"]: question for question in desk.asked}
    uses = [line for line in await here.gateway.receipt_lines() if line["event"] == "use"]
    assert len(uses) == len(asked) == 20
    for line in uses:
        question = asked[line["request_id"]]
        assert question["subject"]["id"] == line["subject"]["sub"]
        assert question["resource"]["properties"]["path"] == line["path"]
        assert json.dumps(line["path"]).strip('"').endswith(line["subject"]["sub"])
