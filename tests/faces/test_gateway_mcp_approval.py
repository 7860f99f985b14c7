"""Approvals of single tools end to end: a decision point that runs is asked about the call, and nothing else of it."""

from collections.abc import Iterator

import pytest

from tests.faces.conftest import CONFIG, MakeWorld
from tests.faces.test_gateway_mcp import asked, call, post, scope_of
from tests.support.canary import Canary, search
from tests.support.desk import Desk, running_desk

TOOLS = """
    mcp:
      tools:
        search: {}
        delete_file: {scope: [orders.write], approval: {by: desk, arguments: [path, missing], max_age: 1m}}
    exchange"""


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


def asking(desk: Desk, route: str = "") -> str:
    approvers = f"approvers:\n  desk: {{authzen: {{url: '{desk.url}'}}, timeout: 5s}}\n"
    governed = CONFIG.replace("    match: {path_prefix: /orders}\n", f"    match: {{path: /orders/mcp}}\n{route}")
    return approvers + governed.replace("\n    exchange", TOOLS, 1)


async def test_one_tool_is_asked_about_with_the_arguments_that_its_rule_names(world: MakeWorld, desk: Desk) -> None:
    here = await world(asking(desk))
    secret = Canary.fresh("argument")
    assert (await asked(here, call("search", path="/a"))).status == 200
    assert desk.asked == []
    answer = await asked(here, call("delete_file", path=["/ä", 1.5, None], content=secret.text))
    assert answer.status == 200
    assert scope_of(here.upstream.last) == {"orders.read", "orders.write"}
    [question] = desk.asked
    assert question["action"] == {
        "name": "tools/call",
        "properties": {"tool": "delete_file", "arguments": {"path": ["/ä", 1.5, None]}},
    }
    assert question["resource"]["properties"]["scope"] == ["orders.read", "orders.write"]
    assert not search(repr(desk.asked).encode() + here.gateway.receipts, secret)
    receipts = [line for line in await here.gateway.receipt_lines() if line["event"] == "use"]
    assert [(line["tool"], "approval" in line) for line in receipts] == [("search", False), ("delete_file", True)]
    assert receipts[-1]["approval"]["arguments"].startswith("sha256:")


@pytest.mark.threat("S74")
async def test_a_yes_counts_for_the_same_arguments_alone(world: MakeWorld, desk: Desk) -> None:
    here = await world(asking(desk))
    token = here.sts.mint()
    for path, questions in (("/a", 1), ("/a", 1), ("/b", 2), (1, 3), ("1", 4), (True, 5), (None, 6), ("/a", 6)):
        assert (await here.gateway.ask(post(token, call("delete_file", path=path, other=questions)))).status == 200
        assert len(desk.asked) == questions
    assert (await here.gateway.ask(post(token, call("delete_file")))).status == 200
    assert len(desk.asked) == 7  # an argument that is left out is another question than null


async def test_a_no(world: MakeWorld, desk: Desk) -> None:
    desk.says(decision=False)
    here = await world(asking(desk))
    answer = await asked(here, call("delete_file", path="/a"))
    assert (answer.status, answer.kind) == (403, "approval-denied")
    assert (here.upstream.seen, here.sts.exchanges) == ([], 0)
    assert (await asked(here, call("search"))).status == 200


@pytest.mark.threat("S74")
@pytest.mark.parametrize("twin", ["Path", "PATH", "path\0", " path"])
async def test_an_argument_that_some_read_as_the_named_one(world: MakeWorld, desk: Desk, twin: str) -> None:
    here = await world(asking(desk))
    answer = await asked(here, call("delete_file", **{"path": "/tmp/a", twin: "/"}))
    assert (answer.status, answer.kind) == (400, "invalid-request")
    assert (desk.asked, here.upstream.seen) == ([], [])
    assert (await asked(here, call("search", **{"path": "/tmp/a", twin: "/"}))).status == 200


async def test_a_tools_approver_takes_the_place_of_the_routes(world: MakeWorld, desk: Desk) -> None:
    here = await world(asking(desk, "    approval: {by: desk, reason_header: X-Task}\n"))
    task = b"X-Task: tidy up"
    assert (await asked(here, call("search", path="/a"), task)).status == 200
    assert (await asked(here, call("delete_file", path="/a"), task)).status == 200
    searching, deleting = desk.asked
    assert searching["action"]["properties"] == {"tool": "search"}
    assert deleting["action"]["properties"]["arguments"] == {"path": "/a"}
    assert [question["context"]["claimed_task"] for question in desk.asked] == ["tidy up"] * 2
    assert [seen.values(b"x-task") for seen in here.upstream.seen] == [[], []]
