import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sidecar.model.route import TLS, Upstream
from sidecar.upstream.dial import Dialer
from sidecar.upstream.errors import Phase, UpstreamConfigError, UpstreamTimeout, UpstreamUnavailable
from tests.support.certificates import Authority, Issued
from tests.support.process import free_port
from tests.support.raw_upstream import Peer, RawUpstream
from tests.support.upstreams import upstream

BOUND = 5.0


class Opened(asyncio.Protocol):
    """A client end that only opens and closes."""

    def __init__(self) -> None:
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set_result(None)


@asynccontextmanager
async def dialled(target: Upstream) -> AsyncIterator[Opened]:
    opened = await Dialer(target).connect(Opened)
    try:
        yield opened
    finally:
        opened.transport.abort()
        await asyncio.wait_for(opened.closed, BOUND)


async def greeting(peer: Peer) -> None:
    await peer.rest()


@asynccontextmanager
async def names(**addresses: list[tuple[str, int]]) -> AsyncIterator[list[str]]:
    """Resolve these names to these addresses on the running loop; everything else does not exist."""
    loop = asyncio.get_running_loop()
    asked: list[str] = []

    async def getaddrinfo(host: str, port: int, **options: Any) -> list[tuple[Any, ...]]:
        asked.append(host)
        if host.partition(".")[0] not in addresses:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        found = addresses[host.partition(".")[0]]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in found]

    loop.getaddrinfo = getaddrinfo  # type: ignore[method-assign,assignment]
    yield asked


async def test_an_address_is_connected_without_a_look_up() -> None:
    async with names() as asked, RawUpstream(greeting) as server, dialled(upstream(server.port)) as opened:
        assert opened.transport.get_extra_info("peername") == ("127.0.0.1", server.port)
        assert asked == []


async def test_small_writes_are_not_held_back() -> None:
    async with RawUpstream(greeting) as server, dialled(upstream(server.port)) as opened:
        sock = opened.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "u.sock")
    async with RawUpstream(greeting, unix_path=path), dialled(upstream(host=None, unix_path=path)) as opened:
        assert opened.transport.get_extra_info("peername") == path
    with pytest.raises(UpstreamUnavailable):
        await Dialer(upstream(host=None, unix_path=str(tmp_path / "none.sock"))).connect(Opened)


async def test_every_connection_looks_its_name_up_anew() -> None:
    async with RawUpstream(greeting) as server, names(there=[("127.0.0.1", server.port)]) as asked:
        dialer = Dialer(upstream(server.port, host="there.example"))
        for _ in range(2):
            opened = await dialer.connect(Opened)
            opened.transport.abort()
            await opened.closed
        assert asked == ["there.example"] * 2


async def test_the_next_address_is_tried_when_one_refuses() -> None:
    async with RawUpstream(greeting) as server:
        addresses = [("127.0.0.1", free_port()), ("127.0.0.2", free_port()), ("127.0.0.1", server.port)]
        async with names(there=addresses), dialled(upstream(server.port, host="there.example")) as opened:
            assert opened.transport.get_extra_info("peername")[1] == server.port


@contextmanager
def full_backlog() -> Iterator[int]:
    """A listening port whose queue is full, so that a connection to it is neither made nor refused."""
    with ExitStack() as sockets:
        listening = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


async def test_an_address_that_never_answers_does_not_hold_up_the_next() -> None:
    async with RawUpstream(greeting) as server:
        with full_backlog() as silent:
            addresses = [("127.0.0.1", silent), ("127.0.0.1", server.port)]
            async with names(there=addresses), dialled(upstream(server.port, host="there.example")) as opened:
                assert opened.transport.get_extra_info("peername")[1] == server.port


async def test_one_limit_over_the_connection() -> None:
    with full_backlog() as silent, pytest.raises(UpstreamTimeout) as caught:
        await Dialer(upstream(silent, connect_timeout=0.05)).connect(Opened)
    assert caught.value.phase is Phase.CONNECT


async def test_one_limit_over_the_look_up() -> None:
    async def getaddrinfo(*_: Any, **__: Any) -> Any:
        await asyncio.sleep(BOUND)

    asyncio.get_running_loop().getaddrinfo = getaddrinfo  # type: ignore[method-assign]
    with pytest.raises(UpstreamTimeout):
        await Dialer(upstream(1, host="slow.example", connect_timeout=0.02)).connect(Opened)


async def test_one_limit_over_the_handshake(tmp_path: Path) -> None:
    settings = TLS(ca_file=Authority(tmp_path).ca_file)
    async with RawUpstream(greeting) as server:  # accepts, and never speaks TLS
        with pytest.raises(UpstreamTimeout) as caught:
            await Dialer(upstream(server.port, tls=settings, connect_timeout=0.05)).connect(Opened)
        assert caught.value.phase is Phase.CONNECT


async def test_nobody_there() -> None:
    with pytest.raises(UpstreamUnavailable, match="refused"):
        await Dialer(upstream(free_port())).connect(Opened)


@pytest.mark.parametrize("host", ["nowhere.example", "a" * 70 + ".example"])
async def test_a_name_that_does_not_resolve(host: str) -> None:
    async with names():
        with pytest.raises(UpstreamUnavailable, match="resolve") as caught:
            await Dialer(upstream(1, host=host)).connect(Opened)
        assert host not in str(caught.value)


# TLS.


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@asynccontextmanager
async def tls_server(issued: Issued, client_ca_file: str | None = None) -> AsyncIterator[RawUpstream]:
    async with RawUpstream(greeting, tls=issued.server_context(client_ca_file)) as server:
        yield server


async def test_a_certificate_of_our_authority_is_accepted(authority: Authority) -> None:
    settings = TLS(ca_file=authority.ca_file)
    async with (
        tls_server(authority.issue("127.0.0.1")) as server,
        dialled(upstream(server.port, tls=settings)) as opened,
    ):
        assert opened.transport.get_extra_info("ssl_object").version() in ("TLSv1.2", "TLSv1.3")


async def test_a_server_name_of_its_own_is_asked_for_and_checked(authority: Authority) -> None:
    async with tls_server(authority.issue("orders.example")) as server:
        settings = TLS(ca_file=authority.ca_file, server_name="orders.example")
        async with dialled(upstream(server.port, tls=settings)) as opened:
            assert opened.transport.get_extra_info("ssl_object").server_hostname == "orders.example"


async def test_tls_over_a_unix_socket(authority: Authority, tmp_path: Path) -> None:
    path = str(tmp_path / "t.sock")
    context = authority.issue("orders.example").server_context()
    settings = TLS(ca_file=authority.ca_file, server_name="orders.example")
    target = upstream(host=None, unix_path=path, tls=settings)
    async with RawUpstream(greeting, unix_path=path, tls=context), dialled(target) as opened:
        assert opened.transport.get_extra_info("ssl_object").server_hostname == "orders.example"


@pytest.mark.parametrize("fault", ["another name", "expired", "unknown authority", "system authorities only"])
@pytest.mark.threat("S60")
async def test_a_certificate_that_does_not_hold_is_not_accepted(
    fault: str, authority: Authority, tmp_path: Path
) -> None:
    issued = authority.issue(
        "other.example" if fault == "another name" else "127.0.0.1",
        lifetime=timedelta(days=-1) if fault == "expired" else timedelta(days=1),
    )
    ca_file: str | None = authority.ca_file
    if fault == "unknown authority":
        ca_file = Authority(tmp_path, "stranger").ca_file
    elif fault == "system authorities only":
        ca_file = None
    async with tls_server(issued) as server:
        with pytest.raises(UpstreamUnavailable, match="certificate"):
            await Dialer(upstream(server.port, tls=TLS(ca_file=ca_file))).connect(Opened)


async def test_a_server_that_does_not_speak_tls(authority: Authority) -> None:
    async def plain(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await peer.rest()

    async with RawUpstream(plain) as server:
        with pytest.raises(UpstreamUnavailable, match="TLS"):
            await Dialer(upstream(server.port, tls=TLS(ca_file=authority.ca_file))).connect(Opened)


async def test_a_server_that_hangs_up_in_the_handshake(authority: Authority) -> None:
    async def hang_up(peer: Peer) -> None:
        await peer.exactly(1)
        peer.reset()

    async with RawUpstream(hang_up) as server:
        with pytest.raises(UpstreamUnavailable):
            await Dialer(upstream(server.port, tls=TLS(ca_file=authority.ca_file))).connect(Opened)


async def test_a_client_certificate_is_shown(authority: Authority) -> None:
    mine = authority.issue("gateway.example")
    settings = TLS(ca_file=authority.ca_file, cert_file=mine.cert_file, key_file=mine.key_file)
    shown: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def script(peer: Peer) -> None:
        shown.set_result(peer.writer.get_extra_info("peercert")["subjectAltName"])
        await peer.send(b"x")
        await peer.rest()

    context = authority.issue("127.0.0.1").server_context(authority.ca_file)
    async with RawUpstream(script, tls=context) as server, dialled(upstream(server.port, tls=settings)):
        assert await asyncio.wait_for(shown, BOUND) == (("DNS", "gateway.example"),)


@pytest.mark.threat("S60")
def test_verification_is_always_on(authority: Authority) -> None:
    for settings in (TLS(), TLS(ca_file=authority.ca_file)):
        tls = Dialer(upstream(1, tls=settings))._tls
        assert tls is not None
        context = tls.value
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
        assert settings.ca_file is None or len(context.get_ca_certs()) == 1  # and none of the system's


def test_files_that_can_not_be_used_are_found_when_the_pool_is_made(authority: Authority, tmp_path: Path) -> None:
    mine, other = authority.issue("a.example"), authority.issue("b.example")
    locked = authority.issue("c.example", password=b"secret")
    empty = tmp_path / "empty.pem"
    empty.write_bytes(b"")
    ca = authority.ca_file
    for settings in (
        TLS(ca_file=str(tmp_path / "missing.pem")),
        TLS(ca_file=str(empty)),
        TLS(ca_file=mine.key_file),
        TLS(ca_file=ca, cert_file=str(empty), key_file=mine.key_file),
        TLS(ca_file=ca, cert_file=mine.cert_file, key_file=str(tmp_path / "missing.key")),
        TLS(ca_file=ca, cert_file=mine.cert_file, key_file=other.key_file),
        TLS(ca_file=ca, cert_file=locked.cert_file, key_file=locked.key_file),
    ):
        with pytest.raises(UpstreamConfigError):
            Dialer(upstream(1, tls=settings))


def test_tls_needs_a_name_to_check() -> None:
    with pytest.raises(UpstreamConfigError):
        Dialer(upstream(host=None, unix_path="/run/x.sock", tls=TLS()))
