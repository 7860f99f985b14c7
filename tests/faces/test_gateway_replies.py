"""Token replies in every form that JSON has, and many that it has not: only a strict one is ever read."""

from collections.abc import Mapping

import pytest

from tests.faces.conftest import MakeWorld
from tests.support import scripted
from tests.support.gateway import get
from tests.support.json_texts import INVALID, LEFT_OPEN, VALID
from tests.support.scripted import replied, scripted_server

GOOD = b'{"access_token":"issued-opaque-token","token_type":"Bearer","issued_token_type":"TYPE","expires_in":300,"x":'


def member(text: bytes) -> bytes:
    """A good reply, one more member of which has this value."""
    return GOOD.replace(b"TYPE", b"urn:ietf:params:oauth:token-type:access_token") + text + b"}"


async def answers(world: MakeWorld, bodies: Mapping[str, bytes]) -> dict[str, int]:
    """Ask once for each body; return what callers got. A refused one is on record, and nothing was forwarded."""
    found: dict[str, int] = {}
    async with scripted_server() as server:
        here = await world(scripted.CONFIG.replace("TOKENS", str(server.port)))
        for name, body in bodies.items():
            server.reply = replied(body)
            answer = await here.gateway.ask(get(token=here.sts.mint()))
            found[name] = answer.status
            assert answer.status == 200 or answer.kind == "exchange-unusable"
        assert len(here.upstream.seen) == [*found.values()].count(200)
        findings = [
            line["finding"]
            for line in await here.gateway.receipt_lines()
            if line["event"] == "exchange" and "finding" in line
        ]
        assert len(findings) == len(bodies) - len(here.upstream.seen)
    return found


async def test_a_value_that_is_json_is_read_past(world: MakeWorld) -> None:
    found = await answers(world, {name: member(text) for name, text in VALID.items()})
    assert {name for name, status in found.items() if status != 200} == set()


@pytest.mark.parametrize("texts", [INVALID, LEFT_OPEN], ids=["invalid", "left open"])
async def test_a_value_that_is_not_strict_json_spoils_the_reply(world: MakeWorld, texts: Mapping[str, bytes]) -> None:
    found = await answers(world, {name: member(text) for name, text in texts.items()})
    assert {name for name, status in found.items() if status != 502} == set()


@pytest.mark.threat("S1")
async def test_no_text_alone_is_a_reply(world: MakeWorld) -> None:
    found = await answers(world, {**VALID, **INVALID, **LEFT_OPEN})
    assert {name for name, status in found.items() if status != 502} == set()


def test_there_are_enough_of_them() -> None:
    assert len(VALID) + len(INVALID) + len(LEFT_OPEN) >= 318
    assert len(INVALID) >= 188
