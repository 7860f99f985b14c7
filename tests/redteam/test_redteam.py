"""An agent that was talked into something, or lies, gets no further than it may, and every try leaves a receipt."""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.redteam.attacks import ATTACKS, Attack, Attempt
from tests.redteam.field import AGENT, OTHER_AGENT, Field, call, open_field, post, says_yes
from tests.redteam.mutations import MUTATIONS
from tests.support.gateway import get


@pytest.fixture(autouse=True)
def _mutated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take out the check that ``mutate`` names; none by default."""
    name = os.environ.get("REDTEAM_WITHOUT")
    if name is not None:
        MUTATIONS[name](monkeypatch)


@pytest.fixture
async def field(tmp_path: Path) -> AsyncIterator[Field]:
    async with open_field(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
async def test_nothing_gets_through(field: Field, attack: Attack) -> None:
    seed = random.randrange(1 << 32)  # pytest-randomly's, which a failure prints
    wrong: list[str] = []
    refused = 0
    async for tried in attack(field, random.Random(seed)):
        if (problem := await _outcome(field, tried)) is not None:
            wrong.append(f"{tried.what}: {problem}")
        refused += 1
    assert not wrong, "\n".join((f"seed {seed}", *wrong))
    assert refused > 0


async def _outcome(field: Field, tried: Attempt) -> str | None:
    """What is wrong with how an attempt ended, None where nothing is."""
    arrived, written = len(field.upstream.seen), len(await field.gateway.receipt_lines())
    answer = await field.send(tried.request)
    if len(field.upstream.seen) != arrived:
        return f"it reached the tool server, and was answered {answer.status}"
    if answer.kind not in tried.kinds:
        return f"refused as {answer.kind}"
    # An exchange may have been tried before; the refusal comes last.
    receipts = (await field.gateway.receipt_lines())[written:]
    if not receipts or receipts[-1]["decision"] != answer.kind or not receipts[-1].get("reason"):
        return f"no receipt with the reason: {[line.get('decision') for line in receipts]}"
    return None


async def test_whoever_gets_through_has_a_token_of_their_own(field: Field) -> None:
    """Many at once, people, agents and tools crossed: each arrives under a token for exactly that."""
    field.says = says_yes
    scopes = {"search": "docs.read", "purge": "docs.purge", "delete_file": "docs.delete"}
    wanted = []
    for sub in ("alice", "user-1", "user-2"):
        for agent in (AGENT, OTHER_AGENT):
            token = field.token(sub=sub, act={"iss": field.sts.issuer, "sub": agent})
            for tool, scope in scopes.items():
                wanted.append((sub, agent, scope, "tools-api", post(token, call(tool, {"path": "a"}))))
            wanted.append((sub, agent, "pay", "payments-api", get("/lax/1", token=token)))
    wanted *= 3
    random.shuffle(wanted)
    answers = await asyncio.gather(*(field.send(request) for *_, request in wanted))
    assert {answer.status for answer in answers} == {200}
    got = sorted(
        (claims["sub"], claims["act"]["act"]["sub"], claims["scope"], *claims["aud"]) for claims in field.arrived
    )
    assert got == sorted((sub, agent, scope, audience) for sub, agent, scope, audience, _ in wanted)
    assert field.sts.exchanges == len(wanted) // 3
