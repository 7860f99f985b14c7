"""The path that chooses the token is the one that the upstream serves, whoever reads it; and none leads elsewhere.

Two routes with an audience each. For every generated path the token's audience is held against what several other
readings of the path, none of them the gateway's, take it for.
"""

import asyncio
import posixpath
import re
from collections.abc import Iterator
from itertools import product
from typing import Final
from urllib.parse import unquote

import pytest

from tests.attacks.recorder import Recorder, conversation
from tests.attacks.strict import responses
from tests.faces.conftest import MakeWorld
from tests.faces.test_gateway import scripted_world
from tests.support.gateway import get
from tests.support.raw_upstream import RawUpstream
from tests.support.scripted import Asked, granted

#: ISSUER, PORT and TOKENS are replaced.
CONFIG: Final = """
gateway: {listen: '127.0.0.1:0', max_header_bytes: 16KiB}
trusted_issuers:
  corp: {issuer: ISSUER, audience: [orders-gateway]}
authorization_servers:
  corp:
    token_endpoint: 'http://127.0.0.1:TOKENS/token'
    client_auth: {method: client_secret_basic, client_id: gateway, client_secret_file: gateway.secret}
routes:
  - {name: public, match: {path_prefix: /public}, upstream: {url: 'http://127.0.0.1:PORT'},
     exchange: {audience: [public]}}
  - {name: admin, match: {path_prefix: /admin}, upstream: {url: 'http://127.0.0.1:PORT'}, exchange: {audience: [admin]}}
"""

DOTS: Final = (
    "..",
    ".",
    "%2e%2e",
    "%2E.",
    ".%2e",
    "%2e",
    "..;",
    "..;a=b",
    "..%3b",
    "..%20",
    "..%00",
    "%252e%252e",
    "...",
)
SLASHES: Final = (
    "/",
    "//",
    "/./",
    "%2f",
    "%2F",
    "%5c",
    "\\",
    ";/",
    "/;/",
    ";a=b/",
    "%3B/",
    "%00/",
    "%0a/",
    "%0d%0a/",
    "?/",
    "#/",
    "%23/",
)
SPELLED: Final = (
    "admin",
    "%61dmin",
    "ADMIN",
    "a%64min",
    "admin%00",
    "admin;x",
    "admin%2f",
    "admin.",
    "admin%20",
    "\u0430dmin",
)


def paths() -> Iterator[str]:
    """Paths that begin as one route's, and perhaps end as the other's."""
    for dots, before, behind, name in product(DOTS, SLASHES, ("/", "%2f", "\\", ";/"), SPELLED[:2]):
        yield f"/public{before}{dots}{behind}{name}/x"
    for slash, name in product(SLASHES, SPELLED):
        yield f"{slash}{name}/x"
        yield f"/public{slash}{name}/x"
        yield f"/{name}{slash}x"
        yield f"/admin{slash}..{slash}public/{name}"
    yield from (
        "/public?/../admin",
        "/admin?/public",
        "/public/x?a=%2f..%2fadmin",
        "/admin/#/public",
        "/public/#/../admin",
    )


def reading(path: str, decode: bool, cut: bool, merge: bool, backslash: bool) -> str:
    """How an application may read a path: decoded or not, parameters cut or not, slashes merged or not."""
    path = path.split("?", 1)[0].split("#", 1)[0]
    if cut:
        path = re.sub(r";[^/]*", "", path)
    if decode:
        path = unquote(path, errors="replace")
        if cut:
            path = re.sub(r";[^/]*", "", path)
    if backslash:
        path = path.replace("\\", "/")
    if merge:
        path = re.sub(r"//+", "/", path)
    return posixpath.normpath(path)


READINGS: Final = tuple(product((False, True), repeat=4))
PATHS: Final = tuple(dict.fromkeys(paths()))


@pytest.mark.threat("S20", "S21", "S22", "S23")
async def test_the_token_is_for_what_the_upstream_serves(world: MakeWorld) -> None:
    recorder = Recorder()
    answers: dict[str, bytes] = {}
    together = asyncio.Semaphore(32)

    async def issue(asked: Asked) -> bytes:
        return granted(f"issued-for-{asked.form['audience']}")

    async with (
        RawUpstream(recorder.serve) as upstream,
        scripted_world(world, CONFIG.replace("PORT", str(upstream.port))) as (here, server),
    ):
        server.reply = issue
        token = here.sts.mint(lifetime=3600)

        async def attempt(path: str) -> None:
            data = get("PATH", b"X-Path: %d" % PATHS.index(path), token=token).replace(b"PATH", path.encode())
            async with together:
                answers[path] = await conversation(here.gateway.port(), data)

        await asyncio.gather(*map(attempt, PATHS))
    assert recorder.strange == []
    arrived = {PATHS[int(message.values(b"x-path")[0])]: message for message in recorder.messages}
    for path, raw in answers.items():
        [final] = responses(raw)[0]
        assert final.status in (200, 400, 404), (path, raw)
        assert (final.status == 200) is (path in arrived), (path, raw)
        if path in arrived:
            message = arrived[path]
            assert message.target == path.encode(), "what was matched is what is forwarded"
            [credential] = message.values(b"authorization")
            audience = credential.removeprefix(b"Bearer issued-for-").decode()
            read = {reading(path, *choice).split("/")[1] for choice in READINGS}
            assert read <= {audience, audience.replace("a", "%61", 1), audience.replace("d", "%64", 1)}, (path, read)
    assert len(PATHS) > 2000
    assert len(arrived) > 30
    assert len(set(answers) - set(arrived)) > 1500


ELSEWHERE: Final = (
    "http://127.0.0.1:{port}/public/x",
    "http://127.0.0.1:{port}",
    "https://127.0.0.1:{port}/public/x",
    "http://api.example.com@127.0.0.1:{port}/public/x",
    "http://127.0.0.1:{port}@api.example.com/public/x",
    "http://api.example.com:80@127.0.0.1:{port}/public/x",
    "http://127.0.0.1:{port}\\@api.example.com/public/x",
    "http://127.0.0.1:{port}#@api.example.com/public/x",
    "http://127.0.0.1:{port}?@api.example.com/public/x",
    "//127.0.0.1:{port}/public/x",
    "///127.0.0.1:{port}/public/x",
    "\\\\127.0.0.1:{port}/public/x",
    "127.0.0.1:{port}",
    "*",
    "ftp://127.0.0.1:{port}/public/x",
    "file:///etc/passwd",
    "http:/127.0.0.1:{port}/public/x",
    "http:127.0.0.1:{port}/public/x",
    "/public/http://127.0.0.1:{port}/",
    "/public@127.0.0.1:{port}/",
    "/public/%40127.0.0.1:{port}/",
    "@127.0.0.1:{port}/public",
    ":{port}/public",
    "/public/x HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX: y",
)
HOSTS: Final = (
    *(
        "127.0.0.1:{port}",
        "api.example.com@127.0.0.1:{port}",
        "127.0.0.1:{port}#",
        "127.0.0.1:{port}/",
        "127.0.0.1:{port}?",
    ),
    *(
        "api.example.com, 127.0.0.1:{port}",
        "api.example.com 127.0.0.1:{port}",
        "[::ffff:127.0.0.1]:{port}",
        "2130706433:{port}",
    ),
    *(
        "127.1:{port}",
        "0x7f.1:{port}",
        "localhost:{port}",
        "",
        "api.example.com",
        "api.example.com.",
        "API.EXAMPLE.COM:{port}",
    ),
)


@pytest.mark.threat("S24", "S25", "S26", "S28")
async def test_no_target_leads_elsewhere(world: MakeWorld) -> None:
    """Nobody is connected to but the configured upstream, which is told its own name."""
    recorder, elsewhere = Recorder(), Recorder()
    async with (
        RawUpstream(recorder.serve) as upstream,
        RawUpstream(elsewhere.serve) as other,
        scripted_world(world, CONFIG.replace("PORT", str(upstream.port))) as (here, _),
    ):
        fields = f"Connection: close\r\nAuthorization: Bearer {here.sts.mint()}\r\n"
        attacks = [
            f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"
            for method, target, host in (
                *product(("GET", "POST", "CONNECT", "OPTIONS"), ELSEWHERE, ("api.example.com", "127.0.0.1:{port}")),
                *product(("GET", "CONNECT"), ("/public/x", "http://127.0.0.1:{port}/public"), HOSTS),
            )
        ]
        for attack in attacks:
            raw = await conversation(here.gateway.port(), attack.replace("{port}", str(other.port)).encode())
            assert len(responses(raw)[0]) == 1, attack
        assert other.accepted == 0
        assert recorder.strange == []
        hosts = {host for message in recorder.messages for host in message.values(b"host")}
        assert hosts == {b"127.0.0.1:%d" % upstream.port}
        assert not [message for message in recorder.messages if message.start[0] == b"CONNECT"]
