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


SUBJECTS: Mapping[str, Callable[[Stage], Awaitable[None]]] = {
    "opaque: good": opaque(good),
    "opaque: an error": opaque(bad),
    "opaque: an error code of the exchange": _code,
    "opaque: not active": opaque(lambda _: replied({"active": False})),
    "opaque: a subject that is none": opaque(_sub),
    **{f"opaque: {name}": opaque(_hostile(name)) for name in ("a page", "huge", "a redirect", "active as text")},
}
