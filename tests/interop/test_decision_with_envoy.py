"""HTTP/2 and gRPC through a real Envoy: what the sidecar does not speak gets its tokens exchanged all the same."""

import asyncio
import shutil
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from tests.benchmarks.installed import Missing
from tests.interop.proxies import World, running_world
from tests.support.canary import search
from tests.support.websocket import handshake, switching

pytestmark = pytest.mark.interop

BOUND = 10.0
GET = "/shop.Orders/Get"
Metadata = tuple[tuple[str, str | bytes], ...]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """An Envoy, the sidecar and an upstream; skipped where there is no Envoy."""
    try:
        async with running_world("envoy", tmp_path) as made:
            yield made
    except Missing as reason:
        pytest.skip(str(reason))


class Orders(grpc.GenericRpcHandler):
    """A service that remembers the metadata of each call, and sends every message back twice."""

    def __init__(self) -> None:
        self.calls: list[Metadata] = []

    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        """Answer streams."""
        self.calls.append(tuple(details.invocation_metadata))
        return grpc.stream_stream_rpc_method_handler(self._get)

    async def _get(self, messages: AsyncIterable[bytes], _: object) -> AsyncIterator[bytes]:
        async for message in messages:
            yield message
            yield message


@asynccontextmanager
async def orders(port: int) -> AsyncIterator[Orders]:
    """Run the service on a port."""
    service = Orders()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((service,))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield service
    finally:
        await server.stop(None)


async def call(world: World, *metadata: tuple[str, str]) -> list[bytes]:
    """Send two messages on one stream, and return what comes back."""

    async def messages() -> AsyncIterator[bytes]:
        for message in (b"one", b"two"):
            yield message

    async with grpc.aio.insecure_channel(f"127.0.0.1:{world.ports.proxy}") as channel:
        method: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(GET)
        stream = method(messages(), metadata=metadata, timeout=BOUND)
        return [message async for message in stream]


async def refused(world: World, *metadata: tuple[str, str]) -> grpc.StatusCode:
    """Call with one message, and return how that was refused.

    A stream's client may still be writing when the refusal comes, and then tells of its writing instead.
    """
    async with grpc.aio.insecure_channel(f"127.0.0.1:{world.ports.proxy}") as channel:
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(GET)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(b"one", metadata=metadata, timeout=BOUND)
        return caught.value.code()


async def test_a_grpc_call_goes_on_with_another_token(world: World) -> None:
    token = world.sts.mint()
    async with orders(world.ports.grpc) as service:
        assert await call(world, ("authorization", f"Bearer {token}"), ("x-other", "1")) == [b"one"] * 2 + [b"two"] * 2
        metadata = dict(service.calls[-1])
        assert metadata["x-other"] == "1"
        assert str(metadata["authorization"]).startswith("Bearer ")
        assert search(repr(service.calls).encode(), token, token.rsplit(".", 1)[1]) == []
        assert [use["path"] for use in await world.gateway.receipt_lines() if use["event"] == "use"] == [GET]


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ((), grpc.StatusCode.UNAUTHENTICATED),
        ((("authorization", "Bearer EXPIRED"),), grpc.StatusCode.UNAUTHENTICATED),
        ((("authorization", "Bearer TOKEN"), ("x-any", "TOKEN")), grpc.StatusCode.INTERNAL),
        ((("authorization", "Bearer TOKEN"), ("authorization", "Bearer TOKEN")), grpc.StatusCode.INTERNAL),
    ],
)
async def test_a_refused_call_reaches_nobody(
    world: World, metadata: tuple[tuple[str, str], ...], expected: grpc.StatusCode
) -> None:
    token, expired = world.sts.mint(), world.sts.mint(lifetime=-60)
    filled = [(name, value.replace("TOKEN", token).replace("EXPIRED", expired)) for name, value in metadata]
    async with orders(world.ports.grpc) as service:
        assert await refused(world, *filled) is expected
        assert service.calls == []


async def test_http_2_goes_on_with_another_token(world: World) -> None:
    if (curl := shutil.which("curl")) is None:
        pytest.skip("curl is not installed")
    token = world.sts.mint()

    async def ask(target: str, *headers: str) -> tuple[str, str]:
        argv = [curl, "-sS", "-m", "10", "--http2-prior-knowledge", "-o", "-", "-w", "\n%{http_version} %{http_code}"]
        for header in headers:
            argv += ["-H", header]
        process = await asyncio.create_subprocess_exec(
            *argv, f"http://127.0.0.1:{world.ports.proxy}{target}", stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        body, _, said = output.decode().rpartition("\n")
        return body, said

    assert await ask("/orders/1", f"Authorization: Bearer {token}") == ("ok", "2 200")
    assert await ask("/public", f"Authorization: Bearer {token}") == ("ok", "2 200")
    assert world.upstream.last.values(b"authorization") == []
    reached = len(world.upstream.seen)
    assert (await ask("/orders/1"))[1] == "2 401"
    assert (await ask("/orders/1", f"Authorization: Bearer {token}", f"Cookie: a={token}"))[1] == "2 400"
    assert (await ask("/orders/1", f"Authorization: Bearer {token}", f"Cookie: a; b={token}"))[1] == "2 400"
    assert len(world.upstream.seen) == reached
    assert not world.leaked(token)


async def test_a_websocket_is_opened_where_the_route_says_so(world: World) -> None:
    token = world.sts.mint()
    world.upstream.respond = lambda seen: switching(seen.head)

    async def opened(path: str) -> bytes:
        async with asyncio.timeout(BOUND):
            reader, writer = await asyncio.open_connection("127.0.0.1", world.ports.proxy)
            try:
                writer.write(handshake(path, token=token))
                return await reader.readline()
            finally:
                writer.transport.abort()

    assert b" 101 " in await opened("/sockets")
    [authorization] = world.upstream.last.values(b"authorization")
    assert authorization.startswith(b"Bearer ")
    for path in ("/orders/1", "/public"):
        assert b" 503 " in await opened(path)
    assert len(world.upstream.seen) == 1
    assert not world.leaked(token)
