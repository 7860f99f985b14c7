import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.demo.caller import Caller, new_session
from sidecar.demo.cast import ALICE_CLIENT, ELSEWHERE, GATEWAY
from sidecar.demo.example import FREE_PORTS
from sidecar.demo.show import WIDTH
from sidecar.demo.stage import Stage, open_stage
from sidecar.demo.story import STEPS, tell, the_token_changes_hands
from tests.demo.conftest import Heard
from tests.support.canary import search

Alter = Callable[[str, str], Path]


async def test_all_is_as_told(stage: Stage, heard: Heard) -> None:
    assert await tell(stage, heard.show)
    _, *sections = re.split(r"(?m)^(?=\d\. )", heard.text)
    assert [section.splitlines()[0] for section in sections] == [
        f"{number}. {title}" for number, (title, _) in enumerate(STEPS, 1)
    ]
    assert all("\n   ok  " in section for section in sections)
    assert "   NO  " not in heard.text
    assert heard.text.isascii()
    assert max(len(line) for line in heard.text.splitlines()) <= WIDTH


async def test_no_token_and_no_secret_is_told_or_written_down(stage: Stage, heard: Heard) -> None:
    await tell(stage, heard.show)
    said = heard.text.encode() + stage.receipts_file.read_bytes() + "\n".join(await stage.metrics()).encode()
    tokens = [await stage.alice.token(audience) for audience in (GATEWAY, ELSEWHERE)]
    kept = [(stage.folder / name).read_text() for name in ("alice.secret", "gateway.secret", "agent.token")]
    signatures = [token.signature for token in tokens]
    assert search(said, *kept, *signatures, *(token.text for token in tokens)) == []
    assert re.search(rb"eyJ[\w-]*\.[\w-]*\.[\w-]*", said) is None


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("      scope: [orders.read]\n      semantics", "      scope: [orders.write]\n      semantics", "orders.write"),
        ("    match: {path_prefix: /orders, methods: [GET]}", "    match: {path_prefix: /order}", "404"),
        ("    audience: [gateway]\n", "    audience: [gateway, billing-gateway]\n", "200"),
        ("      actor_token: agent", "      semantics: delegation", "gateway"),
    ],
    ids=["more-scope", "no-route", "too-many-audiences", "no-actor"],
)
async def test_what_is_not_as_told_is_shown(altered: Alter, heard: Heard, old: str, new: str, found: str) -> None:
    async with open_stage(altered(old, new), FREE_PORTS) as stage:
        assert not await tell(stage, heard.show)
    assert "   NO  " in heard.text
    assert re.search(rf"       found:    .*\b{re.escape(found)}\b", heard.text)
    assert f"{len(STEPS)}. {STEPS[-1][0]}" in heard.text


@asynccontextmanager
async def asking_elsewhere(stage: Stage, url: str) -> AsyncIterator[Stage]:
    """The same stage, on which alice takes something else for the gateway."""
    async with new_session() as session:
        secret = (stage.folder / "alice.secret").read_text()
        endpoint = f"{stage.authorization_server}/token"
        alice = Caller(session, client_id=ALICE_CLIENT, secret=secret, token_endpoint=endpoint, gateway=url)
        yield replace(stage, alice=alice)


async def test_a_leak_would_be_seen(stage: Stage, heard: Heard) -> None:
    async with asking_elsewhere(stage, stage.orders_service) as past_the_gateway:
        await the_token_changes_hands(past_the_gateway, heard.show)
    leaked = (
        "   NO  Alice's own token is nowhere in what the orders service received.\n"
        "       expected: (True, False)\n"
        "       found:    (True, True)\n"
    )
    assert leaked in heard.text


async def test_it_ends_where_nobody_answers(stage: Stage, heard: Heard) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        nobody = f"http://127.0.0.1:{sock.getsockname()[1]}"
    async with asking_elsewhere(stage, nobody) as in_vain:
        assert not await tell(in_vain, heard.show)
    assert f"   NO  the story ends here: no answer from {nobody}\n" in heard.text
    assert STEPS[1][0] in heard.text
    assert STEPS[2][0] not in heard.text
