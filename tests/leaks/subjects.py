"""Subject tokens that are no JWTs of the cast's issuer: what ``scenarios`` drives the gateway through with them."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote

from tests.leaks.stage import Stage
from tests.oauth.test_introspection import HOSTILE
from tests.support.canary import Canary
from tests.support.gateway import get
from tests.support.scripted import Asked, Reply, granted, refused, replied


def introspecting(says: Callable[[Asked], bytes], stage: Stage) -> Reply:
    """Answer introspection so, and every exchange with the stage's first issued token."""

    async def reply(asked: Asked) -> bytes:
        return says(asked) if asked.head.startswith(b"POST /introspect") else granted(stage.issued[0])

    return reply


def opaque(says: Callable[[Asked], bytes]) -> Callable[[Stage], Awaitable[None]]:
    """Two requests with an opaque token, the second with it in a second place too."""

    async def scenario(stage: Stage) -> None:
        token = stage.evidence.token("opaque token", Canary.fresh("opaque-token").text)
        stage.server.reply = introspecting(says, stage)
        await stage.send(get("/opaque", token=token))
        await stage.send(get(f"/opaque/{token}", f"X: {token}".encode(), token=token))

    return scenario


def good(asked: Asked) -> bytes:
    """Say that it is active, with itself and our own credentials in the claims."""
    everything = f"{asked.head.decode()} {quote(asked.form['token'])}"
    members: dict[str, Any] = {"active": True, "sub": "alice", "aud": "orders-gateway", "exp": 4_000_000_000}
    return replied({**members, "jti": asked.form["token"] * 4, "username": everything, "x": [everything]})


def bad(asked: Asked) -> bytes:
    """Repeat everything in an error."""
    text = f"{asked.form['token']} {asked.head.decode()}"
    return replied({"error": asked.form["token"][:60], "error_description": text}, status=b"400 Bad Request")


def _hostile(name: str) -> Callable[[Asked], bytes]:
    def says(asked: Asked) -> bytes:
        head, _, body = HOSTILE[name].partition(b"\r\n\r\n")
        return head + b"\r\nX-Token: " + asked.form["token"].encode() + b"\r\n\r\n" + body

    return says


def _sub(asked: Asked) -> bytes:
    return replied({**json.loads(good(asked).split(b"\r\n\r\n", 1)[1]), "sub": [asked.form["token"]]})


async def _code(stage: Stage) -> None:
    async def refuse(asked: Asked) -> bytes:
        return good(asked) if "token" in asked.form else refused(asked.form["subject_token"])

    token = stage.evidence.token("opaque token", Canary.fresh("opaque-token").text)
    stage.server.reply = refuse
    assert b"exchange-unusable" in await stage.send(get("/opaque", token=token))


def own(says: Callable[[Asked, str], bytes]) -> Callable[[Stage], Awaitable[None]]:
    """Two requests for which our own token is exchanged, and the caller's is not."""

    async def scenario(stage: Stage) -> None:
        token = stage.evidence.token("own token", Canary.fresh("own-token").text)

        async def reply(asked: Asked) -> bytes:
            given = asked.form["grant_type"] == "client_credentials"
            return granted(token, issued_token_type=None) if given else says(asked, token)

        stage.server.reply = reply
        for _ in range(2):
            await stage.get("/own")

    return scenario


def _repeated(asked: Asked, token: str) -> bytes:
    return refused("invalid_request", error_description=f"{token} {asked.form['subject_token']}")


def _exchanged(stage: Stage) -> Callable[[Asked, str], bytes]:
    return lambda _, __: granted(stage.issued[0])


async def _own(stage: Stage) -> None:
    await own(_exchanged(stage))(stage)
    assert b" 200 " in stage.answers[0]


async def _not_given(stage: Stage) -> None:
    token = Canary.fresh("own-token").text
    for reply in (
        refused("invalid_client", error_description=stage.evidence.token("own token", token)),
        replied({"access_token": [token], "token_type": token}),
        replied({"error": token[:60]}, status=b"400 Bad Request"),
    ):
        stage.server.reply = reply
        assert b" 50" in await stage.get("/own")


async def _borne(stage: Stage) -> None:
    agent = stage.mint("agent-7")
    assert b" 200 " in await stage.get("/acting", f"X-Agent: {agent}".encode())
    for target, *fields in (
        ("/acting",),
        ("/acting", f"X-Agent: {agent}x"),
        ("/acting", f"X-Agent: {agent}, {agent}"),
        ("/acting", f"X-Agent: {agent}", f"X-Agent: {agent}"),
        ("/acting", f"X-Agent: {agent}", f"X: {agent}"),
        (f"/acting/{agent}", f"X-Agent: {agent}"),
        (f"/acting?{agent}", f"X-Agent: {agent}"),
        ("/acting", f"X-Agent: {stage.mint('agent-7', lifetime=-60)}"),
        ("/public", f"X-Agent: {agent}"),
        ("/orders", f"X-Agent: {agent}"),
        ("/nothing", f"X-Agent: {agent}"),
    ):
        await stage.get(target, *(field.encode() for field in fields))


SUBJECTS: Mapping[str, Callable[[Stage], Awaitable[None]]] = {
    "our own token: good": _own,
    "our own token: repeated": own(_repeated),
    "our own token: given back": own(lambda _, token: granted(token)),
    "our own token: not given": _not_given,
    "a trusted hop's token": _borne,
    "opaque: good": opaque(good),
    "opaque: an error": opaque(bad),
    "opaque: an error code of the exchange": _code,
    "opaque: not active": opaque(lambda _: replied({"active": False})),
    "opaque: a subject that is none": opaque(_sub),
    **{f"opaque: {name}": opaque(_hostile(name)) for name in ("a page", "huge", "a redirect", "active as text")},
}
