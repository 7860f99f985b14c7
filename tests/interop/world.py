"""A whole gateway between a real server and an upstream that records, with a tap on the wire to the token endpoint.

What may leave the gateway is the same whatever a test is about, so it is searched for at the end of each
(``World.leaks``). What the server answers is none of this module's business.
"""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import yaml
from prometheus_client.parser import text_string_to_metric_families

from sidecar.oauth import jwt
from tests.interop.keycloak import GATEWAY_SECRET, Keycloak
from tests.support.canary import search
from tests.support.gateway import Answer, RunningGateway, Seen, Upstream, get, recording_upstream, running_gateway

ORDERS: Final[Mapping[str, Any]] = {"audience": ["orders-api"], "scope": ["orders.read"]}
BASIC: Final[Mapping[str, Any]] = {
    "method": "client_secret_basic",
    "client_id": "gateway",
    "client_secret_file": "gateway.secret",
}
POST: Final[Mapping[str, Any]] = {**BASIC, "method": "client_secret_post"}
PRIVATE_KEY_JWT: Final[Mapping[str, Any]] = {
    "method": "private_key_jwt",
    "client_id": "gateway-jwt",
    "key_file": "gateway-jwt.jwk",
    "algorithm": "ES256",
    "key_id": "gateway-jwt-1",
}

_ACCESS_TOKEN: Final = re.compile(rb'"access_token":"([^"]+)"')


class Tap:
    """Stands before a server, passes every byte on, and keeps them: what was sent to it, and what it replied."""

    def __init__(self, port: int) -> None:
        self.sent = bytearray()
        self.replied = bytearray()
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def requests(self) -> int:
        """How many requests were sent; no form can hold what they begin with."""
        return self.sent.count(b"POST /")

    @property
    def issued(self) -> set[str]:
        """Every token that the server gave."""
        return {token.decode("ascii") for token in _ACCESS_TOKEN.findall(self.replied)}

    @property
    def form(self) -> list[tuple[str, str]]:
        """The pairs of the last form."""
        return parse_qsl(self.sent.rpartition(b"\r\n\r\n")[2].decode("ascii"), strict_parsing=True)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            back, out = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                await asyncio.gather(self._pass(reader, out, self.sent), self._pass(back, writer, self.replied))
            finally:
                out.close()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def close(self) -> None:
        """End all connections."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, kept: bytearray) -> None:
        while piece := await source.read(1 << 16):
            kept += piece
            sink.write(piece)
            await sink.drain()
        with suppress(OSError):
            sink.write_eof()


@asynccontextmanager
async def tapped(port: int) -> AsyncIterator[tuple[Tap, int]]:
    """Tap a port of this machine for the length of the block; yields the tap and its own port."""
    tap = Tap(port)
    server = await asyncio.start_server(tap.accept, "127.0.0.1", 0)
    try:
        yield tap, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await tap.close()
        await server.wait_closed()


@dataclass(slots=True)
class World:
    """All of them.

    log: what was logged, also what a running gateway would redact or leave out. secrets: by which we authenticate.
    """

    gateway: RunningGateway
    upstream: Upstream
    tap: Tap
    log: StringIO
    secrets: Sequence[str]
    answers: list[Answer] = field(default_factory=list)
    presented: list[str] = field(default_factory=list)

    async def call(self, token: str, target: str = "/orders/1") -> Answer:
        """Present a token to the gateway."""
        self.presented.append(token)
        answer = await self.gateway.ask(get(target, token=token))
        self.answers.append(answer)
        return answer

    @property
    def forwarded(self) -> dict[str, Any]:
        """The claims of the token that the upstream got last."""
        return dict(jwt.peek(_bearer(self.upstream.last)).claims)

    async def receipts(self, event: str) -> list[dict[str, Any]]:
        """The receipts of one event, oldest first."""
        return [line for line in await self.gateway.receipt_lines() if line["event"] == event]

    async def count(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that carry these labels. LookupError: there is none."""
        families = text_string_to_metric_families(await self.gateway.metrics())
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        values = [sample.value for sample in samples if labels.items() <= sample.labels.items()]
        if not values:
            raise LookupError(f"no {name} with {labels}")
        return sum(values)

    async def leaks(self) -> list[str]:
        """Where a token or a secret is that must not be there; empty where all is well.

        A caller's token, or enough of it to tell whose it is, may be nowhere; an issued one at the upstream only.
        """
        await self.gateway.receipt_lines()
        sinks = {
            "log": self.log.getvalue().encode(),
            "receipts": self.gateway.receipts,
            "metrics": (await self.gateway.metrics()).encode(),
            "answers": b"".join(answer.raw for answer in self.answers),
        }
        nowhere = [*self.secrets, *_telling_parts(self.presented)]
        issued = _telling_parts({*self.tap.issued, *map(_bearer, self.upstream.seen)})
        found = [f"upstream: {finding}" for finding in search(bytes(self.upstream.bytes), *nowhere)]
        for name, sink in sinks.items():
            found += [f"{name}: {finding}" for finding in search(sink, *nowhere, *issued)]
        return found


def _telling_parts(tokens: Iterable[str]) -> list[str]:
    """Tokens, and the parts of them that no other token has: a header is the same in all that one key signed."""
    return [part for token in set(tokens) for part in (token, *token.split(".")[1:]) if part]


def _bearer(seen: Seen) -> str:
    (authorization,) = seen.values(b"authorization")
    scheme, _, token = authorization.decode("ascii").partition(" ")
    assert scheme == "Bearer"
    return token


@asynccontextmanager
async def running_world(
    keycloak: Keycloak,
    folder: Path,
    realm: str,
    *,
    exchange: Mapping[str, Any] = ORDERS,
    client_auth: Mapping[str, Any] = BASIC,
    server: Mapping[str, Any] | None = None,
    issuer: Mapping[str, Any] | None = None,
    actor_token: str | None = None,
    discover: bool = False,
) -> AsyncIterator[World]:
    """Run a world for the length of the block.

    exchange, client_auth: of the one route, ``orders``, and the one authorization server, ``keycloak``, whose further
    keys ``server`` gives; ``issuer`` gives those of the trusted issuer of the same name. actor_token: what the workload
    token ``self`` is. discover: find the token endpoint by discovery, which leaves the tap out.
    """
    (folder / "gateway.secret").write_text(GATEWAY_SECRET)
    (folder / "gateway-jwt.jwk").write_text(json.dumps(keycloak.gateway_key.as_dict(private=True)))
    name = keycloak.issuer(realm)
    port = urlsplit(keycloak.url).port
    assert port is not None
    actor = {"self": {"file": "actor.token", "type": "access_token"}}
    if actor_token is not None:
        (folder / "actor.token").write_text(actor_token)

    def configure(tap_port: int, upstream_port: int) -> dict[str, Any]:
        section = {"issuer": name, "dialect": "keycloak", "client_auth": dict(client_auth), **(server or {})}
        if not discover:
            section["token_endpoint"] = keycloak.token_endpoint(realm).replace(f":{port}/", f":{tap_port}/")
        return {
            "trusted_issuers": {"keycloak": {"issuer": name, "audience": ["gateway"], **(issuer or {})}},
            "authorization_servers": {"keycloak": section},
            "routes": [orders(upstream_port, exchange)],
            **({"workload_tokens": actor} if actor_token is not None else {}),
        }

    async with world_around(folder, port, configure, [GATEWAY_SECRET]) as world:
        world.presented += [actor_token] if actor_token is not None else []
        yield world


def orders(upstream_port: int, exchange: Mapping[str, Any]) -> dict[str, Any]:
    """The one route of a world."""
    return {
        "name": "orders",
        "match": {"path_prefix": "/orders"},
        "upstream": {"url": f"http://127.0.0.1:{upstream_port}"},
        "exchange": dict(exchange),
    }


@asynccontextmanager
async def world_around(
    folder: Path, port: int, configure: Callable[[int, int], Mapping[str, Any]], secrets: Sequence[str]
) -> AsyncIterator[World]:
    """Run a world for the length of the block.

    port: the server's, which is tapped. configure: makes the file of the tap's port and the upstream's, but for the
    listener. secrets: that must not get out.
    """
    async with tapped(port) as (tap, tap_port), recording_upstream() as upstream:
        config = {"gateway": {"listen": "127.0.0.1:0"}, **configure(tap_port, upstream.port)}
        with _recorded() as log:
            async with running_gateway(folder, yaml.safe_dump(config)) as gateway:
                yield World(gateway, upstream, tap, log, secrets)


@contextmanager
def _recorded() -> Iterator[StringIO]:
    """Keep what is logged in the block, in full: exceptions with their texts, our own loggers from DEBUG on."""
    log = StringIO()
    handler = logging.StreamHandler(log)
    root, own = logging.getLogger(), logging.getLogger("sidecar")
    level = own.level
    root.addHandler(handler)
    own.setLevel(logging.DEBUG)
    try:
        yield log
    finally:
        own.setLevel(level)
        root.removeHandler(handler)
