import asyncio
import gzip
import random
import socket
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.faces.conftest import CONFIG, MakeWorld
from tests.support.gateway import Answer, RunningGateway, ask, get, read_answer, running_gateway
from tests.support.raw_upstream import Peer, RawUpstream, Script, response

BOUND = 20.0
MIB = 1 << 20

#: No exchange: what passes through does so in the same way. PORT and SETTINGS are replaced.
RELAY = """
gateway: {listen: '127.0.0.1:0'}
routes:
  - name: any
    match: {path_prefix: /}
    upstream: {url: 'http://127.0.0.1:PORT'SETTINGS}
    exchange: none
"""


@asynccontextmanager
async def relaying(folder: Path, script: Script, settings: str = "") -> AsyncIterator[RunningGateway]:
    """A gateway in front of a scripted upstream. settings: of the route's upstream."""
    async with RawUpstream(script) as upstream:
        text = RELAY.replace("PORT", str(upstream.port)).replace("SETTINGS", f", {settings}" if settings else "")
        async with running_gateway(folder, text) as gateway:
            yield gateway


@asynccontextmanager
async def connected(gateway: RunningGateway) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with asyncio.timeout(BOUND):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port(), limit=MIB)
        try:
            yield reader, writer
        finally:
            writer.close()


async def rest_of(reader: asyncio.StreamReader) -> tuple[bytes, bool]:
    """What comes to the end, and whether the end was in order (and not a reset)."""
    received = bytearray()
    try:
        while piece := await reader.read(65536):
            received += piece
    except ConnectionResetError:
        return bytes(received), False
    return bytes(received), True


async def stands_still(count: Callable[[], int]) -> int:
    """Wait until a count has not moved for a while."""
    last, still = -1, 0
    while still < 5:
        await asyncio.sleep(0.01)
        still = still + 1 if count() == last else 0
        last = count()
    return last


BLOCK = random.Random(7).randbytes(65536)
#: What four socket buffers on loopback may hold at most (Linux' tcp_wmem and tcp_rmem, twice), and what we add.
OUTSTANDING = 32 * MIB


def checksum(blocks: int) -> int:
    total = 0
    for _ in range(blocks):
        total = zlib.crc32(BLOCK, total)
    return total


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
async def test_a_large_response_streams_at_the_callers_pace(tmp_path: Path, chunked: bool) -> None:
    blocks, sent = 100 * 16, 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.head()
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % (blocks * len(BLOCK))
        await peer.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
        for _ in range(blocks):
            peer.writer.write(b"%x\r\n%b\r\n" % (len(BLOCK), BLOCK) if chunked else BLOCK)
            await peer.writer.drain()
            sent += len(BLOCK)
        await peer.send(b"0\r\n\r\n" if chunked else b"")
        await peer.rest()

    async with relaying(tmp_path, script) as gateway, connected(gateway) as (reader, writer):
        writer.write(get())
        await reader.readuntil(b"\r\n\r\n")
        assert await stands_still(lambda: sent) < OUTSTANDING
        total = received = 0
        while received < blocks * len(BLOCK):
            if chunked:
                size = int(await reader.readuntil(b"\r\n"), 16)
                piece = (await reader.readexactly(size + 2))[:-2]
            else:
                piece = await reader.read(MIB)
            received += len(piece)
            total = zlib.crc32(piece, total)
        assert (received, total) == (blocks * len(BLOCK), checksum(blocks))
        assert (await rest_of(reader)) == (b"0\r\n\r\n" if chunked else b"", True)


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
async def test_a_large_request_streams_at_the_upstreams_pace(tmp_path: Path, chunked: bool) -> None:
    blocks, sent = 100 * 16, 0
    still = asyncio.Event()
    found: list[tuple[int, int]] = []

    async def script(peer: Peer) -> None:
        assert (b"Transfer-Encoding: chunked" in await peer.head()) is chunked
        await still.wait()
        total = received = 0
        while received < blocks * len(BLOCK):
            if chunked:
                size = int(await peer.until(b"\r\n"), 16)
                piece = (await peer.exactly(size + 2))[:-2]
            else:
                piece = await peer.reader.read(MIB)
            received += len(piece)
            total = zlib.crc32(piece, total)
        if chunked:
            assert await peer.until(b"\r\n\r\n") == b"0\r\n\r\n"
        found.append((received, total))
        await peer.send(response(b"done"))

    async with relaying(tmp_path, script) as gateway, connected(gateway) as (reader, writer):
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % (blocks * len(BLOCK))
        writer.write(b"PUT / HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n")

        async def upload() -> None:
            nonlocal sent
            for _ in range(blocks):
                writer.write(b"%x\r\n%b\r\n" % (len(BLOCK), BLOCK) if chunked else BLOCK)
                await writer.drain()
                sent += len(BLOCK)
            writer.write(b"0\r\n\r\n" if chunked else b"")

        async with asyncio.TaskGroup() as group:
            group.create_task(upload())
            assert await stands_still(lambda: sent) < OUTSTANDING
            still.set()
            assert (await read_answer(reader)).body == b"done"
    assert found == [(blocks * len(BLOCK), checksum(blocks))]


@pytest.mark.parametrize("framing", [b"Transfer-Encoding: chunked", b"Content-Length: 30", b"X: until-close"])
async def test_an_event_passes_at_once(tmp_path: Path, framing: bytes) -> None:
    came = asyncio.Event()

    def framed(data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if b"chunked" in framing else data

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + framing + b"\r\n\r\n")
        await came.wait()
        for number in range(3):
            came.clear()
            await peer.send(framed(b"data: %d\n\n" % number))
            await came.wait()
        await peer.rest()

    async with relaying(tmp_path, script) as gateway, connected(gateway) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"text/event-stream" in await reader.readuntil(b"\r\n\r\n")  # before there is any event
        came.set()
        for number in range(3):
            assert (await reader.readuntil(b"\n\n")).endswith(b"data: %d\n\n" % number)
            came.set()


async def test_a_request_body_passes_as_it_comes(tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        for _ in range(3):
            piece = await peer.until(b"\n\r\n")
            await peer.send(b"HTTP/1.1 103 Early Hints\r\nX-Got: " + piece.split(b"\r\n")[1].strip() + b"\r\n\r\n")
        assert await peer.until(b"\r\n\r\n") == b"0\r\n\r\n"
        await peer.send(response(b"all"))
        await peer.rest()

    async with relaying(tmp_path, script) as gateway, connected(gateway) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(3):
            writer.write(b"3\r\n-%d\n\r\n" % number)
            assert b"X-Got: -%d" % number in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"0\r\n\r\n")
        assert (await read_answer(reader)).body == b"all"


@pytest.mark.parametrize(
    ("method", "sent", "status", "framing"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n", 200, ("content-length", "12345")),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, None),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204, None),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 12345\r\n\r\n", 304, ("content-length", "12345")),
        ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\n", 304, None),
        ("POST", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, ("content-length", "0")),
    ],
)
async def test_responses_without_a_body(
    tmp_path: Path, method: str, sent: bytes, status: int, framing: tuple[str, str] | None
) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(sent)
        await peer.head()
        await peer.send(response(b"next"))
        await peer.rest()

    async with relaying(tmp_path, script) as gateway, connected(gateway) as (reader, writer):
        writer.write(f"{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".encode())
        answer = await read_answer(reader, head_only=method == "HEAD")
        assert (answer.status, answer.body) == (status, b"")
        found = [field for field in answer.fields if field[0] in ("content-length", "transfer-encoding")]
        assert found == ([framing] if framing is not None else [])
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await read_answer(reader)).body == b"next"


async def test_a_body_that_ends_with_the_connection_is_chunked(tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nto the end")

    async with relaying(tmp_path, script) as gateway, connected(gateway) as (reader, writer):
        for _ in range(2):
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            answer = await read_answer(reader)
            assert (answer.body, answer.value("transfer-encoding")) == (b"to the end", "chunked")


@pytest.mark.parametrize(
    ("sent", "connection", "kept"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", b"", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", b"Connection: keep-alive\r\n", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", b"", False),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
            b"Connection: keep-alive\r\n",
            False,
        ),
    ],
)
@pytest.mark.threat("S34")
async def test_http_1_0_callers(tmp_path: Path, sent: bytes, connection: bytes, kept: bool) -> None:
    async def script(peer: Peer) -> None:
        while True:
            assert b" HTTP/1.1\r\n" in await peer.head()
            await peer.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" + sent)

    async with relaying(tmp_path, script) as gateway, connected(gateway) as (reader, writer):
        writer.write(b"GET / HTTP/1.0\r\n" + connection + b"\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert b"chunked" not in head
        assert (b"Connection: keep-alive" in head) is kept
        assert (b"Connection: close" in head) is not kept
        assert await reader.readexactly(4) == b"body"
        if kept:
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
        whole, in_order = await rest_of(reader)
        assert in_order
        assert whole.endswith(b"body" if kept else b"")


BODY = b"0123456789abcdef" * 4
TRUNCATED = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY),
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"".join(b"8\r\n%b\r\n" % BODY[at : at + 8] for at in range(0, len(BODY), 8))
    + b"0\r\n\r\n",
    "until close": b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n" + BODY,
}


def cuts() -> list[tuple[str, int, bool, bytes]]:
    """Framing, offset, whether by reset, version: everything that is not complete."""
    found = []
    for framing, sent in TRUNCATED.items():
        for at in range(len(sent) + 1):
            for reset in (False, True):
                in_body = at >= sent.index(b"\r\n\r\n") + 4
                complete = at == len(sent) if framing != "until close" else in_body and not reset
                if not complete and (framing != "until close" or reset):
                    found += [(framing, at, reset, version) for version in (b"1.1", b"1.0")]
    return found


async def test_no_truncated_response_looks_complete(tmp_path: Path) -> None:
    cases = cuts()
    assert len(cases) > 1000
    taken = [0] * len(cases)

    async def script(peer: Peer) -> None:
        number = int((await peer.head()).split(b" ")[1][1:])
        framing, at, reset, _ = cases[number]
        taken[number] += 1
        await peer.send(TRUNCATED[framing][:at])
        if reset:
            await asyncio.sleep(0.001)  # else the reset may overtake what was sent
            peer.reset()

    async def outcome(gateway: RunningGateway, number: int) -> str:
        async with together, connected(gateway) as (reader, writer):
            writer.write(b"GET /%d HTTP/%b\r\nHost: a\r\n\r\n" % (number, cases[number][3]))
            with suppress(ConnectionResetError, asyncio.IncompleteReadError):
                answer = await read_answer(reader)
                return "refused" if answer.status == 502 and answer.kind == "upstream-unavailable" else "complete"
        return "cut"

    together = asyncio.Semaphore(24)
    async with relaying(tmp_path, script) as gateway:
        outcomes = await asyncio.gather(*(outcome(gateway, number) for number in range(len(cases))))
    assert [cases[number] for number, found in enumerate(outcomes) if found == "complete"] == []
    assert {"refused", "cut"} == set(outcomes)
    assert set(taken) == {1}  # connections of their own: nothing is sent twice


async def test_complete_responses_look_complete(tmp_path: Path) -> None:
    """The other side of the test above, over the same upstream and the same reader."""

    async def script(peer: Peer) -> None:
        await peer.dribble(TRUNCATED[(await peer.head()).split(b" ")[1][1:].decode().replace("-", " ")])

    async with relaying(tmp_path, script) as gateway:
        for framing in TRUNCATED:
            for version in (b"1.1", b"1.0"):
                request = b"GET /%b HTTP/%b\r\nHost: a\r\n\r\n" % (framing.replace(" ", "-").encode(), version)
                answer = await ask(gateway.port(), request)
                assert (answer.status, answer.body) == (200, BODY)


async def test_a_response_that_falls_silent_is_cut(tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(TRUNCATED["length"][:-5])
        await peer.rest()

    async with relaying(tmp_path, script, "read_idle: 50ms") as gateway, connected(gateway) as (reader, writer):
        writer.write(get())
        received, in_order = await rest_of(reader)
        assert received.endswith(BODY[:-5])
        assert not in_order


async def test_a_caller_that_does_not_take_the_response_is_cut_off(tmp_path: Path) -> None:
    given_up = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        with suppress(ConnectionError):
            peer.writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                peer.writer.write(BLOCK)
                await peer.writer.drain()
        given_up.set()

    async with relaying(tmp_path, script, "read_idle: 50ms") as gateway, connected(gateway) as (_, writer):
        writer.write(get())
        await given_up.wait()


FRAMINGS = [b"Content-Length: 10\r\n\r\n12345", b"Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n"]


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("reset", [False, True])
async def test_a_caller_that_leaves_within_its_upload(tmp_path: Path, framing: bytes, reset: bool) -> None:
    seen: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    reached = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        received = await peer.until(b"12345")
        reached.set()
        seen.set_result(received + await peer.rest())

    async with relaying(tmp_path, script) as gateway:
        async with connected(gateway) as (_, writer):
            writer.write(b"PUT / HTTP/1.1\r\nHost: a\r\n" + framing)
            await reached.wait()
            if reset:
                Peer(1, asyncio.StreamReader(), writer).reset()
        async with asyncio.timeout(BOUND):
            assert (await seen).removeprefix(b"5\r\n") in (b"12345", b"12345\r\n")
        [line] = [line for line in await receipts_of(gateway, 1) if line["event"] == "use"]
        assert line["status"] == 499


async def receipts_of(gateway: RunningGateway, count: int) -> list[dict[str, object]]:
    """Wait until there are so many receipts."""
    async with asyncio.timeout(BOUND):
        while len(lines := await gateway.receipt_lines()) < count:  # noqa: ASYNC110  # a file tells nobody
            await asyncio.sleep(0.005)
    return lines


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"])
async def test_a_caller_that_leaves_while_the_upstream_works(tmp_path: Path, begun: bytes) -> None:
    reached, left = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(begun)
        reached.set()
        await peer.rest()
        left.set()

    async with relaying(tmp_path, script) as gateway:
        async with connected(gateway) as (reader, writer):
            writer.write(get())
            await reached.wait()
            if begun:
                await reader.readuntil(b"abc")
        async with asyncio.timeout(BOUND):
            await left.wait()
        [line] = await receipts_of(gateway, 1)
        assert line["status"] == (200 if begun else 499)


EXPECTING = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"


async def test_100_only_when_the_upstream_says_so(tmp_path: Path) -> None:
    asked, may_go_on = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        assert b"\r\nExpect: 100-continue\r\n" in await peer.head()
        asked.set()
        await may_go_on.wait()
        await peer.send(b"HTTP/1.1 100 Continue\r\nX-Any: y\r\n\r\n")
        await peer.send(response(await peer.exactly(5)))
        await peer.rest()

    async with relaying(tmp_path, script) as gateway, connected(gateway) as (reader, writer):
        writer.write(EXPECTING)
        await asked.wait()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.03):
                await reader.readexactly(1)
        may_go_on.set()
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 Continue\r\n")
        writer.write(b"hello")
        assert (await read_answer(reader)).body == b"hello"
        writer.write(b"GET /still-open HTTP/1.1\r\nHost: a\r\n")  # it stays open: the body came


@pytest.mark.parametrize("final", [b"417 Expectation Failed", b"413 Content Too Large", b"200 OK"])
async def test_a_final_response_instead_of_100(tmp_path: Path, final: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(response(b"no", status=final))
        assert await peer.rest() == b""  # nothing of a body is ever sent

    async with relaying(tmp_path, script) as gateway, connected(gateway) as (reader, writer):
        writer.write(EXPECTING)
        answer = await read_answer(reader)
        assert (answer.status, answer.value("connection")) == (int(final[:3]), "close")


@pytest.mark.threat("S38")
async def test_an_early_final_response_ends_the_upload(tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.until(b"12345")
        await peer.send(response(b"enough", status=b"413 Content Too Large"))
        assert b"late" not in await peer.rest()

    for framing in FRAMINGS:
        async with relaying(tmp_path, script) as gateway, connected(gateway) as (reader, writer):
            writer.write(b"PUT / HTTP/1.1\r\nHost: a\r\n" + framing)
            answer = await read_answer(reader)
            assert (answer.status, answer.body, answer.value("connection")) == (413, b"enough", "close")
            writer.write(b"late")


async def test_which_interim_responses_pass(tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        for status in (b"100 Continue", b"102 Processing", b"103 Whatever", b"104 Odd", b"199 Odder"):
            await peer.send(
                b"HTTP/1.1 " + status + b"\r\nLink: </a.css>\r\nConnection: x\r\nX: %b\r\n\r\n" % status[:3]
            )
        await peer.send(response(b"final"))
        await peer.rest()

    async with relaying(tmp_path, script) as gateway, connected(gateway) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        whole, in_order = await rest_of(reader)
        heads = whole.split(b"\r\n\r\n")
        assert in_order
        assert heads[0] == b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>"
        assert heads[1].startswith(b"HTTP/1.1 200 OK\r\n")
        assert heads[2] == b"final"


@pytest.mark.parametrize("size", [10, 11, 100_000])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.threat("S43")
async def test_max_body_bytes(tmp_path: Path, size: int, chunked: bool) -> None:
    fits = size <= 10
    heads = 0

    async def script(peer: Peer) -> None:
        nonlocal heads
        await peer.head()
        heads += 1
        if fits:
            assert (await peer.until(b"y")).endswith(b"x" * 9 + b"y")
            await peer.send(response(b"ok"))
        assert b"0\r\n\r\n" not in await peer.rest() or fits

    async with relaying(tmp_path, script, "max_body_bytes: 10") as gateway:
        body = b"x" * (size - 1) + b"y"
        framed = b"%x\r\n%b\r\n0\r\n\r\n" % (size, body) if chunked else body
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % size
        answer = await gateway.ask(b"PUT / HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n" + framed)
        if fits:
            assert (answer.status, answer.body) == (200, b"ok")
        else:
            assert (answer.status, answer.kind) == (413, "too-large")
            assert heads == int(chunked)  # one that says so itself is refused before anything leaves


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.threat("S41")
async def test_a_body_that_stalls(tmp_path: Path, framing: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        assert b"0\r\n\r\n" not in await peer.rest()

    async with relaying(tmp_path, script, "send_idle: 50ms") as gateway, connected(gateway) as (reader, writer):
        writer.write(b"PUT / HTTP/1.1\r\nHost: a\r\n" + framing)
        answer = await read_answer(reader)
        assert (answer.status, answer.kind, answer.value("connection")) == (408, "request-timeout", "close")


async def test_a_body_whose_chunks_break(tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        assert b"0\r\n\r\n" not in await peer.rest()

    async with relaying(tmp_path, script) as gateway, connected(gateway) as (reader, writer):
        writer.write(b"PUT / HTTP/1.1\r\nHost: a\r\n" + FRAMINGS[1])
        await asyncio.sleep(0.01)
        writer.write(b"no chunk\r\n")
        answer = await read_answer(reader)
        assert (answer.status, answer.kind) == (400, "invalid-request")
        assert await rest_of(reader) == (b"", True)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"no HTTP at all\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_an_upstream_that_speaks_no_http(tmp_path: Path, sent: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(sent)

    async with relaying(tmp_path, script) as gateway:
        answer = await gateway.ask(get())
        assert (answer.status, answer.kind) == (502, "upstream-unavailable")


async def test_an_upstream_that_is_down(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with running_gateway(tmp_path, RELAY.replace("PORT", str(port)).replace("SETTINGS", "")) as gateway:
        answer = await gateway.ask(get())
        assert (answer.status, answer.kind) == (502, "upstream-unavailable")


async def test_an_upstream_that_never_answers(tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.rest()

    async with relaying(tmp_path, script, "response_timeout: 50ms") as gateway:
        answer = await gateway.ask(get())
        assert (answer.status, answer.kind) == (504, "upstream-timeout")


async def test_an_upstream_that_accepts_no_connection(tmp_path: Path) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        text = RELAY.replace("PORT", str(full.getsockname()[1])).replace("SETTINGS", ", connect_timeout: 50ms")
        async with running_gateway(tmp_path, text) as gateway:
            answer = await gateway.ask(get())
            assert (answer.status, answer.kind) == (504, "upstream-timeout")
        for each in waiting:
            each.close()


@pytest.mark.threat("S42")
async def test_content_codings_are_nobodys_business(tmp_path: Path) -> None:
    """What says that it is compressed passes as it is, even where it is not: nothing is decoded on either way."""
    packed = gzip.compress(b"a" * 10_000)

    async def script(peer: Peer) -> None:
        for body in (packed, b"not compressed"):
            assert b"Content-Encoding: gzip" in await peer.head()
            assert await peer.exactly(len(body)) == body
            await peer.send(response(body, b"Content-Encoding: gzip"))
        await peer.rest()

    async with relaying(tmp_path, script) as gateway, connected(gateway) as (reader, writer):
        for body in (packed, b"not compressed"):
            writer.write(
                b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
            )
            writer.write(body)
            answer = await read_answer(reader)
            assert (answer.body, answer.value("content-encoding")) == (body, "gzip")


async def test_one_connection_carries_requests_of_every_kind(tmp_path: Path) -> None:
    """Whatever one request leaves behind, the next one is read from its own first byte."""

    async def script(peer: Peer) -> None:
        while head := await peer.head():
            body = b""
            if b"chunked" in head:
                while (size := int(await peer.until(b"\r\n"), 16)) > 0:
                    body += (await peer.exactly(size + 2))[:-2]
                await peer.exactly(2)
            elif b"Content-Length: 3" in head:
                body = await peer.exactly(3)
            await peer.send(response(head.split(b" ")[1] + b"|" + body))

    requests = [
        b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        b"POST /%d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\na\r\n2\r\nbc\r\n0\r\nT: t\r\n\r\n",
        b"DELETE /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    ]
    expected = [b"", b"abc", b"abc", b""]
    async with relaying(tmp_path, script) as gateway, connected(gateway) as (reader, writer):
        numbers = range(40)
        writer.write(b"".join(requests[number % 4] % number for number in numbers))
        for number in numbers:
            answer: Answer = await read_answer(reader)
            assert answer.body == b"/%d|%b" % (number, expected[number % 4])


async def test_a_request_that_offers_another_protocol_goes_on_without(tmp_path: Path) -> None:
    """Java's client offers h2c with every request, bodies and all."""
    heads: list[bytes] = []

    async def script(peer: Peer) -> None:
        heads.append(await peer.head())
        await peer.send(response(await peer.exactly(5)))
        await peer.rest()

    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n"
    async with relaying(tmp_path, script) as gateway:
        answer = await gateway.ask(b"POST / HTTP/1.1\r\nHost: a\r\n" + offer + b"Content-Length: 5\r\n\r\nhello")
        assert (answer.status, answer.body, answer.value("connection")) == (200, b"hello", "close")
    assert not [word for word in (b"upgrade", b"h2c", b"settings") if word in heads[0].lower()]


async def test_a_caller_without_a_token_sends_no_body_in_vain(world: MakeWorld) -> None:
    here = await world()
    async with connected(here.gateway) as (reader, writer):
        writer.write(b"POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        answer = await read_answer(reader)
        assert answer.raw.startswith(b"HTTP/1.1 401")  # and not 100 first
        assert answer.value("connection") == "close"
    assert here.upstream.seen == []


@pytest.mark.threat("S6")
async def test_the_issued_token_is_not_returned_in_interim_and_final_heads(world: MakeWorld) -> None:
    async def script(peer: Peer) -> None:
        head = await peer.head()
        token = head.split(b"Authorization: Bearer ")[1].split(b"\r\n")[0]
        echo = b"X-Token: %b\r\nX-Kept: 1\r\n%b: 2\r\n\r\n" % (token, token)
        await peer.send(b"HTTP/1.1 103 Early Hints\r\n" + echo)
        await peer.send(b"HTTP/1.1 200 %b\r\nContent-Length: 0\r\n" % token + echo)
        tokens.append(token)
        await peer.rest()

    tokens: list[bytes] = []
    async with RawUpstream(script) as upstream:
        here = await world(CONFIG.replace("PORT", str(upstream.port)))
        async with connected(here.gateway) as (reader, writer):
            writer.write(get(token=here.sts.mint()))
            whole, _ = await rest_of(reader)
    assert tokens[0] not in whole
    assert whole.count(b"X-Kept: 1") == 2
