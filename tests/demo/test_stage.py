import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.demo.cast import GATEWAY
from sidecar.demo.example import FREE_PORTS, NAME, Ports, example_file
from sidecar.demo.listening import CannotStart
from sidecar.demo.stage import Stage, open_stage

Alter = Callable[[str, str], Path]


async def test_everything_is_up_and_works_together(stage: Stage) -> None:
    token = await stage.alice.token(GATEWAY)
    answer = await stage.alice.get("/orders/17", token)
    assert (answer.status, answer.members["token"]["sub"]) == (200, "alice")
    assert (stage.orders.count, stage.tally.exchanges) == (1, 1)
    assert [line["event"] for line in await stage.receipts(2)] == ["exchange", "use"]
    assert 'token_sidecar_requests_total{code="200",method="GET",route="orders"} 1.0' in await stage.metrics()


async def test_a_route_without_exchange_needs_no_token_and_forwards_none(stage: Stage) -> None:
    token = await stage.alice.token(GATEWAY)
    answer = await stage.alice.get("/healthz", token)
    assert (answer.status, answer.members["token"]) == (200, None)
    assert stage.orders.last is not None
    assert not stage.orders.last.holds(token.signature)


async def test_receipts_are_what_there_is_when_time_is_up(stage: Stage) -> None:
    assert await stage.receipts(0) == []
    assert await stage.receipts(1) == []


async def test_a_receipt_that_is_being_written_is_not_one_yet(stage: Stage) -> None:
    stage.receipts_file.write_text('{"event":"use"}\n{"event":"re')
    assert await stage.receipts(1) == [{"event": "use"}]


async def test_nothing_is_left_behind() -> None:
    tasks = asyncio.all_tasks()
    async with open_stage(example_file(), FREE_PORTS) as stage:
        assert stage.receipts_file.parent == stage.folder
        assert stage.file == stage.folder / NAME
        token = await stage.alice.token(GATEWAY)
        await stage.alice.get("/orders/17", token)
    assert not stage.folder.exists()
    assert asyncio.all_tasks() == tasks
    for url in (stage.gateway, stage.admin, stage.authorization_server, stage.orders_service):
        with pytest.raises(OSError, match=r"."):
            await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))


async def test_no_secret_is_in_its_repr(stage: Stage) -> None:
    token = await stage.alice.token(GATEWAY)
    shown = repr(stage)
    for path in stage.folder.iterdir():
        assert path.name == NAME or not (text := path.read_text().strip()) or text not in shown
    assert token.text not in shown


async def test_a_broken_file_is_told_with_its_place(altered: Alter) -> None:
    file = altered("audience: [gateway]", "audiense: [gateway]")
    with pytest.raises(CannotStart, match=rf"{NAME}:\d+:\d+: trusted_issuers\.local\.audiense: "):
        async with open_stage(file, FREE_PORTS):
            pass


async def test_a_port_that_is_taken_leaves_nothing_behind(tmp_path: Path) -> None:
    tasks = asyncio.all_tasks()
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(CannotStart, match=f"127.0.0.1:{port}, for the orders service: is taken"):
            async with open_stage(example_file(), Ports(0, 0, 0, port)):
                pass
    await server.wait_closed()
    assert asyncio.all_tasks() <= tasks


async def test_a_listener_that_can_not_be_bound(altered: Alter) -> None:
    # An address that no interface of this machine has (RFC 5737).
    file = altered("  listen: 127.0.0.1:9090", "  listen: 192.0.2.1:9090")
    with pytest.raises(CannotStart, match="can't listen"):
        async with open_stage(file, FREE_PORTS):
            pass


async def test_the_environment_is_only_added_to(stage: Stage) -> None:
    assert "DEMO_DIR" not in os.environ
