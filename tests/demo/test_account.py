from sidecar.demo import account
from sidecar.demo.cast import GATEWAY
from sidecar.demo.stage import Stage
from tests.demo.conftest import Heard


async def test_receipts_that_are_not_there_are_missed(stage: Stage, heard: Heard) -> None:
    token = await stage.alice.token(GATEWAY)
    for _ in range(3):
        await stage.alice.get("/orders/17", token)
    await account.receipts(stage, heard.show)
    assert not heard.show.as_told
    assert "   NO  There are 19 of them" in heard.text
    who = ["orders", "allowed", "alice", "gateway", "orders-api", "orders.read", "300s"]
    rows = [line.split() for line in heard.text.splitlines()]
    assert [row for row in rows if "300s" in row] == [
        ["exchange", *who, "miss"],
        ["use", *who, "miss"],
        ["use", "x2", *who, "hit"],
    ]


async def test_metrics_that_tell_of_something_else_are_missed(stage: Stage, heard: Heard) -> None:
    await account.metrics(stage, heard.show)
    assert not heard.show.as_told
    assert "   NO  They tell of the same requests." in heard.text
