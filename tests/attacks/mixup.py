"""Many callers at once through few connections and a small cache, while everything that can go wrong does.

Every answer says whose token the upstream saw and which request it was, so that whoever gets somebody else's notices.
The upstream holds each token against the path it came with and each body against what its caller sent. What it sends
beyond its answers is poison: nobody may ever see it.
"""

import asyncio
import base64
import json
import re
import select
import socket
import struct
from collections import Counter
from contextlib import suppress
from random import Random
from typing import Final

from tests.support.gateway import read_answer
from tests.support.raw_upstream import Peer
from tests.support.scripted import Asked, granted, refused

USERS: Final = 20
AUDIENCES: Final = {"orders": "orders-api", "billing": "billing-api"}
POISON: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\npoison"
BOUND: Final = 20.0  # seconds for any single wait

#: ISSUER, PORT and TOKENS are replaced. Fewer connections than callers, fewer entries than tokens.
CONFIG: Final = """
gateway: {listen: '127.0.0.1:0'}
cache: {max_entries: 12, negative_lifetime: 1s}
trusted_issuers:
  corp: {issuer: ISSUER, audience: [orders-gateway]}
authorization_servers:
  corp:
    token_endpoint: 'http://127.0.0.1:TOKENS/token'
    client_auth: {method: client_secret_basic, client_id: gateway, client_secret_file: gateway.secret}
routes:
  - name: orders
    match: {path_prefix: /orders}
    upstream: {url: 'http://127.0.0.1:PORT', max_connections: 5}
    exchange: {audience: [orders-api]}
  - name: billing
    match: {path_prefix: /billing}
    upstream: {url: 'http://127.0.0.1:PORT', max_connections: 5}
    exchange: {audience: [billing-api]}
"""


def payload(user: str, number: int, size: int) -> bytes:
    """What a caller sends and gets: every few bytes say whose it is."""
    unit = f"<{user} {number:06}>".encode()
    return (unit * (size // len(unit) + 1))[:size]


class Trouble:
    """Plays token endpoint and upstream, and remembers what was never to happen."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.mixups: list[str] = []
        self.happened: Counter[str] = Counter()
        self.requests = 0

    def _chance(self, share: float, what: str) -> bool:
        if self.random.random() < share:
            self.happened[what] += 1
            return True
        return False

    async def exchange(self, asked: Asked) -> bytes:
        """Issue a token that says for whom and for what it is, sooner or later, or don't."""
        middle = asked.form["subject_token"].split(".")[1]
        user = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))["sub"]
        await asyncio.sleep(self.random.choice([0, 0, 0.001, 0.003]))
        if self._chance(0.01, "exchange refused"):
            return refused("invalid_grant")
        if self._chance(0.01, "exchange failed"):
            return refused("server_error", status=b"500 Internal Server Error")
        self.happened["exchange"] += 1
        lifetime = self.random.choice([1, 300, 300, 300])
        return granted(f"issued.{asked.form['audience']}.{user}.{self.happened['exchange']}", expires_in=lifetime)

    async def serve(self, peer: Peer) -> None:
        """Answer requests until somebody has enough."""
        self.happened["connection"] += 1
        with suppress(TimeoutError):  # nobody asks any more
            while await self._answer(peer):
                pass

    async def _answer(self, peer: Peer) -> bool:
        head = await peer.reader.readuntil(b"\r\n\r\n")
        self.requests += 1
        _, route, user, number = head.split(b" ", 2)[1].decode().split("/")
        [credential] = re.findall(rb"\r\n[Aa]uthorization: Bearer ([^\r]+)\r\n", head)
        _, audience, owner, _ = credential.decode().split(".")
        if owner != user or audience != AUDIENCES[route]:
            self.mixups.append(f"a token of {owner} for {audience} came with a request of {user} to {route}")
        if found := re.search(rb"\r\n[Cc]ontent-[Ll]ength: ([0-9]+)", head):
            body, whose = payload(user, int(number), int(found[1])), f"{user} {number}"
            if self._chance(0.2, "early answer"):
                if not await self._reply(peer, owner, number) or self._chance(0.3, "early answer and end"):
                    return False
                await self._body(peer, body, whose)
                return True
            await self._body(peer, body, whose)
        elif self._chance(0.03, "upstream hangs up"):
            peer.reset() if self.random.random() < 0.5 else peer.close()
            return False
        return await self._reply(peer, owner, number)

    async def _body(self, peer: Peer, expected: bytes, whose: str) -> None:
        """Read a body, and look at every piece: half of one with something else behind it has no end to wait for."""
        while expected:
            piece = await peer.reader.read(min(len(expected), 65536))
            if not piece:
                raise ConnectionResetError
            if not expected.startswith(piece):
                self.mixups.append(f"the body of {whose} came as something else")
                raise ConnectionResetError
            expected = expected[len(piece) :]

    async def _reply(self, peer: Peer, owner: str, number: str) -> bool:
        """Say whose token was seen, in one of many ways; return whether the connection goes on."""
        size = self.random.choice([20, 20, 20, 300, 5000, 100_000])
        body = payload(owner, int(number), size)
        fields = b"Content-Type: text/plain\r\nX-Seen: %b %b\r\nX-Size: %d\r\n" % (
            owner.encode(),
            number.encode(),
            size,
        )
        interim = b"HTTP/1.1 103 Early Hints\r\nLink: </%b>\r\n\r\n" % owner.encode()
        start = (interim if self._chance(0.05, "interim") else b"") + b"HTTP/1.1 200 OK\r\n" + fields
        goes_on = True
        match self.random.choice(["length", "length", "chunks", "close"]):
            case "length":
                wire = start + b"Content-Length: %d\r\n\r\n" % size + body
            case "chunks":
                cut = self.random.randrange(size)
                pieces = [piece for piece in (body[:cut], body[cut:]) if piece]
                chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
                wire = start + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
            case _:
                wire, goes_on = start + b"Connection: close\r\n\r\n" + body, False
        if goes_on and self._chance(0.05, "cut answer"):
            await peer.send(wire[: self.random.randrange(len(wire))])
            peer.reset() if self.random.random() < 0.5 else peer.close()
            return False
        if goes_on and self._chance(0.1, "poison behind the answer"):
            wire += POISON
        await peer.send(wire)
        if goes_on and self._chance(0.15, "poison at rest"):
            for _ in range(self.random.choice([0, 1, 2, 5])):
                await asyncio.sleep(0)
            self._poison(peer)
        return goes_on and not self._chance(0.05, "upstream ends it at rest")

    def _poison(self, peer: Peer) -> None:
        """Send what nobody asked for, unless the next request is there already: then nobody could tell it apart."""
        sock: socket.socket = peer.writer.get_extra_info("socket")
        pending = peer.writer.transport.get_write_buffer_size() if not peer.writer.is_closing() else 1
        if not pending and not peer.reader._buffer and not select.select([sock], [], [], 0)[0]:  # type: ignore[attr-defined]
            self.happened["poison sent"] += 1
            peer.writer.write(POISON)


class Crowd:
    """The callers. Each of their connections carries requests of different users, one after the other."""

    def __init__(self, port: int, tokens: dict[str, list[str]], trouble: Trouble, seed: int) -> None:
        self.outcomes: Counter[str] = Counter()
        self._port = port
        self._tokens = tokens
        self._trouble = trouble
        self._random = Random(seed)
        self._number = 0

    async def ask(self, requests: int, together: int) -> None:
        """Send so many requests over so many connections at a time. Ends soon after the first mix-up."""
        async with asyncio.TaskGroup() as group:
            for _ in range(together):
                group.create_task(self._caller(requests))

    async def _caller(self, requests: int) -> None:
        while self._number < requests and not self._trouble.mixups:
            async with asyncio.timeout(BOUND):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                while self._number < requests and await self._exchange(reader, writer):
                    pass
            except (ConnectionError, asyncio.IncompleteReadError):
                self.outcomes["cut"] += 1
            finally:
                writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request, or two pipelined ones; return whether the connection is still good."""
        asked = [self._request() for _ in range(2 if self._random.random() < 0.1 else 1)]
        wire = b"".join(request for _, _, request in asked)
        if self._random.random() < 0.05:
            self.outcomes["left"] += 1
            writer.write(wire[: self._random.randrange(len(wire) + 1)])
            await asyncio.sleep(self._random.choice([0, 0.001, 0.004]))
            self._leave(writer)
            return False
        if self._random.random() < 0.4:
            half = len(wire) // 2
            writer.write(wire[:half])
            await asyncio.sleep(self._random.choice([0.001, 0.005]))
            wire = wire[half:]
        writer.write(wire)
        for user, number, _ in asked:
            async with asyncio.timeout(BOUND):
                answer = await read_answer(reader)
            seen = set(re.findall(rb"user-[0-9]{2} [0-9]{6}", answer.raw))
            if seen - {f"{user} {number:06}".encode()} or b"poison" in answer.raw:
                self._trouble.mixups.append(f"{user} {number} was answered with {sorted(seen)} {answer.raw[-6:]!r}")
            self.outcomes[str(answer.status)] += 1
            if answer.status == 200:
                size = int(answer.value("x-size") or 0)
                if answer.body != payload(user, number, size):
                    self._trouble.mixups.append(f"{user} {number} got an answer that is not whole")
            if answer.value("connection") == "close":
                return False
        return True

    def _request(self) -> tuple[str, int, bytes]:
        self._number += 1
        user, route = self._random.choice(list(self._tokens)), self._random.choice(list(AUDIENCES))
        token = self._random.choice(self._tokens[user])
        body = b""
        framing = ""
        if self._random.random() < 0.3:
            body = payload(user, self._number, self._random.choice([1, 50, 3000, 150_000]))
            framing = f"Content-Length: {len(body)}\r\n"
        method = "POST" if body else "GET"
        head = (
            f"{method} /{route}/{user}/{self._number:06} HTTP/1.1\r\nHost: api.example.com\r\n"
            f"Authorization: Bearer {token}\r\n{framing}\r\n"
        )
        return user, self._number, head.encode() + body

    def _leave(self, writer: asyncio.StreamWriter) -> None:
        if self._random.random() < 0.5:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
