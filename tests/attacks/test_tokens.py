"""No forged token is exchanged: every way to make one that some library took, before a running gateway.

What decides is not the status alone: no server is asked, nothing is forwarded, and nothing that a token names is
connected to.
"""

from urllib.parse import urlsplit

import pytest

from tests.attacks.forgeries import forged
from tests.faces.conftest import MakeWorld
from tests.faces.test_gateway import scripted_world
from tests.support import scripted
from tests.support.gateway import ask, get
from tests.support.raw_upstream import RawUpstream, answering, response


@pytest.mark.threat("S4", "S26", "S54", "S55", "S56", "S57", "S59")
async def test_no_forged_token_is_exchanged(world: MakeWorld) -> None:
    async with (
        RawUpstream(answering(response(b"{}"))) as elsewhere,
        scripted_world(world, scripted.CONFIG) as (here, server),
    ):
        place = urlsplit(here.sts.jwks_uri)
        [public] = (await ask(place.port or 0, get(place.path))).json()["keys"]
        tokens = dict(forged(here.sts, public, f"http://127.0.0.1:{elsewhere.port}/keys"))
        assert len(tokens) > 200
        assert (await here.gateway.ask(get(token=here.sts.mint()))).status == 200
        asked, seen = len(server.asked), len(here.upstream.seen)
        for name, token in tokens.items():
            answer = await here.gateway.ask(get(token=token))
            assert answer.status in (400, 401), name
            assert (len(server.asked), len(here.upstream.seen)) == (asked, seen), name
        assert elsewhere.accepted == 0
        assert (await here.gateway.ask(get(token=here.sts.mint()))).status == 200
