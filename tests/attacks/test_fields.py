"""No field changes who the upstream thinks is calling: aliases, doubles, and names that ``Connection`` lists.

The upstream reads field names as the loosest applications do: in any case, and ``_`` for ``-``.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from itertools import product
from typing import Final

import pytest

from tests.attacks.recorder import Recorder, conversation
from tests.attacks.strict import Message, responses
from tests.faces.conftest import CONFIG, MakeWorld
from tests.support.raw_upstream import RawUpstream

#: What the gateway sets, and applications believe.
OURS: Final = (
    *("authorization", "host", "via", "x-request-id", "forwarded", "x-forwarded-for", "x-forwarded-host"),
    *("x-forwarded-proto", "x-forwarded-port", "x-real-ip", "content-length", "transfer-encoding"),
)
#: Of these, what says who calls; the others pass on what the caller says.
BELIEVED: Final = tuple(name for name in OURS if name not in ("via", "x-request-id"))
CREDENTIALS: Final = ("authorization", "proxy-authorization", "x-forwarded-access-token", "x-auth-request-access-token")
#: By which some proxy or framework lets a caller choose path, host or method.
CHOOSING: Final = (
    *("X-Original-URL", "X-Original-URI", "X-Original-Method", "X-Original-Host", "X-Rewrite-URL", "X-Forwarded-Path"),
    *("X-Forwarded-Uri", "X-Forwarded-Prefix", "X-Forwarded-Method", "X-HTTP-Method", "X-HTTP-Method-Override"),
    *("X-Method-Override", "X-Host", "X-Forwarded-Server", "X-Envoy-Original-Path", "X-Auth-Request-Redirect"),
)


def spelled(name: str) -> Iterator[str]:
    """A name as applications may read it: in any case, with any of its dashes as underscores."""
    yield from {name, name.upper(), name.title(), name.swapcase()}
    dashes = [index for index, letter in enumerate(name) if letter == "-"]
    for chosen in product((False, True), repeat=len(dashes)):
        letters = list(name)
        for index, is_alias in zip(dashes, chosen, strict=True):
            letters[index] = "_" if is_alias else "-"
        yield "".join(letters)


def attacks() -> Iterator[tuple[str, ...]]:
    """Field lines to send beside the token."""
    for name in sorted({*OURS, *CREDENTIALS}):
        for alias in sorted(set(spelled(name))):
            yield (f"{alias}: evil",)
            yield f"{alias}: evil", f"Connection: {alias}"
        for value in ("evil", "Bearer evil", "", "127.0.0.1", "5"):
            yield f"{name}: {value}", f"{name}: {value}2"
    for name, form in product(
        (*OURS, "cookie", "accept", "x-own", "*", ""),
        ("%s", "%s, close", "close, %s", "keep-alive,\t%s\t,x", ",,%s,,", "%s\t", "x;%s", '"%s"'),
    ):
        yield (f"Connection: {form % name}",)
        yield "Connection: keep-alive", f"connection: {form % name.upper()}"
        yield f"Connection: {form % name}", "Upgrade: websocket"
        yield f"Proxy-Connection: {form % name}", f"Keep-Alive: {name}"
    for name in CHOOSING:
        for value in ("/admin", "http://admin.example/admin", "DELETE", "admin.example", "/orders/../admin"):
            yield (f"{name}: {value}",)
    for scheme in ("Bearer", "bearer", "Basic", "Digest", "DPoP", "Negotiate", "GNAP"):
        yield (f"Authorization: {scheme} evil",)
        yield (f"AUTHORIZATION: {scheme} evil",)
        yield (f"Proxy-Authorization: {scheme} evil",)
    for split in (
        "%0d%0aX-Evil: 1",
        "\\r\\nX-Evil: 1",
        "%E5%98%8A%E5%98%8DX-Evil: 1",
        "\u560a".encode().decode("latin-1"),
    ):
        yield (f"X-Request-ID: a{split}",)
        yield (f"X-Own: a{split}", f"User-Agent: {split}")
    yield ("TE: trailers, chunked", "Trailer: Authorization")
    yield ("Expect: 100-continue",)
    yield ("Max-Forwards: 0",)
    yield ("HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c")


ATTACKS: Final = tuple(dict.fromkeys(attacks()))


def loosely(message: Message) -> Counter[str]:
    """How often each name occurs to who can't tell a dash from an underscore."""
    return Counter(name.decode("latin-1").lower().replace("_", "-") for name, _ in message.fields)


@pytest.mark.threat("S2", "S7", "S22", "S28", "S29", "S44", "S45")
async def test_no_field_changes_who_is_calling(world: MakeWorld) -> None:
    recorder = Recorder()
    answers: dict[int, bytes] = {}
    together = asyncio.Semaphore(32)
    async with RawUpstream(recorder.serve) as upstream:
        here = await world(CONFIG.replace("PORT", str(upstream.port)))
        token = here.sts.mint()

        async def attempt(number: int) -> None:
            lines = [f"GET /orders/{number} HTTP/1.1", "Host: api.example.com", f"Authorization: Bearer {token}"]
            head = "\r\n".join([*lines, *ATTACKS[number], "", ""]).encode("latin-1")
            async with together:
                answers[number] = await conversation(here.gateway.port(), head, answers=1)

        await asyncio.gather(*(attempt(number) for number in range(len(ATTACKS))))
    assert recorder.strange == []
    arrived = {int(message.target.removeprefix(b"/orders/")): message for message in recorder.messages}
    assert len(arrived) == len(recorder.messages)
    for number, raw in answers.items():
        final = [message.status for message in responses(raw)[0] if message.status >= 200]
        assert len(final) == 1, (ATTACKS[number], raw)
        assert (final == [200]) is (number in arrived), (ATTACKS[number], raw)
        if number not in arrived:
            assert final[0] in (400, 417, 501), (ATTACKS[number], raw)
            continue
        message = arrived[number]
        names = loosely(message)
        assert message.start[0] == b"GET", ATTACKS[number]
        assert max(names[name] for name in OURS) == 1, (ATTACKS[number], message)
        assert not any(names[name] for name in CREDENTIALS[1:]), (ATTACKS[number], message)
        [credential] = message.values(b"authorization")
        assert credential.startswith(b"Bearer ey"), ATTACKS[number]
        assert token.encode() not in credential
        said = b" ".join(value for name, value in message.fields if name.decode() in BELIEVED)
        assert b"evil" not in said, (ATTACKS[number], message)
        for name in ("connection", "keep-alive", "proxy-connection", "upgrade", "te", "trailer", "http2-settings"):
            assert not names[name], (ATTACKS[number], message)
    assert len(ATTACKS) > 600
    assert len(arrived) > 300
