from tests.faces.conftest import MakeWorld
from tests.support.gateway import get


async def test_a_token_changes_hands(world: MakeWorld) -> None:
    here = await world()
    token = here.sts.mint()
    answer = await here.gateway.ask(get(token=token))
    assert (answer.status, answer.body) == (200, b"ok")
    [authorization] = here.upstream.last.values(b"authorization")
    assert authorization.startswith(b"Bearer ")
    assert token.encode() not in here.upstream.bytes
