"""What happens around requests: replays, reloads, drains, approvers, tools; and secrets in all of it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping

from sidecar.config.load import load
from sidecar.config.problems import ConfigError
from tests.leaks.stage import Stage
from tests.support.gateway import Seen, get, ok
from tests.support.scripted import Asked, granted, replied

Scenario = Callable[[Stage], Awaitable[None]]


async def replayed(stage: Stage) -> None:
    """The upstream refuses tokens, and repeats them while it does; the request is sent again with another one."""
    good: list[bytes] = []

    def refusing(asked: Seen) -> bytes:
        [credential] = asked.values(b"authorization")
        if credential in good:
            return ok(asked)
        challenge = b'WWW-Authenticate: Bearer error="invalid_token", error_description="%b"' % credential
        return b"HTTP/1.1 401 No\r\nContent-Length: 0\r\nX: %b\r\n%b\r\n\r\n" % (credential, challenge)

    async def another(_: Asked) -> bytes:
        return granted(stage.issue())

    stage.upstream.respond, stage.server.reply = refusing, another
    stage.patch.setattr("sidecar.faces.gateway.FRESH", -1.0)
    request = get("/orders/1", b"Content-Length: 5", token=stage.mint(), method="PUT") + b"hello"
    assert b"issued-token-refused" in await stage.send(request)
    assert len(stage.upstream.seen) == 2
    token = stage.issue()
    good.append(b"Bearer " + token.encode())
    stage.server.reply = granted(token)
    await stage.get()
    assert b" 200 " in stage.answers[-1]


async def reloaded(stage: Stage) -> None:
    """The file changes while tokens are cached and one is being fetched; once to something that is no file."""
    path = stage.gateway.folder / "routes.yaml"
    text, token, reached, going_on = path.read_text(), stage.mint(), asyncio.Event(), asyncio.Event()
    await stage.get(token=token)

    async def slow(_: Asked) -> bytes:
        reached.set()
        await going_on.wait()
        return granted(stage.issued[0])

    stage.server.reply = slow
    under_way = asyncio.create_task(stage.get())
    await reached.wait()
    for changed in (text.replace("orders-api", "orders-api-2"), f"{text}\n{token}: {token}", text):
        path.write_text(changed)
        try:
            await stage.gateway.app.reload(load(path, last_good=stage.gateway.app.included))
        except ConfigError as error:
            stage.answers.append(f"{error} {error!r}".replace(token, "").encode())  # it repeats the file's own text
        going_on.set()
        await stage.get(token=token)
    assert b" 200 " in await under_way


async def drained(stage: Stage) -> None:
    """What runs at the end is finished, what comes then is not taken, and what lasts too long is cut."""
    reached = asyncio.Event()

    async def silent(_: Asked) -> bytes:
        reached.set()
        await asyncio.Event().wait()
        return b""

    await stage.get()
    stage.server.reply = silent
    under_way = asyncio.create_task(stage.get())
    await reached.wait()
    await stage.gateway.app.drain()
    await under_way


async def approved(stage: Stage) -> None:
    """An approver is asked, answers yes, no and nonsense, each time with all that it was asked."""

    def says(result: Callable[[str], object]) -> None:
        async def reply(asked: Asked) -> bytes:
            if not asked.head.startswith(b"POST /approve"):
                return granted(stage.issued[0])
            stage.answers.append(asked.head + json.dumps(asked.pairs).encode())  # nor is it told any
            return replied({"result": result(str(asked.pairs))})

        stage.server.reply = reply

    for result, told in (
        (lambda text: True, b" 200 "),
        (lambda text: {"allow": True, "reason": text, "approval_id": text[:40]}, b" "),
        (lambda text: {"allow": False, "reason": text}, b"approval-denied"),
        (lambda text: text, b"approval-"),
    ):
        says(result)
        assert told in await stage.get("/approved/1", b"X-Task: tidy up")
        token = stage.mint()
        await stage.send(get("/approved/2", f"X-Task: {token}".encode(), token=token))
    stage.server.reply = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
    assert b"approval-unavailable" in await stage.get("/approved/3")


async def tools(stage: Stage) -> None:
    """A tool server's messages hold the token wherever a client could put it; what is refused is refused unrepeated."""
    token = stage.mint()

    def post(message: object, *fields: bytes) -> bytes:
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        framing = b"Content-Length: %d" % len(body)
        head = get("/tools", b"Content-Type: application/json", framing, *fields, token=token, method="POST")
        return head + body

    def call(name: str, **more: object) -> dict[str, object]:
        return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, **more}}

    assert b" 200 " in await stage.send(post(call("search")))
    for message in (
        call(token),
        call(f"search{token}"),
        call("file_" + token.rpartition(".")[2]),
        call("file_x", path=token),
        call("search") | {"method": token},
        call("search") | {"jsonrpc": token},
        call("search") | {"params": token},
        call("search") | {"params": {"name": [token]}},
        [call(token)],
        token,
        token.encode(),
        b'{"jsonrpc":"2.0","method":"%b","method":"%b"}' % (token.encode(), token.encode()),
    ):
        assert b"HTTP/1.1 4" in await stage.send(post(message)), message
    for name in (b"Mcp-Name: ", b"Mcp-Method: ", b"Origin: https://"):
        assert b"HTTP/1.1 4" in await stage.send(post(call("search"), name + token.encode()))


OVER_TIME: Mapping[str, Scenario] = {
    "a replay": replayed,
    "a reload": reloaded,
    "a drain": drained,
    "an approver": approved,
    "a tool server's messages": tools,
}
