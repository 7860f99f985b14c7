import asyncio
import stat
from pathlib import Path

import pytest

from sidecar.demo.caller import StageError, new_session
from sidecar.demo.cast import Secrets, authorization_server
from sidecar.demo.folder import AGENT_TOKEN, ALICE_SECRET, GATEWAY_SECRET, AgentToken, put_secrets
from sidecar.oauth.jwt import peek
from tests.support.sts import running_sts

BOUND = 10.0  # seconds for any single wait


def test_secrets_are_their_owners_alone(tmp_path: Path) -> None:
    secrets = Secrets()
    put_secrets(tmp_path, secrets)
    assert sorted(path.name for path in tmp_path.iterdir()) == [ALICE_SECRET, GATEWAY_SECRET]
    assert (tmp_path / ALICE_SECRET).read_text() == secrets.alice
    assert (tmp_path / GATEWAY_SECRET).read_text() == secrets.gateway
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


async def test_the_agents_token_is_renewed_again_and_again(tmp_path: Path) -> None:
    secrets = Secrets()
    async with running_sts(lambda issuer: authorization_server(issuer, secrets)) as sts, new_session() as session:
        agent = AgentToken(tmp_path, session, sts.config, secrets)
        await agent.renew()
        path = tmp_path / AGENT_TOKEN
        claims = peek(path.read_text()).claims
        assert (claims["sub"], claims["aud"]) == ("agent-7", [sts.issuer])
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        seen = {claims["jti"]}
        keeping = asyncio.create_task(agent.keep(every=0))
        try:
            async with asyncio.timeout(BOUND):
                while len(seen) < 3:
                    await asyncio.sleep(0)
                    seen.add(peek(path.read_text()).claims["jti"])
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)


async def test_a_token_stays_while_no_new_one_is_to_be_had(tmp_path: Path) -> None:
    secrets = Secrets()
    async with new_session() as session, running_sts(lambda issuer: authorization_server(issuer, secrets)) as sts:
        agent = AgentToken(tmp_path, session, sts.config, Secrets())
        with pytest.raises(StageError):
            await agent.renew()
        assert not (tmp_path / AGENT_TOKEN).exists()
        (tmp_path / AGENT_TOKEN).write_text("the old one")
        keeping = asyncio.create_task(agent.keep(every=0))
        try:
            async with asyncio.timeout(BOUND):
                while len(sts.audit) < 3:  # noqa: ASYNC110  # nothing is told when it fails
                    await asyncio.sleep(0)
            assert not keeping.done()
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
    assert (tmp_path / AGENT_TOKEN).read_text() == "the old one"
