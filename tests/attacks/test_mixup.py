"""Nobody gets another caller's answer or token, whatever breaks; and the suite would notice if somebody did."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.exchange.ask import Ask, Asker
from sidecar.exchange.exchanger import _Errand
from sidecar.model.tokens import Subject, WorkloadToken
from sidecar.upstream.connection import Connection
from tests.attacks.mixup import CONFIG, USERS, Crowd, Trouble
from tests.reliability.figures import LONG
from tests.support.gateway import RunningGateway, running_gateway
from tests.support.raw_upstream import RawUpstream
from tests.support.scripted import scripted_server
from tests.support.sts import GATEWAY_SECRET, running_sts

#: What has to happen, or the suite shows nothing.
TROUBLE = {
    *("interim", "cut answer", "early answer", "early answer and end", "upstream hangs up", "upstream ends it at rest"),
    *("poison behind the answer", "poison sent", "exchange", "exchange refused", "exchange failed"),
}


@asynccontextmanager
async def crowded(folder: Path, seed: int) -> AsyncIterator[tuple[Crowd, Trouble, RunningGateway]]:
    trouble = Trouble(seed)
    async with running_sts() as sts, scripted_server() as server, RawUpstream(trouble.serve) as upstream:
        server.reply = trouble.exchange
        (folder / "gateway.secret").write_text(GATEWAY_SECRET)
        text = CONFIG.replace("ISSUER", sts.issuer).replace("PORT", str(upstream.port))
        async with running_gateway(folder, text.replace("TOKENS", str(server.port))) as gateway:
            tokens = {
                name: [sts.mint(name, lifetime=7200), sts.mint(name, lifetime=7200)]
                for name in (f"user-{n:02}" for n in range(USERS))
            }
            yield Crowd(gateway.port(), tokens, trouble, seed), trouble, gateway


async def nobody_is_mixed_up(folder: Path, requests: int) -> None:
    async with crowded(folder, seed=16) as (crowd, trouble, gateway):
        await crowd.ask(requests, together=24)
        assert trouble.mixups == []
        assert trouble.happened.keys() >= TROUBLE
        assert crowd.outcomes["200"] > requests * 0.7, crowd.outcomes
        assert crowd.outcomes["left"] > requests / 100
        assert trouble.happened["connection"] < trouble.requests  # they were used again
        assert trouble.happened["exchange"] < trouble.requests  # and so were tokens
        assert 'evictions_total{reason="size"}' in await gateway.metrics()


@pytest.mark.threat("S16", "S37", "S38", "S46")
async def test_nobody_gets_what_is_anothers(tmp_path: Path) -> None:
    await nobody_is_mixed_up(tmp_path, 1_500)


@pytest.mark.reliability
@pytest.mark.threat("S16", "S37")
async def test_nobody_does_in_a_hundred_thousand_requests(tmp_path: Path) -> None:
    """Or a fifth of that, where there is less time."""
    await nobody_is_mixed_up(tmp_path, 100_000 if LONG else 20_000)


# The suite itself: with a bug of the kind that it is for, it fails.


async def finds(folder: Path, what: str) -> None:
    async with crowded(folder, seed=17) as (crowd, trouble, _):
        await crowd.ask(5_000, together=24)
        assert any(what in mixup for mixup in trouble.mixups), trouble.mixups


async def test_it_notices_connections_that_are_used_unseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "fit", property(lambda self: not self.closed))
    await finds(tmp_path, "was answered with [] b'poison'")


async def test_it_notices_exchanges_that_answer_anybody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Errand, "flight", property(lambda self: (b"", self.plan.exchange.expect)))
    await finds(tmp_path, "came with a request of")


async def test_it_notices_a_cache_that_knows_no_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Asker.ask

    def ask(self: Asker, subject: Subject, actor: WorkloadToken | None) -> Ask:
        return replace(right(self, subject, actor), key=self._digest.digest())

    monkeypatch.setattr(Asker, "ask", ask)
    await finds(tmp_path, "came with a request of")
