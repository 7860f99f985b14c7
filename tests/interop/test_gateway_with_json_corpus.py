"""Every text of a public JSON corpus as an authorization server's reply, and as a member of a good one."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.interop.installation import Unavailable
from tests.interop.json_corpus import corpus
from tests.support import scripted
from tests.support.gateway import RunningGateway, Upstream, get, recording_upstream, running_gateway
from tests.support.scripted import ScriptedServer, replied, scripted_server
from tests.support.sts import GATEWAY_SECRET, RunningSts, running_sts

pytestmark = pytest.mark.interop

GOOD = (
    '{"access_token":"issued-opaque-token","token_type":"Bearer","expires_in":300,'
    '"issued_token_type":"urn:ietf:params:oauth:token-type:access_token","x":'
)
#: What the corpus takes and we don't: RFC 8259 §4 warns of names that are not unique.
NOT_UNIQUE = {"y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"}


@pytest.fixture(scope="session")
def texts() -> dict[str, str]:
    """The corpus."""
    try:
        return corpus()
    except Unavailable as reason:
        pytest.skip(str(reason))


class Stage:
    """A gateway before a scripted token endpoint."""

    def __init__(self, gateway: RunningGateway, sts: RunningSts, server: ScriptedServer, upstream: Upstream) -> None:
        self.gateway, self.sts, self.server, self.upstream = gateway, sts, server, upstream

    async def status(self, body: bytes) -> int:
        """What a caller gets when the token endpoint answers this."""
        self.server.reply = replied(body)
        before = len(self.upstream.seen)
        answer = await self.gateway.ask(get(token=self.sts.mint()))
        assert len(self.upstream.seen) - before == (1 if answer.status == 200 else 0)
        assert answer.status == 200 or answer.kind == "exchange-unusable"
        return answer.status


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A stage that ends with the test."""
    async with AsyncExitStack() as stack:
        sts = await stack.enter_async_context(running_sts())
        upstream = await stack.enter_async_context(recording_upstream())
        server = await stack.enter_async_context(scripted_server())
        (tmp_path / "gateway.secret").write_text(GATEWAY_SECRET)
        text = scripted.CONFIG.replace("ISSUER", sts.issuer).replace("PORT", str(upstream.port))
        gateway = await stack.enter_async_context(running_gateway(tmp_path, text.replace("TOKENS", str(server.port))))
        yield Stage(gateway, sts, server, upstream)


def test_it_is_the_whole_corpus(texts: dict[str, str]) -> None:
    assert len(texts) == 318
    assert {name[:2] for name in texts} == {"y_", "n_", "i_"}


async def test_no_text_of_it_is_a_reply(stage: Stage, texts: dict[str, str]) -> None:
    found = {name: await stage.status(text.encode()) for name, text in texts.items()}
    assert {name for name, status in found.items() if status != 502} == set()


async def test_a_good_reply_with_one_of_them_in_it(stage: Stage, texts: dict[str, str]) -> None:
    found = {name: await stage.status(f"{GOOD}{text}}}".encode()) for name, text in texts.items()}
    assert {name for name, status in found.items() if name.startswith("n_") and status != 502} == set()
    assert {name for name, status in found.items() if name.startswith("y_") and status != 200} == NOT_UNIQUE
    assert set(found.values()) == {200, 502}
