"""Secrets, keys, certificates and tokens are replaced under steady load: no request fails, and the new one is used.

The authorization server takes the old and the new one until the gateway has the new one, and then only that. The waits
have the bound that is promised to users: what was replaced is in use within ten seconds.
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from sidecar.sts.config import AuthMethod, Client, Config, Pattern, Policy
from tests.reliability.figures import LONG, record
from tests.support.canary import Canary, search
from tests.support.certificates import Authority, Issued
from tests.support.credentials import KINDS, Kind, content, data, known, put
from tests.support.gateway import Answer, RunningGateway, get, read_answer, recording_upstream, running_gateway
from tests.support.sts import RunningSts, default_config, running_sts

pytestmark = pytest.mark.reliability

IN_USE_WITHIN = 10.0  # seconds: the figure
ROTATIONS = 20 if LONG else 5
EVERY = 0.02  # seconds between two requests: fifty a second, each with a token of its own


def change(client: Client, to: Client) -> None:
    """Have the server know a client otherwise from now on; it holds on to the object, which is a value elsewhere."""
    for name in ("secret", "keys", "certificates", "subject"):
        object.__setattr__(client, name, getattr(to, name))


class Load:
    """Requests at a steady rate, each with a subject token of its own, so that each is an exchange."""

    def __init__(self, gateway: RunningGateway, mint: Callable[[], str]) -> None:
        self.statuses: Counter[int] = Counter()
        self._gateway = gateway
        self._mint = mint

    async def run(self) -> None:
        """Go on until cancelled; what has begun is finished."""
        async with asyncio.TaskGroup() as group:
            try:
                while True:
                    group.create_task(self._one())
                    await asyncio.sleep(EVERY)
            except asyncio.CancelledError:
                pass

    async def more(self, number: int = 25) -> None:
        """Wait for so many further answers."""
        enough = self.statuses.total() + number
        async with asyncio.timeout(IN_USE_WITHIN):
            while self.statuses.total() < enough:  # noqa: ASYNC110  # an answer has no event
                await asyncio.sleep(EVERY)

    async def _one(self) -> None:
        answer = await self._gateway.ask(get(token=self._mint()))
        self.statuses[answer.status] += 1

    @property
    def failed(self) -> int:
        """How many answers were none of a request that succeeded."""
        return self.statuses.total() - self.statuses[200]


@asynccontextmanager
async def under_load(gateway: RunningGateway, mint: Callable[[], str]) -> AsyncIterator[Load]:
    """Keep a gateway under load for the length of the block, at the end of which nothing may have failed."""
    load = Load(gateway, mint)
    task = asyncio.create_task(load.run())
    try:
        await load.more()
        yield load
        await load.more()
    finally:
        task.cancel()
        await task
    assert load.statuses.keys() == {200}
    assert load.statuses.total() > 50


async def taken(gateway: RunningGateway, name: str, times: int = 1) -> None:
    """Wait until the gateway has taken a file that was replaced so many times."""
    sample = f'token_sidecar_secret_reloads_total{{outcome="success",secret="{gateway.folder / name}"}} '
    async with asyncio.timeout(IN_USE_WITHIN):
        while f"{sample}{times}.0" not in await gateway.metrics():  # noqa: ASYNC110  # nobody else tells
            await asyncio.sleep(0.1)


def configuration(sts: RunningSts, upstream: int, client_auth: str, ca_file: str, *more: str) -> str:
    return f"""
gateway: {{listen: '127.0.0.1:0'}}
trusted_issuers: {{corp: {{issuer: '{sts.issuer}', audience: [orders-gateway]}}}}
authorization_servers:
  corp: {{issuer: '{sts.issuer}', client_auth: {client_auth}, tls: {{ca_file: '{ca_file}'}}}}
routes:
  - name: orders
    match: {{path_prefix: /orders}}
    upstream: {{url: 'http://127.0.0.1:{upstream}'}}
    exchange: {{audience: [orders-api], scope: [orders.read]}}
"""


@pytest.mark.parametrize("name", KINDS)
async def test_what_we_authenticate_with(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    authority = Authority(tmp_path)
    server = authority.issue("127.0.0.1")
    kinds: list[Kind] = []

    def configure(issuer: str) -> Config:
        kind = KINDS[name](tmp_path, authority, issuer)
        kinds.append(kind)
        first = replace(kind.both, secret=kind.secrets[0]) if kind.both.secret else kind.both
        return known(issuer, first, server, authority)

    async with running_sts(configure) as sts, recording_upstream() as upstream:
        kind = kinds[0]
        put(tmp_path, kind.files, 0)
        client = next(client for client in sts.config.clients if client.client_id == "rotating")
        text = configuration(sts, upstream.port, kind.method, authority.ca_file)
        async with running_gateway(tmp_path, text) as gateway:
            async with under_load(gateway, sts.mint) as load:
                put(tmp_path, kind.files, 1)
                change(client, kind.both)
                await taken(gateway, next(iter(kind.files)))
                await load.more()  # what was under way with the old one is over
                change(client, kind.after)
            shown = (await gateway.metrics()).encode() + gateway.receipts + caplog.text.encode()
        exchanges = [line for line in sts.audit if line.client == "rotating"]
        assert len(exchanges) >= load.statuses.total()
        assert not search(shown, *kind.secrets)
        assert not search(bytes(upstream.bytes), *kind.secrets)


async def test_a_secret_again_and_again(tmp_path: Path) -> None:
    """A client has one secret here: whatever is under way with the old one is refused, and finds the new one."""
    secrets = [Canary.fresh("client-secret").text for _ in range(1 + ROTATIONS)]
    client = Client("rotating", (AuthMethod.BASIC,), secrets[0], audience=("orders-gateway",))
    (tmp_path / "secret").write_text(secrets[0])

    def configure(issuer: str) -> Config:
        config = default_config(issuer)
        policy = Policy("rotating", (Pattern(issuer, "alice"),), ("orders-api",), ("orders.read",))
        return replace(config, clients=(*config.clients, client), policies=(*config.policies, policy))

    async with running_sts(configure) as sts, recording_upstream() as upstream:
        method = "{method: client_secret_basic, client_id: rotating, client_secret_file: secret}"
        text = configuration(sts, upstream.port, method, Authority(tmp_path).ca_file)
        async with running_gateway(tmp_path, text) as gateway, under_load(gateway, sts.mint) as load:
            for number, secret in enumerate(secrets[1:], 1):
                (tmp_path / "secret").write_text(secret)
                change(client, replace(client, secret=secret))
                await taken(gateway, "secret", number)
                await load.more()
    record("rotations", rotations=ROTATIONS, requests=load.statuses.total(), failed=load.failed)
    assert not search(bytes(upstream.bytes), *secrets)


async def test_the_certificate_and_the_authorities_towards_an_upstream(tmp_path: Path) -> None:
    """Ours is renewed, and the upstream moves to a certificate of another authority: first both are believed."""
    one, two = Authority(tmp_path, "one"), Authority(tmp_path, "two")
    old, new = one.issue("old"), one.issue("new")
    seen: Counter[str] = Counter()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                seen[writer.get_extra_info("peercert")["subjectAltName"][0][1]] += 1
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    context = one.issue("127.0.0.1").server_context(one.ca_file)
    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    bundle = data(one.ca_file) + data(two.ca_file)
    (tmp_path / "ca.crt").write_bytes(data(one.ca_file))
    put(tmp_path, content(old, new), 0)
    tls = "tls: {ca_file: ca.crt, cert_file: tls.crt, key_file: tls.key}"
    async with running_sts() as sts:
        port = server.sockets[0].getsockname()[1]
        text = configuration(sts, 1, "{method: none, client_id: public}", one.ca_file)
        text = text.replace("url: 'http://127.0.0.1:1'", f"url: 'https://127.0.0.1:{port}', {tls}")
        text = text.replace("audience: [orders-api], scope: [orders.read]", "audience: [echo-api], scope: [echo]")
        async with running_gateway(tmp_path, text) as gateway, under_load(gateway, sts.mint) as load:
            put(tmp_path, content(old, new), 1)
            (tmp_path / "ca.crt").write_bytes(bundle)
            await taken(gateway, "tls.crt")
            await load.more()
            renewed = two.issue("127.0.0.1")
            context.load_cert_chain(renewed.cert_file, renewed.key_file)
            seen.clear()
    assert seen.keys() == {"new"}
    server.close()
    await server.wait_closed()


async def test_the_certificate_and_the_authorities_of_a_listener(tmp_path: Path) -> None:
    """Callers that believe both authorities see no change; those that believe the new one get in after it."""
    one, two = Authority(tmp_path, "one"), Authority(tmp_path, "two")
    old, new = one.issue("127.0.0.1"), two.issue("127.0.0.1")
    put(tmp_path, content(old, new), 0)
    bundle = data(one.ca_file) + data(two.ca_file)
    (tmp_path / "both.crt").write_bytes(bundle)
    (tmp_path / "clients.crt").write_bytes(data(one.ca_file))

    def caller(trusts: str, ours: Issued) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=trusts)
        context.load_cert_chain(ours.cert_file, ours.key_file)
        return context

    patient, strict = caller(str(tmp_path / "both.crt"), one.issue("caller")), caller(two.ca_file, two.issue("caller"))
    async with running_sts() as sts, recording_upstream() as upstream:
        text = configuration(sts, upstream.port, "{method: none, client_id: public}", one.ca_file)
        text = text.replace("audience: [orders-api], scope: [orders.read]", "audience: [echo-api], scope: [echo]")
        text = text.replace(
            "gateway: {listen: '127.0.0.1:0'}",
            "gateway: {listeners: {default: {listen: '127.0.0.1:0', "
            "tls: {cert_file: tls.crt, key_file: tls.key, client_ca_file: clients.crt}}}}",
        )
        async with running_gateway(tmp_path, text) as gateway:
            port = gateway.port()
            gateway.ask = partial(ask_over_tls, port, patient)  # type: ignore[method-assign]
            async with under_load(gateway, sts.mint):
                with pytest.raises((ssl.SSLError, ConnectionError)):
                    await ask_over_tls(port, strict, get(token=sts.mint()))
                put(tmp_path, content(old, new), 1)
                (tmp_path / "clients.crt").write_bytes(bundle)
                await taken(gateway, "tls.crt")
                assert (await ask_over_tls(port, strict, get(token=sts.mint()))).status == 200


async def ask_over_tls(port: int, context: ssl.SSLContext, request: bytes) -> Answer:
    async with asyncio.timeout(IN_USE_WITHIN):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        try:
            writer.write(request)
            await writer.drain()
            return await read_answer(reader)
        finally:
            writer.close()
