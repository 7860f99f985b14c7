import socket
import time
from typing import Any

import pytest
from aiohttp import web

from sidecar.demo.caller import get, new_session
from sidecar.demo.service import good_claims, serve
from sidecar.oauth.jwt import VerificationKeys, generate_key, sign

KEY, OTHER = generate_key("ES256", "k"), generate_key("ES256", "other")
KEYS = VerificationKeys([KEY])


def bearer(key: Any = KEY, **claims: Any) -> str:
    return f"Bearer {sign({'aud': ['tools'], 'exp': time.time() + 60, **claims}, key, 'ES256')}"


@pytest.mark.parametrize("audience", ["tools", ["tools"], ["others", "tools"]])
def test_a_good_token(audience: object) -> None:
    claims = good_claims(bearer(aud=audience, sub="alice"), KEYS, "tools")
    assert claims is not None
    assert claims["sub"] == "alice"


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer x",
        f"Basic {bearer()[7:]}",
        bearer(OTHER),
        bearer(aud=["others"]),
        bearer(aud="toolshed"),
        bearer(aud=None),
        bearer(exp=time.time() - 1),
        bearer(exp="never"),
        bearer(exp=None),
    ],
)
def test_a_token_that_is_not_good_here(authorization: str) -> None:
    assert good_claims(authorization, KEYS, "tools") is None


async def test_a_service_on_a_bound_socket() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"here": True})

    app = web.Application()
    app.router.add_get("/", answer)
    sock = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{sock.getsockname()[1]}/"
    runner = await serve(app, sock)
    async with new_session() as session:
        assert (await get(session, url)).members == {"here": True}
    await runner.cleanup()
