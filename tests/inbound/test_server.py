import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from sidecar.faces.problems import problem
from sidecar.faces.responses import written
from sidecar.inbound.room import Room
from sidecar.inbound.server import MAX_FIELDS, GatewayServer, Incoming
from sidecar.model.refusal import Kind, Refusal, Refused
from sidecar.observe.logs import JsonFormatter
from tests.support.canary import Canary, search
from tests.support.gateway import Answer, read_answer

BOUND = 10.0
MAX_HEAD = 64 * 1024
CANARY = Canary.fresh("malformed-request")
SECRET = CANARY.text.encode()
GET = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"

Handler = Callable[[Incoming], Awaitable[Incoming]]


class Refusals(list[Refusal]):
    """What the server refused of itself, and the response it writes."""

    def __call__(self, refusal: Refusal) -> bytes:
        self.append(refusal)
        return written(problem(refusal, "request-1"), None, keep_open=False)


async def echo(incoming: Incoming) -> Incoming:
    """Answer with the target, the X-Echo fields and the body, each byte as it came."""
    body = bytearray()
    try:
        while piece := await incoming.read(BOUND):
            body += piece
    except Refused as refused:
        incoming.keep_open = False
        incoming.write(written(problem(refused.refusal, "request-1"), None, keep_open=False))
        return incoming
    fields = [value for name, value in incoming.message.raw_headers if name.lower().startswith(b"x-echo")]
    text = b"|".join([incoming.message.path.encode("utf-8", "surrogateescape"), *fields, bytes(body)])
    incoming.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
    return incoming


@asynccontextmanager
async def serving(
    handle: Handler = echo,
    *,
    keepalive_timeout: float = 30.0,
    header_timeout: float = 30.0,
    max_header_bytes: int = MAX_HEAD,
    room: Room | None = None,
) -> AsyncIterator[tuple[int, Refusals]]:
    refusals = Refusals()
    server = GatewayServer(
        handle,
        refusals,
        keepalive_timeout=keepalive_timeout,
        header_timeout=header_timeout,
        max_header_bytes=max_header_bytes,
        room=room or Room(1000),
    )
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1], refusals
    finally:
        listening.close()
        await server.shutdown(0)


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Streams]:
    async with asyncio.timeout(BOUND):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield reader, writer
        finally:
            writer.close()


async def sent(port: int, *segments: bytes, pause: float = 0.002) -> bytes:
    """Send in segments, so that each is read by itself, and return everything that comes until the server closes."""
    async with connected(port) as (reader, writer):
        received = asyncio.create_task(everything(reader))
        with suppress(ConnectionError):  # the server may have closed before it read all of it
            for segment in segments:
                writer.write(segment)
                await writer.drain()
                await asyncio.sleep(pause)
        return await received


async def everything(reader: asyncio.StreamReader) -> bytes:
    """All that comes, also where the connection is reset behind it: ``StreamReader.read`` forgets it then."""
    raw = b""
    with suppress(ConnectionError):
        while piece := await reader.read(1 << 16):
            raw += piece
    return raw


async def one_answer(port: int, request: bytes) -> Answer:
    async with connected(port) as (reader, writer):
        writer.write(request)
        return await read_answer(reader)


def is_refusal(raw: bytes, status: int = 400) -> bool:
    head, _, body = raw.partition(b"\r\n\r\n")
    return (
        raw.startswith(b"HTTP/1.1 %d " % status)
        and b"Content-Type: application/problem+json" in head
        and b"Connection: close" in head
        and body.startswith(b'{"type":"urn:token-exchange-sidecar:problem:')
        and raw.count(b"HTTP/1.1") == 1
    )


async def was_reset(reader: asyncio.StreamReader) -> bool:
    """Read to the end, and tell whether that was a reset, which no caller takes for the end of a response."""
    try:
        while await reader.read(1 << 20):
            pass
    except ConnectionResetError:
        return True
    return False


@pytest.fixture(autouse=True)
def _everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


def logged(caplog: pytest.LogCaptureFixture) -> bytes:
    lines = [JsonFormatter().format(record) for record in caplog.records]
    return "\n".join([caplog.text, *lines]).encode()


NONE: frozenset[int] = frozenset()
TOKEN_BYTES = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
VALUE_BYTES = frozenset([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])
#: What the parser lets through in a target; the rest of the grammar is ``accept``'s.
TARGET_BYTES = frozenset([*range(0x21, 0x7F)])

SWEEPS = {
    "method": (
        b"GE%bT / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %b\r\nConnection: close\r\n\r\n",
        frozenset[int](),
    ),
    "target": (b"GET /a%bb HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %b\r\nConnection: close\r\n\r\n", TARGET_BYTES),
    "name": (b"GET / HTTP/1.1\r\nHost: a\r\nX-Echo%bz: %b\r\nConnection: close\r\n\r\n", TOKEN_BYTES | {0x3A}),
    "value": (b"GET / HTTP/1.1\r\nHost: a\r\nX-Echo: a%bb\r\nX: %b\r\nConnection: close\r\n\r\n", VALUE_BYTES),
    "authorization": (
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer %b%b\r\n\r\n",
        VALUE_BYTES,
    ),
}


@pytest.mark.parametrize("place", SWEEPS)
@pytest.mark.threat("S33")
async def test_every_byte_at_every_place(place: str, caplog: pytest.LogCaptureFixture) -> None:
    template, allowed = SWEEPS[place]
    async with serving() as (port, refusals):
        together = asyncio.Semaphore(32)

        async def attempt(byte: int) -> bytes:
            async with together:
                return await sent(port, template % (bytes([byte]), SECRET))

        answers = await asyncio.gather(*(attempt(byte) for byte in range(256)))
        for byte, raw in enumerate(answers):
            if byte not in allowed:
                assert is_refusal(raw), (place, byte, raw)
                assert not search(raw, CANARY)
                continue
            assert raw.startswith(b"HTTP/1.1 200 OK\r\n"), (place, byte, raw)
            if place in ("target", "value"):
                assert b"a%bb" % bytes([byte]) in raw
        assert len(refusals) == 256 - len(allowed)
        assert {refusal.kind for refusal in refusals} == {Kind.INVALID_REQUEST}
    assert not search(logged(caplog), CANARY)


MALFORMED = {
    "folded line": b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer\r\n %b\r\n\r\n",
    "bare line feeds": b"GET / HTTP/1.1\nHost: a\nAuthorization: Bearer %b\n\n",
    "bare line feed in the head": b"GET / HTTP/1.1\r\nHost: a\nAuthorization: Bearer %b\r\n\r\n",
    "bare carriage return": b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %b\rX: y\r\n\r\n",
    "space before the colon": b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization : Bearer %b\r\n\r\n",
    "space before the first field": b"GET / HTTP/1.1\r\n Authorization: Bearer %b\r\nHost: a\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization Bearer %b\r\n\r\n",
    "no name": b"GET / HTTP/1.1\r\nHost: a\r\n: Bearer %b\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\nAuthorization: Bearer %b\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\nAuthorization: Bearer %b\r\n\r\n",
    "a version that is none": b"GET / HTTP/9\r\nHost: a\r\nAuthorization: Bearer %b\r\n\r\n",
    "another protocol": b"GET / HTCPCP/1.1\r\nHost: a\r\nAuthorization: Bearer %b\r\n\r\n",
    "a lower-case protocol": b"GET / http/1.1\r\nHost: a\r\nAuthorization: Bearer %b\r\n\r\n",
    "an unknown method": b"BREW / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %b\r\n\r\n",
    "no target": b"GET  HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %b\r\n\r\n",
    "a target with a space": b"GET /a b HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %b\r\n\r\n",
    "a token for a target": b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n",
    "nothing but a token": b"Bearer %b\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n%b",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03%b\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\nX: %b\r\n\r\nx",
    "a length with a sign": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\nX: %b\r\n\r\nx",
    "a length beyond all": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\nX: %b\r\n\r\nx",
    "length, coding": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n%b:\r\n\r\n",
    "coding, length": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n%b:\r\n\r\n",
    "a coding that is no framing": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nX: %b\r\n\r\n",
    "two codings": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\nX: %b\r\n\r\n",
    "a bad chunk": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%b\r\n",
    "a bad chunk size": b"POST / HTTP/1.1\r\nHost: %b\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n",
    "chunks with bare feeds": b"POST / HTTP/1.1\r\nHost: %b\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\n0\n\n",
    "a longer chunk": b"POST / HTTP/1.1\r\nHost: %b\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
@pytest.mark.parametrize("apart", [False, True], ids=["at once", "head first"])
@pytest.mark.threat("S8")
async def test_a_malformed_request_is_refused_and_repeated_nowhere(
    name: str, apart: bool, caplog: pytest.LogCaptureFixture
) -> None:
    message = MALFORMED[name] % SECRET
    head, end, body = message.partition(b"\r\n\r\n")
    segments = (head + end, body) if apart else (message,)
    async with serving() as (port, _):
        raw = await sent(port, *segments, GET)
        assert is_refusal(raw), raw
        assert not search(raw, CANARY)
    assert not search(logged(caplog), CANARY)
    assert not [record for record in caplog.records if record.name.startswith("aiohttp")]


@pytest.mark.threat("S31")
async def test_a_request_behind_a_malformed_one_is_never_served() -> None:
    served: list[str] = []

    async def handle(incoming: Incoming) -> Incoming:
        served.append(incoming.message.path)
        return await echo(incoming)

    async with serving(handle) as (port, _):
        for malformed in MALFORMED.values():
            await sent(port, malformed % SECRET + GET, GET)
    assert "/next" not in served


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /" + b"a" * MAX_HEAD + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET http://a/" + b"a" * MAX_HEAD + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nReferer: http://" + b"a" * MAX_HEAD + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: /" + b"a" * (1 << 20) + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a" * MAX_HEAD + b"a: x\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * MAX_FIELDS + b"\r\n", 431),
    ],
    ids=["target", "1 MiB target", "absolute target", "value", "1 MiB value", "name", "fields"],
)
@pytest.mark.threat("S40")
async def test_heads_that_are_too_large(request_: bytes, status: int) -> None:
    async with serving() as (port, refusals):
        raw = await sent(port, request_)
        assert is_refusal(raw, status), raw
        assert [refusal.kind for refusal in refusals] == [Kind.TOO_LARGE]


async def test_a_head_that_is_just_small_enough() -> None:
    async with serving() as (port, _):
        fields = b"X: y\r\n" * (MAX_FIELDS - 1)
        assert (await one_answer(port, b"GET / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n")).status == 200
        target = b"/" + b"a" * (MAX_HEAD - 1)
        assert (await one_answer(port, b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")).body == target + b"|"


@pytest.mark.threat("S36")
async def test_pipelined_requests_are_answered_in_order() -> None:
    running = 0

    async def handle(incoming: Incoming) -> Incoming:
        nonlocal running
        running += 1
        assert running == 1, "two at once"
        for _ in range(len(incoming.message.path) % 3):
            await asyncio.sleep(0)
        running -= 1
        return await echo(incoming)

    count = 200
    requests = [
        b"POST /%b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n%03d" % (b"x" * (n % 7), n) for n in range(count)
    ]
    async with serving(handle) as (port, _), connected(port) as (reader, writer):
        writer.write(b"".join(requests))
        for n in range(count):
            assert (await read_answer(reader)).body == b"/%b|%03d" % (b"x" * (n % 7), n)


async def test_a_connection_serves_one_request_after_another() -> None:
    async with serving() as (port, _), connected(port) as (reader, writer):
        for n in range(3):
            writer.write(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % n)
            assert (await read_answer(reader)).body == b"/%d|" % n


@pytest.mark.parametrize(
    ("request_", "kept"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
    ],
)
async def test_which_connections_stay_open(request_: bytes, kept: bool) -> None:
    async with serving() as (port, _), connected(port) as (reader, writer):
        writer.write(request_)
        assert (await read_answer(reader)).status == 200
        if kept:
            writer.write(GET)
            assert (await read_answer(reader)).body == b"/next|"
        else:
            assert await reader.read() == b""


@pytest.mark.parametrize("protocol", [b"websocket", b"h2c", b"foo"])
@pytest.mark.parametrize("body", [b"", b"hello"])
@pytest.mark.parametrize("together", [True, False])
async def test_a_request_for_another_protocol_is_the_last_of_its_connection(
    protocol: bytes, body: bytes, together: bool
) -> None:
    """The parser may drop what came behind it, so nothing that did may be waited for."""
    head = b"POST /up HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: %b\r\nContent-Length: %d\r\n\r\n"
    message = head % (protocol, len(body)) + body
    segments = (message + GET,) if together else (message[:-3], message[-3:], GET)
    async with serving() as (port, _):
        assert (await sent(port, *segments)).endswith(b"\r\n\r\n/up|" + body)


async def test_an_idle_connection_is_closed() -> None:
    async with serving(keepalive_timeout=0.05) as (port, _), connected(port) as (reader, writer):
        assert await reader.read() == b""
    async with serving(keepalive_timeout=0.05) as (port, _), connected(port) as (reader, writer):
        writer.write(b"GET / HT")
        assert await reader.read() == b""


SLOW_HEADS = {
    "stops": [b"GET / HT"],
    "dribbles": [b"%c" % byte for byte in b"GET / HTTP/1.1\r\nX: " + b"a" * 2000],
    "an empty line first": [b"\r\n", b"GET / HTTP/1.1\r\n"],
    "after a request": [GET, b"GET / HT"],
    "right behind a request": [GET + b"GET ", b"/ HT"],
    "after a body": [b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab", b"cd", b"GET / HT"],
}


@pytest.mark.parametrize("name", SLOW_HEADS)
@pytest.mark.threat("S41")
async def test_a_head_that_takes_too_long_is_cut_off(name: str) -> None:
    async with serving(header_timeout=0.1) as (port, refusals):
        raw = await sent(port, *SLOW_HEADS[name], pause=0.01)
    answers = raw.count(b"HTTP/1.1 200 OK")
    assert answers == sum(b"Host: a" in piece for piece in SLOW_HEADS[name])
    assert raw.count(b"HTTP/1.1") == answers + 1
    assert is_refusal(raw[raw.rindex(b"HTTP/1.1") :], 408)
    assert [refusal.kind for refusal in refusals] == [Kind.REQUEST_TIMEOUT]


@pytest.mark.threat("S41")
async def test_a_connection_that_never_says_a_word_is_closed_without_one() -> None:
    async with serving(header_timeout=0.05) as (port, refusals), connected(port) as (reader, _):
        assert await reader.read() == b""
    assert refusals == []


async def test_what_is_no_head_may_take_its_time() -> None:
    async def slow(incoming: Incoming) -> Incoming:
        await asyncio.sleep(0.2)
        return await echo(incoming)

    put = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving(slow, header_timeout=0.1) as (port, refusals), connected(port) as (reader, writer):
        for piece in (put, b"1\r\n", b"a\r\n", b"0\r\n", b"\r\n"):
            writer.write(piece)
            await asyncio.sleep(0.06)
        assert (await read_answer(reader)).body == b"/|a"
        await asyncio.sleep(0.2)  # idle
        for _ in range(40):  # more than are taken at once
            writer.write(GET)
        for _ in range(3):
            assert (await read_answer(reader)).status == 200
    assert refusals == []


async def test_a_late_head_behind_a_request_that_runs_waits_for_its_answer() -> None:
    release = asyncio.Event()

    async def held(incoming: Incoming) -> Incoming:
        await release.wait()
        return await echo(incoming)

    async with serving(held, header_timeout=0.05) as (port, _), connected(port) as (reader, writer):
        writer.write(GET)
        await asyncio.sleep(0.02)
        writer.write(b"GET / HT")
        await asyncio.sleep(0.2)
        release.set()
        raw = await reader.read()
    assert raw.startswith(b"HTTP/1.1 200 OK\r\n")
    assert raw.count(b"HTTP/1.1") == 1


async def test_a_handler_is_cancelled_when_the_caller_leaves() -> None:
    reached, cancelled = asyncio.Event(), asyncio.Event()

    async def handle(incoming: Incoming) -> Incoming:
        reached.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return incoming

    async with serving(handle) as (port, _):
        async with connected(port) as (_, writer):
            writer.write(GET)
            await reached.wait()
        async with asyncio.timeout(BOUND):
            await cancelled.wait()


async def test_a_handler_that_breaks_is_answered_for(caplog: pytest.LogCaptureFixture) -> None:
    async def handle(incoming: Incoming) -> Incoming:
        raise ValueError(f"{CANARY.text} {incoming.message.path}")

    async with serving(handle) as (port, refusals):
        raw = await sent(port, b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % SECRET + GET)
        assert is_refusal(raw, 503)
        assert [refusal.kind for refusal in refusals] == [Kind.OVERLOADED]
        assert not search(raw, CANARY)
    assert not search(logged(caplog), CANARY)
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [
        "a request broke off: ValueError"
    ]


async def test_a_handler_that_breaks_within_its_response_cuts_it() -> None:
    async def handle(incoming: Incoming) -> Incoming:
        incoming.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
        await asyncio.sleep(0.01)
        raise ValueError

    async with serving(handle) as (port, refusals), connected(port) as (reader, writer):
        writer.write(GET)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        assert await was_reset(reader)
        assert refusals == []


async def test_a_malformed_request_whose_sender_is_gone_is_no_error_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as (port, refusals):
        for _ in range(20):
            async with connected(port) as (_, writer):
                writer.write(b"no request\r\n\r\n")
                writer.transport.abort()
        async with asyncio.timeout(BOUND):
            while (await one_answer(port, GET)).status != 200:
                pass
        assert len(refusals) <= 20
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_an_answer_is_readable_by_a_caller_that_is_still_sending() -> None:
    """Closing with unread bytes would reset the connection and destroy the answer (RFC 9112 §9.6)."""
    async with serving() as (port, _), connected(port) as (reader, writer):
        writer.write(b"nothing that is HTTP\r\n\r\n")
        answer = await read_answer(reader)
        assert answer.kind == "invalid-request"
        for _ in range(50):
            writer.write(bytes(65536))
            await writer.drain()
        assert await reader.read() == b""
