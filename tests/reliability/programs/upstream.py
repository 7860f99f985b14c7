"""The upstream, which knows what it should never see: ``python -m tests.reliability.programs.upstream PORT``.

It answers with whose token it was sent and the request's ``X-Id``, so that the caller can tell that it is its own
answer and whole. A query shapes the answer: ``size`` in bytes, ``framing=chunked``, ``wait`` in seconds. ``/seen``
tells how many requests there were, which ids of requests that may not be repeated came twice, how often a token was
past its end, and which tokens were used. Tokens are read, not verified.
"""

import asyncio
import base64
import json
import re
import sys
import time
from collections import Counter
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from tests.reliability.answers import answer_body

_FIELD: Final = re.compile(rb"\r\n(content-length|x-id|authorization): *([^\r]*)", re.IGNORECASE)
_JSON: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
_PLAIN: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nServer: upstream\r\n"
_CHUNK: Final = 1000


class Seen:
    """What came, over all connections."""

    def __init__(self) -> None:
        self.requests = 0
        self.dead = 0
        self.posts: Counter[str] = Counter()
        self.tokens: set[str] = set()

    def report(self) -> dict[str, Any]:
        """What ``/seen`` answers."""
        return {
            "requests": self.requests,
            "dead": self.dead,
            "posts": len(self.posts),
            "doubled": [name for name, count in self.posts.items() if count > 1],
            "tokens": sorted(self.tokens),
        }

    def use(self, token: str) -> str:
        """Note a token and return whose it is."""
        if "~" in token:  # the scripted token endpoint's: issued~SUB~NUMBER~…
            return token.split("~")[1]
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        self.dead += claims["exp"] <= time.time()
        self.tokens.add(claims["jti"])
        return str(claims["sub"])


SEEN: Final = Seen()


class Connection(asyncio.Protocol):
    """One connection: requests one after another."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data += data
        end = self.data.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.data[: end + 2]
        fields = {name.lower(): value for name, value in _FIELD.findall(head)}
        whole = end + 4 + int(fields.get(b"content-length", b"0"))
        if len(self.data) < whole:
            return
        self.data = self.data[whole:]
        method, target, _ = head.split(b" ", 2)
        if target == b"/seen":
            report = json.dumps(SEEN.report()).encode()
            self.transport.write(_JSON % (len(report), report))
            return
        answering = self.answer(method.decode(), urlsplit(target.decode()).query, fields)
        self.answering = asyncio.get_running_loop().create_task(answering)

    async def answer(self, method: str, query: str, fields: dict[bytes, bytes]) -> None:
        asked = dict(parse_qsl(query))
        name = fields[b"x-id"].decode()
        SEEN.requests += 1
        if method == "POST":
            SEEN.posts[name] += 1
        sub = SEEN.use(fields[b"authorization"].decode().removeprefix("Bearer "))
        if "wait" in asked:
            await asyncio.sleep(float(asked["wait"]))
        body = answer_body(sub, name, int(asked.get("size", "0")))
        if asked.get("framing") == "chunked":
            pieces = [body[at : at + _CHUNK] for at in range(0, len(body), _CHUNK)]
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
            self.transport.write(_PLAIN + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
        else:
            self.transport.write(_PLAIN + b"Content-Length: %d\r\n\r\n" % len(body) + body)


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
